//! Types that are answered before the other copies have what they answer: which objects are of
//! them, and what of what they were told may be lost.

use std::collections::{BTreeMap, BTreeSet};

use super::Simulation;
use super::history::{Done, Told};
use super::node::Out;
use super::object::{Input, Key, Kind, Object, kind_of};
use super::random::Random;
use crate::engine::history::models::set;
use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::invariant::Invariant;
use crate::engine::replica::Replication;
use crate::engine::table::Member;

/// Which objects are of asynchronous types.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asynchronous {
    pub keys: BTreeSet<Key>,
    pub lag_max: usize,
}

/// What a primary has done with a record that it did not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reconciled {
    pub position: Position,
    /// Where it says so, if anywhere.
    pub at: Option<Position>,
    /// Whether anything of it is in the state again. Else it was dropped, which an event says.
    pub is_kept: bool,
}

/// What was answered before it was committed, as the simulator has seen it.
#[derive(Debug, Default)]
pub(super) struct Tails {
    /// By whom.
    told: BTreeMap<(PartitionId, Position), Member>,
    /// Of these, what some later primary did not have.
    lost: BTreeSet<(PartitionId, Position)>,
    /// Where a primary has settled what was handed in.
    settled: BTreeMap<(PartitionId, Position), Option<Position>>,
}

impl Asynchronous {
    /// Of its own chance.
    pub(super) fn draw(random: &Random, keys: u8) -> Asynchronous {
        let mut random = Random::new(random.clone().next() ^ 0x6173_796e_6372);
        if !random.percent(40) {
            return Asynchronous::default();
        }
        let lag_max = random.pick(&[1, 2, 4, 16]) as usize;
        let may = |key: &Key| matches!(kind_of(*key), Kind::Register | Kind::Set);
        let keys = (0..keys).filter(may).filter(|_| random.percent(70)).collect();
        Asynchronous { keys, lag_max }
    }

    pub(super) fn of(&self, key: Key) -> Replication {
        match self.keys.contains(&key) {
            true => Replication::Async { lag_max: self.lag_max },
            false => Replication::Sync,
        }
    }
}

impl Tails {
    /// How many records were answered early and were lost, so far.
    #[cfg(test)]
    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    /// How many were handed in and settled.
    #[cfg(test)]
    pub(super) fn settled(&self) -> usize {
        self.settled.len()
    }
}

impl Simulation {
    /// A node has answered something early, or settled what was handed in.
    pub(super) fn watch_early(&mut self, node: usize, out: &Out) {
        let member = self.nodes[node].member();
        for (partition, position) in &out.early {
            self.tails.told.insert((*partition, *position), member);
        }
        for (partition, Reconciled { position, at, is_kept }) in &out.reconciled {
            let before = self.tails.settled.insert((*partition, *position), *at);
            let copy = self.nodes[node].copy(*partition);
            // One that was lost with its primary does not count.
            if let Some(Some(before)) = before
                && copy.holds(before) == Some(true)
            {
                let what = format!("{position:?} of {partition} is settled at {before:?} already");
                self.is_broken(Invariant::SettledOnce, &what);
            }
            *self.summary.faults.entry("handed in").or_default() += 1;
            self.note(|| format!("{node} settles {position:?} at {at:?}, kept: {is_kept}"));
        }
    }

    /// A primary begins to serve: what it lacks of what was answered is what it says at the most.
    pub(super) fn watch_tail(&mut self, node: usize, partition: PartitionId, epoch: Epoch) {
        let copy = self.nodes[node].copy(partition);
        let earlier =
            (partition, Position::default())..(partition, Position { epoch, seq: Seq(0) });
        let is_lost = |(_, position): &(PartitionId, Position)| copy.holds(*position) != Some(true);
        let told = self.tails.told.range(earlier).map(|(told, _)| *told);
        let new = |told: &(PartitionId, Position)| !self.tails.lost.contains(told);
        let lost: Vec<_> = told.filter(is_lost).filter(new).collect();
        let answered = self.answered.get(&partition).copied().unwrap_or_default();
        let lacks = copy.lacks();
        let is_lacking = copy.holds(answered) == Some(false);
        self.tails.lost.extend(&lost);
        if !lost.is_empty() {
            *self.summary.faults.entry("answered and lost").or_default() += lost.len() as u64;
        }
        let Some(lacks) = lacks else { return }; // then it says what it has found
        self.note(|| format!("{node} begins {epoch} of {partition}: {lacks:?}, lost {lost:?}"));
        if lost.len() > lacks.at_most {
            let what = format!("{epoch} of {partition} has lost {lost:?}, and says {lacks:?}");
            self.is_broken(Invariant::LossReported, &what);
        }
        if is_lacking && answered.epoch < epoch && !self.has_lost(partition) {
            let what = format!("{epoch} of {partition} lacks {answered:?}");
            self.is_broken(Invariant::InSyncHoldsAnswered, &what);
        }
    }

    /// What is still to be handed in, if anything.
    pub(super) fn unrest_of_hand_ins(&self) -> Option<String> {
        let partitions = (0..self.plan.partitions).map(PartitionId);
        let mut all = partitions.flat_map(|it| self.nodes.iter().map(move |node| (node, it)));
        let found = all.find(|(node, it)| node.is_running() && !node.part(*it).hand_in.is_empty());
        found.map(|(node, it)| format!("{:?} has writes of {it} to hand in", node.member()))
    }

    /// Whether what was answered early is lost, though the process lives that has answered it.
    fn is_survived(&self, partition: PartitionId, position: Position) -> bool {
        let Some(member) = self.tails.told.get(&(partition, position)) else { return false };
        let node = &self.nodes[member.directory.0 as usize];
        node.member() == *member
            && !node.is_crashed()
            && node.part(partition).hand_in.overflowed() == 0
            && self.tails.lost.contains(&(partition, position))
    }

    /// What was answered, is lost, and was still in somebody's memory, was settled.
    pub(super) fn check_settled(&self) -> Result<(), String> {
        let primary_of = |partition| {
            let row = self.consensus.table.row(partition)?;
            row.primary()
        };
        for (partition, position) in self.tails.told.keys() {
            let Some(primary) = primary_of(*partition) else { continue };
            let copy = self.nodes[primary.directory.0 as usize].copy(*partition);
            let settled = self.tails.settled.get(&(*partition, *position));
            let is_settled = match settled {
                None => false,
                Some(None) => true,
                Some(Some(at)) => copy.holds(*at) != Some(false),
            };
            let is_lost = copy.holds(*position) == Some(false);
            if is_lost && !is_settled && self.is_survived(*partition, *position) {
                return Err(format!("{position:?} of {partition} was never handed in"));
            }
        }
        self.history.iter().try_for_each(|done| self.check_added(done))
    }

    /// What was added to a set is there.
    fn check_added(&self, done: &Done) -> Result<(), String> {
        let (Input::Set(set::Input::Add(value)), Told::Done { version, .. }) =
            (done.input, &done.told)
        else {
            return Ok(());
        };
        let primary = self.consensus.table.row(done.partition).and_then(|row| row.primary());
        let Some(primary) = primary else { return Ok(()) };
        let has_lost = self.has_lost(done.partition);
        if has_lost || !self.is_survived(done.partition, version.position) {
            return Ok(());
        }
        let whole = self.whole(primary, done.partition);
        match whole.entities.get(&done.key).map(|entity| &entity.object) {
            Some(Object::Set(values)) if values.contains(&value) => Ok(()),
            other => Err(format!("{done:?} was handed in, and is not in {other:?}")),
        }
    }
}
