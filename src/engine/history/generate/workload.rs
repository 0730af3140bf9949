//! What clients ask of each model, and how an answer looks that was never true.

use crate::engine::history::Model;
use crate::engine::history::models::bank::{self, Bank};
use crate::engine::history::models::counter::{self, Counter};
use crate::engine::history::models::list::{self, List};
use crate::engine::history::models::register::{self, Register};
use crate::engine::history::models::set::{self, GrowingSet};
use crate::engine::simulation::random::Random;

/// A model that histories can be made for.
pub(in crate::engine) trait Workload: Model + Copy {
    /// Something to ask. `heard` is what the client was told last; `fresh` counts values up, so
    /// that none is used twice.
    fn draw(
        &self,
        random: &mut Random,
        heard: Option<&Self::Output>,
        fresh: &mut u64,
    ) -> Self::Input;

    /// The operation that reads everything.
    fn read(&self) -> Self::Input;

    /// What a read shows if a change is seen, in addition to `output`, which is taken back.
    fn dirty(&self, output: &Self::Output, fresh: &mut u64) -> Self::Output;

    /// Whether values tell who wrote them, so that no other operation explains a fault.
    const IS_UNIQUE: bool;
}

fn one_more(fresh: &mut u64) -> u64 {
    *fresh += 1;
    *fresh
}

impl Workload for Register {
    const IS_UNIQUE: bool = true;

    fn draw(
        &self,
        random: &mut Random,
        heard: Option<&register::Output>,
        fresh: &mut u64,
    ) -> register::Input {
        let from = match heard {
            Some(register::Output::Found(value)) => *value,
            // What it, or another, may have written.
            _ => fresh.saturating_sub(random.between(0, 3)),
        };
        match random.next() % 10 {
            0..4 => register::Input::Read,
            4..7 => register::Input::Write(one_more(fresh)),
            _ => register::Input::CompareAndSet { from, to: one_more(fresh) },
        }
    }

    fn read(&self) -> register::Input {
        register::Input::Read
    }

    fn dirty(&self, _: &register::Output, fresh: &mut u64) -> register::Output {
        register::Output::Found(one_more(fresh))
    }
}

impl Workload for List {
    const IS_UNIQUE: bool = true;

    fn draw(&self, random: &mut Random, _: Option<&list::Output>, fresh: &mut u64) -> list::Input {
        if random.percent(30) { list::Input::Read } else { list::Input::Append(one_more(fresh)) }
    }

    fn read(&self) -> list::Input {
        list::Input::Read
    }

    fn dirty(&self, output: &list::Output, fresh: &mut u64) -> list::Output {
        let list::Output::Elements(elements) = output else { return output.clone() };
        let mut elements = elements.clone();
        elements.push(one_more(fresh));
        list::Output::Elements(elements)
    }
}

impl Workload for GrowingSet {
    const IS_UNIQUE: bool = true;

    fn draw(&self, random: &mut Random, _: Option<&set::Output>, fresh: &mut u64) -> set::Input {
        match random.next() % 10 {
            0..3 => set::Input::Read,
            // Somebody else's, now and then.
            3 => set::Input::Add(random.between(fresh.saturating_sub(3).max(1), *fresh)),
            _ => set::Input::Add(one_more(fresh)),
        }
    }

    fn read(&self) -> set::Input {
        set::Input::Read
    }

    fn dirty(&self, output: &set::Output, fresh: &mut u64) -> set::Output {
        let set::Output::Elements(elements) = output else { return output.clone() };
        let mut elements = elements.clone();
        elements.push(one_more(fresh));
        set::Output::Elements(elements)
    }
}

impl Workload for Counter {
    const IS_UNIQUE: bool = false;

    fn draw(&self, random: &mut Random, _: Option<&u64>, _: &mut u64) -> counter::Input {
        if random.percent(40) { counter::Input::Read } else { counter::Input::Add(1) }
    }

    fn read(&self) -> counter::Input {
        counter::Input::Read
    }

    fn dirty(&self, output: &u64, _: &mut u64) -> u64 {
        output + 1
    }
}

impl Workload for Bank {
    const IS_UNIQUE: bool = false;

    fn draw(&self, random: &mut Random, _: Option<&bank::Output>, _: &mut u64) -> bank::Input {
        if random.percent(30) {
            return bank::Input::Read;
        }
        let accounts = u64::from(self.accounts);
        let from = random.between(0, accounts - 1);
        let to = (from + random.between(1, accounts - 1)) % accounts;
        let account = |number: u64| u8::try_from(number).expect("an account's number is a byte");
        let amount = random.between(1, self.balance);
        bank::Input::Transfer { from: account(from), to: account(to), amount }
    }

    fn read(&self) -> bank::Input {
        bank::Input::Read
    }

    fn dirty(&self, output: &bank::Output, _: &mut u64) -> bank::Output {
        let mut balances = output.balances.clone();
        balances[0] += 1;
        bank::Output { balances, ..*output }
    }
}
