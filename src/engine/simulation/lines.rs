//! What was answered and is lost, and where that may be.
//!
//! When all memory of a partition is lost, it begins anew with what was found. What was answered of
//! an object after the version that was found of it is lost. So its history is a tree: all that was
//! answered up to there together with what was lost is one *line*; with what came after the loss it
//! is another. Each line must be what a line without any loss must be. An ask that is not answered
//! in a line may have taken effect in it: it may have been tried before and after the loss.

use std::collections::BTreeMap;

use super::Simulation;
use super::history::{self, Done, Told};
use super::object::{Kind, kind_of};
use super::row::RowKey;
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::replica::Gap;

/// A partition was put together, and has served since.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    epoch: Epoch,
    at: Instant,
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

impl Cut {
    fn keeps(&self, done: &Done, version: Position) -> bool {
        let found = self.found.get(&RowKey::Entity(done.key)).copied().unwrap_or_default();
        // Where nothing is, nothing may be left that says since when.
        let found = match kind_of(done.key) {
            Kind::Slot => found.max(self.watermark).max(self.gap.certain),
            _ => found,
        };
        version.epoch >= self.epoch || version <= found
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

    /// A reign serves, for the first time. Everything up to `watermark` was stored before.
    pub(super) fn serves(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        at: Instant,
        watermark: Position,
    ) {
        if let Some((gap, found)) = self.begun.remove(&(partition, epoch)) {
            let cut = Cut { epoch, at, gap, watermark, found };
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
        let cut = self.cuts(partition).last().map(|cut| (cut.epoch, &cut.found));
        begun.into_iter().chain(cut).max_by_key(|(epoch, _)| *epoch).map(|(_, found)| found)
    }

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
            let Some(cut) = lost else { continue };
            if version <= cut.watermark {
                return Err(format!("{done:?} was stored, and is lost: {cut:?}"));
            }
            // What is known to have been there counts, too.
            let is_counted = version > cut.gap.newest || cut.gap.unsure() != Some(0);
            if version <= cut.gap.certain || !is_counted {
                return Err(format!("{done:?} is lost, and not in the gap: {cut:?}"));
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
    /// What the clients were told can be.
    pub(super) fn check_history(&self) -> Result<(), String> {
        self.lines.check_gaps(&self.history)?;
        if !self.plan.may_lose {
            return history::check(&self.history, self.plan.drift);
        }
        for number in 0..self.lines.len() {
            let line = self.lines.line(number, &self.history);
            history::check(&line, self.plan.drift)
                .map_err(|what| format!("line {number}: {what}"))?;
        }
        Ok(())
    }
}
