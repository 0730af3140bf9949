//! What a node tells the leader of its copies: how far each goes.
//!
//! Reports are numbered by who makes them. The leader says up to which number it knows, and is told
//! what has changed since; one that knows nothing says 0, and is told all. So a report that is
//! lost, late, or comes twice does no harm: it is taken in if it begins with what is known, and
//! ends with no less.

use std::collections::BTreeMap;

use super::id::{PartitionId, Position};
use super::table::{Member, PartitionTable};

/// How many reports a node has made, as far as they have said something new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReportNumber(pub u64);

/// What has changed from one report to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    since: ReportNumber,
    number: ReportNumber,
    changed: BTreeMap<PartitionId, Position>,
}

/// What a node has said of its copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    number: ReportNumber,
    /// Where each copy's last record is, and in which report that was new. None of empty ones.
    said: BTreeMap<PartitionId, (Position, ReportNumber)>,
}

/// What the leader knows of others' copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    by: BTreeMap<Member, (ReportNumber, BTreeMap<PartitionId, Position>)>,
}

impl Reporter {
    /// A report to a leader that knows all up to `since`. `held` are all copies.
    pub(crate) fn report(
        &mut self,
        held: impl Iterator<Item = (PartitionId, Position)>,
        since: ReportNumber,
    ) -> Report {
        let next = ReportNumber(self.number.0 + 1);
        for (partition, last) in held {
            let known = self.said.get(&partition).map(|(position, _)| *position);
            if known.unwrap_or_default() != last {
                self.said.insert(partition, (last, next));
                self.number = next;
            }
        }
        let is_new = |(_, (_, number)): &(&PartitionId, &(Position, ReportNumber))| *number > since;
        let changed = self.said.iter().filter(is_new);
        let changed = changed.map(|(partition, (last, _))| (*partition, *last)).collect();
        Report { since, number: self.number, changed }
    }
}

impl Reports {
    /// Up to where a member's reports are known.
    pub(crate) fn known(&self, member: Member) -> ReportNumber {
        self.by.get(&member).map_or(ReportNumber(0), |(number, _)| *number)
    }

    pub(crate) fn heard(&mut self, from: Member, report: Report) {
        let known = self.known(from);
        if report.since <= known && report.number >= known {
            let (number, held) = self.by.entry(from).or_default();
            *number = report.number;
            held.extend(report.changed);
        }
    }

    /// What each member holds.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Member, &BTreeMap<PartitionId, Position>)> {
        self.by.iter().map(|(member, (_, held))| (*member, held))
    }

    /// The table is this now. Who is no longer in it holds nothing.
    pub(crate) fn learn(&mut self, table: &PartitionTable) {
        self.by.retain(|member, _| table.status(*member).is_some());
    }

    /// As a new leader, of which nobody knows what it knows.
    pub(crate) fn forget(&mut self) {
        self.by.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::{Epoch, Seq};
    use crate::engine::simulation::random::Random;
    use crate::engine::table::{DirectoryId, Generation};

    const IT: Member = Member { directory: DirectoryId(7), generation: Generation(1) };

    fn position(seq: u64) -> Position {
        Position { epoch: Epoch(u64::from(seq > 0)), seq: Seq(seq) }
    }

    fn held(seqs: &[u64]) -> impl Iterator<Item = (PartitionId, Position)> + '_ {
        let numbered = seqs.iter().enumerate();
        numbered.map(|(partition, seq)| (PartitionId(partition as u16), position(*seq)))
    }

    fn known(reports: &Reports) -> Vec<u64> {
        let mut seqs = vec![0; 3];
        for (_, held) in reports.iter() {
            held.iter().for_each(|(partition, last)| seqs[partition.0 as usize] = last.seq.0);
        }
        seqs
    }

    #[test]
    fn only_what_has_changed_is_told_again() {
        let (mut reporter, mut reports) = (Reporter::default(), Reports::default());
        let whole = reporter.report(held(&[4, 0, 6]), reports.known(IT));
        assert_eq!(whole.changed.len(), 2, "of an empty copy there is nothing to say");
        reports.heard(IT, whole);
        assert_eq!(known(&reports), [4, 0, 6]);
        assert_eq!(reporter.report(held(&[4, 0, 6]), reports.known(IT)).changed.len(), 0);
        // A copy that was cut goes less far.
        let next = reporter.report(held(&[4, 1, 5]), reports.known(IT));
        assert_eq!(next.changed.len(), 2);
        reports.heard(IT, next);
        assert_eq!(known(&reports), [4, 1, 5]);
    }

    #[test]
    fn a_leader_that_knows_nothing_is_told_all() {
        let (mut reporter, mut reports) = (Reporter::default(), Reports::default());
        let first = reporter.report(held(&[1, 2, 3]), reports.known(IT));
        reports.heard(IT, first);
        let next = reporter.report(held(&[1, 2, 4]), reports.known(IT));
        reports.forget();
        reports.heard(IT, next);
        assert!(reports.iter().next().is_none(), "it is no whole");
        let whole = reporter.report(held(&[1, 2, 4]), reports.known(IT));
        reports.heard(IT, whole);
        assert_eq!(known(&reports), [1, 2, 4]);
    }

    #[test]
    fn who_holds_nothing_has_reported_too() {
        let (mut reporter, mut reports) = (Reporter::default(), Reports::default());
        let report = reporter.report(held(&[0, 0, 0]), reports.known(IT));
        reports.heard(IT, report);
        assert_eq!(reports.iter().count(), 1);
    }

    /// Lost, late and repeated reports, and leaders that change: what a leader knows is always what
    /// was so at the number that it knows.
    #[test]
    fn whatever_becomes_of_reports() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (mut reporter, mut reports) = (Reporter::default(), Reports::default());
            let (mut seqs, mut under_way) = ([0; 3], Vec::new());
            let mut was = BTreeMap::new();
            for _ in 0..200 {
                match random.between(0, 9) {
                    0..=2 => seqs[random.between(0, 2) as usize] = random.between(0, 9),
                    3..=5 => {
                        let report = reporter.report(held(&seqs), reports.known(IT));
                        was.insert(report.number, seqs);
                        under_way.push(report);
                    }
                    6..=8 if !under_way.is_empty() => {
                        let at = random.between(0, under_way.len() as u64 - 1) as usize;
                        let report = match random.percent(30) {
                            true => under_way[at].clone(),
                            false => under_way.remove(at),
                        };
                        reports.heard(IT, report);
                    }
                    9 if random.percent(10) => reports.forget(),
                    _ => (),
                }
                if let Some(seqs) = was.get(&reports.known(IT)) {
                    assert_eq!(known(&reports), *seqs, "by {seed}");
                }
            }
        }
    }
}
