//! Entities as their processing unit sees them: without their type.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::residency::Due;
use super::slot::{Extra, State};
use super::{Arrival, Arrived, Entities, Execution, Fired, Post, Undone, quietly};
use crate::engine::execution::Sessions;
use crate::engine::id::{EntityId, Version};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::Number;
use crate::engine::replica::primary::Leaving;
use crate::entity::Entity;
use crate::error::DecodeError;
use crate::key::{self, Key};
use crate::metrics::{Lookup, TypeCounts};
use crate::store::{Row, RowKey};
use crate::wire::mail::{Parked, Sent};
use crate::wire::record::{self, Bin, Change, Parts, Record};

/// Entities that one sweep for forgotten answers looks at.
const SWEEP: u32 = 10_000;

/// When an entity is looked at again for whose removal there was no room.
const EXPIRE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Entities that expire at once: what waits behind them does not wait long.
const EXPIRE_AT_ONCE: usize = 1000;

/// [`Entities`] of any type.
pub(crate) trait AnyEntities {
    fn as_any(&mut self) -> &mut dyn Any;
    /// The newest change of an entity as a row. A removed entity without answers is a deletion.
    fn row(&mut self, slot: u32, sessions: &Sessions, post: &Post) -> Row;
    /// Takes in what the store holds of an entity, unless something newer is there. No record is a
    /// deletion.
    fn restore(
        &mut self,
        row: &Row,
        record: Option<Record<'_>>,
        now: Timestamp,
    ) -> Result<EntityId, DecodeError>;
    /// Remembers that the store holds nothing of an entity.
    fn remember_miss(&mut self, key: &[u8], now: Timestamp) -> Result<(), DecodeError>;
    /// Forgets a removed entity that nobody may ask about, now that the store knows. Returns
    /// whether answers keep it.
    fn forget_removed(&mut self, slot: u32, stored: Version) -> bool;
    /// Notes the deletion of a removed entity whose answers nobody may ask for any more. Returns
    /// whether it is still to be looked after.
    fn bury(&mut self, slot: u32, execution: &mut Execution) -> bool;
    /// The encoded state and its schema version, where there is a store; `None` if removed.
    fn encoded(&self, slot: u32) -> Option<(u32, Vec<u8>)>;
    /// Notes an entity in the batch once more, as it is.
    fn write_again(&mut self, slot: u32, execution: &mut Execution) -> Version;
    /// Takes an entity's state back to what a record says; no record is its absence.
    fn revert(&mut self, slot: u32, record: Option<&Record<'_>>);
    /// Removes entities whose time is over, if there is room for their removal in the queue for the
    /// store; meanwhile whoever asks finds them expired all the same.
    fn expire(&mut self, may_write: bool, execution: &mut Execution);
    /// When that is to be done next, or an entity has been idle for long enough to leave.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// The next entity that is to leave memory, which from now on counts as gone. `is_held` says
    /// which may not leave.
    fn next_to_leave(
        &mut self,
        sessions: &Sessions,
        is_held: &mut dyn FnMut(EntityId) -> bool,
    ) -> Option<Leaving>;
    /// Whether more is in memory than should be.
    fn is_over(&self) -> bool;
    /// Lets an entity go, unless it has changed since it was chosen.
    fn evict(&mut self, leaving: Leaving);
    /// Whether an entity that is not here may be in the store.
    fn is_complete(&self) -> bool;
    /// Forgets some of the answers that no session may ask for again, and some of what was applied.
    fn sweep(&mut self, sessions: &Sessions, post: &Post);
    /// Lets a message in.
    fn arrive(&mut self, arrival: Arrival<'_>, execution: &mut Execution) -> Arrived;
    /// Fires an entity's earliest reminder, if it is due; see [`Entities::fire`].
    fn fire(
        &mut self,
        key: &[u8],
        is_loaded: bool,
        gives_up: bool,
        execution: &mut Execution,
    ) -> Fired;
    /// When an entity is to be reminded next.
    fn next_reminder(&self, slot: u32) -> Option<Timestamp>;
    /// Likewise, by its key.
    fn next_reminder_of(&self, key: &[u8]) -> Option<Timestamp>;
    /// Of what an entity has sent, these need not be kept any more. Notes that, to be stored later.
    fn forget_sent(&mut self, slot: u32, numbers: &[Number], execution: &mut Execution);
    /// What an entity has sent and keeps.
    fn sent(&self, slot: u32) -> &[Sent];
    /// Parks a message that an entity has sent. Returns the version to wait for.
    fn park_sent(
        &mut self,
        slot: u32,
        number: Number,
        parked: Parked,
        execution: &mut Execution,
    ) -> Version;
    /// Takes a parked message out. Sends it anew if that is wanted. Returns the version to wait
    /// for, or nothing if there is no such message.
    fn settle_parked(
        &mut self,
        slot: u32,
        number: Number,
        again: bool,
        execution: &mut Execution,
    ) -> Option<Version>;
    fn keeps_answers(&self) -> bool;
    /// Whether any is to leave as soon as nothing holds it.
    fn is_leaving(&self) -> bool;
    /// The partition begins to serve: whatever is here counts as asked for now.
    fn started(&mut self, now: Timestamp);
    fn version(&self, slot: u32) -> Version;
    /// From now on everything is counted there.
    fn count_in(&mut self, counts: Arc<TypeCounts>);
    fn count_lookups(&self, found: Lookup, lookups: u64);
    /// The key, for a person.
    fn describe(&self, slot: u32) -> String;
}

impl<E: Entity> AnyEntities for Entities<E> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn row(&mut self, slot: u32, sessions: &Sessions, post: &Post) -> Row {
        let keeps_answers = self.prune(slot, sessions, post);
        let version = self.version(slot);
        let known = &self.slots[slot];
        let mut key = Vec::new();
        known.key.encode(&mut key);
        let extra = known.extra.as_deref();
        let change = match (&known.state, extra.and_then(|extra| extra.encoded.as_ref())) {
            (State::Absent, _) if !keeps_answers => None,
            (State::Absent, _) => Some(Change::Removed),
            (_, Some((schema, bytes))) => Some(Change::State(*schema, Bin(bytes))),
            (_, None) => unreachable!("with a store, every state is encoded"),
        };
        let time = extra.map_or(Timestamp::default(), |extra| extra.time);
        let expires_at = self.residency.expires_at(time);
        let (answers, mail) = (known.answers(), known.mail());
        let encode = |change: &Change<'_>| {
            let (entity_type, key) = (E::NAME, &*key);
            record::encode(Parts {
                entity_type,
                key,
                version,
                time,
                change,
                answers,
                mail,
                expires_at,
            })
        };
        let record = change.map(|change| Bytes::from(encode(&change)));
        let key = RowKey { entity_type: Arc::clone(&self.name), key: key.into() };
        Row { key, version, record }
    }

