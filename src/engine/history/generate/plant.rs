//! Faults put into correct histories: one each, and each of a sort that no correct grid can show.

use std::collections::BTreeSet;

use super::workload::Workload;
use super::{Effect, Generated};
use crate::engine::history::{HistoryOf, Outcome};
use crate::engine::id::Version;
use crate::engine::simulation::random::Random;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Plant {
    /// An acknowledged change is gone.
    LostWrite,
    /// A read shows what was there before the last change.
    StaleRead,
    /// A read shows a change that is taken back.
    DirtyRead,
    /// A change takes effect a second time, later.
    DoubleEffect,
    /// A change that was invoked after a later one had returned.
    ReorderedRealTime,
    /// A change whose version is below the one before it.
    VersionBack,
}

/// Each of them.
pub(in crate::engine) const PLANTS: [Plant; 6] = [
    Plant::LostWrite,
    Plant::StaleRead,
    Plant::DirtyRead,
    Plant::DoubleEffect,
    Plant::ReorderedRealTime,
    Plant::VersionBack,
];

/// Puts a fault into `made`, somewhere behind its middle, if there is a place where it shows for
/// certain. Returns the object.
pub(in crate::engine) fn plant<M: Workload>(
    model: &M,
    made: &mut Generated<M>,
    plant: Plant,
    seed: u64,
) -> Option<u64> {
    let mut random = Random::new(seed ^ 0x91a7);
    let objects: Vec<u64> = made.effects.keys().copied().collect();
    let start = random.next() as usize % objects.len().max(1);
    for turn in 0..objects.len() {
        let object = objects[(start + turn) % objects.len()];
        let mut site = Site { model, effects: made.effects[&object].clone(), made };
        if site.plant(plant, &mut random) {
            if !M::IS_UNIQUE {
                site.forget_what_never_was(object);
            }
            return Some(object);
        }
    }
    None
}

/// One object, and what happened to it.
struct Site<'m, M: Workload> {
    model: &'m M,
    made: &'m mut Generated<M>,
    effects: Vec<Effect>,
}

