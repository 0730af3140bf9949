//! A slot, in which a value is or none: read, put, take. What was put may go by itself.
//!
//! When that happens, nobody has asked for it. So an answer that says that nothing was there counts
//! as [`Input::Lapse`]: whatever was there is gone, then or before. Whether it may have been is for
//! somebody else to judge.
//!
//! If no value is put twice, the version-order checker decides every history of it.

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};

/// Slots that are empty at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot;

/// What is asked of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// What is in it.
    Read,
    /// Have this in it, in place of what is.
    Put(u64),
    /// Give what is in it, and have nothing in it.
    Take,
    /// Nobody asks for this: it was seen that nothing is in it.
    Lapse,
}

/// What a slot answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// It is in there.
    Written,
    /// What was in it.
    Found(Option<u64>),
}

impl Model for Slot {
    type State = Option<u64>;
    type Input = Input;
    type Output = Output;

    fn initial(&self) -> Option<u64> {
        None
    }

    fn step(&self, state: &mut Option<u64>, input: &Input) -> Output {
        match *input {
            Input::Read => Output::Found(*state),
            Input::Put(value) => {
                *state = Some(value);
                Output::Written
            }
            Input::Take => Output::Found(state.take()),
            Input::Lapse => {
                *state = None;
                Output::Found(None)
            }
        }
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn is_changeless(&self, input: &Input, output: &Output) -> bool {
        match input {
            Input::Read | Input::Lapse => true,
            Input::Put(_) => false,
            Input::Take => *output == Output::Found(None),
        }
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Put(value) => value,
            Input::Read | Input::Take | Input::Lapse => 0,
        }
    }

    fn settle(
        &self,
        state: &mut Option<u64>,
        seen: &Seen<'_, Slot>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        match *seen.output {
            Output::Found(Some(found)) if *state != Some(found) => {
                if pool.of(found).is_empty() {
                    return Settled::Unexplained;
                }
                pool.take(found);
                *state = Some(found);
                Settled::Certain
            }
            Output::Found(_) | Output::Written => Settled::Certain,
        }
    }
}
