//! How a copy that lacks more than the log has is brought up to date: row by row, while the rows go
//! on changing.
//!
//! The primary walks all rows in an order of its own, a few at a time. What it sends is one ordered
//! queue of [`Chunk`]s: each has the records since the last one, and then the next rows of the walk
//! as they are after these records. The receiver puts that together beside the copy that it has,
//! and takes it in place of that when the walk has come to its end.
//!
//! # Why that is right
//!
//! Say that a receiver *has reached* `(at, upto)` if, of what it has put together, the rows whose
//! place is at or under `upto` are just those that the primary's folded copy had there at `at`; and
//! of the others it has those that a record of the walk has written and no later one has
//! removed, as that record wrote them. Then:
//!
//! * *It begins right.* At the start of a walk nothing is at or under `upto`, and nothing is there.
//! * *Each chunk keeps it.* A chunk from `(at, upto)` to `(at', upto')` has all records after `at`
//!   up to `at'`, and all rows after `upto` up to `upto'` as of `at'`. A record says the whole of
//!   each row that it changes. Behind the cursor, rows that are added, changed, removed, dropped or
//!   evicted are so by the records, as at any backup. Between the two cursors the rows say what
//!   is there; and what is not there any more, a record of the walk has removed, or it never
//!   came. A row does not change its place, so none is passed over, and none is walked twice.
//! * *So at the end it is the primary's copy* as of the last chunk, as everything is at or under
//!   the end. What it had before is gone, with all that the walk did not name.
//!
//! Nothing of this asks which walk a chunk is of. A chunk fits where the receiver has reached just
//! what it begins from, in this epoch; there it is true, however late it comes, and elsewhere it is
//! not taken. So a lost chunk is cut anew, from later rows and more records, and needs no
//! memory but of how far the receiver has come: its answer says so. What a receiver has reached
//! only grows, by position and then by place: the beginning of another walk is taken only if it is
//! later than all of that. So an old answer is told from a new one.
//!
//! An eviction is not followed where each node has a store of its own: that the primary's has the
//! row says nothing of the receiver's.
//!
//! # Why it ends
//!
//! A receiver has come so far that the log has all records since, or the walk begins anew. What the
//! log must have is what is recorded in one round trip, not in the whole walk: each answer lets go
//! what was before it. So under steady load the length of the walk does not matter: whoever is
//! quick enough to follow at all is quick enough for a snapshot. While anybody is brought up to
//! date the log has at least [`Chunks::tail_min`] records, also if it is to keep fewer else. Rows
//! are paced, records are not, and a chunk of rows waits until the records before it fit into it:
//! so the queue never falls behind the log because of the pace.

mod receive;
mod send;

#[cfg(test)]
mod property;

use std::time::Duration;

use super::log::Entry;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Position;
pub(super) use receive::Receiving;
pub(super) use send::Sending;

/// A row's place in the order in which a primary walks the rows. It means nothing to others, and
/// does not change in a reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub u128);

/// Up to where rows were walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cursor {
    #[default]
    Start,
    /// Up to this row.
    After(Place),
    End,
}

/// How far a receiver has come: all rows up to a place, as of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reached {
    pub at: Position,
    pub upto: Cursor,
}

/// What takes a receiver from one place of the walk to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<R, S> {
    /// From where it does. From the start: it begins a walk.
    pub after: Reached,
    /// All records since then.
    pub entries: Vec<Entry<R>>,
    /// To where.
    pub reached: Reached,
    /// The rows between, as of then.
    pub rows: S,
}

impl<R, S> Chunk<R, S> {
    /// Whether it begins a walk.
    pub(super) fn is_first(&self) -> bool {
        self.after.upto == Cursor::Start
    }
}

/// How a snapshot is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    /// Rows in one chunk.
    pub rows_max: usize,
    /// Chunks that may be on their way at once.
    pub window: usize,
    /// Rows are sent no more often than this.
    pub pace: Duration,
    /// Folded records that are kept while a copy is brought up to date.
    pub tail_min: usize,
}

impl Chunks {
    /// How many folded records a log keeps that is to keep so many, if somebody `is_brought_up` to
    /// date or not.
    pub(super) fn kept(&self, kept_max: usize, is_brought_up: bool) -> usize {
        let is_needed = is_brought_up && !is_broken(Breakage::TailNotKept);
        if is_needed { kept_max.max(self.tail_min) } else { kept_max }
    }
}
