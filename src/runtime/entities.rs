//! The entities of one type in one partition: their states, their answers, their versions.
//!
//! A state is kept as it was stored until it is first needed, and encoded after a change only if
//! something needs the bytes: the store, or the undoing of the next handler of a type that cannot
//! be cloned. The same bytes serve both.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashTable;
use slab::Slab;

use crate::codec;
use crate::config::{Durability, EntityOptions, Limits};
use crate::engine::execution::{Answers, Numbered, Outcome, Sessions, Verdict};
use crate::engine::id::{EntityId, Version};
use crate::engine::instant::Timestamp;
use crate::entity::{Entity, StoredState};
use crate::error::DecodeError;
use crate::key::{self, Key};
use crate::store::{Row, RowKey};
use crate::wire::record::{self, Bin, Change};

use super::execution::Execution;
use super::undone::{Undone, check_size, quietly};

/// Entities of one type in one partition.
pub(crate) struct Entities<E: Entity> {
    kind: u16,
    /// How long the store may lag; zero for write-through.
    delay: Duration,
    is_cloneable: bool,
    hasher: RandomState,
    index: HashTable<u32>,
    slots: Slab<Slot<E>>,
    scratch: Vec<u8>,
}

struct Slot<E: Entity> {
    key: E::Key,
    state: State<E>,
    /// The current state's encoding and the schema version that it is of, where something needs
    /// it; always there when the state is [`State::Encoded`].
    encoded: Option<(u32, Vec<u8>)>,
    version: Version,
    /// Partition time of the newest change.
    time: Timestamp,
    answers: Answers,
    /// Where in the batch under way its change is noted, if `version` is of that batch.
    noted_at: usize,
}

enum State<E> {
    /// Never written, or removed.
    Absent,
    /// As it was stored; not needed since.
    Encoded,
    Live(E),
}

/// What a handler's run came to.
pub(crate) struct Executed<T> {
    /// It returned an error, and is undone.
    pub(crate) failed: bool,
    /// It removed the entity.
    pub(crate) removed: bool,
    pub(crate) value: T,
}

/// What undoes a handler.
enum Before<E> {
    Absent,
    Clone(E),
    Encoded,
}

/// [`Entities`] of any type.
pub(crate) trait AnyEntities {
    fn as_any(&mut self) -> &mut dyn Any;
    /// The newest change of an entity as a row. A removed entity without answers is a deletion.
    fn row(&mut self, slot: u32, sessions: &Sessions) -> Row;
    /// Takes in what the store holds of an entity, unless something newer is there. No record is a
    /// deletion.
    fn restore(
        &mut self,
        row: &Row,
        record: Option<record::Record<'_>>,
    ) -> Result<EntityId, DecodeError>;
    /// Forgets a removed entity that nobody may ask about, now that the store knows. Returns
    /// whether answers keep it.
    fn forget_removed(&mut self, slot: u32, version: Version) -> bool;
    /// Notes the deletion of a removed entity whose answers nobody may ask for any more. Returns
    /// whether it is still to be looked after.
    fn bury(&mut self, slot: u32, execution: &mut Execution) -> bool;
    /// The key, for a person.
    fn describe(&self, slot: u32) -> String;
}

