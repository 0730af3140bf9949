//! What becomes of entities besides what they are asked: they are reminded, expire, leave memory,
//! and what is left of the removed ones is dropped. Each is a record of the primary.
//!
//! A removed entity leaves a *tombstone*, a row as any other. It is dropped when nobody needs it:
//! no session may ask for its answers, all stores that count have it, no copy is brought up to date
//! that may have what was before it, and no store but theirs is asked if the partition is lost.
//!
//! The partition's time is that of its last record, and what has gone by since on the clock of the
//! primary. It stands still between two reigns. When all memory is lost, it goes on from the newest
//! entity that was found: so it may go back, and what is due comes late, never early.

use std::time::Duration;

use super::object::{Entity, Input, Key, Object, State, lasts_for, rings_after};
use super::part::Part;
use super::record::Record;
use super::serve::Live;
use crate::engine::alarms::{Alarms, Config};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::history::models::{list, slot};
use crate::engine::id::PartitionId;
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::outbox::Number;

/// How often it is looked for tombstones that nobody needs.
const LOOK_EVERY: Duration = Duration::from_millis(40);

const ALARMS: Config = Config {
    attempts_max: u32::MAX, // no bell fails
    retry_min: Duration::from_millis(50),
    retry_max: Duration::from_secs(1),
};

/// The life of a partition's entities in one reign.
#[derive(Debug)]
pub(super) struct Life {
    /// The partition's time at a moment of this node's clock.
    base: (Timestamp, Instant),
    now: Instant,
    alarms: Alarms<Key>,
    look_at: Instant,
    evict_at: Instant,
    /// The entity at which the last turn of evictions ended.
    turn: Key,
}

impl Life {
    pub(super) fn new(state: &State, now: Instant) -> Life {
        let time = match is_broken(Breakage::PartitionTimeRestarts) {
            true => Timestamp::from_micros(now.as_nanos() / 1000),
            false => state.time,
        };
        let (base, alarms) = ((time, now), Alarms::new(ALARMS));
        let mut life = Life { base, now, alarms, look_at: now, evict_at: now, turn: 0 };
        state.entities.iter().for_each(|(key, entity)| life.watch(*key, entity));
        life
    }

    /// It is this moment now.
    pub(super) fn pass(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The partition's time.
    pub(super) fn time(&self) -> Timestamp {
        self.base.0 + self.now.saturating_since(self.base.1)
    }

    /// An entity is this now.
    pub(super) fn watch(&mut self, key: Key, entity: &Entity) {
        self.alarms.set(&key, entity.reminders.values().min().copied());
    }
}

impl Part {
    /// What an ask that has changed an entity means for its time.
    pub(super) fn set_times(&mut self, entity: &mut Entity, input: Input) {
        let time = self.live().life.time();
        match input {
            Input::Slot(slot::Input::Put(value)) => {
                entity.expires_at = lasts_for(value).map(|lasts| time + lasts);
            }
            Input::Slot(_) => entity.expires_at = None,
            Input::Bell(list::Input::Append(value)) => {
                entity.reminders.insert(value, time + rings_after(value));
            }
            _ => (),
        }
    }

    /// Does what is due without being asked.
    pub(super) fn live_on(&mut self, now: Instant) {
        let time = self.live().life.time();
        while self.copy.has_room()
            && let Some(key) = self.live().life.alarms.due(time)
        {
            self.remind(key, time);
        }
        for key in self.live().state.entities.keys().copied().collect::<Vec<_>>() {
            self.expire(key);
        }
        if now >= self.live().life.look_at {
            self.live().life.look_at = now + LOOK_EVERY;
            self.drop_tombstones();
        }
        if let Some(every) = self.evict_every
            && now >= self.live().life.evict_at
        {
            self.live().life.evict_at = now + every;
            self.evict();
        }
    }