    fn restore(
        &mut self,
        row: &Row,
        record: Option<Record<'_>>,
        now: Timestamp,
    ) -> Result<EntityId, DecodeError> {
        let key = key::decode_whole::<E::Key>(&row.key.key)?;
        // Before a place is made: one that is empty would say that the store has nothing.
        let (state, encoded) = match record.as_ref().map(|record| &record.change) {
            Some(Change::State(schema, bytes)) => {
                (State::Encoded, Some((*schema, bytes.0.to_vec())))
            }
            Some(Change::Removed) | None => (State::Absent, None),
            Some(Change::Changes(_)) => {
                return Err(DecodeError::new("the record holds changes, this build knows states"));
            }
        };
        let slot = self.find(&key).unwrap_or_else(|| self.insert(&key, now));
        let id = self.id(slot);
        if row.version <= self.version(slot) {
            return Ok(id);
        }
        let expires_at = record.as_ref().and_then(|record| {
            let by_options = self.residency.expires_at(record.time)?;
            Some(record.expires_at.unwrap_or(by_options))
        });
        let (time, answers, mail) = record.map_or_else(Default::default, |record| {
            let mail = (!record.mail.is_empty()).then(|| Box::new(record.mail));
            (record.time, record.answers, mail)
        });
        let extra = Extra { encoded, time, answers, mail };
        self.answering += usize::from(extra.keeps());
        self.answering -= usize::from(self.slots[slot].keeps());
        let known = &mut self.slots[slot];
        known.version = self.epochs.pack(row.version);
        known.state = state;
        known.extra = Some(Box::new(extra));
        let weight = self.weight(slot);
        self.residency.restored(slot, weight, expires_at);
        Ok(id)
    }

