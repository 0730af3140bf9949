//! Dead letters as a tool: what the store refused for good, for a person to look at and decide.

use std::fmt;
use std::str::FromStr;

use crate::codec;
use crate::engine::id::{PartitionId, Version};
use crate::engine::instant::Timestamp;
use crate::entity::{Entity, StoredState};
use crate::error::DecodeError;
use crate::runtime::unit::{LetterId, Settled};
use crate::store::{self, RowKey};

use super::Grid;

/// The writes that the store refused for good.
///
/// They are durable in the store, and what readers see, also after a restart: the acknowledged
/// write stands, only its row is not there. A newer write of the entity that the store takes
/// replaces its dead letter; otherwise it stays until somebody replays or discards it. As long as a
/// partition has [`Limits::dead_letters_per_partition_max`](crate::Limits) of them, it takes no
/// writes.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    grid: Grid,
}

/// A write that the store refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it: also as text, for another program.
    pub id: DeadLetterId,
    /// Wire name of the entity type.
    pub entity_type: String,
    /// The entity's key, as its `Debug` shows it.
    pub key: String,
    /// Which change was refused.
    pub version: Version,
    /// Why, in the store's words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked.
    pub parked_at: Timestamp,
}

/// Names a dead letter: an entity, and the change of it that was refused.
///
/// As text: partition, version, entity type, and key bytes in hexadecimal,
/// `p12/1.47.0/cart/616c6963650000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterId(LetterId);

/// A dead letter, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The letter.
    pub letter: DeadLetter,
    state: Option<(u32, Vec<u8>)>,
}

/// Why nothing was done with a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// There is no such letter: it was replayed or discarded, or a newer write took its place.
    #[error("there is no such dead letter (any more)")]
    NotFound,
    /// Somebody else is replaying or discarding it.
    #[error("the dead letter is being replayed or discarded")]
    UnderWay,
    /// The store refused what was to take its place, which is now a dead letter itself.
    #[error("refused again: {reason}")]
    Refused {
        /// Why, in the store's words.
        reason: String,
    },
    /// It is a session's: it can be replayed, and goes when the session is closed.
    #[error("the dead letter is a session's and cannot be discarded")]
    NotDiscardable,
    /// The row to go back to cannot be read.
    #[error("the row to go back to cannot be read: {reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// The store could not be asked for the row to go back to.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The grid has ended, or another process took its store.
    #[error("the grid has ended, or another process took its store")]
    Unavailable,
}

impl DeadLetters {
    pub(super) fn new(grid: Grid) -> DeadLetters {
        DeadLetters { grid }
    }

    /// All of them, by entity type and key.
    ///
    /// # Errors
    /// [`DeadLetterError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let found = self.grid.router().dead_letters().await;
        let found = found.ok_or(DeadLetterError::Unavailable)?;
        let letter = |(partition, shown, letter)| DeadLetter::new(partition, shown, letter);
        let mut letters: Vec<DeadLetter> = found.into_iter().map(letter).collect();
        letters.sort_by(|a, b| (&a.entity_type, &a.key).cmp(&(&b.entity_type, &b.key)));
        Ok(letters)
    }

    /// One of them, with the state that the store refused.
    ///
    /// # Errors
    /// [`DeadLetterError::NotFound`] and [`DeadLetterError::Unavailable`].
    pub async fn inspect(&self, id: &DeadLetterId) -> Result<Inspection, DeadLetterError> {
        let opened = self.grid.router().open_letter(&id.0).await;
        let opened =
            opened.ok_or(DeadLetterError::Unavailable)?.ok_or(DeadLetterError::NotFound)?;
        let letter = DeadLetter::new(id.0.partition, opened.shown, opened.letter);
        Ok(Inspection { letter, state: opened.state })
    }

    /// Writes it to the store once more, for when the store would take it now. Resolves when it
    /// is stored and the letter gone. While the store is down, that takes as long as it is down; to
    /// stop waiting does not stop it.
    ///
    /// # Errors
    /// [`DeadLetterError::Refused`] if the store refuses it again; it is then a new dead letter.
    /// Besides, as [`inspect`](Self::inspect), and [`DeadLetterError::UnderWay`].
    pub async fn replay(&self, id: &DeadLetterId) -> Result<(), DeadLetterError> {
        outcome(self.grid.router().replay_letter(&id.0).await)
    }

    /// Throws it away: the entity goes back to what its row says, or is removed if it has none.
    /// **An acknowledged write is lost by this, by your decision.** Retries of asks that the
    /// entity has answered still hear these answers. Resolves when the store has it so.
    ///
    /// # Errors
    /// As [`replay`](Self::replay); besides, what a look at the row may come to.
    pub async fn discard(&self, id: &DeadLetterId) -> Result<(), DeadLetterError> {
        let store = self.grid.store().ok_or(DeadLetterError::NotFound)?;
        let mut loaded = store.load(&[(id.0.partition, id.0.key.clone())]).await;
        let loaded = loaded.pop().ok_or(DeadLetterError::Unavailable)??;
        outcome(self.grid.router().discard_letter(&id.0, loaded.row).await)
    }
}

