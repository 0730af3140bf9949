//! Which entities of a unit are in memory: what comes back from the store, what leaves, what
//! expires.

use super::super::exchange::{AnyAsk, Refusal};
use super::super::execution::Execution;
use super::super::recovery::read_record;
use super::Unit;
use crate::engine::id::EntityId;
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::write_behind::{self, WriteBehind};
use crate::error::DecodeError;
use crate::metrics::Lookup;
use crate::store::{self, Loaded, Row, RowKey};
use crate::wire::record::Change;

use std::sync::Arc;

/// Entities that leave in one batch.
const LEAVE_AT_ONCE: usize = 1000;

impl Unit {
    /// Gives the ask back if its entity is here, or nowhere; otherwise it waits for the store.
    pub(super) fn find_entity(&mut self, ask: Arc<dyn AnyAsk>) -> Option<Arc<dyn AnyAsk>> {
        let entities = &mut self.entities[usize::from(ask.target_kind())];
        if entities.is_complete() || self.primary.is_fenced() {
            return Some(ask);
        }
        let found = ask.look_up(entities.as_any());
        if found != Lookup::StoreHit {
            entities.count_lookups(found, 1);
            return Some(ask);
        }
        self.loading.push(ask.row_key(), ask);
        None
    }

    /// The store has answered what it was asked for.
    pub(crate) fn loaded(
        &mut self,
        now: Instant,
        answers: Vec<(RowKey, Result<Loaded, store::Error>)>,
    ) {
        self.now = now;
        let mut failed = Vec::new();
        for (key, answer) in answers {
            match answer {
                _ if !self.loading.has(&key) => (), // whoever wanted it has given up
                Ok(loaded) => self.found(&key, loaded),
                Err(store::Error::Corrupt { what }) => self.unreadable(&key, &what),
                Err(error) => {
                    tracing::warn!(partition = %self.partition, %error, "load from the store");
                    failed.push(key);
                }
            }
        }
        self.loading.answered(failed, now);
        self.finish_batch();
    }

    /// Takes in what the store holds of an entity, and runs what waited for it.
    fn found(&mut self, key: &RowKey, loaded: Loaded) {
        let Some(kind) = self.execution.registry.index_named(&key.entity_type) else { return };
        let is_there = loaded.row.is_some() || loaded.dead_letter.is_some();
        if let Err(error) = self.take_in(kind, key, loaded) {
            return self.unreadable(key, &error.to_string());
        }
        let is_wanted = self.loading.is_wanted(key);
        let asks = self.loading.take(key);
        let found = if is_there { Lookup::StoreHit } else { Lookup::Miss };
        self.entities[kind].count_lookups(found, asks.len() as u64);
        let is_first = self.waiting.is_empty() && self.has_room();
        let mut must_wait = Vec::new();
        for ask in asks {
            if must_wait.is_empty() && (is_first || !ask.writes()) {
                self.run_in_order(ask);
            } else {
                must_wait.push(ask);
            }
        }
        // They came before whatever waits for room and is for the same entity.
        for ask in must_wait.into_iter().rev() {
            let hash = self.key_hash(&*ask);
            self.waiting.push_first(ask, hash);
        }
        if is_wanted {
            self.apply_messages(Some(key));
            self.sleeper_loaded(kind, key);
        }
    }

    fn take_in(&mut self, kind: usize, key: &RowKey, loaded: Loaded) -> Result<(), DecodeError> {
        let now = self.time.at(self.now);
        let Loaded { row, dead_letter } = loaded;
        let letter = dead_letter
            .filter(|letter| row.as_ref().is_none_or(|row| row.version <= letter.row.version));
        match letter.as_ref().map(|letter| &letter.row).or(row.as_ref()) {
            Some(row) => {
                let id = self.take_row(kind, row, now)?;
                if let Some(letter) = &letter {
                    self.hold_letter(id, letter);
                }
            }
            None => self.entities[kind].remember_miss(&key.key, now)?,
        }
        Ok(())
    }

    fn take_row(
        &mut self,
        kind: usize,
        row: &Row,
        now: Timestamp,
    ) -> Result<EntityId, DecodeError> {
        let record = row.record.as_deref().map(|bytes| read_record(row, bytes)).transpose()?;
        let is_removed = record.as_ref().is_none_or(|it| it.change == Change::Removed);
        let id = self.entities[kind].restore(row, record, now)?;
        let sleeper = (kind as u16, Arc::from(&*row.key.key));
        if let Some(at) = self.entities[kind].next_reminder(id.slot) {
            self.execution.post.alarms_mut().find(&sleeper, at);
        }
        if is_removed {
            self.execution.removed.insert(id);
        }
        Ok(id)
    }

    /// What the store holds of an entity cannot be read: whoever waits for it hears so.
    fn unreadable(&mut self, key: &RowKey, reason: &str) {
        tracing::error!(partition = %self.partition, row = ?key, reason, "row cannot be read");
        self.refuse_messages(key, reason);
        self.sleeper_unreadable(key);
        let refusal = Refusal::Undecodable(reason.into());
        for ask in self.loading.take(key) {
            self.refuse(&*ask, refusal.clone());
        }
    }

    /// Removes what has expired.
    pub(super) fn expire(&mut self) {
        if self.expiry_at().is_none_or(|at| at > self.now) {
            return;
        }
        self.begin();
        let may_write = self.has_room();
        for entities in &mut self.entities {
            entities.expire(may_write, &mut self.execution);
        }
        self.finish_batch();
    }

    /// When something expires, or has been idle for long enough, at the earliest.
    pub(super) fn expiry_at(&self) -> Option<Instant> {
        if self.primary.is_fenced() {
            return None;
        }
        let next = self.entities.iter().filter_map(|entities| entities.next_deadline()).min();
        next.map(|time| self.time.when(time))
    }

    /// Lets go what is to leave memory. What the store does not have yet, stays.
    pub(super) fn evict(&mut self) {
        self.has_more_to_evict = false;
        if self.write_behind.is_none() || self.primary.is_fenced() {
            return;
        }
        let mut is_blocked = false;
        for kind in 0..self.entities.len() {
            is_blocked |= self.evict_some(kind);
        }
        self.finish_batch();
        if is_blocked {
            self.step_write_behind(write_behind::Event::Flush); // then it may leave
        }
    }

    /// Returns whether more is there than may be, and must stay.
    fn evict_some(&mut self, kind: usize) -> bool {
        let Unit { entities, execution, write_behind, parked, parking, .. } = self;
        let is_pending =
            |id| write_behind.as_ref().is_some_and(|queue: &WriteBehind| queue.is_pending(id));
        let Execution { sessions, removed, batch, .. } = execution;
        // What was removed goes when its deletion is stored: see `keep_house`.
        let mut is_held = |id: EntityId| {
            let has_letter = parked.contains_key(&id) || parking.contains_key(&id);
            is_pending(id) || has_letter || removed.contains(&id)
        };
        for _ in 0..LEAVE_AT_ONCE {
            match entities[kind].next_to_leave(sessions, &mut is_held) {
                Some(leaving) => batch.leaving.push(leaving),
                None => return entities[kind].is_over(),
            }
        }
        self.has_more_to_evict = true;
        false
    }
}
