//! Numbers with an identity: none can be mistaken for, or added to, another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A node's stable name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(Arc<str>);

impl NodeId {
    /// The node called `name`.
    #[must_use]
    pub(crate) fn new(name: &str) -> NodeId {
        NodeId(name.into())
    }
}

/// A fixed slice of the key space. All entity types of a grid share the same partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

/// One reign of one primary over one partition. Only grows; every start of a grid raises it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// Number of a record in a partition's stream, from 1 in each epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// A place in a partition's stream. A later epoch is always a later place.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The reign in which the record was written.
    pub epoch: Epoch,
    /// The record's number in that reign.
    pub seq: Seq,
}

/// Which change of a partition an entity's state is from: the position of the batch, and the
/// number of the operation inside it. Totally ordered; never repeats.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// The record (batch) that the change is part of.
    pub position: Position,
    /// Which operation of the batch, from 0.
    pub index: u32,
}

impl Version {
    /// Version of operation `index` of the record at `(epoch, seq)`.
    #[must_use]
    pub fn new(epoch: u64, seq: u64, index: u32) -> Version {
        Version { position: Position { epoch: Epoch(epoch), seq: Seq(seq) }, index }
    }
}

/// One client's numbered asks. Random, or for a durable session derived from its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u128);

/// Which ask of which session: the same id names every try of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session that numbered the ask.
    pub session: SessionId,
    /// The ask's number in that session, from 1.
    pub number: u64,
}

/// An entity inside one copy of one partition: a small number which the processing unit gives
/// when it first sees the entity. Means nothing outside that copy, and is never stored or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntityId {
    /// Which entity type, by its place in this process's registry.
    pub kind: u16,
    /// Which entity of that type in this partition.
    pub slot: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.position.epoch.0, self.position.seq.0, self.index)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}/{}", self.session.0, self.number)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:032x})", self.0)
    }
}
