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
use crate::engine::id::{Epoch, Position, Seq};
use crate::engine::instant::Instant;
use crate::engine::table::{Member, PartitionTable, Row, Status};

/// How much of a partition somebody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    /// The newest of all that is there.
    pub newest: Position,
    /// Everything up to here is.
    pub upto: Position,
}

/// What a partition may have lost that was put together: records of earlier epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Everything up to here is there: nothing at or under it is lost.
    pub certain: Position,
    /// The newest that was found. Of what came between, some is there; of what came after, nobody
    /// knows anything.
    pub newest: Position,
}

impl Gap {
    /// How many records there were between, each of which may be lost; not known, if another epoch
    /// began there.
    pub(crate) fn unsure(&self) -> Option<u64> {
        let is_one_epoch = self.certain.epoch == self.newest.epoch;
        is_one_epoch.then(|| self.newest.seq.0.saturating_sub(self.certain.seq.0))
    }
}

/// From what a copy is put together: the newest version of each entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Whose memory counts.
    pub memory: Option<Member>,
    /// Whose own stores count.
    pub stores: Vec<Member>,
    /// Whether the shared store does.
    pub shared: bool,
    /// What may be lost all the same.
    pub gap: Gap,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    epoch: Epoch,
    scope: Scope,
    began_at: Instant,
    /// How far who remembers, and how much is in whose store.
    found: BTreeMap<Member, Places>,
    /// How much is in the shared store.
    shared: Option<Extent>,
    asked_at: BTreeMap<Member, Instant>,
    scanned_at: Option<Instant>,
    is_done: bool,
}

#[derive(Clone, Copy, Debug)]
struct Places {
    memory: Option<Extent>,
    store: Option<Extent>,
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
        memory: Option<Extent>,
        store: Option<Extent>,
    ) -> bool {
        !self.is_done && self.found.insert(from, Places { memory, store }).is_none()
    }

    /// The shared store heeds nobody of an earlier epoch any more, and has been read.
    /// Returns whether it had not been before.
    pub(super) fn scanned(&mut self, extent: Extent) -> bool {
        !self.is_done && self.shared.replace(extent).is_none()
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
            let has_stored = self.scope == Scope::Replica && row.may_have_stored(member);
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
        let stored = |(member, found): (&Member, &Places)| {
            found.store.filter(|_| row.may_have_stored(*member)).map(|extent| (extent, *member))
        };
        let stores: Vec<(Extent, Member)> = self.found.iter().filter_map(stored).collect();
        let extents = stores.iter().map(|(extent, _)| *extent).chain(self.shared);
        let extents: Vec<Extent> = extents.collect();
        let ahead = extents.iter().map(|extent| extent.newest).max();
        let remembered =
            |(member, found): (&Member, &Places)| found.memory.map(|extent| (extent, *member));
        let memory = self.found.iter().filter_map(remembered).max();
        let memory = memory.filter(|(extent, _)| Some(extent.newest) >= ahead);
        let gap = gap(extents.into_iter().chain(memory.map(|(extent, _)| extent)));
        let memory = memory.map(|(_, member)| member);
        let stores = stores.into_iter().map(|(_, member)| member).collect();
        Recovered { memory, stores, shared: self.shared.is_some(), gap }
    }
}

/// Each has everything up to somewhere. A memory that was put together itself, in an epoch that has
/// recorded nothing, says nothing of what that lacked: it never served, and its report counts no
/// more.
fn gap(extents: impl Iterator<Item = Extent> + Clone) -> Gap {
    let newest = extents.clone().map(|extent| extent.newest).max().unwrap_or_default();
    let served = extents.map(|extent| extent.upto).filter(|upto| upto.seq > Seq(0));
    let certain = served.max().unwrap_or_default();
    let certain = if is_broken(Breakage::GapUnderstated) { newest } else { certain };
    Gap { certain, newest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, seq: u64) -> Position {
        Position { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    fn extent(upto: Position, newest: Position) -> Extent {
        Extent { newest, upto }
    }

    #[test]
    fn what_came_after_the_highest_watermark_may_be_lost() {
        let stores = [extent(at(2, 5), at(2, 9)), extent(at(2, 7), at(2, 8))];
        let found = gap(stores.into_iter());
        assert_eq!(found, Gap { certain: at(2, 7), newest: at(2, 9) });
        assert_eq!(found.unsure(), Some(2));
        assert_eq!(gap([].into_iter()).unsure(), Some(0));
    }

    #[test]
    fn how_many_records_an_earlier_epoch_had_is_not_known() {
        let found = gap([extent(at(2, 5), at(3, 1))].into_iter());
        assert_eq!((found.certain, found.unsure()), (at(2, 5), None));
    }

    #[test]
    fn a_memory_that_was_put_together_and_never_served_is_certain_of_nothing() {
        let extents = [extent(at(2, 5), at(2, 9)), extent(at(4, 0), at(4, 0))];
        assert_eq!(gap(extents.into_iter()).certain, at(2, 5));
    }
}
