//! What copies of a partition are told: how long to wait for what, and where to store.

use std::time::Duration;

use super::snapshot::Chunks;
use crate::engine::id::Position;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Silence after which a primary asks to be rid of a backup.
    pub replica_timeout: Duration,
    /// How often a backup hears something.
    pub heartbeat: Duration,
    /// When what was not answered is sent again.
    pub send_again_after: Duration,
    /// The same of what a snapshot is made of, and of what is left of a partition.
    pub send_copy_again_after: Duration,
    /// When a change of the row is proposed again.
    pub propose_again_after: Duration,
    /// How long a new primary waits for the candidates that are up.
    pub join_patience: Duration,
    /// How long a copy's own store may stand still, while the primary's does not, before it is
    /// to be removed.
    pub store_patience: Duration,
    /// How long a copy must have kept up before it counts.
    pub rejoin_after: Duration,
    /// Records that may wait for their commit.
    pub window_max: usize,
}

/// Who drains into what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One store for all nodes: the primary drains into it.
    Shared,
    /// A store at each node: each copy drains into its own.
    Replica,
}

/// Up to where everything is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// As it must be: in all stores that count.
    pub by_all: Position,
    /// In the store that this copy drains into.
    pub here: Position,
}

/// What copies of a partition are alike in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub timing: Timing,
    /// Folded records that are kept for copies that are a little behind.
    pub kept_max: usize,
    /// Records that may be answered and not be committed, of the type that allows the most.
    pub lag_max: usize,
    pub scope: Scope,
    pub chunks: Chunks,
}
