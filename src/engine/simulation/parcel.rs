//! What goes over the network.

use std::collections::BTreeMap;

use crate::engine::id::{PartitionId, Position, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::Message;
use crate::engine::table::{Command, Delta, Member, TableVersion};

pub(super) type Key = u8;
pub(super) type Value = u64;
/// Of each register its value, and where that was written.
pub(super) type State = BTreeMap<Key, (Value, Position)>;
pub(super) type Record = Vec<(Key, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    Node(usize),
    Client(usize),
}

/// What a client asks of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Read(Key),
    Write(Key, Value),
    /// Writes the second value if the first one is there.
    Swap(Key, Value, Value),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// What a read or a swap has found, and in which version.
    Done { found: Value, version: Version },
    /// Certainly not done.
    Refused,
    /// Nobody can tell.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Copy {
        partition: PartitionId,
        from: Member,
        to: Member,
        message: Message<Record, State>,
    },
    /// A sign of life, and a question for leases.
    Beat {
        from: Member,
        sent_at: Instant,
        version: TableVersion,
    },
    BeatAnswer {
        from: Member,
        asked_at: Instant,
        version: TableVersion,
        report: BTreeMap<PartitionId, Position>,
    },
    Pull(TableVersion),
    Delta(Delta),
    Propose(Vec<Command>),
    /// A copy that is not wanted any more.
    Shrink {
        partition: PartitionId,
        remove: Member,
    },
    Ask {
        number: u64,
        partition: PartitionId,
        ask: Ask,
    },
    Reply {
        number: u64,
        reply: Reply,
    },
}

impl Parcel {
    /// Asks are not numbered here, so the network must not repeat them.
    pub(super) fn may_come_twice(&self) -> bool {
        !matches!(self, Parcel::Ask { .. })
    }
}

impl Ask {
    pub(super) fn key(self) -> Key {
        match self {
            Ask::Read(key) | Ask::Write(key, _) | Ask::Swap(key, ..) => key,
        }
    }
}
