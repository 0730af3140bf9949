//! A set that only grows. An add tells whether the element is new, a read all elements in order.
//!
//! The version-order checker decides every history of it: adds change no answer but those about
//! the same element, so that they may be settled as late as they are seen.

use std::collections::BTreeSet;

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};

/// Sets that are empty at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GrowingSet;

/// What is asked of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// Its elements.
    Read,
    /// Have this element.
    Add(u64),
}

/// What a set answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Whether the element was new.
    Added(bool),
    /// All elements, ascending.
    Elements(Vec<u64>),
}

impl Model for GrowingSet {
    type State = BTreeSet<u64>;
    type Input = Input;
    type Output = Output;

    fn initial(&self) -> BTreeSet<u64> {
        BTreeSet::new()
    }

    fn step(&self, state: &mut BTreeSet<u64>, input: &Input) -> Output {
        match *input {
            Input::Read => Output::Elements(state.iter().copied().collect()),
            Input::Add(element) => Output::Added(state.insert(element)),
        }
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn is_changeless(&self, input: &Input, output: &Output) -> bool {
        self.is_read(input) || *output == Output::Added(false)
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Read => 0,
            Input::Add(element) => element,
        }
    }

    fn settle(
        &self,
        state: &mut BTreeSet<u64>,
        seen: &Seen<'_, GrowingSet>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        match (seen.input, seen.output) {
            (Input::Add(element), Output::Added(false)) => take(state, &[*element], pool),
            (Input::Add(element), _) if state.contains(element) => Settled::Impossible,
            (_, Output::Elements(elements)) => take(state, elements, pool),
            _ => Settled::Certain,
        }
    }
}

/// Those of `elements` that are missing came in, or nothing is changed.
fn take(state: &mut BTreeSet<u64>, elements: &[u64], pool: &mut Pool<'_, Input>) -> Settled {
    let missing: BTreeSet<u64> =
        elements.iter().filter(|element| !state.contains(element)).copied().collect();
    if missing.iter().any(|element| pool.of(*element).is_empty()) {
        return Settled::Unexplained;
    }
    for element in missing {
        pool.take(element);
        state.insert(element);
    }
    Settled::Certain
}
