//! Writes that somebody holds and the grid does not: they are handed in to the primary.
//!
//! What an asynchronous type was answered may be lost with a promotion, and still be in the memory
//! of a process that lives: of the primary of before that was only cut off, or of a backup that
//! was left behind. Each copy that is cut, or that is no copy any more, tells the primary of the
//! day what it has, again and again, until that has said of each record that it is settled. (Of
//! more than a copy may keep the newest are dropped, and counted.) What
//! is settled, and how, is the type's choice; that it was done is a part of the entity, so that a
//! record which comes twice, or from two copies, is settled once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::Entry;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position, Seq};
use crate::engine::instant::Instant;

/// Records that one copy keeps to hand them in. Of more than that the newest are dropped, and
/// counted: those before them must come first.
const WAITING_MAX: usize = 1024;

/// Records in one message.
const RECORDS_MAX: usize = 16;

/// Epochs of which an entity keeps up to where all is settled.
const EPOCHS_MAX: usize = 8;

/// What one copy is to hand in.
#[derive(Clone, Debug)]
pub(crate) struct HandIn<R> {
    waiting: BTreeMap<Position, R>,
    sent_at: Option<Instant>,
    overflowed: u64,
}

impl<R> Default for HandIn<R> {
    fn default() -> HandIn<R> {
        HandIn { waiting: BTreeMap::new(), sent_at: None, overflowed: 0 }
    }
}

impl<R: Clone> HandIn<R> {
    /// These may be lacking, oldest first.
    pub(crate) fn add(&mut self, entries: impl IntoIterator<Item = Entry<R>>) {
        for Entry { position, record } in entries {
            if self.waiting.len() < WAITING_MAX || self.waiting.contains_key(&position) {
                self.waiting.insert(position, record);
            } else {
                self.overflowed += 1;
            }
        }
    }

    /// What is to be said now, oldest first, if anything.
    pub(crate) fn due(&mut self, now: Instant, again_after: Duration) -> Option<Vec<Entry<R>>> {
        let is_early = |at: Instant| now.saturating_since(at) < again_after;
        if self.waiting.is_empty() || self.sent_at.is_some_and(is_early) {
            return None;
        }
        self.sent_at = Some(now);
        let entry = |(position, record): (&Position, &R)| Entry {
            position: *position,
            record: record.clone(),
        };
        Some(self.waiting.iter().take(RECORDS_MAX).map(entry).collect())
    }

    /// The primary has these, or has done with them what their types want, for good.
    pub(crate) fn settled(&mut self, positions: &[Position]) {
        positions.iter().for_each(|position| drop(self.waiting.remove(position)));
        self.sent_at = None; // the next ones
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many were dropped.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }
}

/// Up to where an entity's records that were handed in are settled: a part of the entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// By the epochs that they are of.
    upto: BTreeMap<Epoch, Seq>,
}

/// What is known of a record that is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    New,
    Settled,
    /// So many epochs have come since that nobody can tell.
    TooOld,
}

impl Settled {
    /// All copies cut an epoch at the same place, and hand in what comes after that in its order.
    pub(crate) fn judge(&self, position: Position) -> Claim {
        match self.upto.get(&position.epoch) {
            Some(_) if is_broken(Breakage::HandInTwice) => Claim::New,
            Some(upto) if position.seq <= *upto => Claim::Settled,
            None if self.is_full() && self.upto.keys().next() > Some(&position.epoch) => {
                Claim::TooOld
            }
            _ => Claim::New,
        }
    }

    pub(crate) fn settle(&mut self, position: Position) {
        let upto = self.upto.entry(position.epoch).or_default();
        *upto = (*upto).max(position.seq);
        if self.upto.len() > EPOCHS_MAX {
            self.upto.pop_first();
        }
    }

    fn is_full(&self) -> bool {
        self.upto.len() >= EPOCHS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::simulation::random::Random;

    const AGAIN: Duration = Duration::from_millis(200);

    fn at(epoch: u64, seq: u64) -> Position {
        Position { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    fn entries(seqs: impl Iterator<Item = u64>) -> impl Iterator<Item = Entry<u64>> {
        seqs.map(|seq| Entry { position: at(1, seq), record: seq })
    }

    #[test]
    fn what_is_not_settled_is_said_again() {
        let (mut hand_in, start) = (HandIn::default(), Instant::default());
        assert_eq!(hand_in.due(start, AGAIN), None);
        hand_in.add(entries(1..=20));
        let first = hand_in.due(start, AGAIN).unwrap();
        assert_eq!(first.len(), RECORDS_MAX);
        assert_eq!(hand_in.due(start, AGAIN), None);
        assert_eq!(hand_in.due(start + AGAIN, AGAIN), Some(first));
        hand_in.settled(&[at(1, 1), at(1, 3)]);
        let next: Vec<u64> =
            hand_in.due(start + AGAIN, AGAIN).unwrap().iter().map(|it| it.record).collect();
        assert_eq!(next[..3], [2, 4, 5]);
    }

    #[test]
    fn beyond_the_bound_the_newest_are_dropped_and_counted() {
        let mut hand_in = HandIn::default();
        hand_in.add(entries(1..=WAITING_MAX as u64 + 3));
        hand_in.add(entries(1..=2));
        assert_eq!((hand_in.waiting.len(), hand_in.overflowed()), (WAITING_MAX, 3));
        assert_eq!(hand_in.waiting.last_key_value().unwrap().0, &at(1, WAITING_MAX as u64));
    }

    /// Copies that lack ends of what others have, and say everything several times: each record is
    /// settled once, and of each epoch in its order.
    #[test]
    fn each_record_is_settled_once() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (mut settled, mut done) = (Settled::default(), Vec::new());
            for _ in 0..30 {
                let (epoch, last) = (random.between(1, 6), random.between(1, 9));
                for seq in 1..=last {
                    match settled.judge(at(epoch, seq)) {
                        Claim::New => {
                            settled.settle(at(epoch, seq));
                            done.push(at(epoch, seq));
                        }
                        claim => assert!(claim == Claim::Settled && done.contains(&at(epoch, seq))),
                    }
                }
            }
            let all = done.len();
            done.sort_unstable();
            done.dedup();
            assert_eq!(done.len(), all, "by {seed}");
        }
    }

    #[test]
    fn of_epochs_long_past_nobody_can_tell() {
        let mut settled = Settled::default();
        (2..=20).for_each(|epoch| settled.settle(at(epoch, 4)));
        assert_eq!(settled.judge(at(1, 1)), Claim::TooOld);
        assert_eq!(settled.judge(at(20, 4)), Claim::Settled);
        assert_eq!(settled.judge(at(21, 1)), Claim::New);
        assert_eq!(settled.upto.len(), EPOCHS_MAX);
    }
}
