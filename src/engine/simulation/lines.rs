//! What was answered and is lost, and where that may be.
//!
//! When all memory of a partition is lost, it begins anew with what was found. What was answered of
//! an object after the version that was found of it is lost. So its history is a tree: all that was
//! answered up to there together with what was lost is one *line*; with what came after the loss it
//! is another. Objects of asynchronous types part at each promotion, too: what was answered after
//! the last record that the new primary has of earlier epochs is lost with that. (What no promotion
//! has lost, none parts: then two lines are one, which says more.) Each line must be what a line
//! without any loss must be. An ask that is not answered in a line may have taken effect in it: it
//! may have been tried before and after the loss, or handed in after it. A read that saw what is
//! lost belongs to the lines before the loss only.

use std::collections::BTreeMap;

use super::Simulation;
use super::history::{self, Decided, Done, Told};
use super::object::{Kind, kind_of};
use super::others;
use super::row::RowKey;
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::replica::{Gap, Replication};

/// What a reign has begun with, in place of all that was answered before.
#[derive(Clone, Debug)]
struct Cut {
    epoch: Epoch,
    /// When it was first seen to serve.
    at: Instant,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// The partition was put together.
    Found(Lack),
    /// Everything up to here.
    Upto(Position),
}

#[derive(Clone, Debug)]
struct Lack {
    /// What is said to be lost at the most.
    gap: Gap,
    /// Up to where everything was known to be stored.
    watermark: Position,
    /// What was found.
    found: BTreeMap<RowKey, Position>,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Reigns that have put a partition together, and have not served yet.
    begun: BTreeMap<(PartitionId, Epoch), (Gap, BTreeMap<RowKey, Position>)>,
    cuts: BTreeMap<PartitionId, Vec<Cut>>,
}

/// Where the histories of some objects part.
struct Tree {
    cuts: BTreeMap<PartitionId, Vec<Cut>>,
}

impl Cut {
    fn keeps(&self, done: &Done, version: Position) -> bool {
        version.epoch >= self.epoch
            || match &self.kept {
                Kept::Found(lack) => lack.keeps(done, version),
                Kept::Upto(last) => version <= *last,
            }
    }
}

impl Lack {
    fn keeps(&self, done: &Done, version: Position) -> bool {
        let found = self.found.get(&RowKey::Entity(done.key)).copied().unwrap_or_default();
        // Where nothing is, nothing may be left that says since when.
        let found = match kind_of(done.key) {
            Kind::Slot => found.max(self.watermark).max(self.gap.certain),
            _ => found,
        };
        version <= found
    }
}

impl Lines {
    pub(super) fn recovered(
        &mut self,
        (partition, epoch): (PartitionId, Epoch),
        gap: Gap,
        found: BTreeMap<RowKey, Position>,
    ) {
        self.begun.insert((partition, epoch), (gap, found));
    }

    /// A reign serves, for the first time. Everything up to `watermark` was stored before. It
    /// `has` everything up to there, if it has not put the partition together.
    pub(super) fn serves(
        &mut self,
        (partition, epoch): (PartitionId, Epoch),
        at: Instant,
        watermark: Position,
        has: Option<Position>,
    ) {
        let begun = self.begun.remove(&(partition, epoch));
        let found = begun.map(|(gap, found)| Kept::Found(Lack { gap, watermark, found }));
        if let Some(kept) = found.or(has.map(Kept::Upto)) {
            let cut = Cut { epoch, at, kept };
            self.cuts.entry(partition).or_default().push(cut);
        }
    }

    /// What was found when a partition was put together last, up to an epoch.
    pub(super) fn found(
        &self,
        partition: PartitionId,
        upto: Epoch,
    ) -> Option<&BTreeMap<RowKey, Position>> {
        let begun = self.begun.range((partition, Epoch(0))..=(partition, upto)).next_back();
        let begun = begun.map(|((_, epoch), (_, found))| (*epoch, found));
        let cuts = self.cuts.get(&partition).into_iter().flatten();
        let cut = cuts.filter_map(|cut| match &cut.kept {
            Kept::Found(lack) => Some((cut.epoch, &lack.found)),
            Kept::Upto(_) => None,
        });
        begun.into_iter().chain(cut).max_by_key(|(epoch, _)| *epoch).map(|(_, found)| found)
    }

