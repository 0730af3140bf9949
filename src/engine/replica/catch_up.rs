//! A copy in a snapshot: the primary's, of which it is cut, and the one that it is to become.

use super::copy::{Copy, Effect};
use super::log::{Entry, Log, Start};
use super::message::Message;
use super::snapshot::{Chunk, Cursor, Receiving};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position};
use crate::engine::table::Member;

impl<R: Clone> Copy<R> {
    /// The next part of the copy for one that is brought up to date, if it may be sent now, and
    /// this is a primary's. `rows` has so many rows of what is folded after a place, at the most,
    /// and says up to where they are.
    pub(crate) fn chunk<S>(
        &mut self,
        to: Member,
        rows: impl FnOnce(Cursor, usize) -> (S, Cursor),
    ) -> Option<Message<R, S>> {
        let reign = self.reign.as_mut()?;
        let chunk = reign.cut(to, &self.log, &self.config.chunks, rows)?;
        Some(Message::Snapshot { epoch: reign.epoch, starts: self.log.starts().to_vec(), chunk })
    }

    /// What has come of another copy is of no use any more.
    pub(super) fn unstage<S>(&mut self, effects: &mut Vec<Effect<R, S>>) {
        if self.receiving.take().is_some() {
            effects.push(Effect::Unstage);
        }
    }

    /// Another copy is to take this one's place: a part of it has come. Returns what is answered.
    pub(super) fn take<S>(
        &mut self,
        epoch: Epoch,
        starts: &[Start],
        chunk: Chunk<R, S>,
        effects: &mut Vec<Effect<R, S>>,
    ) -> Message<R, S> {
        let reached = chunk.reached;
        let has_it = reached.at <= self.log.last() && !is_broken(Breakage::OldSnapshotTaken);
        let is_begun = self.receiving.is_some_and(|known| known.epoch() == epoch);
        // Of a snapshot that it has already, or has not begun.
        let is_stray = !chunk.is_first() && !is_begun;
        if epoch <= self.joined && (has_it || is_stray) {
            return Message::Joined { epoch, last: self.log.last() };
        }
        let Some(next) = Receiving::next(self.receiving, epoch, &chunk) else {
            let known = self.receiving.filter(|known| known.epoch() == epoch);
            let reached = known.map(|known| known.reached()).unwrap_or_default();
            return Message::Taken { epoch, reached };
        };
        self.end_reign(effects);
        let is_first = chunk.is_first();
        effects.push(Effect::Stage { is_first, entries: chunk.entries, rows: chunk.rows });
        self.receiving = Some(next);
        if reached.upto != Cursor::End && !is_broken(Breakage::PartTakenForWhole) {
            return Message::Taken { epoch, reached };
        }
        self.receiving = None;
        if epoch > self.joined {
            // What it has stored may be of another past.
            self.stored = Position::default();
        }
        self.whole_at = Position::default();
        let before = self.unfolded();
        self.log = Log::after(reached.at);
        let is_cut = self.log.join(starts);
        debug_assert!(is_cut.is_ok(), "a copy parts from nobody");
        self.joined = epoch;
        // What it could not be rid of one by one, nobody else may have.
        let is_there = |entry: &Entry<R>| self.log.holds(entry.position) == Some(true);
        let cut: Vec<_> = before.into_iter().filter(|entry| !is_there(entry)).collect();
        if !cut.is_empty() {
            effects.push(Effect::Cut(cut));
        }
        effects.push(Effect::Install);
        Message::Joined { epoch, last: self.log.last() }
    }
}
