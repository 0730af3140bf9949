//! Leases: the right to answer, which other nodes give, and which a new primary waits out.
//!
//! A node asks every other one for it again and again. What it is given counts from when it
//! *asked* ([`Taken`]); what it gives counts from when it *answers*, and a little longer, for
//! clocks that do not run alike ([`Given`]). So a lease ends for who has it before it ends for who
//! gave it.
//!
//! A lease is given by a table: it says "by this version of it, you are the primary of these". Who
//! is given it counts it for a row only if that row had not changed since.

use std::collections::BTreeMap;
use std::time::Duration;

use super::breakage::{Breakage, is_broken};
use super::id::PartitionId;
use super::instant::Instant;
use super::table::{Member, PartitionTable, Row, TableVersion};

/// How long a lease is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub lease: Duration,
    /// By how much longer it is for who gave it.
    pub margin: Duration,
}

impl Terms {
    /// By how much a node's clock may run faster or slower than it should, in millionths, without
    /// a lease of a slow one outliving what a fast one waits for it.
    pub(crate) fn drift_max(&self) -> u64 {
        let (lease, margin) = (self.lease.as_nanos(), self.margin.as_nanos());
        // Of (1 + drift) / (1 - drift) = (lease + margin) / lease.
        let drift = margin * 1_000_000 / (2 * lease + margin).max(1);
        u64::try_from(drift).unwrap_or(u64::MAX)
    }
}

/// The leases that others have given to this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    by: BTreeMap<Member, Lease>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    /// Until when, and by which version of the table, which is known here.
    counted: (Instant, TableVersion),
    /// The newest, by a version that may not be known here yet.
    newest: (Instant, TableVersion),
}

/// Until when the leases run that this node has given, by partition.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    until: Vec<Instant>,
}

/// Notices that this node stood still: it was stopped, or had no time on any core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    ticked_at: Option<Instant>,
}

impl Taken {
    /// A node has answered: it gives a lease, by its version of the table.
    pub(crate) fn take(
        &mut self,
        from: Member,
        version: TableVersion,
        asked_at: Instant,
        terms: &Terms,
        known: TableVersion,
    ) {
        let lease = self.by.entry(from).or_default();
        lease.newest = lease.newest.max((asked_at + terms.lease, version));
        lease.count(known);
    }

    /// The table is at this version now. Who is no longer in it gives nothing.
    pub(crate) fn learn(&mut self, table: &PartitionTable) {
        self.by.retain(|member, _| table.status(*member).is_some());
        self.by.values_mut().for_each(|lease| lease.count(table.version()));
    }

    /// This node stood still: whatever it was given, it may have overslept.
    pub(crate) fn forget(&mut self) {
        self.by.clear();
    }

    /// Whether this member lets this node answer, as the primary that the row names.
    pub(crate) fn is_let_by(&self, member: Member, row: &Row, now: Instant) -> bool {
        let Some(Lease { counted: (until, version), .. }) = self.by.get(&member) else {
            return false;
        };
        let is_of_row = *version >= row.changed_at || is_broken(Breakage::LeaseOfOlderTable);
        *until > now && is_of_row
    }
}

impl Lease {
    fn count(&mut self, known: TableVersion) {
        if self.newest.1 <= known || is_broken(Breakage::LeaseOfNewerTable) {
            self.counted = self.counted.max(self.newest);
        }
    }
}

impl Given {
    /// None yet.
    pub(crate) fn new(partitions: u16) -> Given {
        Given { until: vec![Instant::default(); usize::from(partitions)] }
    }

    /// Lets a member answer for all partitions of which the table says that it is the primary.
    pub(crate) fn give(&mut self, to: Member, table: &PartitionTable, terms: &Terms, now: Instant) {
        let margin = match is_broken(Breakage::MarginIgnored) {
            true => Duration::ZERO,
            false => terms.margin,
        };
        let until = now + terms.lease + margin;
        for (partition, _) in table.rows().filter(|(_, row)| row.primary() == Some(to)) {
            if let Some(last) = self.until.get_mut(usize::from(partition.0)) {
                *last = until.max(*last);
            }
        }
    }

    /// When nobody has a lease of this node's any more, for a partition.
    pub(crate) fn until(&self, partition: PartitionId) -> Instant {
        self.until.get(usize::from(partition.0)).copied().unwrap_or_default()
    }
}

impl Pulse {
    /// Its time to do what is due has come, as it does again and again. Returns whether that was
    /// longer ago than `pause_max`.
    pub(crate) fn tick(&mut self, now: Instant, pause_max: Duration) -> bool {
        let is_late = self.is_late(now, pause_max);
        self.ticked_at = Some(now);
        is_late
    }

    /// Something else comes first, and is not to be taken for more than it says. The same.
    pub(crate) fn look(&mut self, now: Instant, pause_max: Duration) -> bool {
        let is_late = self.is_late(now, pause_max);
        if is_late {
            self.ticked_at = Some(now);
        }
        is_late
    }

