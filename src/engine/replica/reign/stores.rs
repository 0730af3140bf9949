//! What a primary makes of the stores that nodes have of their own.

use super::super::{Scope, Stored, Timing};
use super::Reign;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Position;
use crate::engine::instant::Instant;
use crate::engine::table::{Member, PartitionTable};

impl Reign {
    /// Up to where everything is in the own stores of all whose acks a commit waits for.
    /// One that is brought up to date counts once it has stored as much as they have: from then
    /// on they do not leave it behind.
    pub(in crate::engine::replica) fn stored_by_all(
        &self,
        own: Position,
        persisted: Position,
    ) -> Position {
        let stored = |member| self.peers.get(&member).map(|peer| peer.stored).unwrap_or_default();
        let in_sync = self.lease_set();
        let awaited = self.ack_set();
        let awaited = awaited.iter().filter(|member| stored(*member) >= persisted);
        in_sync.iter().chain(awaited).map(stored).min().unwrap_or(own).min(own)
    }

    /// Whether those whom it has removed need not be asked any more if it dies. Where each has a
    /// store of its own, what they have stored is needed until all that this reign was left is in
    /// the stores of all that count: it may have been put together from those, by an earlier reign.
    pub(super) fn may_settle(&self, stored: Stored) -> bool {
        self.scope == Scope::Shared
            || stored.by_all > self.inherited
            || is_broken(Breakage::SettledUnstored)
    }

    /// The store of this copy's own has all up to there. If it stands still, no other can be seen
    /// to do so, and nothing more is stored by all.
    pub(super) fn note_own_store(&mut self, here: Position, now: Instant) {
        let mut others = self.peers.values();
        if here > self.seen_stored || !others.any(|peer| peer.stored > here) {
            self.unstored_since = None;
        } else {
            self.unstored_since.get_or_insert(now);
        }
        self.seen_stored = here;
    }

    /// Who is to reign in place of this copy, whose own store takes nothing any more: who has
    /// stored most.
    pub(super) fn successor(
        &self,
        table: &PartitionTable,
        timing: &Timing,
        now: Instant,
    ) -> Option<Member> {
        let since = self.unstored_since.filter(|_| !is_broken(Breakage::OwnStoreTrusted))?;
        if self.scope == Scope::Shared || now.saturating_since(since) < timing.store_patience {
            return None;
        }
        let stored = |member| {
            let peer = self.peers.get(&member)?;
            let is_well = peer.has_joined && peer.failing(timing, now).is_none();
            is_well.then_some((peer.stored, member))
        };
        let able = self.members().filter(|member| *member != self.me && table.is_able(*member));
        able.filter_map(stored).max().map(|(_, member)| member)
    }
}
