//! What is asked of a unit, and what it does about it.

use super::store::{Batch, RowKey};
use crate::engine::execution::{Numbered, Session};
use crate::engine::id::{RequestId, Seq, SessionId, Version};
use crate::engine::instant::Instant;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asker {
    Client(usize),
    Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Add,
    /// Its handler returns an error.
    Fail,
    Read,
}

/// One try of an ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) asker: Asker,
    /// Names the ask to its asker: all tries have the same.
    pub(super) id: u64,
    pub(super) counter: u32,
    pub(super) message: Message,
    pub(super) numbered: Option<Numbered>,
    pub(super) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// How many requests the counter has counted.
    Count(u64),
    /// The handler's own error.
    Failed,
    /// Too late to know; not run.
    Expired,
    /// Not run; later it may be.
    Busy,
}

/// What a unit does that can be seen from outside, in order.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// A handler that writes has run.
    Ran,
    Committed {
        key: RowKey,
        version: Version,
        ledger: Vec<RequestId>,
    },
    Answered {
        ask: Ask,
        reply: Reply,
        saw: Version,
    },
    Opened {
        asker: Asker,
        session: SessionId,
        opening: Session,
    },
    Write(Batch),
    Stored {
        key: RowKey,
        version: Version,
    },
    Parked {
        key: RowKey,
        version: Version,
    },
    Persisted {
        seq: Seq,
    },
    /// Everything up to where `persist` was called is durable.
    PersistDone,
    Stopped {
        why: String,
    },
}