    fn is_late(&self, now: Instant, pause_max: Duration) -> bool {
        self.ticked_at.is_some_and(|before| now.saturating_since(before) > pause_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::NodeId;
    use crate::engine::table::{Command, DirectoryId, Generation, Join, Role, RowChange};

    const TERMS: Terms =
        Terms { lease: Duration::from_millis(600), margin: Duration::from_millis(30) };
    const P0: PartitionId = PartitionId(0);

    fn member(directory: u128) -> Member {
        Member { directory: DirectoryId(directory), generation: Generation(1) }
    }

    fn at(millis: u64) -> Instant {
        Instant::default() + Duration::from_millis(millis)
    }

    /// Two nodes; the first is to be the primary of the one partition.
    fn table() -> PartitionTable {
        let mut table = PartitionTable::new(1, 1);
        let join = |directory: u128| {
            let name = NodeId::new(&format!("n{directory}"));
            let (role, zone, weight) = (Role::Data, NodeId::new("z"), 1);
            Command::Join(Join { member: member(directory), name, role, zone, weight })
        };
        table.apply(&[join(1), join(2)]);
        promote(&mut table, member(1));
        table
    }

    fn promote(table: &mut PartitionTable, to: Member) {
        let at = table.at(P0).unwrap();
        let applied = table.apply(&[Command::Row { at, change: RowChange::Promote(to) }]);
        assert_eq!(applied.refused, []);
    }

    fn row(table: &PartitionTable) -> &Row {
        table.row(P0).unwrap()
    }

    #[test]
    fn a_lease_ends_for_who_has_it_before_it_ends_for_who_gave_it() {
        let table = table();
        let (mut taken, mut given) = (Taken::default(), Given::new(1));
        // Asked at 100, answered at 150, heard at 400.
        given.give(member(1), &table, &TERMS, at(150));
        taken.take(member(2), table.version(), at(100), &TERMS, table.version());
        assert!(taken.is_let_by(member(2), row(&table), at(699)));
        assert!(!taken.is_let_by(member(2), row(&table), at(700)));
        assert_eq!(given.until(P0), at(780));
    }

    #[test]
    fn the_margin_covers_the_drift() {
        for (lease, margin) in [(600, 26), (300, 60), (2500, 45), (1, 1000), (60_000, 1)] {
            let (lease, margin) = (Duration::from_millis(lease), Duration::from_millis(margin));
            let drift = Terms { lease, margin }.drift_max() as f64 / 1e6;
            // By true time, from when a slow clock has asked, and a fast one has answered.
            let lasts = lease.as_secs_f64() / (1.0 - drift);
            let is_waited_for = (lease + margin).as_secs_f64() / (1.0 + drift);
            assert!(lasts <= is_waited_for, "{lease:?}, {margin:?}");
            let drift = drift + 2e-6;
            let is_less = lease.as_secs_f64() / (1.0 - drift)
                > (lease + margin).as_secs_f64() / (1.0 + drift);
            assert!(is_less, "{lease:?}, {margin:?} would cover more");
        }
    }

    #[test]
    fn only_whom_the_table_names_is_let() {
        let mut given = Given::new(1);
        given.give(member(2), &table(), &TERMS, at(100));
        assert_eq!(given.until(P0), Instant::default());
        assert!(!Taken::default().is_let_by(member(2), row(&table()), at(0)));
    }

    #[test]
    fn a_lease_by_an_older_table_is_of_another_row() {
        let mut table = table();
        let mut taken = Taken::default();
        let older = table.version();
        promote(&mut table, member(1)); // once more: another epoch
        taken.take(member(2), older, at(100), &TERMS, table.version());
        assert!(!taken.is_let_by(member(2), row(&table), at(200)));
        taken.take(member(2), table.version(), at(110), &TERMS, table.version());
        assert!(taken.is_let_by(member(2), row(&table), at(200)));
    }

    #[test]
    fn a_lease_by_a_newer_table_counts_when_that_is_known() {
        let mut table = table();
        let mut taken = Taken::default();
        let newer = TableVersion(table.version().0 + 1);
        taken.take(member(2), newer, at(100), &TERMS, table.version());
        assert!(!taken.is_let_by(member(2), row(&table), at(200)));
        promote(&mut table, member(1));
        taken.learn(&table);
        assert!(taken.is_let_by(member(2), row(&table), at(200)));
        taken.forget();
        assert!(!taken.is_let_by(member(2), row(&table), at(200)));
    }

    #[test]
    fn who_stood_still_is_told() {
        let mut pulse = Pulse::default();
        let pause_max = Duration::from_millis(200);
        assert!(!pulse.tick(at(5000), pause_max), "the first says nothing");
        assert!(!pulse.tick(at(5200), pause_max));
        assert!(pulse.tick(at(5401), pause_max));
        assert!(!pulse.tick(at(5402), pause_max));
    }

    #[test]
    fn who_does_other_things_and_is_late_is_told_so() {
        let mut pulse = Pulse::default();
        let pause_max = Duration::from_millis(200);
        pulse.tick(at(5000), pause_max);
        assert!(!pulse.look(at(5100), pause_max));
        assert!(!pulse.look(at(5200), pause_max));
        assert!(pulse.look(at(5250), pause_max), "of what is due nothing was done");
        assert!(!pulse.look(at(5260), pause_max), "it is told once");
        assert!(!pulse.tick(at(5300), pause_max));
    }
}
