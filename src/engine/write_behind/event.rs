//! What a write-behind queue is told, and what it wants done.

use std::time::Duration;

use crate::engine::id::{EntityId, Epoch, Seq, Version};
use crate::engine::invariant::Violation;
use crate::engine::replica::primary::Change;

/// Names one try to write. Never repeats in one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(pub u64);

/// What a queue is told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A committed change. All changes of a batch are offered before anything else happens, in the
    /// order of their versions. Only takes note: what is due then is written by the next event of
    /// another kind, so that changes made together are written together.
    Changed(Change),
    /// Everything up to here is committed, and what the store is to have of it was offered.
    Passed {
        /// The commit point.
        seq: Seq,
    },
    /// Everything that is pending is due at once.
    Flush,
    /// The store has done a batch: one outcome for each entry, in the same order.
    Answered {
        /// Which batch.
        batch: BatchId,
        /// What became of its entries.
        outcomes: Vec<Outcome>,
    },
    /// The store has not done a batch, or nobody knows.
    Failed {
        /// Which batch.
        batch: BatchId,
        /// Why.
        failure: Failure,
    },
    /// Time has passed.
    Tick,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is durable.
    Stored,
    /// The store holds a newer version, and kept it.
    Superseded {
        /// That version.
        found: Version,
    },
    /// The store will never take it.
    Refused {
        /// Why, for a person.
        reason: String,
    },
}

/// Why a batch was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not now, or nobody knows: the same again may succeed.
    Unavailable {
        /// Why, for a person.
        reason: String,
    },
    /// Something in it will never be taken, and the store does not say what.
    Refused {
        /// Why, for a person.
        reason: String,
    },
    /// A later epoch owns the partition.
    Fenced {
        /// That epoch.
        by: Epoch,
    },
}

/// What a queue wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Write these, and answer with the batch's id. Versions are the newest at this moment: encode
    /// each entity before anything else changes it. Records come first, then dead letters.
    Write {
        /// The id to answer with.
        batch: BatchId,
        /// At most one of each entity.
        entries: Vec<Entry>,
    },
    /// The row holds this version.
    Stored {
        /// The entity.
        entity: EntityId,
        /// The durable version.
        version: Version,
    },
    /// The store refused this version for good, and holds it as a dead letter: it is as durable as
    /// a row.
    Parked {
        /// The entity.
        entity: EntityId,
        /// The durable version.
        version: Version,
        /// Why, for a person.
        parking: Parking,
    },
    /// A write failed and is tried again.
    Retrying {
        /// Failures in a row so far.
        failures: u32,
        /// When: after this time.
        after: Duration,
        /// Why it failed, for a person.
        reason: String,
    },
    /// The watermark has grown: everything at or under it is durable, in rows or dead letters.
    Persisted {
        /// The watermark.
        seq: Seq,
    },
    /// A later epoch owns the partition: it must stop here, and nothing is written any more.
    Fenced {
        /// That epoch.
        by: Epoch,
    },
    /// An invariant is broken: the partition must stop here, and nothing is written any more.
    Violated(Violation),
}

/// One entity in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose newest state is to be written.
    pub(crate) entity: EntityId,
    /// Its version.
    pub(crate) version: Version,
    /// If it is to be written as a dead letter: why.
    pub(crate) parking: Option<Parking>,
}

/// Why a record becomes a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parking {
    /// The store's reason, for a person.
    pub(crate) reason: String,
    /// How often this version was tried as a record.
    pub(crate) attempts: u32,
    /// How often its dead letter was refused.
    pub(crate) refusals: u32,
}
