//! An independent checker for short histories: is there any order of an object's operations that
//! the model and real time allow?
//!
//! It looks at no version, so that it and [`version_order`](super::version_order) cannot be wrong
//! in the same way. It tries the orders one by one (the search of Wing and Gong), remembers which
//! sets of operations, with which state, lead nowhere, and so decides an object of up to
//! [`OPERATIONS_MAX`] operations, unless too many of them overlap.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::{HistoryOf, Model};

/// Objects with more operations are not decided.
pub(crate) const OPERATIONS_MAX: usize = 200;
/// So many sets of operations are looked at for one object.
const SETS_MAX: usize = 1_000_000;
const WORDS: usize = OPERATIONS_MAX.div_ceil(64);
const PROPERTY: &str = "operations can be put in a line";

/// What became of the objects of a history without a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Objects whose operations can be put in a line.
    pub objects: u64,
    /// Objects with too many operations, or too many at once.
    pub undecided: Vec<u64>,
}

/// Checks each object of a history.
///
/// # Errors
/// The first object whose operations no order explains, with those that no attempt got beyond.
pub(crate) fn check<M: Model>(model: &M, history: &HistoryOf<M>) -> Result<Summary, Fault> {
    let mut summary = Summary::default();
    for (object, numbers) in history.by_object() {
        match search(model, history, &numbers) {
            Found::Line => summary.objects += 1,
            Found::GaveUp => summary.undecided.push(object),
            Found::None { stuck } => {
                let expected = "an order in which each of these gets its answer".to_owned();
                return Err(Fault::new(PROPERTY, history, stuck, expected));
            }
        }
    }
    Ok(summary)
}

enum Found {
    Line,
    GaveUp,
    /// What could come next after the longest line.
    None {
        stuck: Vec<usize>,
    },
}

fn search<M: Model>(model: &M, history: &HistoryOf<M>, numbers: &[usize]) -> Found {
    if numbers.len() > OPERATIONS_MAX {
        return Found::GaveUp;
    }
    let (seen, longest) = (BTreeSet::new(), Placed::default());
    let mut search = Search { model, history, numbers, seen, longest, gave_up: false };
    match (search.extend(Placed::default(), &model.initial()), search.gave_up) {
        (true, _) => Found::Line,
        (false, true) => Found::GaveUp,
        (false, false) => {
            let next = search.next(&search.longest);
            Found::None { stuck: next.into_iter().map(|at| numbers[at]).collect() }
        }
    }
}

/// Which of the operations are in the line.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Placed([u64; WORDS]);

impl Placed {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn with(mut self, at: usize) -> Placed {
        self.0[at / 64] |= 1 << (at % 64);
        self
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

struct Search<'s, M: Model> {
    model: &'s M,
    history: &'s HistoryOf<M>,
    numbers: &'s [usize],
    /// What was tried.
    seen: BTreeSet<(Placed, M::State)>,
    /// The longest line so far.
    longest: Placed,
    gave_up: bool,
}

impl<M: Model> Search<'_, M> {
    /// Whether the line, which has led to `state`, can be completed.
    fn extend(&mut self, placed: Placed, state: &M::State) -> bool {
        if self.longest.count() < placed.count() {
            self.longest = placed;
        }
        let operations = &self.history.operations;
        let returned = |at: &usize| operations[self.numbers[*at]].returned_at().is_some();
        if (0..self.numbers.len()).filter(returned).all(|at| placed.has(at)) {
            return true;
        }
        for at in self.next(&placed) {
            let operation = &operations[self.numbers[at]];
            let mut after = state.clone();
            let answer = self.model.step(&mut after, &operation.input);
            let fits = match operation.output() {
                Some(output) => answer == *output,
                None => after != *state, // else it may as well never have been
            };
            let placed = placed.with(at);
            if !fits || !self.seen.insert((placed, after.clone())) {
                continue;
            }
            if self.seen.len() > SETS_MAX {
                self.gave_up = true;
                return false;
            }
            if self.extend(placed, &after) {
                return true;
            }
        }
        false
    }

    /// What may come next: whatever was invoked before all that is not placed yet had returned.
    fn next(&self, placed: &Placed) -> Vec<usize> {
        let operation = |at: usize| &self.history.operations[self.numbers[at]];
        let open: Vec<usize> = (0..self.numbers.len()).filter(|at| !placed.has(*at)).collect();
        let returns = open.iter().filter_map(|at| operation(*at).returned_at());
        let first = returns.min().unwrap_or(u64::MAX);
        open.into_iter().filter(|at| operation(*at).invoked_at <= first).collect()
    }
}
