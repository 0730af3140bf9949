//! The durable system behind a grid: the [`Store`] trait, and the stores that come with Fastness.
//!
//! A store keeps *rows*. A row is one entity whole, already encoded; a store looks at its key and
//! its version, never into it. What a store must promise is written at each method of the trait
//! and held by [`conformance`], which a store of your own should run in its tests.
//!
//! A store decides nothing: retries, bisecting, parking and coalescing are the write-behind
//! engine's.

pub mod conformance;
mod memory;
#[cfg(feature = "sled")]
mod sled;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::id::{Epoch, PartitionId, Version};
use crate::engine::instant::Timestamp;

pub use memory::MemoryStore;
#[cfg(feature = "sled")]
pub use sled::SledStore;

/// A durable home for the rows of one grid.
///
/// A grid calls [`claim`](Store::claim), then [`raise_fences`](Store::raise_fences), then
/// [`scan`](Store::scan) and [`dead_letters`](Store::dead_letters) of each partition; from then on
/// [`write`](Store::write), from one task at a time, and beside it [`load`](Store::load), from one
/// task at a time and, for dead letters, from others; at the end [`close`](Store::close).
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes this the store of the grid that `row` describes, durably, if it is nobody's yet.
    /// Returns the row that is there afterwards: the given one, or the one of an earlier claim.
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error>;

    /// Raises the fence of each named partition to the given epoch, durably, where that is higher,
    /// and returns what was found there before, in the same order ([`Epoch`] 0 where nothing was).
    ///
    /// From then on, [`write`](Store::write) refuses every batch of a lower epoch.
    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error>;

    /// Up to `rows_max` rows of a partition whose keys follow `after`, ascending by key. Fewer
    /// than `rows_max` means that these were the last. A row that is damaged is an
    /// [`Error::Corrupt`], never left out.
    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error>;

    /// The rows and dead letters of some entities, one answer for each, in the same order; the same
    /// key may come twice. Holds everything that a [`write`](Store::write) had stored before the
    /// call. Called beside a `write` that is under way, and then sees of that all or nothing of
    /// each key.
    ///
    /// # Errors
    /// For each key on its own: what is damaged is an [`Error::Corrupt`] of its key.
    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>>;

    /// All dead letters of a partition, ascending by key. Of a key's row and dead letter, the newer
    /// one is what the grid goes on with.
    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error>;

    /// Writes many partitions' batches in one durable commit, and returns one outcome for each, in
    /// the same order. When it returns `Ok`, every record whose outcome is
    /// [`Stored`](RecordOutcome::Stored) survives a loss of power.
    ///
    /// * A batch whose epoch is below its partition's fence is [`Fenced`](BatchOutcome::Fenced)
    ///   and changes nothing; the other batches go on.
    /// * A record whose version is lower than the row's is
    ///   [`Superseded`](RecordOutcome::Superseded). An equal version is written again: what an
    ///   earlier, failed call left behind may not be durable.
    /// * A record stored removes its key's dead letter, if that is not of a newer version.
    /// * A dead letter leaves the row as it is, older or newer, and replaces an older dead letter
    ///   of its key; a newer one supersedes it.
    /// * A record without content deletes the row.
    ///
    /// # Errors
    /// On `Err`, any part of the batches may have been written, and the caller must assume
    /// nothing: it writes the same, or something newer, again.
    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error>;

    /// Makes everything durable and gives up what the store holds (locks, threads, connections).
    /// Calls after it fail with [`Error::Closed`]. A second close does nothing.
    async fn close(&self) -> Result<(), Error>;
}

/// What a store says of the grid that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridRow {
    /// Random, made when the grid was.
    pub grid_id: u128,
    /// The grid's name, as given to its builder.
    pub name: String,
    /// How many partitions it has; fixed for its life.
    pub partitions: u16,
    /// Copies of each partition in memory.
    pub copies: u16,
    /// Format of its records.
    pub format: u16,
    /// Name of the hash that assigns keys to partitions.
    pub hash: String,
}

/// Which entity a row is of. Ordered by type, then by key bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Wire name of the entity type; at most 255 bytes.
    pub entity_type: Arc<str>,
    /// The encoded key.
    pub key: Bytes,
}

/// One entity's newest stored change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which entity.
    pub key: RowKey,
    /// Which change of it.
    pub version: Version,
    /// The encoded record, opaque to the store; `None` deletes the row (the entity was removed,
    /// and nobody may ask about it again).
    pub record: Option<Bytes>,
}

/// A record that the store refused for good, kept in the store beside the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was refused.
    pub row: Row,
    /// Why, in the store's words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Partition time at which it was parked.
    pub parked_at: Timestamp,
}

/// What a store holds of one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Its row, if there is one.
    pub row: Option<Row>,
    /// Its dead letter, if there is one.
    pub dead_letter: Option<DeadLetter>,
}

/// What one partition wants written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBatch {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch of the primary that writes.
    pub epoch: Epoch,
    /// At most one of each key.
    pub records: Vec<Row>,
    /// At most one of each key, and none of a key in `records`.
    pub dead_letters: Vec<DeadLetter>,
}

/// What became of one partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// One outcome for each of `records`, then one for each of `dead_letters`.
    Written(Vec<RecordOutcome>),
    /// A later epoch has raised the partition's fence; nothing of the batch was written.
    Fenced {
        /// The fence's epoch.
        by: Epoch,
    },
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is durable.
    Stored,
    /// The store holds a newer version, and kept it.
    Superseded {
        /// That version.
        found: Version,
    },
    /// The store will never take this record; others of the batch are not affected.
    Refused {
        /// Why, for a person.
        reason: String,
    },
}

/// Why a store could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not now; the same call may succeed later.
    #[error("store is unavailable: {reason}")]
    Unavailable {
        /// What went wrong, for a person.
        reason: String,
    },
    /// Something in the call will never be accepted, and the store cannot say which part.
    #[error("store refused the batch: {reason}")]
    Refused {
        /// What went wrong, for a person.
        reason: String,
    },
    /// Another process, or another handle of this one, holds the store.
    #[error("store at {location} is in use")]
    Locked {
        /// Where the store is.
        location: String,
    },
    /// What is stored is damaged; nothing was changed.
    #[error("store is corrupt: {what}")]
    Corrupt {
        /// What is damaged, for a person.
        what: String,
    },
    /// What is stored is laid out in a way that this build does not know.
    #[error("store has layout {found}, this build knows {known}")]
    UnknownLayout {
        /// Number of the layout that was found.
        found: u32,
        /// Number of the layout that is known.
        known: u32,
    },
    /// The store was closed.
    #[error("store is closed")]
    Closed,
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.entity_type, self.key.escape_ascii())
    }
}