    fn remember_miss(&mut self, key: &[u8], now: Timestamp) -> Result<(), DecodeError> {
        let key = key::decode_whole::<E::Key>(key)?;
        if self.residency.lets_misses_go() && self.find(&key).is_none() {
            self.insert(&key, now);
        }
        Ok(())
    }

    fn forget_removed(&mut self, slot: u32, stored: Version) -> bool {
        let Some(known) = self.slots.get(slot) else { return false };
        if !known.is_absent() || self.version(slot) > stored {
            return false;
        }
        let keeps = known.keeps();
        if !keeps {
            self.free(slot);
        }
        keeps
    }

    fn bury(&mut self, slot: u32, execution: &mut Execution) -> bool {
        let Some(known) = self.slots.get(slot) else { return false };
        if !known.is_absent() {
            return false;
        }
        if !known.keeps() {
            return true; // its deletion is on the way
        }
        if !self.prune(slot, &execution.sessions, &execution.post) {
            self.note(slot, true, None, 0, execution);
        }
        true
    }

    fn encoded(&self, slot: u32) -> Option<(u32, Vec<u8>)> {
        self.slots.get(slot)?.extra.as_ref()?.encoded.clone()
    }

    fn write_again(&mut self, slot: u32, execution: &mut Execution) -> Version {
        self.note(slot, true, None, 0, execution).1
    }

    fn revert(&mut self, slot: u32, record: Option<&Record<'_>>) {
        let reminders = self.reminders_of_row(slot, record);
        self.slots[slot].remove();
        if !reminders.is_empty() {
            self.with_mail(slot, |mail| mail.reminders = reminders);
        }
        let known = &mut self.slots[slot];
        if let Some(Change::State(schema, bytes)) = record.map(|record| &record.change) {
            known.extra().encoded = Some((*schema, bytes.0.to_vec()));
            known.state = State::Encoded;
        }
    }

