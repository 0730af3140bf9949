//! A register: read, write, compare-and-set.
//!
//! If no value is written twice, the version-order checker decides every history of it. If some
//! are, it may leave objects undecided, and reports no fault that is none.

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};

/// Registers that hold 0 at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Register;

/// What is asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// What it holds.
    Read,
    /// Hold this from now on.
    Write(u64),
    /// Hold `to` from now on, if it holds `from`.
    CompareAndSet {
        /// What must be there.
        from: u64,
        /// What comes in its place.
        to: u64,
    },
}

/// What a register answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A write was done.
    Written,
    /// What a read or a compare-and-set found; the latter was done if it is what it asked for.
    Found(u64),
}

impl Model for Register {
    type State = u64;
    type Input = Input;
    type Output = Output;

    const REVEALS: bool = true;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &mut u64, input: &Input) -> Output {
        let found = *state;
        match *input {
            Input::Read => Output::Found(found),
            Input::Write(value) => {
                *state = value;
                Output::Written
            }
            Input::CompareAndSet { from, to } => {
                if found == from {
                    *state = to;
                }
                Output::Found(found)
            }
        }
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn is_changeless(&self, input: &Input, output: &Output) -> bool {
        match (input, output) {
            (Input::Read, _) => true,
            (Input::CompareAndSet { from, .. }, Output::Found(found)) => from != found,
            _ => false,
        }
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Read => 0,
            Input::Write(value) => value,
            Input::CompareAndSet { to, .. } => to,
        }
    }

    fn settle(
        &self,
        state: &mut u64,
        seen: &Seen<'_, Register>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        match *seen.output {
            Output::Written => Settled::Certain,
            Output::Found(found) => reach(state, found, pool),
        }
    }
}

/// Brings the register from `state` to `found`, backwards from there: a compare-and-set needs
/// what it found, which another indeterminate operation may have brought.
fn reach(state: &mut u64, found: u64, pool: &mut Pool<'_, Input>) -> Settled {
    let (mut wanted, mut chain, mut settled) = (found, Vec::new(), Settled::Certain);
    while wanted != *state {
        let candidates = pool.of(wanted);
        let Some(first) = candidates.iter().max_by_key(|input| ease(input, *state)) else {
            chain.into_iter().for_each(|(mark, input)| pool.put(mark, input));
            return match settled {
                Settled::Guess => Settled::TooHard,
                _ if !pool.knew(found) => Settled::Impossible,
                _ => Settled::Unexplained,
            };
        };
        let first = *first;
        if candidates.iter().any(|other| *other != first) {
            settled = Settled::Guess;
        }
        pool.take_exactly(wanted, first);
        chain.push((wanted, first));
        match *first {
            Input::CompareAndSet { from, .. } => wanted = from,
            Input::Read | Input::Write(_) => break,
        }
    }
    *state = found;
    settled
}

/// Which candidate to prefer: one that fits here only, then one that always fits.
fn ease(input: &Input, state: u64) -> u8 {
    match input {
        Input::CompareAndSet { from, .. } if *from == state => 2,
        Input::Write(_) => 1,
        Input::CompareAndSet { .. } | Input::Read => 0,
    }
}
