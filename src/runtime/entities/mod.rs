//! The entities of one type in one partition: their states, their answers, their versions.
//!
//! A state is kept as it was stored until it is first needed, and encoded after a change only if
//! something needs the bytes: the store, or the undoing of the next handler of a type that cannot
//! be cloned. The same bytes serve both.

mod any;
mod mail;
mod reminders;
mod residency;
mod slot;
mod slots;
mod versions;

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::codec;
use crate::config::{Durability, EntityOptions, Limits};
use crate::engine::execution::{Answers, Numbered, Outcome, Sessions, Verdict};
use crate::engine::id::{EntityId, Version};
use crate::engine::instant::Timestamp;
use crate::entity::Entity;
use crate::metrics::{Lookup, Reason};

use super::execution::Execution;
use super::post::Post;
use super::undone::{Undone, check_size, quietly};

pub(crate) use any::AnyEntities;
pub(crate) use mail::{Arrival, Arrived, Source};
pub(crate) use reminders::Fired;
pub(crate) use residency::Usage;

use residency::Residency;
use slot::{Slot, State};
use slots::Slots;
use versions::Epochs;

/// Bytes that an entity takes beside its slot and its encoded state: its place in the index and in
/// the policy, its boxes. An estimate, for the bounds.
const OVERHEAD_BYTES: usize = 96;

/// Entities of one type in one partition.
pub(crate) struct Entities<E: Entity> {
    kind: u16,
    /// Wire name, as every row has it.
    name: Arc<str>,
    /// How long the store may lag; zero for write-through.
    delay: Duration,
    is_cloneable: bool,
    hasher: RandomState,
    index: HashTable<u32>,
    slots: Slots<Slot<E>>,
    epochs: Epochs,
    residency: Residency,
    /// How many slots keep answers.
    answering: usize,
    /// Where the next sweep for forgotten answers begins.
    swept: u32,
    scratch: Vec<u8>,
}

/// What a handler's run came to.
pub(crate) struct Executed<T> {
    /// It returned an error, and is undone.
    pub(crate) failed: bool,
    /// It removed the entity.
    pub(crate) removed: bool,
    /// It asked that the entity leave memory.
    pub(crate) passivated: bool,
    /// The names of reminders that were set.
    pub(crate) reminders: Vec<Box<str>>,
    pub(crate) value: T,
}

/// What undoes a handler.
enum Before<E> {
    Absent,
    Clone(E),
    Encoded,
}

