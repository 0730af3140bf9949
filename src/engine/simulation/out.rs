//! What comes of what a node does.

use std::collections::BTreeMap;

use super::asynchronous::Reconciled;
use super::parcel::{Endpoint, Parcel};
use super::row::RowKey;
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::replica::Gap;
use crate::engine::table::Command;

/// What a node sends.
#[derive(Default)]
pub(super) struct Out {
    pub parcels: Vec<(Endpoint, Parcel)>,
    pub proposals: Vec<Command>,
    /// What it has answered: up to where that must never be lost.
    pub answered: Vec<(PartitionId, Position)>,
    /// What it has put together: in which epoch, what may be lacking, and what is there.
    pub recovered: Vec<(PartitionId, Epoch, Gap, BTreeMap<RowKey, Position>)>,
    /// What was here, and the primary did not have.
    pub cut: Vec<(PartitionId, Position)>,
    /// What it has answered before it was committed.
    pub early: Vec<(PartitionId, Position)>,
    /// What it has done with what others have handed in.
    pub reconciled: Vec<(PartitionId, Reconciled)>,
    /// Where it has answered by lease.
    pub leased: Vec<PartitionId>,
}
