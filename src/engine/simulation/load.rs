//! Entities that a primary does not have in memory: they are read from the store when they are
//! asked for, and who asks waits.
//!
//! What was read counts in the reign in which it was asked for, and for that question only: what is
//! late may be older than what has happened since.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::object::Key;
use super::parcel::{Ask, Reply};
use super::part::Part;
use super::row::{Content, Row, RowKey};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;

/// A store that has not answered by then is asked again.
const PATIENCE: Duration = Duration::from_millis(300);

/// Asks that wait at once.
const WAITING_MAX: usize = 100;

/// An ask that waits for its entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub client: usize,
    pub number: u64,
    pub ask: Ask,
}

/// What a store is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub key: Key,
    /// Tells the question from others.
    pub number: u64,
}

/// What a store has of an entity, if anything.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub load: Load,
    pub row: Option<Row>,
}

/// What one reign reads from the store.
#[derive(Debug, Default)]
pub(super) struct Loads {
    asked: u64,
    /// With the number of the question, when it was last asked.
    under_way: BTreeMap<Key, (u64, Option<Instant>)>,
    waiting: BTreeMap<Key, VecDeque<Waiting>>,
    /// Up to where the log went when these were read: that they had left memory before may not have
    /// been committed, and whoever has them still may know them otherwise.
    pub(super) read_at: BTreeMap<Key, Position>,
    /// Of these an operator wants written again what was parked, in that version.
    pub(super) replays: BTreeMap<Key, Position>,
    /// The store has none of these.
    pub(super) missing: BTreeSet<Key>,
}

impl Loads {
    /// Has an entity read.
    pub(super) fn begin(&mut self, key: Key) {
        if !self.under_way.contains_key(&key) {
            self.asked += 1;
            self.under_way.insert(key, (self.asked, None));
        }
    }

    /// Keeps an ask until its entity is read. Returns whether there was room.
    pub(super) fn wait(&mut self, key: Key, waiting: Waiting) -> bool {
        let has_room = self.waiting.values().map(VecDeque::len).sum::<usize>() < WAITING_MAX;
        if has_room {
            self.begin(key);
            self.waiting.entry(key).or_default().push_back(waiting);
        }
        has_room
    }

    /// Whether this answers a question that is open.
    fn end(&mut self, key: Key, number: u64) -> bool {
        let is_asked = |(asked, _): &(u64, _)| *asked == number;
        let is_open = self.under_way.get(&key).is_some_and(is_asked);
        if is_open {
            self.under_way.remove(&key);
        }
        is_open || is_broken(Breakage::LateLoadInstalled)
    }

    /// All asks that wait.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        std::mem::take(&mut self.waiting).into_values().flatten()
    }
}

impl Part {
    /// Whether all that is known of an entity is in memory. What is there of one that is still to
    /// be removed from the store counts no more.
    pub(super) fn is_at_hand(&mut self, key: Key) -> bool {
        let is_going = self.is_pending(key) && !is_broken(Breakage::ForgottenLoaded);
        let evicts = self.evict_every.is_some();
        let live = self.live();
        !evicts
            || live.state.entities.contains_key(&key)
            || live.loads.missing.contains(&key)
            || is_going
    }

    /// What is to be read now, in the epoch of this copy's reign.
    pub(super) fn take_loads(&mut self, now: Instant, epoch: Epoch) -> Vec<Load> {
        let (partition, mut loads) = (self.id, Vec::new());
        let Some(live) = &mut self.live else { return loads };
        for (key, (number, asked_at)) in &mut live.loads.under_way {
            if asked_at.is_none_or(|at| now.saturating_since(at) >= PATIENCE) {
                *asked_at = Some(now);
                loads.push(Load { partition, epoch, key: *key, number: *number });
            }
        }
        loads
    }

    /// The store has answered. Returns what is said at once to those that waited.
    pub(super) fn loaded(&mut self, loaded: Loaded) -> Vec<(Waiting, Reply)> {
        let Loaded { load: Load { epoch, key, number, .. }, row } = loaded;
        let (is_of_reign, last) = (self.copy.serves() == Some(epoch), self.copy.last());
        let Some(live) = self.live.as_mut().filter(|_| is_of_reign) else { return Vec::new() };
        if !live.loads.end(key, number) {
            return Vec::new();
        }
        // What others have written is taken in by a record.
        if self.others.is_some() && !self.copy.has_room() {
            live.loads.begin(key);
            return Vec::new();
        }
        let is_missing = row.is_none();
        let row = row.and_then(|row| self.reconcile(key, row));
        let live = self.live();
        match row {
            Some(row) => {
                live.loads.read_at.insert(key, last);
                if let Content::Entity(entity) = &row.content {
                    live.life.watch(key, entity);
                }
                live.state.read(RowKey::Entity(key), row);
            }
            None if is_missing => drop(live.loads.missing.insert(key)),
            None => (),
        }
        let waiting = live.loads.waiting.remove(&key).unwrap_or_default();
        if let Some(version) = live.loads.replays.remove(&key) {
            self.replay_loaded(key, version);
        }
        let mut said = Vec::new();
        for waiting in waiting {
            let reply = match self.copy.has_room() {
                true => self.run(waiting.client, waiting.number, waiting.ask),
                false => Some(Reply::Refused),
            };
            said.extend(reply.map(|reply| (waiting, reply)));
        }
        said
    }
}
