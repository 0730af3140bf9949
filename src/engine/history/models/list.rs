//! A list that only grows at its end. An append tells how long the list is then, a read all of it.
//!
//! The version-order checker decides every history of it: how many unknown elements came in front
//! of an append is told by its answer, and which ones by the next read.

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};

/// Lists that are empty at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List;

/// What is asked of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// Its elements.
    Read,
    /// Have one more element, at the end.
    Append(u64),
}

/// What a list answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// How long it is with the new element.
    Length(usize),
    /// All elements.
    Elements(Vec<u64>),
}

impl Model for List {
    type State = Vec<u64>;
    type Input = Input;
    type Output = Output;

    const REVEALS: bool = true;

    fn initial(&self) -> Vec<u64> {
        Vec::new()
    }

    fn step(&self, state: &mut Vec<u64>, input: &Input) -> Output {
        match *input {
            Input::Read => Output::Elements(state.clone()),
            Input::Append(element) => {
                state.push(element);
                Output::Length(state.len())
            }
        }
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Read => 0,
            Input::Append(element) => element,
        }
    }

    fn settle(
        &self,
        state: &mut Vec<u64>,
        seen: &Seen<'_, List>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        match seen.output {
            Output::Elements(elements) if elements.len() < state.len() => Settled::Impossible,
            Output::Elements(elements) => take(state, &elements[state.len()..], pool),
            Output::Length(length) => match length.checked_sub(state.len() + 1) {
                None => Settled::Impossible,
                Some(missing) => fill(state, missing, seen.next_read, pool),
            },
        }
    }
}

/// `missing` elements came in; the next read tells which ones, if it comes and is right.
fn fill(
    state: &mut Vec<u64>,
    missing: usize,
    next_read: Option<&Output>,
    pool: &mut Pool<'_, Input>,
) -> Settled {
    if missing > pool.len() {
        return Settled::Impossible;
    }
    if let Some(Output::Elements(elements)) = next_read
        && let Some(elements) = elements.get(state.len()..state.len() + missing)
        && take(state, elements, pool) == Settled::Certain
    {
        return Settled::Certain;
    }
    // Nobody will see which ones; or the next read is wrong, and its own fault is reported.
    for _ in 0..missing {
        state.extend(pool.take_any().map(|(mark, _)| mark));
    }
    Settled::Certain
}

/// Exactly `elements` came in, or nothing is changed.
fn take(state: &mut Vec<u64>, elements: &[u64], pool: &mut Pool<'_, Input>) -> Settled {
    let mut taken = Vec::new();
    for element in elements {
        let Some(input) = pool.take(*element) else {
            taken.into_iter().for_each(|(mark, input)| pool.put(mark, input));
            return Settled::Unexplained;
        };
        taken.push((*element, input));
    }
    state.extend_from_slice(elements);
    Settled::Certain
}
