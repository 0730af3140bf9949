//! The records of one partition that a copy keeps, and where each epoch began.
//!
//! Positions are numbered from 1 in each epoch, so it takes the epochs' starts to say what comes
//! after what, and where two copies part: a copy that saw the end of a reign which others did not
//! see is cut to where they are alike.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position, Seq};

/// Where an epoch began: its first record comes right after `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub epoch: Epoch,
    pub after: Position,
}

/// A record at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<R> {
    pub position: Position,
    pub record: R,
}

/// Records without a gap, from a base on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log<R> {
    /// Everything at or under it is no longer here.
    base: Position,
    /// Everything at or under it is in the copy, and cannot be taken back.
    folded: Position,
    entries: VecDeque<Entry<R>>,
    /// Ascending; all that began after the base, and some before.
    starts: Vec<Start>,
}

/// A copy holds what is not the primary's, and cannot be rid of it: it needs another copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parted;

/// Epochs whose starts are kept. A copy that parted before these needs a snapshot.
const STARTS_MAX: usize = 64;

/// Whether another copy's starts can be: ascending, and each of an epoch after that of the record
/// that it comes after; or at the beginning of its own, in a log that was put together then.
pub(super) fn are_sound(starts: &[Start]) -> bool {
    let is_sound = |start: &Start| match start.after.epoch.cmp(&start.epoch) {
        Ordering::Less => true,
        Ordering::Equal => start.after.seq == Seq(0),
        Ordering::Greater => false,
    };
    let ascends = |two: &[Start]| two[0].epoch < two[1].epoch && two[0].after < two[1].after;
    starts.iter().all(is_sound) && starts.windows(2).all(ascends)
}

impl<R: Clone> Log<R> {
    /// The log of a copy that holds everything up to `base`.
    pub(crate) fn after(base: Position) -> Log<R> {
        Log { base, folded: base, entries: VecDeque::new(), starts: Vec::new() }
    }

    /// The log of a copy that was put together from what was left: whatever was before this epoch,
    /// nobody has it as it was, and no other copy is alike.
    pub(crate) fn anew(epoch: Epoch) -> Log<R> {
        let base = match is_broken(Breakage::FoundNotSent) {
            true => Position::default(),
            false => Position { epoch, seq: Seq(0) },
        };
        let mut log = Log::after(base);
        log.starts.push(Start { epoch, after: base });
        log
    }

    pub(crate) fn folded(&self) -> Position {
        self.folded
    }

    /// Where the last record is.
    pub(crate) fn last(&self) -> Position {
        self.entries.back().map_or(self.base, |entry| entry.position)
    }

    /// How many records are not in the copy yet.
    pub(crate) fn unfolded_len(&self) -> usize {
        self.len_after(self.folded)
    }

    /// How many of the records here come after `position`.
    pub(crate) fn len_after(&self, position: Position) -> usize {
        self.entries.len() - self.entries.partition_point(|entry| entry.position <= position)
    }

    pub(crate) fn starts(&self) -> &[Start] {
        &self.starts
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    /// Begins an epoch after what is there.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        let start = Start { epoch, after: self.last() };
        // It may have joined epochs that began after what it holds: these are no part of its past.
        // Those that began where this one does have left nothing.
        self.starts.retain(|known| known.after < start.after);
        debug_assert!(self.starts.last().is_none_or(|last| last.epoch < epoch));
        self.starts.push(start);
        if self.starts.len() > STARTS_MAX {
            // Those after the base are needed here.
            let spare = self.starts.iter().take_while(|start| start.after < self.base).count();
            self.starts.drain(..spare.min(self.starts.len() - STARTS_MAX));
        }
    }

    /// The place of the next record of the epoch that began last.
    pub(crate) fn next(&self, epoch: Epoch) -> Position {
        let last = self.last();
        let seq = if last.epoch == epoch { last.seq.next() } else { Seq(1) };
        Position { epoch, seq }
    }

    /// The place before that of a record, or nothing if its epoch began before the base.
    fn before(&self, position: Position) -> Option<Position> {
        if position.seq > Seq(1) {
            return Some(Position { seq: Seq(position.seq.0 - 1), ..position });
        }
        let start = self.starts.iter().find(|start| start.epoch == position.epoch)?;
        Some(start.after)
    }

    /// Whether a record is here, or was once it was folded: if that can be told. The past may begin
    /// later than that.
    pub(crate) fn holds(&self, position: Position) -> Option<bool> {
        let Some(next) = self.starts.iter().find(|start| start.epoch > position.epoch) else {
            return Some(position <= self.last());
        };
        match next.after.epoch.cmp(&position.epoch) {
            Ordering::Equal => Some(position <= next.after),
            Ordering::Less => Some(false),
            Ordering::Greater => None,
        }
    }

