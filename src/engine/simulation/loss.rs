//! What may be lost: which crashes any promise covers, and up to where each partition is safe.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Happening, Random, Simulation};
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::replica::{Scope, UnderReplicated};
use crate::engine::table::{Member, Members, Status};

/// What has become of each partition, as its primaries knew it.
pub(super) struct Losses {
    /// Up to where it was committed by as many copies as are wanted.
    whole: BTreeMap<PartitionId, Position>,
    /// Up to where everything was stored.
    persisted: BTreeMap<PartitionId, Position>,
    /// Of its own: what else a seed draws does not depend on it.
    pub(super) random: Random,
}

impl Losses {
    pub(super) fn new(random: &Random) -> Losses {
        let random = Random::new(random.clone().next() ^ 0x6c6f_7373_6573);
        Losses { whole: BTreeMap::new(), persisted: BTreeMap::new(), random }
    }
}

impl Simulation {
    /// A primary has done something.
    pub(super) fn watch_safety(&mut self, node: usize, partition: PartitionId) {
        let part = self.nodes[node].part(partition);
        let (committed, persisted) = (part.copy.committed(), part.copy.persisted());
        if !part.is_short {
            let whole = self.losses.whole.entry(partition).or_default();
            *whole = (*whole).max(committed.unwrap_or_default());
        }
        let known = self.losses.persisted.entry(partition).or_default();
        *known = (*known).max(persisted);
    }

    /// A crash may take as many copies as it likes but the last one that has everything: that is
    /// more than any promise covers. That one, too, if there were too few copies, so that what was
    /// answered since is stored, and if all that came before has been stored since.
    pub(super) fn may_crash(&self, node: usize) -> bool {
        if self.nodes[node].is_crashed() {
            return false;
        }
        if self.plan.durability.writes_through || self.plan.may_lose {
            return true; // whatever was answered is stored; or anything goes
        }
        let lives = |member: Member| {
            let at = member.directory.0 as usize;
            at != node && !self.nodes[at].is_crashed() && self.nodes[at].member() == member
        };
        let mut acknowledged_by = self.consensus.acknowledged_by.iter();
        acknowledged_by.all(|(partition, (_, holders))| {
            holders.iter().any(lives) || self.is_stored(*partition, holders)
        })
    }

    /// Whether nothing of a partition that counts is in memory only.
    fn is_stored(&self, partition: PartitionId, holders: &Members) -> bool {
        let upto = |known: &BTreeMap<PartitionId, Position>| known.get(&partition).copied();
        self.plan.durability.under_replicated == UnderReplicated::WriteThrough
            && holders.len() < self.plan.copies
            && upto(&self.losses.whole) <= upto(&self.losses.persisted)
    }

    /// Up to where everything was known to be stored.
    pub(super) fn watermark(&self, partition: PartitionId) -> Position {
        self.losses.persisted.get(&partition).copied().unwrap_or_default()
    }

    /// Whether stores hold what must outlive all memories.
    fn rests_on_stores(&self) -> bool {
        let durability = self.plan.durability;
        let is_behind = durability.under_replicated == UnderReplicated::WriteThrough;
        durability.writes_through || is_behind || self.plan.may_lose
    }

    /// With stores of their own, an operator gives up a node that has crashed only if another has
    /// stored everything, too.
    pub(super) fn may_be_declared(&self, node: usize) -> bool {
        let may_report = |member: Member| {
            let known = self.consensus.table.nodes().get(&member.directory);
            let is_dead = known.is_none_or(|known| known.status == Status::Dead);
            member.directory.0 as usize != node && !is_dead
        };
        let is_spare = |(_, holders): &(Epoch, Members)| holders.iter().any(may_report);
        let is_lost = self.plan.replica.scope == Scope::Replica && self.rests_on_stores();
        let mut acknowledged_by = self.consensus.acknowledged_by.values();
        self.nodes[node].is_crashed() && (!is_lost || acknowledged_by.all(is_spare))
    }

    /// A primary has removed a copy: it may be the next to go, when all is stored that was to be.
    pub(super) fn crash_the_last_soon(&mut self, node: usize) {
        if self.rests_on_stores() && self.losses.random.percent(self.plan.crash_at_shrink_percent) {
            let wait: Duration = self.losses.random.millis(40, 1500);
            self.after(wait, Happening::Crash(node));
        }
    }
}
