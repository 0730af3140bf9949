//! Models made of others.

use crate::engine::history::generate::workload::Workload;
use crate::engine::history::models::counter::{self, Counter};
use crate::engine::history::pool::Pool;
use crate::engine::history::{Model, Seen, Settled};
use crate::engine::simulation::random::Random;

/// A counter that goes up by one to three.
#[derive(Clone, Copy)]
pub(super) struct Uneven;

/// A model without most of what helps the version-order checker.
#[derive(Clone, Copy)]
pub(super) struct Plain<M>(pub(super) M);

impl Model for Uneven {
    type State = u64;
    type Input = counter::Input;
    type Output = u64;

    const REVEALS: bool = true;

    fn initial(&self) -> u64 {
        Counter.initial()
    }

    fn step(&self, state: &mut u64, input: &counter::Input) -> u64 {
        Counter.step(state, input)
    }

    fn is_read(&self, input: &counter::Input) -> bool {
        Counter.is_read(input)
    }

    fn mark(&self, input: &counter::Input) -> u64 {
        Counter.mark(input)
    }

    fn settle(
        &self,
        state: &mut u64,
        seen: &Seen<'_, Uneven>,
        pool: &mut Pool<'_, counter::Input>,
    ) -> Settled {
        let Seen { input, output, next_read } = *seen;
        Counter.settle(state, &Seen { input, output, next_read }, pool)
    }
}

impl Workload for Uneven {
    const IS_UNIQUE: bool = false;

    fn draw(&self, random: &mut Random, heard: Option<&u64>, fresh: &mut u64) -> counter::Input {
        match Counter.draw(random, heard, fresh) {
            counter::Input::Read => counter::Input::Read,
            counter::Input::Add(_) => counter::Input::Add(random.between(1, 3)),
        }
    }

    fn read(&self) -> counter::Input {
        Counter.read()
    }

    fn dirty(&self, output: &u64, fresh: &mut u64) -> u64 {
        Counter.dirty(output, fresh)
    }
}

impl<M: Model> Model for Plain<M> {
    type State = M::State;
    type Input = M::Input;
    type Output = M::Output;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &mut M::State, input: &M::Input) -> M::Output {
        self.0.step(state, input)
    }

    fn is_read(&self, input: &M::Input) -> bool {
        self.0.is_read(input)
    }

    fn is_changeless(&self, input: &M::Input, output: &M::Output) -> bool {
        self.0.is_changeless(input, output)
    }
}

impl<M: Workload> Workload for Plain<M> {
    const IS_UNIQUE: bool = false;

    fn draw(&self, random: &mut Random, heard: Option<&M::Output>, fresh: &mut u64) -> M::Input {
        self.0.draw(random, heard, fresh)
    }

    fn read(&self) -> M::Input {
        self.0.read()
    }

    fn dirty(&self, output: &M::Output, fresh: &mut u64) -> M::Output {
        self.0.dirty(output, fresh)
    }
}
