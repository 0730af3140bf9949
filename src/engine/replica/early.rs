//! Answers that do not wait for the other copies, and how many of them a crash may take back.
//!
//! A type that is asynchronous is answered as soon as its primary holds what it answers, by lease
//! as every type. So a few records are known outside of which no other copy is known to hold
//! anything. They are counted, over all types of a partition: while a type's bound is reached, its
//! answers wait for the commit as others do. Reads count, too: who reads what is not committed
//! knows of it.
//!
//! All that is committed is with whoever may be named the next primary. So what that one lacks of
//! what was answered is among the records that were counted at that moment, and they are no more
//! than the bound. It lacks none that was answered in any other way.

use std::collections::BTreeSet;

use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Position;

/// Whether what a type answers waits for the other copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    /// Every copy in sync holds it before.
    Sync,
    /// The primary holds it.
    Async {
        /// Records of the partition that may be known outside, and not be committed.
        lag_max: usize,
    },
}

/// The records of a reign that were answered, and are not committed as far as is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    told: BTreeSet<Position>,
}

/// What a new primary may lack of what the one before it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreplicated {
    /// Everything up to here is there: what is lacking came after it, in an earlier epoch.
    pub after: Position,
    /// So many records at the most.
    pub at_most: usize,
}

impl Early {
    /// Everything up to `committed` is with all that may be named the next primary.
    pub(crate) fn commit(&mut self, committed: Position) {
        self.told = self.told.split_off(&committed);
        self.told.remove(&committed);
    }

    /// Whether an answer that depends on a record may be given though that is not committed. If so
    /// it counts as known from here on.
    pub(crate) fn tell(&mut self, position: Position, replication: Replication) -> bool {
        let Replication::Async { lag_max } = replication else { return false };
        let is_within = self.told.contains(&position) || self.told.len() < lag_max;
        let may = is_within || is_broken(Breakage::AsyncLagUnbounded);
        if may {
            self.told.insert(position);
        }
        may
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    /// The reign is over: what becomes of them, the next one says.
    pub(crate) fn end(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::{Epoch, Seq};
    use crate::engine::simulation::random::Random;

    fn at(seq: u64) -> Position {
        Position { epoch: Epoch(1), seq: Seq(seq) }
    }

    #[test]
    fn a_sync_type_is_never_early() {
        let mut early = Early::default();
        assert!(!early.tell(at(1), Replication::Sync));
        assert_eq!(early.len(), 0);
    }

    #[test]
    fn at_the_bound_only_what_is_known_is_told() {
        let (mut early, lagging) = (Early::default(), Replication::Async { lag_max: 2 });
        assert!(early.tell(at(3), lagging) && early.tell(at(5), lagging));
        assert!(!early.tell(at(4), lagging), "it would be the third");
        assert!(early.tell(at(5), lagging), "it is known");
        assert!(!early.tell(at(5), Replication::Sync), "for others it is as uncertain as before");
        early.commit(at(3));
        assert!(early.tell(at(4), lagging) && !early.tell(at(6), lagging));
        early.commit(at(9));
        assert_eq!(early.len(), 0);
        assert!(!early.tell(at(10), Replication::Async { lag_max: 0 }));
    }

    /// Whatever happens: what was told and is not committed is never more than the bound, and what
    /// is refused would have been.
    #[test]
    fn no_more_is_known_than_may_be_lost() {
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let lag_max = random.between(0, 5) as usize;
            let (mut early, mut last, mut committed) = (Early::default(), 0, 0);
            let mut told = BTreeSet::new();
            for _ in 0..200 {
                match random.between(0, 5) {
                    0..=1 => last += random.between(0, 3),
                    2 => {
                        committed = random.between(committed, last);
                        early.commit(at(committed));
                        told.retain(|seq| *seq > committed);
                    }
                    _ if last > committed => {
                        let seq = random.between(committed + 1, last);
                        let is_told = early.tell(at(seq), Replication::Async { lag_max });
                        assert_eq!(is_told, told.contains(&seq) || told.len() < lag_max, "{seed}");
                        is_told.then(|| told.insert(seq));
                    }
                    _ => (),
                }
                assert!(early.len() <= lag_max && early.len() == told.len(), "by {seed}");
            }
        }
    }
}
