//! Rows: what of a partition is stored, each whole or not at all.

use std::collections::BTreeMap;

use super::object::{Entity, Key, Object, State};
use crate::engine::execution::Session;
use crate::engine::id::{EntityId, PartitionId, Position, SessionId};
use crate::engine::outbox::Number;

/// Names a row of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowKey {
    Entity(Key),
    Session(SessionId),
    Inbox(PartitionId),
}

/// A row, as of the record that changed it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub version: Position,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Entity(Entity),
    Session(Session),
    Inbox(Number),
}

impl Row {
    /// Whether it says only that nothing is there.
    pub(super) fn is_tombstone(&self) -> bool {
        matches!(&self.content, Content::Entity(entity) if entity.object == Object::Gone)
    }
}

impl RowKey {
    /// As a queue names it.
    pub(super) fn id(self) -> EntityId {
        match self {
            RowKey::Entity(key) => EntityId { kind: 0, slot: u32::from(key) },
            RowKey::Session(SessionId(id)) => EntityId { kind: 1, slot: id as u32 },
            RowKey::Inbox(from) => EntityId { kind: 2, slot: u32::from(from.0) },
        }
    }

    pub(super) fn of(EntityId { kind, slot }: EntityId) -> RowKey {
        match kind {
            0 => RowKey::Entity(slot as Key),
            1 => RowKey::Session(SessionId(u128::from(slot))),
            _ => RowKey::Inbox(PartitionId(slot as u16)),
        }
    }
}

impl State {
    /// When a row last changed, if it is there.
    pub(super) fn version(&self, key: RowKey) -> Option<Position> {
        match key {
            RowKey::Entity(key) => self.entities.get(&key).map(|entity| entity.changed_at),
            RowKey::Session(id) => self.sessions.get(&id).map(|(at, _)| *at),
            RowKey::Inbox(from) => self.inboxes.get(&from).map(|(at, _)| *at),
        }
    }

    pub(super) fn row(&self, key: RowKey) -> Option<Row> {
        let content = match key {
            RowKey::Entity(key) => Content::Entity(self.entities.get(&key)?.clone()),
            RowKey::Session(id) => Content::Session(self.sessions.get(&id)?.1),
            RowKey::Inbox(from) => Content::Inbox(self.inboxes.get(&from)?.1),
        };
        Some(Row { version: self.version(key)?, content })
    }

    /// All its rows' names, ascending.
    pub(super) fn keys(&self) -> impl Iterator<Item = RowKey> {
        let entities = self.entities.keys().map(|key| RowKey::Entity(*key));
        let sessions = self.sessions.keys().map(|id| RowKey::Session(*id));
        let inboxes = self.inboxes.keys().map(|from| RowKey::Inbox(*from));
        entities.chain(sessions).chain(inboxes)
    }

    /// All its rows, ascending.
    pub(super) fn rows(&self) -> impl Iterator<Item = (RowKey, Row)> {
        self.keys().filter_map(|key| Some((key, self.row(key)?)))
    }

    /// When each of them last changed.
    pub(super) fn versions(&self) -> BTreeMap<RowKey, Position> {
        self.keys().filter_map(|key| Some((key, self.version(key)?))).collect()
    }

    /// Puts in what was stored, unless something newer is there.
    pub(super) fn read(&mut self, key: RowKey, row: Row) {
        let Row { version, content } = row;
        if self.version(key) >= Some(version) {
            return;
        }
        match (key, content) {
            (RowKey::Entity(key), Content::Entity(entity)) => {
                self.time = self.time.max(entity.time);
                self.dropped.remove(&key);
                self.entities.insert(key, entity);
            }
            (RowKey::Session(id), Content::Session(session)) => {
                self.sessions.insert(id, (version, session));
            }
            (RowKey::Inbox(from), Content::Inbox(number)) => {
                self.inboxes.insert(from, (version, number));
            }
            (key, content) => unreachable!("{content:?} at {key:?}"),
        }
    }

    /// Of each row the newer one.
    pub(super) fn merge(&mut self, other: &State) {
        for key in other.keys() {
            if let Some(row) = other.row(key) {
                self.read(key, row);
            }
        }
    }
}
