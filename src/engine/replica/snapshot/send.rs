//! The primary's side of a snapshot: what was sent, and how far the receiver has come.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::log::Log;
use super::{Chunk, Chunks, Cursor, Reached};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Position;
use crate::engine::instant::Instant;

/// Records in one chunk.
const ENTRIES_MAX: usize = 64;

/// A snapshot on its way to one receiver.
#[derive(Clone, Debug)]
pub(in super::super) struct Sending {
    /// It was begun then: what the receiver said of before is of an earlier one.
    since: Position,
    acked: Reached,
    /// Where the chunks end that are on their way, in their order.
    pub(super) under_way: VecDeque<Reached>,
    /// Since when the receiver has come no further, though something is on its way.
    waits_since: Instant,
    /// When rows may be sent again.
    rows_at: Instant,
    now: Instant,
}

impl Sending {
    /// Of a copy in which everything up to `folded` is.
    pub(in super::super) fn new(folded: Position, now: Instant) -> Sending {
        Sending {
            since: folded,
            acked: Reached::default(),
            under_way: VecDeque::new(),
            waits_since: now,
            rows_at: now,
            now,
        }
    }

    /// Everything up to there was in the copy when it began: a receiver that has that, too, in this
    /// epoch, has all that the snapshot is for.
    pub(in super::super) fn since(&self) -> Position {
        self.since
    }

    /// The receiver has come that far.
    pub(in super::super) fn taken(&mut self, reached: Reached) {
        if reached.at < self.since || reached <= self.acked {
            return;
        }
        self.acked = reached;
        match self.under_way.iter().position(|end| *end == reached) {
            Some(at) => drop(self.under_way.drain(..=at)),
            // It was sent before something was sent again.
            None => self.under_way.clear(),
        }
        self.waits_since = self.now;
    }

    /// Whether there may be something to send now. What was not answered for so long is lost.
    pub(in super::super) fn step(&mut self, again_after: Duration, now: Instant) -> bool {
        self.now = now;
        if self.under_way.is_empty() {
            self.waits_since = now;
        } else if now.saturating_since(self.waits_since) >= again_after {
            self.under_way.clear();
            self.waits_since = now;
        }
        self.sent().upto != Cursor::End
    }

    /// Up to where it was sent.
    fn sent(&self) -> Reached {
        self.under_way.back().copied().unwrap_or(self.acked)
    }

    /// The next chunk, if one may be sent. `rows` has so many rows after a place, at the most, and
    /// says up to where they are.
    pub(in super::super) fn cut<R: Clone, S>(
        &mut self,
        log: &Log<R>,
        chunks: &Chunks,
        rows: impl FnOnce(Cursor, usize) -> (S, Cursor),
    ) -> Option<Chunk<R, S>> {
        let mut after = self.sent();
        if after.upto == Cursor::End || self.under_way.len() >= chunks.window {
            return None;
        }
        if after.upto != Cursor::Start && log.tail(after.at, 0).is_none() {
            *self = Sending { rows_at: self.rows_at, ..Sending::new(log.folded(), self.now) };
            after = self.acked;
        }
        let folded = log.folded();
        let mut entries = match after.upto {
            Cursor::Start => Vec::new(),
            _ => log.tail(after.at, ENTRIES_MAX + 1).unwrap_or_default(),
        };
        entries.retain(|entry| entry.position <= folded);
        let has_rows = entries.len() <= ENTRIES_MAX;
        if has_rows && self.now < self.rows_at {
            return None;
        }
        entries.truncate(ENTRIES_MAX);
        let (rows, reached) = if has_rows {
            self.rows_at = self.now + chunks.pace;
            let (rows, upto) = rows(after.upto, chunks.rows_max);
            (rows, Reached { at: folded, upto })
        } else {
            let at = entries.last().map_or(after.at, |entry| entry.position);
            (rows(after.upto, 0).0, Reached { at, upto: after.upto })
        };
        if is_broken(Breakage::ChunksWithoutTail) {
            entries.clear();
        }
        self.under_way.push_back(reached);
        Some(Chunk { after, entries, reached, rows })
    }
}
