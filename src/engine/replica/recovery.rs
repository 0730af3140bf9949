//! The one rule by which a partition comes back that has lost all memory of it.
//!
//! Its primary is named though it is no holder: all holders are proven dead. Then it puts a copy
//! together from what is left, and serves only when everybody who may still have something has
//! said what: whom the last primary had removed and who may live (it may not have known of that, so
//! they may have all that was acknowledged); the later lives of the holders' directories, for what
//! is in their own stores (all, but those that an operator has declared dead); every node that is
//! up, for what it may remember; the store, where the nodes share one.
//!
//! A store of a node's own that drains behind is no prefix of what happened: it has all up to its
//! watermark, and later versions of some entities. So of each entity the newest version counts. A
//! memory is a prefix, and may be an old one, or end in records that never were committed: it
//! counts only if no store has anything newer.
//!
//! Nodes that never held the partition are waited for only for a while.

use std::collections::BTreeMap;

use super::message::Message;
use super::{Effect, Scope, Timing};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position};
use crate::engine::instant::Instant;
use crate::engine::table::{Member, Members, PartitionTable, Row, Status};

/// From what a copy is put together: the newest version of each entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Whose memory counts.
    pub memory: Option<Member>,
    /// Whose own stores count.
    pub stores: Vec<Member>,
    /// Whether the shared store does.
    pub shared: bool,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    epoch: Epoch,
    scope: Scope,
    began_at: Instant,
    /// How far who remembers, and the newest that is in whose store.
    found: BTreeMap<Member, Places>,
    /// The newest that is in the shared store.
    shared: Option<Position>,
    asked_at: BTreeMap<Member, Instant>,
    scanned_at: Option<Instant>,
    is_done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Places {
    memory: Option<Position>,
    store: Option<Position>,
}

impl Recovery {
    pub(super) fn new(epoch: Epoch, scope: Scope, now: Instant) -> Recovery {
        Recovery {
            epoch,
            scope,
            began_at: now,
            found: BTreeMap::new(),
            shared: None,
            asked_at: BTreeMap::new(),
            scanned_at: None,
            is_done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// A node has said what it has. Returns whether it had not before.
    pub(super) fn recalled(
        &mut self,
        from: Member,
        memory: Option<Position>,
        store: Option<Position>,
    ) -> bool {
        !self.is_done && self.found.insert(from, Places { memory, store }).is_none()
    }

    /// The shared store heeds nobody of an earlier epoch any more, and has been read.
    /// Returns whether it had not been before.
    pub(super) fn scanned(&mut self, newest: Position) -> bool {
        !self.is_done && self.shared.replace(newest).is_none()
    }

    /// Asks whom it still has to hear. Returns what counts, once, when all have said theirs.
    pub(super) fn drive<R, S>(
        &mut self,
        row: &Row,
        table: &PartitionTable,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) -> Option<Recovered> {
        if self.is_done {
            return None;
        }
        let is_due = |at: Option<Instant>| {
            at.is_none_or(|at| now.saturating_since(at) >= timing.send_copy_again_after)
        };
        let mut lacks = false;
        if self.scope == Scope::Shared && self.shared.is_none() {
            lacks = true;
            if is_due(self.scanned_at) {
                self.scanned_at = Some(now);
                effects.push(Effect::Scan { epoch: self.epoch });
            }
        }
        let is_late = now.saturating_since(self.began_at) >= timing.join_patience;
        for (member, may_have) in self.asked(row, table) {
            if self.found.contains_key(&member) {
                continue;
            }
            lacks |= may_have || !is_late || is_broken(Breakage::EverybodyAwaited);
            if is_due(self.asked_at.get(&member).copied()) {
                self.asked_at.insert(member, now);
                let message = Message::Recall { epoch: self.epoch };
                effects.push(Effect::Send { to: member, message });
            }
        }
        if lacks {
            return None;
        }
        self.is_done = true;
        Some(self.choose(row))
    }

    /// Who is asked, by the lives that the table knows, and whether it may have something that
    /// nobody else has: then it is waited for.
    fn asked(&self, row: &Row, table: &PartitionTable) -> Vec<(Member, bool)> {
        let may_have = |member: Member| {
            let is_leaving = || row.leaving().is_some_and(|leaving| leaving.contains(member));
            let is_holders = || holders(row).any(|holder| holder.directory == member.directory);
            let has_stored = self.scope == Scope::Replica && is_holders();
            (has_stored && !is_broken(Breakage::StoresNotAwaited))
                || (is_leaving() && !is_broken(Breakage::LeavingNotAwaited))
        };
        let nodes = table.nodes().iter().filter(|(_, node)| node.status != Status::Dead);
        let asked = nodes.filter_map(|(directory, node)| {
            let member = Member { directory: *directory, generation: node.generation };
            let may_have = may_have(member);
            let is_up = node.status == Status::Up;
            (may_have || (is_up && node.holds_data())).then_some((member, may_have))
        });
        asked.collect()
    }

    fn choose(&self, row: &Row) -> Recovered {
        let is_holders = |member: &Member| {
            let mut holders = holders(row);
            holders.any(|holder| holder.directory == member.directory)
        };
        let stored = |(member, found): (&Member, &Places)| {
            found.store.filter(|_| is_holders(member)).map(|newest| (newest, *member))
        };
        let stores: Vec<(Position, Member)> = self.found.iter().filter_map(stored).collect();
        let ahead = stores.iter().map(|(newest, _)| *newest).chain(self.shared).max();
        let remembered =
            |(member, found): (&Member, &Places)| found.memory.map(|upto| (upto, *member));
        let memory = self.found.iter().filter_map(remembered).max();
        let memory = memory.filter(|(upto, _)| Some(*upto) >= ahead).map(|(_, member)| member);
        let stores = stores.into_iter().map(|(_, member)| member).collect();
        Recovered { memory, stores, shared: self.shared.is_some() }
    }
}

/// Whose directories may have something in their stores.
fn holders(row: &Row) -> impl Iterator<Item = Member> + '_ {
    let leaving = row.leaving().into_iter().flat_map(Members::iter);
    row.holders().into_iter().flat_map(Members::iter).chain(leaving)
}
