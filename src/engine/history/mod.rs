//! Histories: what clients asked and heard, and checkers that decide whether it can have been.
//!
//! * [`version_order`]: the main checker, for histories of any length. It puts the operations of an
//!   object into the order of their versions, replays them against a [`Model`], and holds that
//!   order against real time.
//! * [`search`]: an independent checker for short histories, which looks at no version.
//! * [`lost`], [`made_up`], [`twice`], [`bounds`]: one property each, from counting alone.
//!
//! Pure: a history in, a verdict out.

pub(crate) mod bounds;
pub(crate) mod fault;
pub(in crate::engine) mod generate;
pub(crate) mod lost;
pub(crate) mod made_up;
pub(crate) mod million;
pub(crate) mod models;
mod pool;
pub(crate) mod search;
mod settle;
#[cfg(test)]
mod tests;
pub(crate) mod twice;
pub(crate) mod values;
pub(crate) mod version_order;

use std::fmt::Debug;

use pool::Pool;

use super::id::Version;

/// One thing that a client asked of one object. What was *refused* took no effect for certain and
/// is no part of a history.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operation<I, O> {
    /// Who asked.
    pub client: u32,
    /// Whom: objects are independent of each other, each starts as the model says.
    pub object: u64,
    /// What was asked.
    pub input: I,
    /// When the first try of it left, on the one clock of the history.
    pub invoked_at: u64,
    /// How it ended for the client.
    pub outcome: Outcome<O>,
}

/// How an operation ended for the client that asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome<O> {
    /// The client heard a reply.
    Returned {
        /// When, on the clock of the history.
        at: u64,
        /// What it heard.
        output: O,
        /// Where the state lies in the partition's stream: the state that a write made, or the
        /// one that a read (or a write that changed nothing) saw.
        version: Version,
    },
    /// Nobody can tell: it took effect once, at any time from its invocation on, or never.
    Indeterminate,
}

/// Operations of many clients on many objects, in any order.
#[derive(Clone, Debug)]
pub(crate) struct History<I, O> {
    /// The operations; their places in this list are their numbers in faults.
    pub operations: Vec<Operation<I, O>>,
}

/// A history of the operations of a model.
pub(crate) type HistoryOf<M> = History<<M as Model>::Input, <M as Model>::Output>;

/// An operation of a model.
pub(crate) type OperationOf<M> = Operation<<M as Model>::Input, <M as Model>::Output>;

/// What one object does when operations come one at a time.
///
/// The first five items say everything; the provided ones let [`version_order`] decide more, and
/// faster. [`search`] uses none of those.
pub(crate) trait Model: Sized {
    /// What the object holds.
    type State: Clone + Ord + Debug;
    /// What can be asked of it.
    type Input: Clone + Ord + Debug;
    /// What it answers.
    type Output: Clone + PartialEq + Debug;

    /// Whether the state is known exactly after each operation that returned, so that nothing
    /// which happened earlier can come to light later. Where it holds, operations of one version
    /// have seen one state.
    const REVEALS: bool = false;

    /// What an object holds before its first operation.
    fn initial(&self) -> Self::State;

    /// Lets `input` take effect on `state`, and says what the object answers.
    fn step(&self, state: &mut Self::State, input: &Self::Input) -> Self::Output;

    /// Whether `input` never changes anything.
    fn is_read(&self, input: &Self::Input) -> bool;

    /// Whether `input`, having got `output`, has changed nothing (a compare-and-set that failed),
    /// so that it may carry the version of the state that it saw.
    fn is_changeless(&self, input: &Self::Input, _output: &Self::Output) -> bool {
        self.is_read(input)
    }

    /// By what the effect of `input` is recognised later; the same for inputs of the same effect.
    fn mark(&self, _input: &Self::Input) -> u64 {
        0
    }

    /// Lets those operations of `pool` take effect on `state` that must have taken effect before
    /// `seen`, taking them out, so that [`step`](Model::step) then answers what was seen. Whoever
    /// explains it with more than it needs must say [`Settled::Guess`].
    fn settle(
        &self,
        state: &mut Self::State,
        seen: &Seen<'_, Self>,
        pool: &mut Pool<'_, Self::Input>,
    ) -> Settled {
        settle::by_trial(self, state, seen, pool)
    }
}

/// An operation that returned, and what is known beyond it.
pub(crate) struct Seen<'h, M: Model> {
    /// What was asked.
    pub input: &'h M::Input,
    /// What was answered.
    pub output: &'h M::Output,
    /// What the next read of the object in version order, this one or a later, was answered.
    pub next_read: Option<&'h M::Output>,
}

/// What came of settling indeterminate operations by what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is explained, and no other explanation could make a difference later.
    Certain,
    /// It is explained; another explanation would have been possible.
    Guess,
    /// Nothing explains it, unless an earlier guess was wrong.
    Unexplained,
    /// Nothing explains it, whatever was guessed.
    Impossible,
    /// Deciding it would take too long.
    TooHard,
}

impl<I, O> Default for History<I, O> {
    fn default() -> Self {
        History { operations: Vec::new() }
    }
}

impl<I, O> Operation<I, O> {
    /// When its reply was heard; `None` if it is indeterminate.
    pub(crate) fn returned_at(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Returned { at, .. } => Some(*at),
            Outcome::Indeterminate => None,
        }
    }

    /// What it heard; `None` if it is indeterminate.
    pub(crate) fn output(&self) -> Option<&O> {
        match &self.outcome {
            Outcome::Returned { output, .. } => Some(output),
            Outcome::Indeterminate => None,
        }
    }
}

impl<I, O> History<I, O> {
    /// Numbers of the operations by object, in the order of the objects.
    pub(crate) fn by_object(&self) -> Vec<(u64, Vec<usize>)> {
        let mut numbers: Vec<usize> = (0..self.operations.len()).collect();
        numbers.sort_by_key(|number| self.operations[*number].object);
        let of = |number: &usize| self.operations[*number].object;
        let groups = numbers.chunk_by(|one, other| of(one) == of(other));
        groups.map(|group| (of(&group[0]), group.to_vec())).collect()
    }
}