    /// Where these objects' histories part.
    fn tree(&self, history: &[Done], is_async: bool) -> Tree {
        let parts = |partition: PartitionId, cut: &Cut| {
            let lost = |done: &Done| match &done.told {
                Told::Done { version, .. } => !cut.keeps(done, version.position),
                Told::Unknown => false,
            };
            let mut of_partition = history.iter().filter(|done| done.partition == partition);
            matches!(cut.kept, Kept::Found(_)) || (is_async && of_partition.any(lost))
        };
        let mut cuts = self.cuts.clone();
        for (partition, cuts) in &mut cuts {
            cuts.retain(|cut| parts(*partition, cut));
            cuts.sort_by_key(|cut| cut.epoch);
            // A primary may see late that it is one, when the next serves already.
            let mut first = None;
            for cut in cuts.iter_mut().rev() {
                cut.at = first.map_or(cut.at, |at: Instant| at.min(cut.at));
                first = Some(cut.at);
            }
        }
        Tree { cuts }
    }
}

impl Tree {
    /// The most lines that a partition has.
    fn len(&self) -> usize {
        1 + self.cuts.values().map(Vec::len).max().unwrap_or_default()
    }

    fn cuts(&self, partition: PartitionId) -> &[Cut] {
        self.cuts.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// What was answered must be there if it was stored, or if it is not said to be lost.
    fn check_gaps(&self, history: &[Done]) -> Result<(), String> {
        for done in history {
            let Told::Done { version, .. } = &done.told else { continue };
            let version = version.position;
            let lost = self.cuts(done.partition).iter().find(|cut| !cut.keeps(done, version));
            // What a promotion may lose is only counted.
            let Some(Kept::Found(lack)) = lost.map(|cut| &cut.kept) else { continue };
            if version <= lack.watermark {
                return Err(format!("{done:?} was stored, and is lost: {lack:?}"));
            }
            // What is known to have been there counts, too.
            let is_counted = version > lack.gap.newest || lack.gap.unsure() != Some(0);
            if version <= lack.gap.certain || !is_counted {
                return Err(format!("{done:?} is lost, and not in the gap: {lack:?}"));
            }
        }
        Ok(())
    }

    /// What belongs to a line, or may.
    fn line(&self, number: usize, history: &[Done]) -> Vec<Done> {
        history.iter().filter_map(|done| self.in_line(number, done)).collect()
    }

    fn in_line(&self, number: usize, done: &Done) -> Option<Done> {
        let Told::Done { at, version, .. } = &done.told else { return Some(done.clone()) };
        let (version, cuts) = (version.position, self.cuts(done.partition));
        let (before, after) = cuts.split_at(number.min(cuts.len()));
        let is_kept = before.iter().all(|cut| cut.keeps(done, version));
        let is_later = after.first().is_some_and(|next| {
            // What both lines have may have been answered in either.
            version.epoch >= next.epoch || (*at > next.at && next.keeps(done, version))
        });
        if is_kept && !is_later {
            return Some(done.clone());
        }
        (!done.input.is_read()).then(|| Done { told: Told::Unknown, ..done.clone() })
    }
}

impl Simulation {
    /// Whether anything may be missing of a partition that was answered (but what is asynchronous):
    /// its memory was lost, and it was put together, in a seed in which stores need not have all.
    pub(super) fn has_lost(&self, partition: PartitionId) -> bool {
        self.plan.may_lose && self.lines.found(partition, Epoch(u64::MAX)).is_some()
    }

    /// What the clients were told can be.
    pub(super) fn check_history(&mut self) -> Result<(), String> {
        let is_async = |done: &&Done| self.plan.asynchronous.of(done.key) != Replication::Sync;
        let history = || self.history.iter();
        let sync: Vec<Done> = history().filter(|done| !is_async(done)).cloned().collect();
        let other: Vec<Done> = history().filter(is_async).cloned().collect();
        let mut decided = Decided::default();
        let tree = self.lines.tree(&sync, false);
        // What others write is in the version that they say: that tells nothing of when it came.
        let is_ours = |done: &&Done| self.plan.others.is_none() || !others::is_open(done.key);
        tree.check_gaps(&sync.iter().filter(is_ours).cloned().collect::<Vec<_>>())?;
        if self.plan.may_lose {
            self.check_lines(&tree, &sync, &mut decided)?;
        } else {
            history::check(&sync, self.plan.drift, &mut decided)?;
        }
        let tree = self.lines.tree(&other, true);
        tree.check_gaps(&other)?;
        self.check_lines(&tree, &other, &mut decided)?;
        self.summary.histories = decided;
        Ok(())
    }

    fn check_lines(
        &self,
        tree: &Tree,
        history: &[Done],
        decided: &mut Decided,
    ) -> Result<(), String> {
        for number in 0..tree.len() {
            let line = tree.line(number, history);
            history::check(&line, self.plan.drift, decided)
                .map_err(|what| format!("line {number}: {what}"))?;
        }
        Ok(())
    }
}
