//! Accounts inside one object, and transfers between them. Every answer is all balances.
//!
//! The version-order checker decides every history in which no more than a few indeterminate
//! transfers of an object wait for their explanation at a time, and only one set of them explains
//! what is seen. In others it may leave objects undecided.

use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled, settle};

/// Banks of so many accounts, each of which holds the same at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank {
    /// How many accounts there are.
    pub accounts: u8,
    /// What each holds at first.
    pub balance: u64,
}

/// What is asked of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    /// All balances.
    Read,
    /// Move money, unless `from` has less than that.
    Transfer {
        /// The account that gives.
        from: u8,
        /// The account that takes, another one.
        to: u8,
        /// How much, at least 1.
        amount: u64,
    },
}

/// What a bank answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Whether money was moved.
    pub is_moved: bool,
    /// All balances, after that.
    pub balances: Vec<u64>,
}

impl Bank {
    /// What all accounts hold together, always.
    pub(crate) fn total(&self) -> u64 {
        u64::from(self.accounts) * self.balance
    }
}

impl Model for Bank {
    type State = Vec<u64>;
    type Input = Input;
    type Output = Output;

    const REVEALS: bool = true;

    fn initial(&self) -> Vec<u64> {
        vec![self.balance; usize::from(self.accounts)]
    }

    fn step(&self, state: &mut Vec<u64>, input: &Input) -> Output {
        let mut is_moved = false;
        if let Input::Transfer { from, to, amount } = *input {
            let (from, to) = (usize::from(from), usize::from(to));
            if let Some(rest) = state[from].checked_sub(amount) {
                state[from] = rest;
                state[to] += amount;
                is_moved = true;
            }
        }
        Output { is_moved, balances: state.clone() }
    }

    fn is_read(&self, input: &Input) -> bool {
        *input == Input::Read
    }

    fn is_changeless(&self, _: &Input, output: &Output) -> bool {
        !output.is_moved
    }

    fn mark(&self, input: &Input) -> u64 {
        match *input {
            Input::Read => 0,
            Input::Transfer { from, to, amount } => {
                (amount << 16) | (u64::from(from) << 8) | u64::from(to)
            }
        }
    }

    fn settle(
        &self,
        state: &mut Vec<u64>,
        seen: &Seen<'_, Bank>,
        pool: &mut Pool<'_, Input>,
    ) -> Settled {
        if seen.output.balances.iter().sum::<u64>() != self.total() {
            return Settled::Impossible;
        }
        settle::by_trial(self, state, seen, pool)
    }
}