fn outcome(settled: Option<Settled>) -> Result<(), DeadLetterError> {
    match settled {
        Some(Settled::Stored) => Ok(()),
        Some(Settled::ParkedAgain { reason }) => Err(DeadLetterError::Refused { reason }),
        Some(Settled::NotFound) => Err(DeadLetterError::NotFound),
        Some(Settled::UnderWay) => Err(DeadLetterError::UnderWay),
        Some(Settled::Unreadable { reason }) => Err(DeadLetterError::Unreadable { reason }),
        Some(Settled::NotDiscardable) => Err(DeadLetterError::NotDiscardable),
        None => Err(DeadLetterError::Unavailable),
    }
}

impl DeadLetter {
    fn new(partition: PartitionId, key: String, letter: store::DeadLetter) -> DeadLetter {
        let store::DeadLetter { row, reason, attempts, parked_at } = letter;
        let version = row.version;
        DeadLetter {
            entity_type: row.key.entity_type.to_string(),
            id: DeadLetterId(LetterId { partition, key: row.key, version }),
            key,
            version,
            reason,
            attempts,
            parked_at,
        }
    }
}

impl Inspection {
    /// The state that was refused, as text that looks like JSON, whatever type it is of. `None`
    /// if what was refused is a removal, or a session's. Bytes are shown in hexadecimal; what is
    /// very long is cut.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let (_, bytes) = self.state.as_ref()?;
        Some(codec::show(bytes).unwrap_or_else(|error| format!("cannot be read: {error}")))
    }

    /// Version of the schema of the state.
    #[must_use]
    pub fn schema(&self) -> Option<u32> {
        self.state.as_ref().map(|(schema, _)| *schema)
    }

    /// The state that was refused; `None` if what was refused is a removal.
    ///
    /// # Errors
    /// When it is no `E`, or of a version that `E` cannot read.
    pub fn state<E: Entity>(&self) -> Result<Option<E>, DecodeError> {
        let Some((schema, bytes)) = &self.state else { return Ok(None) };
        StoredState::new(*schema, bytes).into_entity().map(Some)
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LetterId { partition, key, version } = &self.0;
        write!(f, "{partition}/{version}/{}/", key.entity_type)?;
        key.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for DeadLetterId {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<DeadLetterId, DecodeError> {
        parse(text).ok_or_else(|| DecodeError::new(format!("`{text}` is no dead letter's id")))
    }
}

fn parse(text: &str) -> Option<DeadLetterId> {
    let (partition, rest) = text.strip_prefix('p')?.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    // The type's name may have a slash itself, the key's digits have none.
    let (entity_type, key) = rest.rsplit_once('/')?;
    let mut numbers = version.split('.');
    let (epoch, seq) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let index = numbers.next()?.parse().ok()?;
    if numbers.next().is_some() || !key.is_ascii() || key.len() % 2 != 0 {
        return None;
    }
    let digits = |at: usize| u8::from_str_radix(&key[at..at + 2], 16).ok();
    let key: Option<Vec<u8>> = (0..key.len()).step_by(2).map(digits).collect();
    Some(DeadLetterId(LetterId {
        partition: PartitionId(partition.parse().ok()?),
        key: RowKey { entity_type: entity_type.into(), key: key?.into() },
        version: Version::new(epoch, seq, index),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        for (entity_type, key) in [("cart", &b"alice\0\0"[..]), ("a/b", b""), ("", b"\xff")] {
            let key = RowKey { entity_type: entity_type.into(), key: key.to_vec().into() };
            let version = Version::new(u64::MAX, 2, 3);
            let id = DeadLetterId(LetterId { partition: PartitionId(12), key, version });
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "p1", "p1/1.2/a/", "p1/1.2.3.4/a/", "p1/1.2.3/a/0", "p1/1.2.3/a/é", "x"] {
            assert!(text.parse::<DeadLetterId>().is_err(), "{text}");
        }
    }
}