impl<E: Entity> Entities<E> {
    pub(crate) fn new(
        kind: u16,
        options: EntityOptions,
        usage: Arc<Usage>,
        partitions: u16,
    ) -> Entities<E> {
        let delay = match options.durability() {
            Durability::Behind(delay) => delay.max(Duration::from_nanos(1)),
            Durability::Through => Duration::ZERO,
        };
        let is_cloneable = quietly(|| E::default().try_clone().is_some()).unwrap_or(false);
        Entities {
            kind,
            name: E::NAME.into(),
            delay,
            is_cloneable,
            hasher: RandomState::default(),
            index: HashTable::new(),
            slots: Slots::new(),
            epochs: Epochs::new(),
            residency: Residency::new(options, usage, partitions),
            answering: 0,
            swept: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn is_write_through(&self) -> bool {
        self.delay.is_zero()
    }

    pub(crate) fn hash(&self, key: &E::Key) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The slot of an entity, if anything is known of it.
    fn find(&self, key: &E::Key) -> Option<u32> {
        let is_it = |slot: &u32| self.slots[*slot].key == *key;
        self.index.find(self.hash(key), is_it).copied()
    }

    /// Where the entity is to be looked for, before it is asked.
    pub(crate) fn look_up(&self, key: &E::Key) -> Lookup {
        match self.find(key) {
            Some(slot) if self.is_remembered_miss(slot) => Lookup::Remembered,
            Some(_) => Lookup::Hit,
            None if self.residency.is_complete() => Lookup::Miss,
            None => Lookup::StoreHit,
        }
    }

    /// Whether nothing is anywhere else: then looking is not worth it.
    pub(crate) fn has_all(&self) -> bool {
        self.residency.is_complete()
    }

    /// Counts where an entity was found that need not be loaded.
    pub(crate) fn count_look_up(&self, key: &E::Key) {
        if !self.has_all() {
            self.residency.counts.lookups[self.look_up(key) as usize].add(1);
        }
    }

    /// The slot of an entity that is asked for now. If its time was over, it is removed first.
    pub(crate) fn access(&mut self, key: &E::Key, execution: &mut Execution) -> Option<u32> {
        let slot = self.find(key)?;
        if self.residency.is_watching() {
            if let Some(reason) = self.residency.has_expired(slot, execution.time) {
                self.expire(slot, reason, execution);
            }
            self.residency.touched(slot, execution.time);
        }
        Some(slot)
    }

    /// Which entity it is, and in which version, for whoever waits for what it saw.
    pub(crate) fn seen(&self, slot: Option<u32>) -> (EntityId, Version) {
        match slot {
            Some(slot) => (self.id(slot), self.version(slot)),
            None => (self.id(u32::MAX), Version::default()),
        }
    }

    pub(crate) fn judge(&self, slot: Option<u32>, numbered: &Numbered, floor: u64) -> Verdict<'_> {
        static NONE: Answers = Answers::new();
        let answers = slot.map_or(&NONE, |slot| self.slots[slot].answers());
        answers.judge(numbered, floor)
    }

    /// The state, for a reader; `None` if the entity does not exist.
    pub(crate) fn look(&mut self, slot: Option<u32>) -> Result<Option<&mut E>, Undone> {
        let Some(slot) = slot else { return Ok(None) };
        self.slots[slot].live()
    }

    /// Makes a slot for an entity that has none.
    pub(crate) fn insert(&mut self, key: &E::Key, now: Timestamp) -> u32 {
        debug_assert!(self.find(key).is_none(), "an entity has one slot");
        let slot = self.slots.insert(Slot::new(key.clone()));
        let hash = self.hasher.hash_one(key);
        let Entities { index, slots, hasher, .. } = self;
        index.insert_unique(hash, slot, |slot| hasher.hash_one(&slots[*slot].key));
        self.residency.arrived(slot, hash, self.weight(slot), now);
        self.residency.counts.entities.set(self.slots.len() as u64);
        slot
    }

    /// Runs `run` on the entity's state. Unless it succeeds, the state is as it was before.
    /// Returns what it came to, and whether the state changed.
    pub(crate) fn change<T>(
        &mut self,
        slot: u32,
        has_store: bool,
        limits: &Limits,
        run: impl FnOnce(&mut E) -> Result<Executed<T>, Undone>,
    ) -> (Result<T, Undone>, bool) {
        let Entities { slots, residency, scratch, is_cloneable, .. } = self;
        let known = &mut slots[slot];
        let before = match known.before(*is_cloneable) {
            Ok(before) => before,
            Err(undone) => return (Err(undone), false),
        };
        let Slot { state, extra, .. } = &mut *known;
        let State::Live(entity) = state else { unreachable!("`before` leaves the state live") };
        let encodes = has_store || !*is_cloneable;
        let result = quietly(|| {
            let executed = run(entity)?;
            if !executed.reminders.is_empty() {
                let mail = extra.as_ref().and_then(|extra| extra.mail.as_deref());
                let there = mail.map_or(&[][..], |mail| &mail.reminders);
                let there = there.iter().map(|reminder| &reminder.name);
                // One that takes another's place is no more than there was.
                let names: BTreeSet<&Box<str>> = there.chain(&executed.reminders).collect();
                check_size("reminders", names.len(), limits.reminders_per_entity_max)?;
            }
            if encodes && !executed.failed && !executed.removed {
                scratch.clear();
                codec::encode_into(entity, scratch)
                    .map_err(|error| Undone::Panicked(error.to_string()))?;
                check_size("state", scratch.len(), limits.state_bytes_max)?;
            }
            Ok(executed)
        });
        match result.and_then(|result| result) {
            Ok(Executed { failed: false, removed, passivated, value, .. }) => {
                if removed {
                    known.remove();
                } else if encodes {
                    let (schema, bytes) = known.extra().encoded.get_or_insert_default();
                    *schema = E::VERSION;
                    bytes.clear();
                    bytes.extend_from_slice(scratch);
                }
                if passivated && has_store {
                    residency.passivate(slot);
                }
                (Ok(value), true)
            }
            Ok(Executed { value, .. }) => {
                known.undo(before);
                (Ok(value), false)
            }
            Err(undone) => {
                known.undo(before);
                (Err(undone), false)
            }
        }
    }

    /// Notes in the batch that the entity has changed, or has an answer to keep. Returns which
    /// version an answer is to wait for.
    pub(crate) fn note(
        &mut self,
        slot: u32,
        changed: bool,
        answer: Option<(&Numbered, Outcome)>,
        floor: u64,
        execution: &mut Execution,
    ) -> (EntityId, Version) {
        let id = self.id(slot);
        if changed || answer.is_some() {
            let known = &mut self.slots[slot];
            if let Some((numbered, outcome)) = answer {
                let extra = known.extra();
                self.answering += usize::from(!extra.keeps());
                extra.answers.record(numbered, floor, outcome);
            }
            // What it has sent leaves when the store has it.
            let delay = if execution.post.is_fresh() { Duration::ZERO } else { self.delay };
            self.stamp(slot, delay, true, execution);
        }
        let version = self.version(slot);
        // A slot that is free may soon be another entity's: nothing may wait for that one.
        if self.forget_empty(slot) { self.seen(None) } else { (id, version) }
    }

    /// Gives the entity a newer version, and notes it in the batch. `is_write` says whether that
    /// counts as a write where its time to live is concerned.
    fn stamp(&mut self, slot: u32, delay: Duration, is_write: bool, execution: &mut Execution) {
        let id = self.id(slot);
        let known = &mut self.slots[slot];
        let version = self.epochs.unpack(known.version);
        let newer = execution.note(id, version, known.stored_len(), delay);
        known.version = self.epochs.pack(newer);
        if execution.has_store && is_write {
            known.extra().time = execution.time;
        }
        if known.is_absent() {
            execution.removed.insert(id);
            if execution.post.is_used() {
                self.set_alarm(slot, execution); // its reminders are gone with it
            }
        }
        if self.residency.is_watching() {
            let weight = self.weight(slot);
            if is_write {
                self.residency.written(slot, weight, execution.time);
            } else {
                self.residency.resized(slot, weight);
            }
        }
    }

    /// Removes an entity whose time is over.
    fn expire(&mut self, slot: u32, reason: Reason, execution: &mut Execution) {
        self.residency.expired(slot);
        if self.slots[slot].is_absent() {
            return;
        }
        self.slots[slot].remove();
        self.residency.counts.evicted[reason as usize].add(1);
        self.note(slot, true, None, 0, execution);
        self.residency.expired(slot);
    }

    /// Frees a slot that says nothing. Returns whether it did.
    fn forget_empty(&mut self, slot: u32) -> bool {
        // Where the store must be asked, that it has nothing is worth remembering.
        let remembers = !self.residency.is_complete() && self.residency.lets_misses_go();
        let is_empty = !remembers && self.is_remembered_miss(slot);
        if is_empty {
            self.free(slot);
        }
        is_empty
    }

    fn is_remembered_miss(&self, slot: u32) -> bool {
        let known = &self.slots[slot];
        known.is_absent() && known.version.is_none() && !known.keeps()
    }

    fn free(&mut self, slot: u32) {
        self.residency.left(slot);
        let known = self.slots.remove(slot);
        self.residency.counts.entities.set(self.slots.len() as u64);
        self.answering -= usize::from(known.keeps());
        let found = self.index.find_entry(self.hasher.hash_one(&known.key), |at| *at == slot);
        if let Ok(entry) = found {
            entry.remove();
        }
        let _ = quietly(move || drop(known)); // user code
    }

    /// Forgets the answers that no session may ask for again, and which messages were applied where
    /// the partition's own rows say so. Returns whether anything is kept.
    fn prune(&mut self, slot: u32, sessions: &Sessions, post: &Post) -> bool {
        let Some(extra) = &mut self.slots[slot].extra else { return false };
        if !extra.keeps() {
            return false;
        }
        extra.answers.prune(sessions);
        if let Some(mail) = &mut extra.mail {
            mail.applied.retain(|(from, number)| !post.inbox.is_stored(*from, *number));
            if mail.is_empty() {
                extra.mail = None;
            }
        }
        let keeps = extra.keeps();
        self.answering -= usize::from(!keeps);
        keeps
    }

    fn version(&self, slot: u32) -> Version {
        self.epochs.unpack(self.slots[slot].version)
    }

    /// What an entity takes in memory, about: its slot, its encoded state, as much again for what
    /// its live state points to, its messages and reminders.
    fn weight(&self, slot: u32) -> usize {
        let known = &self.slots[slot];
        size_of::<Slot<E>>() + OVERHEAD_BYTES + known.encoded_len() + known.stored_len()
    }

    fn id(&self, slot: u32) -> EntityId {
        EntityId { kind: self.kind, slot }
    }
}
