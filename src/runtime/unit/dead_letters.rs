//! A unit's dead letters: writes that the store refused for good, and what a person does with them.
//!
//! A parked write is the newest version of its entity, and is what readers see. To replay it is to
//! write the same state once more, as a newer version. To discard it is to go back to what the row
//! says, as a newer version, too: so whatever becomes of it, the store's rule that a newer record
//! replaces an older letter is all that is needed, and a crash half-way leaves the letter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::inbox_rows::INBOXES;
use super::super::recovery::read_record;
use super::super::session_rows::SESSIONS;
use super::{Unit, without_record};
use crate::engine::id::{EntityId, PartitionId, Version};
use crate::engine::instant::Instant;
use crate::engine::write_behind::{self, Parking};
use crate::store::{DeadLetter, Row, RowKey};

/// Which dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LetterId {
    pub(crate) partition: PartitionId,
    pub(crate) key: RowKey,
    pub(crate) version: Version,
}

/// A dead letter with the state that it holds.
pub(crate) struct Opened {
    /// The entity's key, for a person.
    pub(crate) shown: String,
    pub(crate) letter: DeadLetter,
    /// The encoded state and its schema version; `None` if it is a removal.
    pub(crate) state: Option<(u32, Vec<u8>)>,
}

/// What became of a letter that was replayed or discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The store has a newer row, and the letter is gone.
    Stored,
    /// The store refused it once more: it is parked again, as a newer version.
    ParkedAgain { reason: String },
    /// There is no such letter: it was replayed, discarded, or a newer write took its place.
    NotFound,
    /// It is being replayed or discarded by somebody else.
    UnderWay,
    /// What would take its place cannot be read.
    Unreadable { reason: String },
    /// It is no entity's: it can be replayed, and goes with the next one of its session, or of the
    /// partition that messages come from.
    NotDiscardable,
}

/// Whoever waits for what becomes of a letter.
pub(super) struct Settling {
    version: Version,
    done: oneshot::Sender<Settled>,
}

