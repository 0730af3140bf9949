//! Records: what handlers have changed, all of it or nothing, and what that makes of a copy.

use super::object::{Entity, Key, State};
use super::row::RowKey;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::execution::{Answers, Session};
use crate::engine::id::{PartitionId, Position, SessionId};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::Number;

/// What one handler, or what is done besides, has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The partition's time.
    pub at: Timestamp,
    pub entity: Option<(Key, Entity)>,
    pub session: Option<(SessionId, Session)>,
    pub inbox: Option<(PartitionId, Number)>,
    /// A tombstone that nobody needs any more, in this version.
    pub dropped: Option<(Key, Position)>,
    /// An entity that leaves memory, in this version.
    pub evicted: Option<(Key, Position)>,
}

impl Record {
    /// The rows that it changes.
    pub(super) fn keys(&self) -> Vec<RowKey> {
        let entity = self.entity.iter().map(|(key, _)| RowKey::Entity(*key));
        let session = self.session.iter().map(|(id, _)| RowKey::Session(*id));
        let inbox = self.inbox.iter().map(|(from, _)| RowKey::Inbox(*from));
        let dropped = self.dropped.iter().map(|(key, _)| RowKey::Entity(*key));
        entity.chain(session).chain(inbox).chain(dropped).collect()
    }

    /// As the other copies get it.
    pub(super) fn replicated(mut self) -> Record {
        if let Some((_, entity)) = &mut self.entity {
            if is_broken(Breakage::AnswersNotReplicated) {
                entity.answers = Answers::new();
            }
            if is_broken(Breakage::AppliedNotReplicated) {
                entity.applied.clear();
            }
            if is_broken(Breakage::RemindersNotReplicated) {
                entity.reminders.clear();
            }
        }
        if is_broken(Breakage::SessionsNotReplicated) {
            self.session = None;
        }
        if is_broken(Breakage::FloorsNotReplicated)
            && let Some((_, session)) = &mut self.session
        {
            session.floor = 0;
        }
        self
    }
}

impl State {
    /// Makes the changes of a record. What is newer already stays: a copy that was read from a
    /// store hears once more of what has led to it.
    pub(super) fn write(&mut self, position: Position, record: &Record) {
        let Record { at, entity, session, inbox, dropped, evicted } = record;
        self.time = self.time.max(*at);
        let is_newer = |state: &State, key| state.version(key).is_none_or(|at| at < position);
        if let Some((key, entity)) = entity
            && is_newer(self, RowKey::Entity(*key))
        {
            self.entities.insert(*key, entity.clone());
            self.dropped.remove(key);
        }
        if let Some((id, session)) = session
            && is_newer(self, RowKey::Session(*id))
        {
            self.sessions.insert(*id, (position, *session));
        }
        if let Some((from, number)) = inbox
            && is_newer(self, RowKey::Inbox(*from))
        {
            self.inboxes.insert(*from, (position, *number));
        }
        if let Some((key, version)) = dropped
            && self.version(RowKey::Entity(*key)).is_none_or(|at| at == *version)
        {
            self.entities.remove(key);
            if !is_broken(Breakage::TombstonesDroppedEarly) {
                self.dropped.insert(*key, position);
            }
        }
        if let Some((key, version)) = evicted
            && self.version(RowKey::Entity(*key)) == Some(*version)
        {
            self.entities.remove(key);
        }
    }

    /// All up to there is stored: that some rows are to go, too.
    pub(super) fn forget_dropped(&mut self, stored: Position) {
        self.dropped.retain(|_, at| *at > stored);
    }
}