    fn expire(&mut self, may_write: bool, execution: &mut Execution) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.residency.next_due(execution.time) {
                None => break,
                Some(Due::Later) => (),
                Some(Due::Expired(slot, _)) if self.is_remembered_miss(slot) => self.free(slot),
                Some(Due::Expired(slot, _)) if !may_write => {
                    self.residency.look_again(slot, execution.time + EXPIRE_AGAIN_AFTER);
                }
                Some(Due::Expired(slot, reason)) => {
                    Entities::expire(self, slot, reason, execution);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.residency.next_deadline()
    }

    fn next_to_leave(
        &mut self,
        sessions: &Sessions,
        is_held: &mut dyn FnMut(EntityId) -> bool,
    ) -> Option<Leaving> {
        let Entities { kind, slots, residency, answering, .. } = self;
        let kind = *kind;
        let (slot, reason) = residency.next_to_leave(|slot| {
            let Some(known) = slots.get_mut(slot) else { return false };
            if is_held(EntityId { kind, slot }) {
                return true;
            }
            match &mut known.extra {
                Some(extra) if extra.has_sent() => true,
                Some(extra) if !extra.answers.is_empty() => {
                    let keeps = extra.answers.prune(sessions);
                    *answering -= usize::from(!extra.keeps());
                    keeps
                }
                _ => false,
            }
        })?;
        residency.chosen(slot);
        residency.counts.evicted[reason as usize].add(1);
        Some(Leaving { entity: EntityId { kind, slot }, version: self.version(slot) })
    }

    fn is_over(&self) -> bool {
        self.residency.is_over()
    }

    fn evict(&mut self, leaving: Leaving) {
        let slot = leaving.entity.slot;
        let Some(known) = self.slots.get(slot) else { return };
        if self.epochs.unpack(known.version) == leaving.version {
            self.residency.evicted();
            self.free(slot);
        } else {
            let hash = self.hash(&known.key);
            self.residency.stays(slot, hash, self.weight(slot));
        }
    }

    fn is_complete(&self) -> bool {
        self.residency.is_complete()
    }

    fn arrive(&mut self, arrival: Arrival<'_>, execution: &mut Execution) -> Arrived {
        Entities::arrive(self, arrival, execution)
    }

    fn fire(
        &mut self,
        key: &[u8],
        is_loaded: bool,
        gives_up: bool,
        execution: &mut Execution,
    ) -> Fired {
        Entities::fire(self, key, is_loaded, gives_up, execution)
    }

    fn next_reminder(&self, slot: u32) -> Option<Timestamp> {
        Entities::next_reminder(self, slot)
    }

    fn next_reminder_of(&self, key: &[u8]) -> Option<Timestamp> {
        let key = key::decode_whole::<E::Key>(key).ok()?;
        Entities::next_reminder(self, self.find(&key)?)
    }

    fn forget_sent(&mut self, slot: u32, numbers: &[Number], execution: &mut Execution) {
        Entities::forget_sent(self, slot, numbers, execution);
    }

    fn sent(&self, slot: u32) -> &[Sent] {
        self.slots.get(slot).map_or(&[], |known| known.mail().sent())
    }

    fn park_sent(
        &mut self,
        slot: u32,
        number: Number,
        parked: Parked,
        execution: &mut Execution,
    ) -> Version {
        Entities::park_sent(self, slot, number, parked, execution)
    }

    fn settle_parked(
        &mut self,
        slot: u32,
        number: Number,
        again: bool,
        execution: &mut Execution,
    ) -> Option<Version> {
        Entities::settle_parked(self, slot, number, again, execution)
    }

    fn sweep(&mut self, sessions: &Sessions, post: &Post) {
        if self.answering == 0 {
            return;
        }
        let end = self.slots.end();
        for slot in self.swept..end.min(self.swept.saturating_add(SWEEP)) {
            // What was removed is buried when its answers go, and not before.
            if self.slots.get(slot).is_some_and(|known| !known.is_absent()) {
                self.prune(slot, sessions, post);
                self.slots[slot].trim();
            }
        }
        self.swept = if self.swept.saturating_add(SWEEP) >= end { 0 } else { self.swept + SWEEP };
    }

    fn keeps_answers(&self) -> bool {
        self.answering > 0
    }

    fn is_leaving(&self) -> bool {
        self.residency.is_leaving()
    }

    fn started(&mut self, now: Timestamp) {
        self.residency.started(now);
    }

    fn version(&self, slot: u32) -> Version {
        Entities::version(self, slot)
    }

    fn count_in(&mut self, counts: Arc<TypeCounts>) {
        self.residency.counts = counts;
        self.residency.counts.entities.set(self.slots.len() as u64);
    }

    fn count_lookups(&self, found: Lookup, lookups: u64) {
        self.residency.counts.lookups[found as usize].add(lookups);
    }

    fn describe(&self, slot: u32) -> String {
        let key = self.slots.get(slot).map(|known| &known.key);
        let describe = || key.map_or_else(String::new, |key| format!("{key:?}"));
        // User code, on its way to a person.
        quietly(describe).unwrap_or_else(|_: Undone| "a key that cannot be shown".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EntityOptions;
    use crate::engine::execution::Answers;
    use crate::prelude::*;
    use crate::wire::mail::Mail;

    #[derive(Entity, Default, Serialize, Deserialize)]
    #[entity(key = u64, handles())]
    struct Unit {}

    #[test]
    fn a_row_that_cannot_be_read_is_no_missing_row() {
        let mut entities = Entities::<Unit>::new(0, EntityOptions::new(), Arc::default(), 1);
        let key = Bytes::copy_from_slice(&7u64.to_be_bytes());
        let version = Version::new(1, 1, 0);
        let change = Change::Changes(vec![]);
        let time = Timestamp::default();
        let bytes = record::encode(Parts {
            entity_type: "unit",
            key: &key,
            version,
            time,
            change: &change,
            answers: &Answers::new(),
            mail: &Mail::default(),
            expires_at: None,
        });
        let row = Row {
            key: RowKey { entity_type: "unit".into(), key },
            version,
            record: Some(bytes.clone().into()),
        };
        let record = record::decode(&bytes).unwrap();
        assert!(entities.restore(&row, Some(record), time).is_err());
        assert_eq!(entities.find(&7), None, "a place without a state would say that there is none");
    }
}
