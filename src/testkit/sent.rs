//! What a handler did beyond its entity's state, as a harness shows it.

use std::fmt;
use std::time::Duration;

use super::stored_row::row_key;
use crate::codec;
use crate::engine::instant::Timestamp;
use crate::entity::deeds::{Parcel, Reminder};
use crate::entity::{Entity, Message, MessageTo};
use crate::key::IntoKey;

/// A message that a handler has sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SentMessage(pub(super) Parcel);

impl SentMessage {
    /// Whether it is for the entity of this type and key.
    #[must_use]
    pub fn is_to<E: Entity>(&self, key: impl IntoKey<E::Key>) -> bool {
        let key = row_key::<E>(key);
        *key.entity_type == *self.0.entity_type && *key.key == *self.0.key
    }

    /// The message, as an entity of type `E` gets it; `None` if it is for another type, or another
    /// message.
    ///
    /// # Panics
    /// When it does not survive being encoded.
    #[must_use]
    #[track_caller]
    pub fn message<E: Entity, M: MessageTo<E>>(&self) -> Option<M> {
        if *self.0.entity_type != *E::NAME || *self.0.message != *M::NAME {
            return None;
        }
        match codec::decode(&self.0.body) {
            Ok(message) => Some(message),
            Err(error) => panic!("message `{}` cannot be decoded again: {error}", M::NAME),
        }
    }
}

impl fmt::Debug for SentMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = codec::show(&self.0.body).unwrap_or_default();
        write!(f, "{} {body} to a {}", self.0.message, self.0.entity_type)
    }
}

/// A reminder that an entity has.
#[derive(Clone, PartialEq, Eq)]
pub struct SetReminder(pub(super) Reminder);

impl SetReminder {
    /// Names it among the entity's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// When it is due next.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.0.due_at
    }

    /// How long after that it is due again, if it is.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.0.every
    }

    /// Whether its message is an `M`.
    #[must_use]
    pub fn is<M: Message>(&self) -> bool {
        *self.0.message == *M::NAME
    }
}

impl fmt::Debug for SetReminder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = codec::show(&self.0.body).unwrap_or_default();
        write!(f, "{:?}: {} {body} at {:?}", self.0.name, self.0.message, self.0.due_at)
    }
}
