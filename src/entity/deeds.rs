//! What a handler does beyond its entity's state: it is done when the handler has succeeded, and
//! not at all otherwise.

use std::fmt;
use std::time::Duration;

use super::{Entity, Message};
use crate::codec;
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

/// What becomes of a repeated reminder's firings whose successors are due, too: after a crash, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// All of them together are one firing.
    #[default]
    Once,
    /// Each fires; of more than so many, only the last so many.
    Each(u32),
    /// None of them fires: the next firing is the next that is in time.
    Skip,
}

/// What one handler did.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// What it sent, in this order.
    pub(crate) sent: Vec<Parcel>,
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
