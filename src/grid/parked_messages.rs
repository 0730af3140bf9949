//! Messages that could not be applied, for a person to look at and decide.

use crate::codec;
use crate::engine::id::{PartitionId, Position};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::Number;
use crate::error::DecodeError;
use crate::runtime::unit;

use super::Grid;

/// The messages between entities that could not be applied: their handler panicked every time, or
/// they are for a type, a message or a state that this build cannot read.
///
/// They are kept, durably, by the entity that sent them, until somebody replays or discards them.
/// The messages behind them went on.
#[derive(Clone, Debug)]
pub struct ParkedMessages {
    grid: Grid,
}

/// A message that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMessage {
    /// Names it.
    pub id: ParkedMessageId,
    /// Wire name of the type of the entity that sent it.
    pub sender_type: String,
    /// That entity's key, as its `Debug` shows it.
    pub sender_key: String,
    /// Wire name of the type of the entity that it is for.
    pub entity_type: String,
    /// That entity's key, encoded.
    pub key: Vec<u8>,
    /// The message's wire name.
    pub message: String,
    /// Why it could not be applied.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked.
    pub parked_at: Timestamp,
    body: Vec<u8>,
}

/// Names a parked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParkedMessageId {
    /// The partition of the entity that sent it.
    pub partition: PartitionId,
    /// The change that it was part of.
    pub position: Position,
    /// Which message of that change.
    pub index: u32,
}

/// Why nothing was done with a parked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParkedMessageError {
    /// There is no such message: it was replayed or discarded.
    #[error("there is no such parked message (any more)")]
    NotFound,
    /// The grid has ended, or another process took its store.
    #[error("the grid has ended, or another process took its store")]
    Unavailable,
}

impl ParkedMessage {
    fn new(partition: PartitionId, found: unit::ParkedMessage) -> ParkedMessage {
        let unit::ParkedMessage { number, sender, parcel, parked } = found;
        ParkedMessage {
            id: ParkedMessageId { partition, position: number.position, index: number.index },
            sender_type: sender.0,
            sender_key: sender.1,
            entity_type: parcel.entity_type.to_string(),
            key: parcel.key.to_vec(),
            message: parcel.message.to_string(),
            reason: parked.reason,
            attempts: parked.attempts,
            parked_at: parked.at,
            body: parcel.body.to_vec(),
        }
    }

    /// What the message says, as text that looks like JSON.
    ///
    /// # Errors
    /// When its bytes are no value.
    pub fn show(&self) -> Result<String, DecodeError> {
        codec::show(&self.body)
    }
}

impl ParkedMessages {
    pub(super) fn new(grid: Grid) -> ParkedMessages {
        ParkedMessages { grid }
    }

    /// All of them, by partition, in the order in which they were sent.
    ///
    /// # Errors
    /// [`ParkedMessageError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<ParkedMessage>, ParkedMessageError> {
        let found = self.grid.router().parked_messages().await;
        let found = found.ok_or(ParkedMessageError::Unavailable)?;
        Ok(found.into_iter().map(|(at, found)| ParkedMessage::new(at, found)).collect())
    }

    /// Sends it once more, as if its entity had sent it now. Resolves when that is durable (where
    /// there is a store).
    ///
    /// # Errors
    /// [`ParkedMessageError::NotFound`], [`ParkedMessageError::Unavailable`].
    pub async fn replay(&self, id: ParkedMessageId) -> Result<(), ParkedMessageError> {
        self.settle(id, true).await
    }

    /// Throws it away: it never takes effect. Resolves when that is durable (where there is a
    /// store).
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub async fn discard(&self, id: ParkedMessageId) -> Result<(), ParkedMessageError> {
        self.settle(id, false).await
    }

    async fn settle(&self, id: ParkedMessageId, again: bool) -> Result<(), ParkedMessageError> {
        let ParkedMessageId { partition, position, index } = id;
        let router = self.grid.router();
        let settled = router.settle_parked(partition, Number { position, index }, again).await;
        match settled {
            Some(()) => Ok(()),
            None if router.is_open() => Err(ParkedMessageError::NotFound),
            None => Err(ParkedMessageError::Unavailable),
        }
    }
}