impl<E: Entity> Entities<E> {
    pub(crate) fn new(kind: u16, options: EntityOptions) -> Entities<E> {
        let delay = match options.durability() {
            Durability::Behind(delay) => delay.max(Duration::from_nanos(1)),
            Durability::Through => Duration::ZERO,
        };
        let is_cloneable = quietly(|| E::default().try_clone().is_some()).unwrap_or(false);
        Entities {
            kind,
            delay,
            is_cloneable,
            hasher: RandomState::new(),
            index: HashTable::new(),
            slots: Slab::new(),
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
    pub(crate) fn find(&self, key: &E::Key) -> Option<u32> {
        let is_it = |slot: &u32| self.slots[*slot as usize].key == *key;
        self.index.find(self.hash(key), is_it).copied()
    }

    /// Which entity it is, and in which version, for whoever waits for what it saw.
    pub(crate) fn seen(&self, slot: Option<u32>) -> (EntityId, Version) {
        match slot {
            Some(slot) => (self.id(slot), self.slots[slot as usize].version),
            None => (self.id(u32::MAX), Version::default()),
        }
    }

    pub(crate) fn judge(&self, slot: Option<u32>, numbered: &Numbered, floor: u64) -> Verdict<'_> {
        static NO_ANSWERS: Answers = Answers::new();
        let answers = slot.map_or(&NO_ANSWERS, |slot| &self.slots[slot as usize].answers);
        answers.judge(numbered, floor)
    }

    /// The state, for a reader; `None` if the entity does not exist.
    pub(crate) fn look(&mut self, slot: Option<u32>) -> Result<Option<&mut E>, Undone> {
        let Some(slot) = slot else { return Ok(None) };
        self.slots[slot as usize].live()
    }

    /// Makes a slot for an entity that has none.
    pub(crate) fn insert(&mut self, key: &E::Key) -> u32 {
        debug_assert!(self.find(key).is_none(), "an entity has one slot");
        let slot = self.slots.insert(Slot {
            key: key.clone(),
            state: State::Absent,
            encoded: None,
            version: Version::default(),
            time: Timestamp::default(),
            answers: Answers::new(),
            noted_at: 0,
        });
        let slot = u32::try_from(slot).expect("a partition holds fewer than 2^32 entities");
        let Entities { index, slots, hasher, .. } = self;
        let hash_of = |slot: &u32| hasher.hash_one(&slots[*slot as usize].key);
        index.insert_unique(hasher.hash_one(key), slot, hash_of);
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
        let Entities { slots, scratch, is_cloneable, .. } = self;
        let slot = &mut slots[slot as usize];
        let before = match slot.before(*is_cloneable) {
            Ok(before) => before,
            Err(undone) => return (Err(undone), false),
        };
        let State::Live(entity) = &mut slot.state else {
            unreachable!("`before` leaves the state live")
        };
        let encodes = has_store || !*is_cloneable;
        let result = quietly(|| {
            let executed = run(entity)?;
            if encodes && !executed.failed && !executed.removed {
                scratch.clear();
                codec::encode_into(entity, scratch)
                    .map_err(|error| Undone::Panicked(error.to_string()))?;
                check_size("state", scratch.len(), limits.state_bytes_max)?;
            }
            Ok(executed)
        });
        match result.and_then(|result| result) {
            Ok(Executed { failed: false, removed, value }) => {
                if removed {
                    slot.state = State::Absent;
                    slot.encoded = None;
                } else if encodes {
                    let (schema, bytes) = slot.encoded.get_or_insert_default();
                    *schema = E::VERSION;
                    bytes.clear();
                    bytes.extend_from_slice(scratch);
                }
                (Ok(value), true)
            }
            Ok(Executed { value, .. }) => {
                slot.undo(before);
                (Ok(value), false)
            }
            Err(undone) => {
                slot.undo(before);
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
        let known = &mut self.slots[slot as usize];
        if changed || answer.is_some() {
            if let Some((numbered, outcome)) = answer {
                known.answers.record(numbered, floor, outcome);
            }
            let bytes = known.encoded.as_ref().map_or(0, |(_, bytes)| bytes.len());
            known.version =
                execution.note(id, known.version, &mut known.noted_at, bytes, self.delay);
            known.time = execution.time;
            if matches!(known.state, State::Absent) {
                execution.removed.insert(id);
            }
        }
        let version = known.version;
        // A slot that is free may soon be another entity's: nothing may wait for that one.
        if self.forget_empty(slot) { self.seen(None) } else { (id, version) }
    }

    /// Frees a slot that says nothing. Returns whether it did.
    fn forget_empty(&mut self, slot: u32) -> bool {
        let known = &self.slots[slot as usize];
        let is_empty = matches!(known.state, State::Absent)
            && known.version == Version::default()
            && known.answers.is_empty();
        if is_empty {
            self.free(slot);
        }
        is_empty
    }

    fn free(&mut self, slot: u32) {
        let key = self.slots.remove(slot as usize).key;
        let found = self.index.find_entry(self.hasher.hash_one(&key), |at| *at == slot);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    fn id(&self, slot: u32) -> EntityId {
        EntityId { kind: self.kind, slot }
    }
}

impl<E: Entity> AnyEntities for Entities<E> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn row(&mut self, slot: u32, sessions: &Sessions) -> Row {
        let slot = &mut self.slots[slot as usize];
        let keeps_answers = slot.answers.prune(sessions);
        let mut key = Vec::new();
        slot.key.encode(&mut key);
        let change = match (&slot.state, &slot.encoded) {
            (State::Absent, _) if !keeps_answers => None,
            (State::Absent, _) => Some(Change::Removed),
            (_, Some((schema, bytes))) => Some(Change::State(*schema, Bin(bytes))),
            (_, None) => unreachable!("with a store, every state is encoded"),
        };
        let encode =
            |change| record::encode(E::NAME, &key, slot.version, slot.time, &change, &slot.answers);
        let record = change.map(|change| Bytes::from(encode(change)));
        let key = RowKey { entity_type: E::NAME.into(), key: key.into() };
        Row { key, version: slot.version, record }
    }

    fn restore(
        &mut self,
        row: &Row,
        record: Option<record::Record<'_>>,
    ) -> Result<EntityId, DecodeError> {
        let key = key::decode_whole::<E::Key>(&row.key.key)?;
        let slot = self.find(&key).unwrap_or_else(|| self.insert(&key));
        let id = self.id(slot);
        let known = &mut self.slots[slot as usize];
        if row.version <= known.version {
            return Ok(id);
        }
        (known.state, known.encoded) = match record.as_ref().map(|record| &record.change) {
            Some(Change::State(schema, bytes)) => {
                (State::Encoded, Some((*schema, bytes.0.to_vec())))
            }
            Some(Change::Removed) | None => (State::Absent, None),
            Some(Change::Changes(_)) => {
                return Err(DecodeError::new("the record holds changes, this build knows states"));
            }
        };
        known.version = row.version;
        (known.time, known.answers) = record
            .map_or((Timestamp::default(), Answers::new()), |record| (record.time, record.answers));
        Ok(id)
    }

    fn forget_removed(&mut self, slot: u32, version: Version) -> bool {
        let Some(known) = self.slots.get(slot as usize) else { return false };
        if !matches!(known.state, State::Absent) || known.version > version {
            return false;
        }
        let has_answers = !known.answers.is_empty();
        if !has_answers {
            self.free(slot);
        }
        has_answers
    }

    fn bury(&mut self, slot: u32, execution: &mut Execution) -> bool {
        let Some(known) = self.slots.get_mut(slot as usize) else { return false };
        if !matches!(known.state, State::Absent) {
            return false;
        }
        if known.answers.is_empty() {
            return true; // its deletion is on the way
        }
        if !known.answers.prune(&execution.sessions) {
            self.note(slot, true, None, 0, execution);
        }
        true
    }

    fn describe(&self, slot: u32) -> String {
        self.slots.get(slot as usize).map_or_else(String::new, |slot| format!("{:?}", slot.key))
    }
}

impl<E: Entity> Slot<E> {
    /// Makes the state live, if there is one.
    fn live(&mut self) -> Result<Option<&mut E>, Undone> {
        if let State::Encoded = self.state {
            let (schema, bytes) = self.encoded.as_ref().expect("an encoded state has its bytes");
            let decode = || match *schema {
                schema if schema == E::VERSION => codec::decode(bytes),
                // Only the build that wrote it can know what it means.
                schema if schema > E::VERSION => Err(DecodeError::new(format!(
                    "state has version {schema}, this build knows {}",
                    E::VERSION
                ))),
                schema => E::migrate(StoredState::new(schema, bytes)),
            };
            let state = quietly(decode)?;
            self.state = State::Live(state.map_err(|error| {
                Undone::Undecodable(format!("state of `{}` {:?}: {error}", E::NAME, self.key))
            })?);
        }
        match &mut self.state {
            State::Live(entity) => Ok(Some(entity)),
            State::Absent | State::Encoded => Ok(None),
        }
    }

    /// Makes the state live, and keeps what brings it back.
    fn before(&mut self, is_cloneable: bool) -> Result<Before<E>, Undone> {
        match self.live()? {
            None => {
                self.state = State::Live(quietly(E::default)?);
                Ok(Before::Absent)
            }
            Some(entity) if is_cloneable => {
                let clone = quietly(|| entity.try_clone())?;
                Ok(clone.map_or(Before::Encoded, Before::Clone))
            }
            Some(_) => Ok(Before::Encoded),
        }
    }

    fn undo(&mut self, before: Before<E>) {
        let undone = mem::replace(
            &mut self.state,
            match before {
                Before::Absent => State::Absent,
                Before::Clone(entity) => State::Live(entity),
                Before::Encoded => State::Encoded,
            },
        );
        // Half-changed, it may well panic when it is dropped.
        let _ = quietly(move || drop(undone));
    }
}