impl<M: Workload> Site<'_, M> {
    fn plant(&mut self, plant: Plant, random: &mut Random) -> bool {
        let from = self.effects.len() / 2;
        let last = self.effects.len();
        let skip = random.next() as usize % (last - from).max(1) / 2;
        (from + skip..last).any(|at| match plant {
            Plant::LostWrite => self.lose(at),
            Plant::StaleRead => self.age(at),
            Plant::DirtyRead => self.dirty(at),
            Plant::DoubleEffect => self.repeat(at),
            Plant::ReorderedRealTime => self.delay(at),
            Plant::VersionBack => self.turn_back(at),
        })
    }

    /// The effect at `at`, if its client heard of it: number, invocation, return.
    fn heard(&self, at: usize) -> Option<(usize, u64, u64)> {
        let number = self.effects.get(at)?.number;
        let operation = &self.made.history.operations[number];
        operation.returned_at().map(|returned_at| (number, operation.invoked_at, returned_at))
    }

    /// The same, of a read.
    fn read(&self, at: usize) -> Option<(usize, u64, u64)> {
        let found = self.heard(at)?;
        let input = &self.made.history.operations[found.0].input;
        self.model.is_read(input).then_some(found)
    }

    /// The same, of an operation that changed something.
    fn change(&self, at: usize) -> Option<(usize, u64, u64)> {
        let found = self.heard(at)?;
        let operation = &self.made.history.operations[found.0];
        let output = operation.output()?;
        (!self.model.is_changeless(&operation.input, output)).then_some(found)
    }

    fn lose(&mut self, at: usize) -> bool {
        let (Some((_, _, returned_at)), Some((_, read_at, _))) =
            (self.change(at), self.read(at + 1))
        else {
            return false;
        };
        // A read that overlaps would be right with the old version.
        let keeps_version = read_at <= returned_at;
        self.run_again(Some((at, keeps_version)));
        true
    }

    fn age(&mut self, at: usize) -> bool {
        let (Some((changed, _, returned_at)), Some((read, read_at, _))) =
            (self.change(at), self.read(at + 1))
        else {
            return false;
        };
        let before = self.before(at);
        let mut state = before.0;
        let old = self.model.step(&mut state, &self.model.read());
        let new_version = match &self.made.history.operations[changed].outcome {
            Outcome::Returned { version, .. } => *version,
            Outcome::Indeterminate => return false,
        };
        let is_after = read_at > returned_at;
        if let Outcome::Returned { output, version, .. } =
            &mut self.made.history.operations[read].outcome
        {
            *output = old;
            *version = if is_after { before.1 } else { new_version };
        }
        true
    }

    fn dirty(&mut self, at: usize) -> bool {
        let (Some(_), Some((read, ..))) = (self.change(at), self.read(at + 1)) else {
            return false;
        };
        let mut fresh = u64::from(u32::MAX);
        if let Outcome::Returned { output, .. } = &mut self.made.history.operations[read].outcome {
            *output = self.model.dirty(output, &mut fresh);
        }
        true
    }

    /// The change at `at` comes again after a later one, right before a read.
    fn repeat(&mut self, at: usize) -> bool {
        let Some((number, ..)) = self.change(at) else { return false };
        let later = (at + 1..self.effects.len().min(at + 50))
            .find(|later| self.change(*later).is_some() && self.read(later + 1).is_some());
        let Some(later) = later else { return false };
        let mut state = self.before(later + 1).0;
        let was = state.clone();
        self.model.step(&mut state, &self.made.history.operations[number].input);
        if state == was {
            return false; // nobody would notice
        }
        let version = self.effects[later].version;
        // Nobody heard of the second time.
        let mut again = self.made.history.operations[number].clone();
        again.outcome = Outcome::Indeterminate;
        let end = self.made.history.operations.len();
        self.made.history.operations.push(again);
        let version = Version { index: version.index + 1_000_000, ..version };
        self.effects.insert(later + 1, Effect { number: end, version });
        self.run_again(None);
        self.made.history.operations.pop();
        true
    }

    fn delay(&mut self, at: usize) -> bool {
        let (Some((number, ..)), Some((_, _, returned_at))) =
            (self.change(at), self.change(at + 1))
        else {
            return false;
        };
        let operation = &mut self.made.history.operations[number];
        operation.invoked_at = returned_at + 1;
        if let Outcome::Returned { at, .. } = &mut operation.outcome {
            *at = returned_at + 2;
        }
        true
    }

    fn turn_back(&mut self, at: usize) -> bool {
        let Some((number, invoked_at, _)) = self.change(at) else { return false };
        let before = (0..at).rev().take(50).find(|before| {
            self.change(*before).is_some_and(|(_, _, returned_at)| returned_at < invoked_at)
        });
        if before.is_none() {
            return false;
        }
        if let Outcome::Returned { version, .. } = &mut self.made.history.operations[number].outcome
        {
            // No history begins with epoch 0.
            *version = Version::new(0, number as u64 + 1, 0);
        }
        true
    }

    /// State and version before the effect at `at`.
    fn before(&self, at: usize) -> (M::State, Version) {
        let (mut state, mut version) = (self.model.initial(), Version::default());
        for effect in &self.effects[..at] {
            let input = &self.made.history.operations[effect.number].input;
            let output = self.model.step(&mut state, input);
            if !self.model.is_changeless(input, &output) {
                version = effect.version;
            }
        }
        (state, version)
    }

    /// Runs everything again, and lets the clients hear that instead. The effect at the lost
    /// place is taken back; its version is kept, or not.
    fn run_again(&mut self, lost: Option<(usize, bool)>) {
        let (mut state, mut current) = (self.model.initial(), Version::default());
        for (place, effect) in self.effects.iter().enumerate() {
            let lost = lost.filter(|(lost, _)| *lost == place);
            let operation = &mut self.made.history.operations[effect.number];
            let mut after = state.clone();
            let answer = self.model.step(&mut after, &operation.input);
            let is_change = !self.model.is_changeless(&operation.input, &answer);
            let answered_at = if is_change { effect.version } else { current };
            if is_change && lost.is_none_or(|(_, keeps_version)| keeps_version) {
                current = effect.version;
            }
            if lost.is_none() {
                state = after;
            }
            if let Outcome::Returned { output, version, .. } = &mut operation.outcome {
                (*output, *version) = (answer, answered_at);
            }
        }
    }

    /// Takes out what had no effect, which might explain the fault.
    fn forget_what_never_was(&mut self, object: u64) {
        let took: BTreeSet<usize> = self.effects.iter().map(|effect| effect.number).collect();
        let operations = std::mem::take(&mut self.made.history.operations).into_iter();
        let kept = operations.enumerate().filter(|(number, operation)| {
            let is_open = operation.returned_at().is_none() && operation.object == object;
            !is_open || took.contains(number)
        });
        self.made.history = HistoryOf::<M> { operations: kept.map(|(_, kept)| kept).collect() };
    }
}