    /// Fires the reminders of an entity that are due.
    fn remind(&mut self, key: Key, time: Timestamp) {
        let mut entity = self.entity(key);
        let due: Vec<_> = entity.reminders.extract_if(.., |_, at| *at <= time).collect();
        if let Object::Bell(rung) = &mut entity.object {
            rung.extend(due.iter().map(|(value, _)| value));
        }
        entity.written_at = self.next();
        self.execute(Record { entity: Some((key, entity)), ..Record::default() });
    }

    /// Removes an entity whose time is over.
    pub(super) fn expire(&mut self, key: Key) {
        let time = self.live().life.time();
        let is_over = |entity: &&Entity| entity.expires_at.is_some_and(|at| at <= time);
        let over = self.live().state.entities.get(&key).filter(is_over).cloned();
        let Some(mut entity) = over.filter(|_| self.copy.has_room()) else { return };
        (entity.object, entity.expires_at) = (Object::Gone, None);
        entity.written_at = self.next();
        let record = Record { entity: Some((key, entity)), ..Record::default() };
        if is_broken(Breakage::ExpiredWithoutRecord) {
            let position = self.next();
            self.live().state.write(position, &record);
        } else {
            self.execute(record);
        }
    }

    fn drop_tombstones(&mut self) {
        let may_drop = self.copy.may_drop_tombstones();
        if !may_drop && !is_broken(Breakage::TombstonesDroppedForAll) {
            return;
        }
        let persisted = self.copy.persisted();
        let live = self.live();
        let is_unneeded = |(_, entity): &(&Key, &Entity)| {
            let is_stored =
                entity.changed_at <= persisted || is_broken(Breakage::TombstonesDroppedEarly);
            entity.object == Object::Gone && is_stored && live.is_idle(entity)
        };
        let unneeded = live.state.entities.iter().filter(is_unneeded);
        let unneeded: Vec<_> = unneeded.map(|(key, entity)| (*key, entity.changed_at)).collect();
        for dropped in unneeded {
            if self.copy.has_room() {
                self.execute(Record { dropped: Some(dropped), ..Record::default() });
                self.live().loads.missing.insert(dropped.0);
                self.live().loads.read_at.remove(&dropped.0);
            }
        }
    }

    /// The next entity in turn leaves memory, if there is one that nothing holds there.
    fn evict(&mut self) {
        let (persisted, stored) = (self.copy.persisted(), self.copy.stored());
        let is_clean = |part: &Part, key: Key, entity: &Entity| {
            let is_stored = entity.changed_at <= persisted.min(stored);
            (is_stored && !part.is_pending(key)) || is_broken(Breakage::DirtyEvicted)
        };
        let Some(live) = &self.live else { return };
        let turn = live.life.turn;
        let mut keys: Vec<Key> = live.state.entities.keys().copied().collect();
        keys.sort_by_key(|key| (*key <= turn, *key));
        let may_leave = |key: &Key| {
            let entity = &live.state.entities[key];
            entity.object != Object::Gone && live.is_idle(entity) && is_clean(self, *key, entity)
        };
        let Some(key) = keys.into_iter().find(may_leave) else { return };
        let version = live.state.entities[&key].changed_at;
        if self.copy.has_room() {
            self.execute(Record { evicted: Some((key, version)), ..Record::default() });
            self.live().life.turn = key;
            self.live().loads.read_at.remove(&key);
        }
    }
}

impl Live {
    /// Whether nothing of an entity but its state is of use to anybody.
    fn is_idle(&self, entity: &Entity) -> bool {
        let keeps_answers = entity.answers.clone().prune(&self.sessions);
        let is_stored = |from: &PartitionId, number: &Number| {
            self.stored_numbers.get(from).is_some_and(|stored| stored >= number)
        };
        !keeps_answers
            && entity.sent.is_empty()
            && entity.applied.iter().all(|(from, number)| is_stored(from, number))
            && entity.reminders.is_empty()
    }
}
