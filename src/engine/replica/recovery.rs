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
//! memory is a prefix, and may be an old one: what was removed since is still in it. It counts only
//! if no store is ahead of it.

use std::collections::BTreeMap;

use super::message::Message;
use super::{Effect, Scope, Timing};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position};
use crate::engine::instant::Instant;
use crate::engine::table::{DirectoryId, Generation, Member, Members, PartitionTable, Row, Status};

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
    /// Up to where who remembers and has stored all.
    found: BTreeMap<Member, Places>,
    /// Up to where the shared store has all.
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
    pub(super) fn new(epoch: Epoch, scope: Scope) -> Recovery {
        Recovery {
            epoch,
            scope,
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
    pub(super) fn scanned(&mut self, upto: Position) -> bool {
        !self.is_done && self.shared.replace(upto).is_none()
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
        for member in awaited(row, table, self.scope).iter() {
            if self.found.contains_key(&member) {
                continue;
            }
            lacks = true;
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

    fn choose(&self, row: &Row) -> Recovered {
        let is_holders = |member: &Member| {
            let mut holders = holders(row);
            holders.any(|holder| holder.directory == member.directory)
        };
        let stored = |(member, found): (&Member, &Places)| {
            found.store.filter(|_| is_holders(member)).map(|upto| (upto, *member))
        };
        let stores: Vec<(Position, Member)> = self.found.iter().filter_map(stored).collect();
        let ahead = stores.iter().map(|(upto, _)| *upto).chain(self.shared).max();
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

/// Who is to say what it has: by the lives that the table knows.
fn awaited(row: &Row, table: &PartitionTable, scope: Scope) -> Members {
    let life = |directory: DirectoryId, generation: Generation| Member { directory, generation };
    let may_have_stored = |directory: &DirectoryId| {
        scope == Scope::Replica && holders(row).any(|holder| holder.directory == *directory)
    };
    let may_remember = |member: Member| {
        let is_leaving = row.leaving().is_some_and(|leaving| leaving.contains(member));
        is_leaving && !is_broken(Breakage::LeavingNotAwaited)
    };
    let nodes = table.nodes().iter().filter(|(directory, node)| match node.status {
        Status::Up => node.holds_data(),
        Status::Down => {
            may_have_stored(directory) || may_remember(life(**directory, node.generation))
        }
        Status::Dead => false,
    });
    nodes.map(|(directory, node)| life(*directory, node.generation)).collect()
}
