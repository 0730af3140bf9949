//! What must hold of the grid as a whole, at every moment.

use super::Simulation;
use super::node::Out;
use super::object::{Kind, kind_of};
use super::row::RowKey;
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::invariant::Invariant;
use crate::engine::table::{Member, Members, PartitionTable, Row};

impl Simulation {
    /// A node has done something, of which this came.
    pub(super) fn watch(&mut self, node: usize, out: &Out) {
        for (partition, position) in &out.answered {
            let answered = self.answered.entry(*partition).or_default();
            *answered = (*answered).max(*position);
        }
        for (partition, epoch, gap, found) in &out.recovered {
            self.lines.recovered((*partition, *epoch), *gap, found.clone());
        }
        for (partition, position) in &out.cut {
            self.watch_cut(node, *partition, *position);
        }
        self.watch_early(node, out);
        for partition in &out.leased {
            self.watch_answer(node, *partition);
        }
        self.watch_reigns(node);
    }

    /// Nobody else may answer while one does.
    fn watch_answer(&mut self, node: usize, partition: PartitionId) {
        let may = |other: &usize| {
            let other = &self.nodes[*other];
            !other.is_crashed() && other.may_answer(self.now, partition)
        };
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        if let Some(other) = others.into_iter().find(may) {
            let what = format!("{node} answers of {partition}, and {other} may");
            self.is_broken(Invariant::OneAnswers, &what);
        }
    }

    /// What is cut has never been answered. (Of other epochs the last answer says nothing.)
    fn watch_cut(&mut self, node: usize, partition: PartitionId, position: Position) {
        if self.nodes[node].copy(partition).holds(position).is_none() {
            return; // nobody can tell
        }
        let answered = self.answered.get(&partition).copied().unwrap_or_default();
        if position.epoch == answered.epoch && position <= answered && !self.has_lost(partition) {
            let what =
                format!("{node} cuts {position:?} of {partition}, and {answered:?} was said");
            self.is_broken(Invariant::InSyncHoldsAnswered, &what);
        }
    }

    /// Each epoch has one primary.
    fn watch_reigns(&mut self, node: usize) {
        let member = self.nodes[node].member();
        for partition in (0..self.plan.partitions).map(PartitionId) {
            let copy = self.nodes[node].copy(partition);
            let (Some(epoch), Some(in_sync)) = (copy.reigns(), copy.in_sync()) else { continue };
            let watermark = self.watermark(partition);
            self.watch_safety(node, partition);
            let acknowledged_by = &mut self.consensus.acknowledged_by;
            if acknowledged_by.get(&partition).is_none_or(|(last, _)| *last <= epoch) {
                acknowledged_by.insert(partition, (epoch, in_sync));
            }
            let is_new = !self.primaries.contains_key(&(partition, epoch));
            let first = *self.primaries.entry((partition, epoch)).or_insert(member);
            if is_new {
                let has = self.nodes[node].copy(partition).lacks().map(|lacks| lacks.after);
                self.lines.serves((partition, epoch), self.now, watermark, has);
                self.watch_tail(node, partition, epoch);
                self.move_back_sometimes(partition, epoch);
            }
            if first != member {
                let what = format!("{first:?} and {member:?} reign in {epoch} of {partition}");
                self.is_broken(Invariant::OnePrimaryPerEpoch, &what);
            }
        }
    }

    /// A row has changed: whoever may become primary of it has all that was answered.
    pub(super) fn watch_row(&mut self, partition: PartitionId) {
        let Some(row) = self.consensus.table.row(partition) else { return };
        if let Some(member) = twice(row, &self.consensus.table) {
            let what = format!("{member:?} is in {row:?} twice");
            return self.is_broken(Invariant::OneCopyPerNode, &what);
        }
        let answered = self.answered.get(&partition).copied().unwrap_or_default();
        let lacks = |member: &Member| {
            let node = &self.nodes[member.directory.0 as usize];
            let last: Position = node.copy(partition).last();
            let is_there = node.member() == *member && !node.is_crashed();
            is_there && (last < answered || self.lacks_found(member, partition, row.epoch))
        };
        let lacking = row.holders().and_then(|holders| holders.iter().find(lacks));
        if let Some(member) = lacking {
            let what = format!("{member:?} is to hold {answered:?} of {partition}: {row:?}");
            self.is_broken(Invariant::InSyncHoldsAnswered, &what);
        }
    }

    /// Whether a copy lacks what was found when all memory of the partition had been lost:
    /// positions of later epochs say nothing of that.
    fn lacks_found(&self, member: &Member, partition: PartitionId, epoch: Epoch) -> bool {
        let Some(found) = self.lines.found(partition, epoch) else { return false };
        let state = self.nodes[member.directory.0 as usize].part(partition).remembered();
        // Entities may have left memory since, and removed ones be forgotten.
        let may_be_away = |key: RowKey| match key {
            RowKey::Entity(key) => self.plan.evict_every.is_some() || kind_of(key) == Kind::Slot,
            RowKey::Session(_) | RowKey::Inbox(_) => false,
        };
        let lacks = |(key, found): (&RowKey, &Position)| match state.version(*key) {
            Some(version) => version < *found,
            None => !may_be_away(*key),
        };
        found.iter().any(lacks)
    }

    pub(super) fn is_broken(&mut self, invariant: Invariant, what: &str) {
        self.failure.get_or_insert_with(|| format!("{}: {what}", invariant.name()));
    }
}

/// A node that is in a row as a holder and as one that catches up. (What an earlier life of it has
/// held may be on its disk: that keeps its place.)
fn twice(row: &Row, table: &PartitionTable) -> Option<Member> {
    let holders = row.holders().into_iter().flat_map(Members::iter);
    let named = holders.chain(row.catching_up.iter());
    let named: Vec<Member> = named.filter(|member| !table.is_dead(*member)).collect();
    let is_twice = |member: &&Member| {
        named.iter().filter(|other| other.directory == member.directory).count() > 1
    };
    named.iter().find(is_twice).copied()
}