    /// Adds a record if it comes right after the last one. Returns whether it is here now.
    pub(crate) fn append(&mut self, entry: Entry<R>) -> bool {
        if entry.position <= self.last() {
            return true;
        }
        let follows = self.before(entry.position) == Some(self.last());
        if follows {
            self.entries.push_back(entry);
        }
        follows
    }

    /// Records after `position`, up to `max` of them; `None` if they are not all here.
    pub(crate) fn tail(&self, position: Position, max: usize) -> Option<Vec<Entry<R>>> {
        if position < self.base {
            return None;
        }
        let from = self.entries.partition_point(|entry| entry.position <= position);
        Some(self.entries.range(from..).take(max).cloned().collect())
    }

    /// The records that go into the copy now that all up to `upto` are committed, oldest first.
    pub(crate) fn fold(&mut self, upto: Position) -> Vec<Entry<R>> {
        let upto = upto.min(self.last());
        let from = self.entries.partition_point(|entry| entry.position <= self.folded);
        let to = self.entries.partition_point(|entry| entry.position <= upto);
        self.folded = self.folded.max(upto);
        self.entries.range(from..to.max(from)).cloned().collect()
    }

    /// Forgets folded records, the oldest first, until at most `max` are here.
    pub(crate) fn trim(&mut self, max: usize) {
        while self.entries.len() > max
            && let Some(entry) = self.entries.pop_front_if(|entry| entry.position <= self.folded)
        {
            self.base = entry.position;
        }
    }

    /// Takes over the history of a primary, and cuts what the two do not have in common. After it
    /// everything here is the primary's, too. Returns what was cut.
    ///
    /// # Errors
    /// [`Parted`] if what is not the primary's is in the copy already, or may be.
    pub(crate) fn join(&mut self, starts: &[Start]) -> Result<Vec<Entry<R>>, Parted> {
        if is_broken(Breakage::AckedWithoutJoin) {
            self.starts = starts.to_vec();
            return Ok(Vec::new());
        }
        let common = self.common(starts).filter(|common| *common >= self.folded).ok_or(Parted)?;
        let keep = self.entries.partition_point(|entry| entry.position <= common);
        let cut = self.entries.split_off(keep);
        self.starts = starts.to_vec();
        Ok(Vec::from(cut))
    }

