//! A counter that only goes up. Every answer is its count, after the addition if there is one.
//!
//! The version-order checker decides every history in which the indeterminate additions to an
//! object are of one amount. If they are of several, it may have to guess which ones came in, and
//! leaves an object undecided that only another guess could explain. A count that goes down, or
//! beyond all that was asked, is a fault in any case.

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};

/// Counters that are at 0 at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter;

/// What is asked of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// Its count.
    Read,
    /// Go up by so much, at least 1.
    Add(u64),
}

/// Sums of at most so many steps are tried to explain one count.
const STEPS_MAX: usize = 10_000;

impl Model for Counter {
    type State = u64;
    type Input = Input;
    /// The count.
    type Output = u64;

    const REVEALS: bool = true;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &mut u64, input: &Input) -> u64 {
        if let Input::Add(amount) = input {
            *state = state.saturating_add(*amount);
        }
        *state
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Read => 0,
            Input::Add(amount) => amount,
        }
    }

    fn settle(
        &self,
        state: &mut u64,
        seen: &Seen<'_, Counter>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        let own = self.mark(seen.input);
        let Some(missing) = seen.output.checked_sub(own).and_then(|was| was.checked_sub(*state))
        else {
            return Settled::Impossible;
        };
        if missing == 0 {
            return Settled::Certain;
        }
        let amounts: Vec<(u64, usize)> = pool.marks().rev().filter(|(mark, _)| *mark > 0).collect();
        let sum: u128 = amounts.iter().map(|(amount, n)| u128::from(*amount) * *n as u128).sum();
        if sum < u128::from(missing) {
            return Settled::Impossible;
        }
        let mut sums = Sums { amounts: &amounts, found: Vec::new(), steps: 0 };
        sums.search(missing, &mut Vec::new());
        let (is_complete, is_only) = (sums.steps < STEPS_MAX, sums.found.len() == 1);
        let Some(first) = sums.found.first() else {
            return if is_complete { Settled::Unexplained } else { Settled::TooHard };
        };
        for ((amount, _), times) in amounts.iter().zip(first) {
            for _ in 0..*times {
                pool.take(*amount);
            }
        }
        *state += missing;
        if is_complete && is_only { Settled::Certain } else { Settled::Guess }
    }
}

/// Ways to make a sum of the amounts that there are, the first two.
struct Sums<'a> {
    amounts: &'a [(u64, usize)],
    found: Vec<Vec<usize>>,
    steps: usize,
}

impl Sums<'_> {
    /// `times` says how often each of the first amounts is taken.
    fn search(&mut self, missing: u64, times: &mut Vec<usize>) {
        if missing == 0 {
            self.found.push(times.clone());
            return;
        }
        let Some((amount, there)) = self.amounts.get(times.len()).copied() else { return };
        let most = usize::try_from(missing / amount).map_or(there, |fit| fit.min(there));
        let is_last = times.len() + 1 == self.amounts.len();
        let least = if is_last { most } else { 0 };
        for taken in (least..=most).rev() {
            self.steps += 1;
            if self.found.len() > 1 || self.steps >= STEPS_MAX {
                return;
            }
            times.push(taken);
            self.search(missing - amount * taken as u64, times);
            times.pop();
        }
    }
}
