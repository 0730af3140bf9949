//! What can go wrong with a grid as a whole.

use crate::engine::id::PartitionId;
use crate::store;

/// Why a grid did not start. Nothing is left running, and the store is as it was (save its fences).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What the builder was given does not fit together.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The store belongs to another grid, or to this one in another shape.
    #[error("the store has {what} `{found}`, not `{wanted}`")]
    ForeignStore {
        /// What differs.
        what: &'static str,
        /// What the store has.
        found: String,
        /// What the builder was given.
        wanted: String,
    },
    /// The store has rows of an entity type that this grid was not built with. Add the type, give
    /// a renamed type its old name with `#[entity(name = "..")]`, or leave its rows alone with
    /// `GridBuilder::retired`.
    #[error(
        "the store has {rows} rows or more of entity type `{name}`, which this grid does not know"
    )]
    UnknownEntityType {
        /// The type's wire name.
        name: String,
        /// How many rows one partition has of it.
        rows: u64,
    },
    /// Entities of a type that is named as retired have sent messages that have not arrived. Start
    /// once more with the type, until `fastness_outbox_messages` is 0 and no message is parked.
    #[error(
        "`{name}` is retired, and {rows} rows of it or more hold messages that have not arrived"
    )]
    RetiredTooEarly {
        /// The type's wire name.
        name: String,
        /// How many such rows one partition has.
        rows: u64,
    },
    /// A row is damaged, or was written by a later release.
    #[error("row {row} of partition {partition}: {reason}")]
    CorruptRow {
        /// Its partition.
        partition: PartitionId,
        /// Its entity type and key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No thread could be made.
    #[error("make threads: {0}")]
    Threads(#[from] std::io::Error),
    /// A thread of the grid panicked while it started.
    #[error("a thread panicked while the grid started")]
    ThreadPanicked,
    /// The operating system gave no random numbers.
    #[error("no random numbers: {0}")]
    NoRandomness(String),
}

/// Why a grid's end was not clean.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// `Limits::leave_max` was over before everything was answered and stored, or another process
    /// took the store.
    #[error("left before everything was answered and stored: {pending} entities are not stored")]
    Incomplete {
        /// How many entities' newest changes the store does not have.
        pending: usize,
    },
    /// Messages between entities had not arrived after half of `Limits::leave_max`, and there is no
    /// store in which they could wait for the next start.
    #[error("left before {messages} messages had arrived, and there is no store to keep them")]
    Undelivered {
        /// How many.
        messages: usize,
    },
    /// A thread of the grid had panicked, or the store did not close.
    #[error("a thread of the grid had panicked, or its store did not close")]
    ThreadPanicked,
}

/// Why nobody can say that everything is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PersistError {
    /// The grid has none.
    #[error("the grid has no store")]
    NoStore,
    /// The grid was left, or another process took its store.
    #[error("the grid has ended, or another process took its store")]
    Unavailable,
}

/// Why a durable session could not be opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The grid has ended, or a partition has as many sessions as it may have.
    #[error("a partition did not take the session: it has ended, or has too many sessions")]
    Unavailable,
}