impl Unit {
    /// Writes that the store refused for good, with their keys for a person.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = (String, &DeadLetter)> {
        self.parked.iter().map(|(id, letter)| (self.describe(*id), letter))
    }

    pub(crate) fn open_letter(&self, id: &LetterId) -> Option<Opened> {
        let entity = self.find_letter(id)?;
        if self.version(entity) != id.version {
            return None; // a newer write is on its way to take its place
        }
        let state = match entity.kind {
            SESSIONS | INBOXES => None,
            kind => self.entities[usize::from(kind)].encoded(entity.slot),
        };
        let letter = self.parked.get(&entity)?.clone();
        Some(Opened { shown: self.describe(entity), letter, state })
    }

    /// Writes a parked state once more; `done` hears what came of it.
    pub(crate) fn replay(&mut self, now: Instant, id: &LetterId, done: oneshot::Sender<Settled>) {
        self.now = now;
        let Some((entity, done)) = self.begin_to_settle(id, done) else { return };
        self.metrics.replayed();
        self.write_again(entity, done);
    }

    /// Goes back from a parked state to what the store holds as the row; `done` hears what came of
    /// it. Answers that may be asked for again are kept: what was acknowledged never runs again.
    pub(crate) fn discard(
        &mut self,
        now: Instant,
        id: &LetterId,
        row: Option<&Row>,
        done: oneshot::Sender<Settled>,
    ) {
        self.now = now;
        let Some((entity, done)) = self.begin_to_settle(id, done) else { return };
        if matches!(entity.kind, SESSIONS | INBOXES) {
            let _ = done.send(Settled::NotDiscardable); // whoever asked may be gone
            return;
        }
        let content = row.and_then(|row| Some((row, row.record.as_deref()?)));
        let record = match content.map(|(row, bytes)| read_record(row, bytes)).transpose() {
            Ok(record) => record,
            Err(error) => {
                let _ = done.send(Settled::Unreadable { reason: error.to_string() });
                return;
            }
        };
        let entities = &mut self.entities[usize::from(entity.kind)];
        entities.revert(entity.slot, record.as_ref());
        let next = entities.next_reminder(entity.slot);
        self.execution.post.alarms_mut().set(&(entity.kind, Arc::from(&*id.key.key)), next);
        self.metrics.discarded();
        self.write_again(entity, done);
    }

    /// Notes a newer version of what is in memory now.
    fn write_again(&mut self, entity: EntityId, done: oneshot::Sender<Settled>) {
        self.begin();
        let version = match entity.kind {
            SESSIONS => self.session_rows.write_again(entity.slot, &mut self.execution),
            INBOXES => {
                let from = self.execution.post.rows.sender(entity.slot);
                self.note_inbox(from, Duration::ZERO)
            }
            kind => {
                let entities = &mut self.entities[usize::from(kind)];
                entities.write_again(entity.slot, &mut self.execution)
            }
        };
        self.settling.insert(entity, Settling { version, done });
        self.finish_batch();
        self.step_write_behind(write_behind::Event::Flush);
    }

    fn begin_to_settle(
        &mut self,
        id: &LetterId,
        done: oneshot::Sender<Settled>,
    ) -> Option<(EntityId, oneshot::Sender<Settled>)> {
        if self.primary.is_fenced() {
            return None; // dropped: nothing is stored any more
        }
        let settled = match self.find_letter(id) {
            Some(entity) if self.settling.contains_key(&entity) => Settled::UnderWay,
            Some(entity) if self.version(entity) == id.version => return Some((entity, done)),
            _ => Settled::NotFound,
        };
        let _ = done.send(settled); // whoever asked may be gone
        None
    }

    fn find_letter(&self, id: &LetterId) -> Option<EntityId> {
        let is_it =
            |letter: &DeadLetter| letter.row.key == id.key && letter.row.version == id.version;
        self.parked.iter().find(|(_, letter)| is_it(letter)).map(|(entity, _)| *entity)
    }

    /// The store has this version, or a newer one, as a row.
    pub(super) fn letter_stored(&mut self, entity: EntityId, version: Version) {
        self.parking.remove(&entity); // a newer version went before its letter was written
        if self.parked.get(&entity).is_some_and(|parked| parked.row.version <= version) {
            self.parked.remove(&entity);
            self.metrics.dead_letters(self.parked.len());
        }
        self.settle_letter(entity, version, || Settled::Stored);
    }

    /// The store has this version as a dead letter.
    pub(super) fn park(&mut self, entity: EntityId, version: Version, parking: &Parking) {
        let Some(letter) = self.parking.remove(&entity) else { return };
        tracing::error!(
            partition = %self.partition,
            entity_type = %letter.row.key.entity_type,
            key = self.describe(entity),
            version = %letter.row.version,
            reason = letter.reason,
            "store refused a record, parked as a dead letter"
        );
        self.hold_letter(entity, &letter);
        self.metrics.parked();
        let reason = || Settled::ParkedAgain { reason: parking.reason.clone() };
        self.settle_letter(entity, version, reason);
    }

    pub(super) fn hold_letter(&mut self, entity: EntityId, letter: &DeadLetter) {
        self.parked.insert(entity, without_record(letter));
        self.metrics.dead_letters(self.parked.len());
    }

    fn settle_letter(
        &mut self,
        entity: EntityId,
        version: Version,
        settled: impl FnOnce() -> Settled,
    ) {
        if self.settling.get(&entity).is_some_and(|settling| settling.version <= version)
            && let Some(settling) = self.settling.remove(&entity)
        {
            let _ = settling.done.send(settled()); // whoever asked may be gone
        }
    }

    fn version(&self, entity: EntityId) -> Version {
        match entity.kind {
            SESSIONS => self.session_rows.version(entity.slot),
            INBOXES => self.execution.post.rows.version(entity.slot),
            kind => self.entities[usize::from(kind)].version(entity.slot),
        }
    }

    pub(super) fn describe(&self, id: EntityId) -> String {
        match id.kind {
            SESSIONS => self.session_rows.describe(id.slot),
            INBOXES => self.execution.post.rows.describe(id.slot),
            kind => self.entities[usize::from(kind)].describe(id.slot),
        }
    }
}
