//! What a handler does beyond its entity's state: it is done when the handler has succeeded, and
//! not at all otherwise.

use std::fmt;
use std::time::Duration;

use super::{Entity, Message};
use crate::codec;
pub use crate::engine::alarms::Missed;
use crate::engine::alarms::Rhythm;
use crate::engine::instant::Timestamp;
use crate::key::{IntoKey, Key};

/// Where a message goes: an entity's type and key. Costs little, and the entity need not exist.
///
/// Made from a key ([`Address::of`]) or from a reference (`Address::from(&reference)`).
pub struct Address<E: Entity> {
    key: E::Key,
}

impl<E: Entity> Address<E> {
    /// The entity with this key.
    #[must_use]
    pub fn of(key: impl IntoKey<E::Key>) -> Address<E> {
        Address { key: key.into_key() }
    }

    pub(crate) fn to(key: E::Key) -> Address<E> {
        Address { key }
    }

    /// The entity's key.
    #[must_use]
    pub fn key(&self) -> &E::Key {
        &self.key
    }
}

impl<E: Entity> Clone for Address<E> {
    fn clone(&self) -> Address<E> {
        Address { key: self.key.clone() }
    }
}

impl<E: Entity> From<&Address<E>> for Address<E> {
    fn from(address: &Address<E>) -> Address<E> {
        address.clone()
    }
}

impl<E: Entity> fmt::Debug for Address<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(E::NAME).field(&self.key).finish()
    }
}

/// A message on its way, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// Wire name of the entity type that it goes to.
    pub(crate) entity_type: Box<str>,
    /// The encoded key.
    pub(crate) key: Box<[u8]>,
    /// The message's wire name.
    pub(crate) message: Box<str>,
    pub(crate) body: Box<[u8]>,
}

impl Parcel {
    /// What it takes in memory and in a row, about.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = [self.entity_type.len(), self.key.len(), self.message.len(), self.body.len()];
        parts.into_iter().sum::<usize>() as u64 + 64
    }
}

/// A durable timer of an entity: a message that comes to it at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reminder {
    /// Names it among the entity's.
    pub(crate) name: Box<str>,
    pub(crate) due_at: Timestamp,
    /// How long after that the next one is due, if it repeats.
    pub(crate) every: Option<Duration>,
    pub(crate) missed: Missed,
    /// The message's wire name.
    pub(crate) message: Box<str>,
    pub(crate) body: Box<[u8]>,
}

impl Reminder {
    pub(crate) fn rhythm(&self) -> Rhythm {
        Rhythm { due_at: self.due_at, every: self.every, missed: self.missed }
    }

    /// What it takes in memory and in a row, about.
    pub(crate) fn bytes(&self) -> usize {
        self.name.len() + self.message.len() + self.body.len() + 64
    }
}

/// When a reminder fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    first: First,
    every: Option<Duration>,
    missed: Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    After(Duration),
    At(Timestamp),
}

impl When {
    /// Once, this long after the handler that sets it.
    #[must_use]
    pub const fn after(after: Duration) -> When {
        When { first: First::After(after), every: None, missed: Missed::Once }
    }

    /// Once, at this time. If that has passed, at once.
    #[must_use]
    pub const fn at(at: Timestamp) -> When {
        When { first: First::At(at), every: None, missed: Missed::Once }
    }

    /// Again and again, first after one such period. At most every millisecond.
    #[must_use]
    pub fn every(period: Duration) -> When {
        let period = period.max(Duration::from_millis(1));
        When { first: First::After(period), every: Some(period), missed: Missed::Once }
    }

    /// What becomes of firings that were missed; [`Missed::Once`] unless it is said. Only what
    /// repeats misses any: a single firing that comes late still comes.
    #[must_use]
    pub const fn missed(self, missed: Missed) -> When {
        When { missed, ..self }
    }
}

/// What one handler did.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// What it sent, in this order.
    pub(crate) sent: Vec<Parcel>,
    /// Reminders that it has set or cancelled, by name, in this order.
    pub(crate) reminders: Vec<(Box<str>, Option<Reminder>)>,
    /// What it wanted to do and cannot be done.
    pub(crate) failure: Option<String>,
}

impl Deeds {
    pub(super) fn send<T: Entity, M: Message>(&mut self, to: Address<T>, message: &M) {
        let mut key = Vec::new();
        to.key.encode(&mut key);
        if let Some(body) = self.encode(message) {
            self.sent.push(Parcel {
                entity_type: T::NAME.into(),
                key: key.into(),
                message: M::NAME.into(),
                body,
            });
        }
    }

    pub(super) fn remind<M: Message>(
        &mut self,
        name: &str,
        when: When,
        message: &M,
        now: Timestamp,
    ) {
        let When { first, every, missed } = when;
        let due_at = match first {
            First::After(after) => now + after,
            First::At(at) => at,
        };
        if let Some(body) = self.encode(message) {
            let (name, message): (Box<str>, Box<str>) = (name.into(), M::NAME.into());
            let reminder = Reminder { name: name.clone(), due_at, every, missed, message, body };
            self.reminders.push((name, Some(reminder)));
        }
    }

    pub(super) fn cancel(&mut self, name: &str) {
        self.reminders.push((name.into(), None));
    }

    fn encode<M: Message>(&mut self, message: &M) -> Option<Box<[u8]>> {
        let mut body = Vec::new();
        match codec::encode_into(message, &mut body) {
            Ok(()) => Some(body.into_boxed_slice()),
            Err(error) => {
                self.failure = Some(format!("message `{}`: {error}", M::NAME));
                None
            }
        }
    }
}
