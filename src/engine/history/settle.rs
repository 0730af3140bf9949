//! Settling by trial: which sequences of a few indeterminate operations explain what was seen.

use std::collections::BTreeSet;

use super::pool::Pool;
use super::{Model, Seen, Settled};

/// At most so many operations are tried in a row.
const LENGTH_MAX: usize = 4;
/// At most so many steps of the model for one operation.
const STEPS_MAX: usize = 20_000;

/// For a model that knows no shorter way. Tries nothing, then each sequence of operations of the
/// pool by its length, and applies the first that explains what was seen.
///
/// Where the model does not reveal its state, an operation may have taken effect long before it
/// shows: what cannot be explained is then called too hard, as soon as there were candidates.
pub(super) fn by_trial<M: Model>(
    model: &M,
    state: &mut M::State,
    seen: &Seen<'_, M>,
    pool: &mut Pool<'_, M::Input>,
) -> Settled {
    let mut trial = Trial { model, seen, found: BTreeSet::new(), steps: 0 };
    if trial.is_explained(state) {
        return Settled::Certain;
    }
    let candidates: Vec<(u64, &M::Input)> = pool.all().collect();
    let mut taken = Vec::new();
    for length in 1..=candidates.len().min(LENGTH_MAX) {
        trial.extend(state, &candidates, &mut taken, length);
        if trial.found.len() > 1 || trial.steps >= STEPS_MAX {
            break;
        }
    }
    let is_late = !M::REVEALS && !pool.is_new();
    let is_complete = trial.steps < STEPS_MAX && candidates.len() <= LENGTH_MAX && !is_late;
    let is_only = trial.found.len() == 1 && is_complete;
    let Some(first) = trial.found.into_iter().min_by_key(|found| found.order.len()) else {
        return if is_complete { Settled::Unexplained } else { Settled::TooHard };
    };
    for at in first.order {
        let (mark, input) = candidates[at];
        model.step(state, input);
        pool.take_exactly(mark, input);
    }
    if is_only { Settled::Certain } else { Settled::Guess }
}

/// An explanation. Two of the same operations are one, whatever their order.
struct Explanation<'c, I> {
    inputs: Vec<&'c I>,
    order: Vec<usize>,
}

struct Trial<'t, 'h, M: Model> {
    model: &'t M,
    seen: &'t Seen<'h, M>,
    found: BTreeSet<Explanation<'t, M::Input>>,
    steps: usize,
}

impl<'t, M: Model> Trial<'t, '_, M> {
    fn is_explained(&mut self, state: &M::State) -> bool {
        self.steps += 1;
        self.model.step(&mut state.clone(), self.seen.input) == *self.seen.output
    }

    /// Tries all ways to go on for `length` operations.
    fn extend(
        &mut self,
        state: &M::State,
        candidates: &[(u64, &'t M::Input)],
        taken: &mut Vec<usize>,
        length: usize,
    ) {
        if length == 0 {
            if self.is_explained(state) {
                let mut inputs: Vec<_> = taken.iter().map(|at| candidates[*at].1).collect();
                inputs.sort();
                self.found.insert(Explanation { inputs, order: taken.clone() });
            }
            return;
        }
        for at in 0..candidates.len() {
            if taken.contains(&at) {
                continue;
            }
            if self.steps >= STEPS_MAX {
                return;
            }
            self.steps += 1;
            let mut next = state.clone();
            self.model.step(&mut next, candidates[at].1);
            if next == *state {
                continue; // it makes no difference here
            }
            taken.push(at);
            self.extend(&next, candidates, taken, length - 1);
            taken.pop();
        }
    }
}

impl<I: Ord> Ord for Explanation<'_, I> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.inputs.cmp(&other.inputs)
    }
}

impl<I: Ord> PartialOrd for Explanation<'_, I> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<I: Ord> PartialEq for Explanation<'_, I> {
    fn eq(&self, other: &Self) -> bool {
        self.inputs == other.inputs
    }
}

impl<I: Ord> Eq for Explanation<'_, I> {}