    /// The last position that this log and a primary's have in common, as far as that is known.
    fn common(&self, theirs: &[Start]) -> Option<Position> {
        let mut at = self.last();
        loop {
            if at == Position::default() {
                return Some(at);
            }
            // Up to there the primary has records of epochs that are not after this one.
            let end = match theirs.iter().find(|start| start.epoch > at.epoch) {
                None => return Some(at),
                Some(next) => next.after,
            };
            match end.epoch.cmp(&at.epoch) {
                Ordering::Equal => return Some(at.min(end)),
                // It has none of this epoch: nobody was told of what is here. Look before it.
                Ordering::Less => at = self.starts.iter().find(|s| s.epoch == at.epoch)?.after,
                // Its history does not go back that far.
                Ordering::Greater => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, seq: u64) -> Position {
        Position { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    /// A log of epochs, each of so many records.
    fn log(epochs: &[(u64, u64)]) -> Log<()> {
        let mut log = Log::after(Position::default());
        for (epoch, records) in epochs {
            log.begin(Epoch(*epoch));
            for _ in 0..*records {
                let entry = Entry { position: log.next(Epoch(*epoch)), record: () };
                assert!(log.append(entry));
            }
        }
        log
    }

    #[test]
    fn a_copy_is_cut_to_where_it_parted_from_the_primary() {
        // Epoch 2 went on at the copy for two records that the next primary did not see.
        let mut copy = log(&[(1, 3), (2, 4)]);
        let cut = copy.join(log(&[(1, 3), (2, 2), (3, 0)]).starts()).unwrap();
        assert_eq!(copy.last(), at(2, 2));
        let cut: Vec<Position> = cut.iter().map(|entry| entry.position).collect();
        assert_eq!(cut, [at(2, 3), at(2, 4)]);
        // Of epoch 2 the primary has nothing at all, and it left epoch 1 early.
        let mut copy = log(&[(1, 3), (2, 4)]);
        copy.join(log(&[(1, 2), (3, 0)]).starts()).unwrap();
        assert_eq!(copy.last(), at(1, 2));
        // A copy that is behind is not cut.
        let mut copy = log(&[(1, 1)]);
        copy.join(log(&[(1, 3), (2, 2), (3, 0)]).starts()).unwrap();
        assert_eq!(copy.last(), at(1, 1));
    }

    #[test]
    fn an_epoch_that_began_after_what_a_copy_holds_is_no_part_of_its_past() {
        let mut copy = log(&[(1, 2)]);
        copy.join(log(&[(1, 3), (2, 0)]).starts()).unwrap();
        copy.begin(Epoch(3));
        let mut other = log(&[(1, 3), (2, 0)]);
        other.join(copy.starts()).unwrap();
        assert_eq!(other.last(), at(1, 2), "the third record is not the new primary's");
    }

    #[test]
    fn what_is_in_the_copy_cannot_be_cut() {
        let mut copy = log(&[(1, 3), (2, 4)]);
        assert_eq!(copy.fold(at(2, 3)).len(), 6);
        assert_eq!(copy.join(log(&[(1, 3), (2, 2), (3, 0)]).starts()), Err(Parted));
        assert_eq!(copy.join(log(&[(1, 3), (3, 0)]).starts()), Err(Parted));
        copy.join(log(&[(1, 3), (2, 3), (3, 0)]).starts()).unwrap();
        assert_eq!((copy.folded(), copy.last()), (at(2, 3), at(2, 3)));
    }

    #[test]
    fn no_copy_of_before_is_like_one_that_was_put_together() {
        let mut anew = Log::anew(Epoch(4));
        assert_eq!(anew.next(Epoch(4)), at(4, 1));
        assert!(anew.append(Entry { position: at(4, 1), record: () }));
        for mut before in [log(&[(1, 3)]), log(&[(1, 3), (3, 5)])] {
            assert_eq!(before.join(anew.starts()), Err(Parted));
        }
        // One that has nothing has nothing else; it lacks what was found.
        let mut empty = log(&[]);
        empty.join(anew.starts()).unwrap();
        assert_eq!((empty.last(), anew.tail(empty.last(), 9)), (Position::default(), None));
    }

    #[test]
    fn starts_that_cannot_be_are_told_from_those_that_can() {
        let start = |epoch, after| Start { epoch: Epoch(epoch), after };
        assert!(are_sound(log(&[(1, 3), (2, 4), (5, 1)]).starts()));
        assert!(are_sound(Log::<()>::anew(Epoch(4)).starts()));
        assert!(!are_sound(&[start(2, at(2, 1))]), "after a record of its own");
        assert!(!are_sound(&[start(2, at(3, 1))]), "after a later one");
        assert!(!are_sound(&[start(2, at(1, 1)), start(3, at(1, 1))]), "two at one place");
        assert!(!are_sound(&[start(3, at(1, 1)), start(2, at(1, 2))]), "descending");
    }

    #[test]
    fn which_records_are_of_its_past_is_known_by_where_epochs_began() {
        let copy = log(&[(1, 3), (2, 4), (5, 2)]);
        let holds = |positions: &[(u64, u64)]| -> Vec<Option<bool>> {
            positions.iter().map(|(epoch, seq)| copy.holds(at(*epoch, *seq))).collect()
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(holds(&[(1, 3), (1, 4), (2, 4), (2, 5)]), [yes, no, yes, no]);
        assert_eq!(holds(&[(3, 1), (5, 2), (5, 3), (6, 1)]), [no, yes, no, no]);
        let anew = Log::<()>::anew(Epoch(7));
        assert_eq!(anew.holds(at(5, 1)), None, "it is not known what was before");
    }

    #[test]
    fn records_are_taken_only_without_a_gap() {
        let mut copy = log(&[(1, 2)]);
        let entry = |epoch, seq| Entry { position: at(epoch, seq), record: () };
        assert!(!copy.append(entry(1, 4)));
        assert!(copy.append(entry(1, 2)), "it is here already");
        assert!(!copy.append(entry(2, 1)), "where epoch 2 begins is not known");
        copy.begin(Epoch(2));
        assert!(copy.append(entry(2, 1)));
        let tail = copy.tail(at(1, 1), 9).unwrap();
        assert_eq!(
            tail.iter().map(|entry| entry.position).collect::<Vec<_>>(),
            [at(1, 2), at(2, 1)]
        );
        assert_eq!(copy.fold(at(1, 2)).len(), 2);
        copy.trim(1);
        assert_eq!((copy.tail(at(1, 1), 9), copy.tail(at(1, 2), 9).unwrap().len()), (None, 1));
        copy.trim(0);
        assert_eq!(copy.len(), 1, "what is not folded stays");
    }
}
