//! Rows that a store refuses for good, and what an operator does about them.
//!
//! What is refused is parked there as a *dead letter*: the newest version of its row, as durable as
//! one. It is *replayed* by a record of the primary, which says of the entity what it was: so every
//! store that counts is given it once more, in a newer version. Where that is taken the letter
//! goes; where it is refused again it is parked again.

use std::time::Duration;

use super::object::{Key, Object};
use super::parcel::{Endpoint, Parcel};
use super::part::Part;
use super::random::Random;
use super::row::{Content, RowKey};
use super::store::{Store, Write};
use super::{Happening, Simulation};
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::replica::Scope;
use crate::engine::table::{Member, Row};

/// How often an operator looks for dead letters, once all is healed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a store will not take: entities whose content has a mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusing {
    /// One in so many contents has it.
    pub every: u64,
    /// Which ones these are.
    pub rest: u64,
    /// Whether the store says which row it is; else the whole batch is refused.
    pub names_row: bool,
}

impl Refusing {
    fn draw(random: &mut Random) -> Refusing {
        let every = random.pick(&[1, 2, 3, 5]);
        let rest = random.between(0, every - 1);
        Refusing { every, rest, names_row: random.percent(50) }
    }

    /// Whether it does not take this. A removal has no content, and a dead letter is none that it
    /// looks into.
    pub(super) fn refuses(self, write: &Write) -> bool {
        let row = write.row.as_ref().ok().filter(|_| !write.is_letter);
        let mark = row.and_then(|row| mark(&row.content));
        mark.is_some_and(|mark| mark % self.every == self.rest)
    }

    /// Whether it does not take all this, and does not say why.
    pub(super) fn refuses_whole(self, writes: &[Write]) -> bool {
        !self.names_row && writes.iter().any(|write| self.refuses(write))
    }
}

/// A number that changes with the content of an entity.
fn mark(content: &Content) -> Option<u64> {
    let Content::Entity(entity) = content else { return None };
    match &entity.object {
        Object::Register(value) | Object::Counter(value) | Object::Slot(value) => Some(*value),
        Object::Account(account) => Some(account.balance),
        Object::List(values) | Object::Bell(values) => values.last().copied(),
        Object::Set(values) => values.last().copied(),
        Object::Gone => None,
    }
}

/// What is drawn of it: apart, so that what else a seed draws does not depend on it.
pub(super) struct Refusals {
    random: Random,
    /// Whether any store has refused anything, or may.
    is_used: bool,
}

impl Refusals {
    pub(super) fn new(random: &Random) -> Refusals {
        Refusals { random: Random::new(random.clone().next() ^ 0x7265_6675_7365), is_used: false }
    }
}

impl Part {
    /// Has what was parked of an entity written once more, in the epoch of this copy's reign. One
    /// that is not at hand is read first: when an operator next looks, it may have left memory
    /// again.
    pub(super) fn replay(&mut self, now: Instant, epoch: Epoch, key: Key, version: Position) {
        self.go_live(now, epoch);
        if !self.is_at_hand(key) {
            self.live().loads.replays.insert(key, version);
            return self.live().loads.begin(key);
        }
        self.replay_loaded(key, version);
    }

    /// The same, of one that is at hand.
    pub(super) fn replay_loaded(&mut self, key: Key, version: Position) {
        // One that has changed since is on its way.
        if self.live().state.version(RowKey::Entity(key)) == Some(version) {
            self.write_again(key);
        }
    }
}

impl Simulation {
    /// Stores may refuse things from now on, if the plan says so.
    pub(super) fn begin_refusals(&mut self) {
        if self.plan.refuse_percent > 0 {
            self.refusals.is_used = true;
            self.after(self.plan.fault_every * 2, Happening::Refuse);
        }
    }

    /// Now and then a store begins to refuse something, and an operator looks for dead letters.
    pub(super) fn refuse(&mut self) {
        if self.has_healed {
            return;
        }
        let random = &mut self.refusals.random;
        let (node, refusing) =
            (random.between(0, self.nodes.len() as u64 - 1), Refusing::draw(random));
        let node = (self.plan.replica.scope == Scope::Replica).then_some(node as usize);
        let lasts = random.millis(100, 3000);
        let wait = self.plan.fault_every.mul_f64(random.between(20, 200) as f64 / 100.0);
        let (refuses, replays) = (random.percent(self.plan.refuse_percent), random.percent(30));
        if refuses {
            self.note(|| format!("the store of {node:?} refuses {refusing:?}"));
            self.store_of(node).refusing = Some(refusing);
            self.after(lasts, Happening::Accept(node));
            *self.summary.faults.entry("store refuses").or_default() += 1;
        }
        if replays {
            self.replay();
        }
        self.after(wait, Happening::Refuse);
    }

    /// A store takes everything again: a node's own, or the shared one.
    pub(super) fn accept(&mut self, node: Option<usize>) {
        self.store_of(node).refusing = None;
    }

    /// The store that a node drains into takes everything again.
    #[cfg(test)]
    pub(super) fn accept_all(&mut self, node: usize) {
        self.accept((self.plan.replica.scope == Scope::Replica).then_some(node));
    }

    /// A store refuses everything of a content.
    #[cfg(test)]
    pub(super) fn refuse_content(&mut self, node: Option<usize>, mark: u64, names_row: bool) {
        self.refusals.is_used = true;
        self.store_of(node).refusing = Some(Refusing { every: u64::MAX, rest: mark, names_row });
    }

    fn store_of(&mut self, node: Option<usize>) -> &mut Store {
        match node {
            Some(node) => &mut self.nodes[node].disk,
            None => &mut self.store,
        }
    }

    /// All stores take everything again, and an operator has all that was refused replayed.
    pub(super) fn heal_refusals(&mut self) {
        let own = (0..self.nodes.len()).map(Some);
        own.chain([None]).for_each(|node| self.accept(node));
        if self.refusals.is_used || self.plan.others.is_some() {
            self.after(Duration::ZERO, Happening::Replay);
        }
    }

    /// An operator has all replayed that is parked, and compared what others may have written, and
    /// looks again.
    pub(super) fn replay_on(&mut self) {
        self.replay();
        if self.plan.others.is_some() {
            self.compare_rows();
        }
        self.after(LOOK_EVERY, Happening::Replay);
    }

    pub(super) fn replay(&mut self) {
        let mut parcels = Vec::new();
        for (partition, row) in self.consensus.table.rows() {
            let Some(primary) = row.primary() else { continue };
            for (key, version) in self.letters(partition, row) {
                if let RowKey::Entity(key) = key {
                    let to = Endpoint::Node(primary.directory.0 as usize);
                    parcels.push((to, Parcel::Replay { partition, key, version }));
                }
            }
        }
        for (to, parcel) in parcels {
            *self.summary.faults.entry("replay").or_default() += 1;
            let (from, parcel) = (to, Box::new(parcel));
            self.after(Duration::ZERO, Happening::Deliver { from, to, parcel });
        }
    }

    /// What is parked of a partition, as far as its holders can tell.
    fn letters(&self, partition: PartitionId, row: &Row) -> Vec<(RowKey, Position)> {
        let at = |member: Member| &self.nodes[member.directory.0 as usize];
        let holders = row.holders().into_iter().flat_map(|holders| holders.iter());
        let own = holders.map(at).filter(|node| !node.is_crashed()).map(|node| &node.disk);
        let stores = match self.plan.replica.scope {
            Scope::Shared => vec![&self.store],
            Scope::Replica => own.collect(),
        };
        stores.into_iter().flat_map(|store| store.letters(partition)).collect()
    }
}
