//! What copies of a partition say to each other.

use super::log::{Entry, Start};
use super::recovery::Extent;
use super::snapshot::{Chunk, Reached};
use crate::engine::id::{Epoch, Position};

/// Counts how often a primary has asked its backups whether they still heed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(pub u64);

/// From one copy to another. `R` is a record, `S` a whole copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<R, S> {
    /// A primary begins its reign: cut what is not mine, and say how far you are.
    Join { epoch: Epoch, starts: Vec<Start> },
    /// It is done: I have everything of yours up to `last`, and heed no earlier epoch any more.
    Joined { epoch: Epoch, last: Position },
    /// I hold what you do not, in my copy: send me yours.
    Parted { epoch: Epoch },
    /// Records right after `after`, and how far all is committed, and stored. Without records: a
    /// sign of life, or a question whether I am still heeded.
    Append {
        epoch: Epoch,
        after: Position,
        entries: Vec<Entry<R>>,
        committed: Position,
        persisted: Position,
        round: Round,
    },
    /// I have everything up to `last`, up to `stored` in my own store, too, and heed you as of that
    /// round.
    Ack { epoch: Epoch, last: Position, stored: Position, round: Round },
    /// I have not joined that epoch.
    NotJoined { epoch: Epoch },
    /// I heed a later epoch.
    Newer { epoch: Epoch },
    /// Everything of this epoch ends at `last`, which you have: the next one is yours.
    Token { epoch: Epoch, last: Position },
    /// A part of my copy.
    Snapshot { epoch: Epoch, starts: Vec<Start>, chunk: Chunk<R, S> },
    /// Of your copy I have that much.
    Taken { epoch: Epoch, reached: Reached },
    /// All who held the partition have lost their memory: what do you have of it?
    Recall { epoch: Epoch },
    /// This, in memory and in the store of my own.
    Recalled { epoch: Epoch, memory: Option<Found<S>>, store: Option<Found<S>> },
}

/// What is left of a partition somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<S> {
    /// All that was changed up to here is in it; of what came later, some may be.
    pub upto: Position,
    /// The newest of all that is in it.
    pub newest: Position,
    pub content: S,
}

impl<S> Found<S> {
    pub(crate) fn extent(&self) -> Extent {
        Extent { newest: self.newest, upto: self.upto }
    }
}

impl<R, S> Message<R, S> {
    /// The epoch that it is of.
    pub(crate) fn epoch(&self) -> Epoch {
        match self {
            Message::Join { epoch, .. }
            | Message::Joined { epoch, .. }
            | Message::Parted { epoch }
            | Message::Append { epoch, .. }
            | Message::Ack { epoch, .. }
            | Message::NotJoined { epoch }
            | Message::Newer { epoch }
            | Message::Token { epoch, .. }
            | Message::Snapshot { epoch, .. }
            | Message::Taken { epoch, .. }
            | Message::Recall { epoch }
            | Message::Recalled { epoch, .. } => *epoch,
        }
    }
}
