//! What goes over the network.

use super::load::{Load, Loaded};
use super::mail::Letter;
use super::object::{Input, Key, Output, State};
use super::record::Record;
use super::store::{Batch, Stored};
use crate::engine::id::{Epoch, PartitionId, Position, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::{Entry, Found, Message};
use crate::engine::report::{Report, ReportNumber};
use crate::engine::suspicion::Word;
use crate::engine::table::{At, Command, Delta, Member, TableVersion};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    Node(usize),
    Client(usize),
    Store,
    /// A node's own store.
    Disk(usize),
}

/// What a read rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// Leases, and so clocks.
    Leased,
    /// A round to all who may be named the next primary.
    Confirmed,
}

/// What a client asks of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To know its session.
    Open,
    Read(Key, Input, Consistency),
    /// Numbered; see [`Numbered`](crate::engine::execution::Numbered).
    Write {
        key: Key,
        input: Input,
        opening: Position,
        floor: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Where the session was opened.
    Opened(Position),
    Done {
        output: Output,
        version: Version,
    },
    /// Certainly not done by this try.
    Refused,
    /// Nobody can tell.
    Unknown,
    /// There is no such session.
    NotOpen,
    /// The number is closed, and its answer gone.
    Expired,
}

/// What the leader is told, and nobody else.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// What has changed of the sender's copies.
    pub report: Report,
    /// Whom it does not hear.
    pub word: Word,
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
        /// If its sender leads: up to where it knows the receiver's reports.
        leads: Option<ReportNumber>,
    },
    BeatAnswer {
        from: Member,
        to: Member,
        asked_at: Instant,
        version: TableVersion,
        /// For the leader.
        told: Option<Told>,
    },
    /// There is a host, and nobody on it that listens.
    Refused {
        by: usize,
    },
    Pull(TableVersion),
    Delta(Delta),
    Propose(Vec<Command>),
    /// A copy that is not wanted any more.
    Shrink {
        at: At,
        remove: Member,
    },
    /// From a partition to a partition.
    Letter {
        from: PartitionId,
        to: PartitionId,
        letter: Letter,
    },
    /// To a primary: records that it may not have.
    HandIn {
        partition: PartitionId,
        entries: Vec<Entry<Record>>,
    },
    /// Of these nothing is to be kept.
    Settled {
        partition: PartitionId,
        settled: Vec<Position>,
    },
    Write(Batch),
    Stored(Stored),
    /// To the shared store: heed nobody of an earlier epoch, and say what there is.
    Scan {
        partition: PartitionId,
        epoch: Epoch,
    },
    Scanned {
        partition: PartitionId,
        epoch: Epoch,
        found: Found<State>,
    },
    Load(Load),
    Loaded(Loaded),
    /// An operator has a dead letter replayed.
    Replay {
        partition: PartitionId,
        key: Key,
        version: Position,
    },
    /// A row is to be compared with what the shared store has.
    Compare {
        partition: PartitionId,
        key: Key,
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
