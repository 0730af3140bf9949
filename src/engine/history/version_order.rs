//! The main checker: the versions of the replies say in which order an object changed; the
//! operations are replayed in that order, and the order is held against real time. O(n log n).
//!
//! What it holds:
//! * no two operations made the same version of an object;
//! * an operation that was invoked after another had returned has no lower version, and a higher
//!   one if it made a version;
//! * replayed in that order, each operation answers what it answered.
//!
//! An indeterminate operation has no version. Its effect is looked for where a replay's answer
//! differs: [`Model::settle`] says which of them explain it. Each is used once at most, and only
//! where its invocation lies before the return of everything that is ordered after it. One that
//! nobody ever sees is taken for one that had no effect.
//!
//! It reports no fault that is none. Where another choice of indeterminate operations might
//! explain what was seen, or where a choice would take too long, it gives up the object's replay
//! and counts that in the [`Summary`]; the models say when that can be. What it does not see is an
//! indeterminate operation whose version contradicts the place at which it explains something.

use super::fault::{Fault, written};
use super::pool::Pool;
use super::{HistoryOf, Model, OperationOf, Outcome, Seen, Settled};
use crate::engine::id::Version;

const PROPERTY: &str = "versions order the operations";

/// What a history without a fault consisted of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Objects with at least one operation that returned.
    pub objects: u64,
    /// Operations that returned and changed nothing.
    pub observed: u64,
    /// Operations that returned and made a version.
    pub changed: u64,
    /// Operations that did not return.
    pub indeterminate: u64,
    /// Those of them that took effect, as later operations have seen.
    pub took_effect: u64,
    /// Objects whose replay was given up; their order was still held against real time.
    pub undecided_objects: u64,
    /// Operations of those objects that were not replayed.
    pub undecided: u64,
}

/// Checks a whole history.
///
/// # Errors
/// The first fault of the first object that has one.
pub(crate) fn check<M: Model>(model: &M, history: &HistoryOf<M>) -> Result<Summary, Fault> {
    let entries = entries(model, history)?;
    let mut waiting: Vec<usize> = (0..history.operations.len())
        .filter(|number| history.operations[*number].returned_at().is_none())
        .collect();
    waiting.sort_by_key(|number| {
        let operation = &history.operations[*number];
        (operation.object, operation.invoked_at)
    });
    let indeterminate = waiting.len() as u64;
    let mut summary = Summary { indeterminate, ..Summary::default() };
    for entries in entries.chunk_by(|one, other| one.object == other.object) {
        let earliest = earliest(entries);
        unique(history, entries)?;
        real_time(history, entries, &earliest)?;
        let object = entries[0].object;
        let of = |number: &usize| history.operations[*number].object;
        let start = waiting.partition_point(|number| of(number) < object);
        let end = waiting.partition_point(|number| of(number) <= object);
        let waiting = &waiting[start..end];
        let replay = Replay { model, history, entries, earliest: &earliest, waiting };
        replay.run(&mut summary)?;
    }
    Ok(summary)
}

/// An operation that returned, and its place in the order of its object.
#[derive(Clone, Copy)]
struct Entry {
    object: u64,
    version: Version,
    /// Whoever makes a version comes before those who see it.
    is_changeless: bool,
    invoked_at: u64,
    returned_at: u64,
    number: usize,
}

/// Everything that returned, by object, in version order.
fn entries<M: Model>(model: &M, history: &HistoryOf<M>) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::with_capacity(history.operations.len());
    for (number, operation) in history.operations.iter().enumerate() {
        let Outcome::Returned { at, output, version } = &operation.outcome else { continue };
        if *at < operation.invoked_at {
            let expected = "a return after the invocation".to_owned();
            return Err(Fault::new(PROPERTY, history, vec![number], expected));
        }
        entries.push(Entry {
            object: operation.object,
            version: *version,
            is_changeless: model.is_changeless(&operation.input, output),
            invoked_at: operation.invoked_at,
            returned_at: *at,
            number,
        });
    }
    entries.sort_unstable_by_key(|entry| {
        let Entry { object, version, is_changeless, invoked_at, number, .. } = *entry;
        (object, version, is_changeless, invoked_at, number)
    });
    Ok(entries)
}

/// For each place the place of the operation that returned first, from there on.
fn earliest(entries: &[Entry]) -> Vec<usize> {
    let mut earliest: Vec<usize> = (0..entries.len()).collect();
    for at in (1..entries.len()).rev() {
        if entries[earliest[at]].returned_at <= entries[earliest[at - 1]].returned_at {
            earliest[at - 1] = earliest[at];
        }
    }
    earliest
}

/// No version is made twice.
fn unique<I, O>(history: &super::History<I, O>, entries: &[Entry]) -> Result<(), Fault>
where
    I: std::fmt::Debug,
    O: std::fmt::Debug,
{
    let twice = entries.windows(2).find(|pair| {
        pair[0].version == pair[1].version && !pair[0].is_changeless && !pair[1].is_changeless
    });
    let Some(twice) = twice else { return Ok(()) };
    let numbers = twice.iter().map(|entry| entry.number).collect();
    let expected = format!("one operation at most that makes version {}", twice[0].version);
    Err(Fault::new(PROPERTY, history, numbers, expected))
}

/// Nothing that comes later in the order had returned before an operation was invoked.
fn real_time<I, O>(
    history: &super::History<I, O>,
    entries: &[Entry],
    earliest: &[usize],
) -> Result<(), Fault>
where
    I: std::fmt::Debug,
    O: std::fmt::Debug,
{
    let mut later = 0;
    for (at, entry) in entries.iter().enumerate() {
        // Those that see one version have no order among them.
        let is_same =
            |later: usize| later <= at || (entry.is_changeless && is_one(entries, at, later));
        while later < entries.len() && is_same(later) {
            later += 1;
        }
        let Some(first) = earliest.get(later).map(|first| &entries[*first]) else { return Ok(()) };
        if first.returned_at < entry.invoked_at {
            // Of those that show it the one that returned last: it is the easiest to follow.
            let shows = |other: &&Entry| other.returned_at < entry.invoked_at;
            let last = entries[later..].iter().filter(shows).max_by_key(|other| other.returned_at);
            let last = last.unwrap_or(first);
            let than =
                if entry.is_changeless { "no version lower than" } else { "a version above" };
            let expected = format!(
                "#{} was invoked after #{} had returned, so it has {than} {}",
                entry.number, last.number, last.version
            );
            return Err(Fault::new(PROPERTY, history, vec![last.number, entry.number], expected));
        }
    }
    Ok(())
}

fn is_one(entries: &[Entry], one: usize, other: usize) -> bool {
    entries[one].version == entries[other].version
}

/// The replay of one object.
struct Replay<'h, M: Model> {
    model: &'h M,
    history: &'h HistoryOf<M>,
    entries: &'h [Entry],
    earliest: &'h [usize],
    /// Numbers of the object's indeterminate operations, by invocation.
    waiting: &'h [usize],
}

impl<'h, M: Model> Replay<'h, M> {
    fn run(&self, summary: &mut Summary) -> Result<(), Fault> {
        let mut state = self.model.initial();
        let mut pool = Pool::default();
        let (mut released, mut has_guessed, mut read_at) = (0, false, 0);
        summary.objects += 1;
        for (at, entry) in self.entries.iter().enumerate() {
            released += self.release(at, &self.waiting[released..], &mut pool);
            read_at = self.next_read(read_at.max(at));
            let next_read = self.entries.get(read_at).and_then(|entry| self.output(entry));
            let Some(output) = self.output(entry) else { continue };
            let seen = Seen { input: &self.operation(entry).input, output, next_read };
            let before = pool.len();
            let settled = self.settle(at, &mut state, &seen, &mut pool);
            has_guessed |= settled == Settled::Guess;
            let is_explained = matches!(settled, Settled::Certain | Settled::Guess);
            if is_explained && self.model.step(&mut state, seen.input) == *output {
                summary.took_effect += (before - pool.len()) as u64;
                let is_changeless = entry.is_changeless;
                summary.observed += u64::from(is_changeless);
                summary.changed += u64::from(!is_changeless);
                continue;
            }
            if settled != Settled::Impossible && (has_guessed || settled == Settled::TooHard) {
                summary.undecided_objects += 1;
                summary.undecided += (self.entries.len() - at) as u64;
                return Ok(());
            }
            return Err(self.fault(at, state));
        }
        Ok(())
    }

    /// Puts into the pool what may have taken effect before the operation at `at`.
    fn release(&self, at: usize, waiting: &[usize], pool: &mut Pool<'h, M::Input>) -> usize {
        let before = self.entries[self.earliest[at]].returned_at;
        let operations = waiting.iter().map(|number| &self.history.operations[*number]);
        let ready = operations.take_while(|operation| operation.invoked_at <= before);
        let mut count = 0;
        for operation in ready {
            count += 1;
            if !self.model.is_read(&operation.input) {
                pool.put(self.model.mark(&operation.input), &operation.input);
            }
        }
        count
    }

    fn settle(
        &self,
        at: usize,
        state: &mut M::State,
        seen: &Seen<'h, M>,
        pool: &mut Pool<'h, M::Input>,
    ) -> Settled {
        let is_known = M::REVEALS && at > 0 && is_one(self.entries, at - 1, at);
        if !is_known {
            return self.model.settle(state, seen, pool);
        }
        // Nothing comes between those of one version.
        if self.model.step(&mut state.clone(), seen.input) == *seen.output {
            Settled::Certain
        } else {
            Settled::Impossible
        }
    }

    /// The first place from `from` on with a read.
    fn next_read(&self, from: usize) -> usize {
        let is_read = |entry: &Entry| self.model.is_read(&self.operation(entry).input);
        let found = self.entries[from..].iter().position(is_read);
        found.map_or(self.entries.len(), |found| from + found)
    }

    fn operation(&self, entry: &Entry) -> &'h OperationOf<M> {
        &self.history.operations[entry.number]
    }

    fn output(&self, entry: &Entry) -> Option<&'h M::Output> {
        self.operation(entry).output()
    }

    /// The operation at `at` answered something else than it would have in `state`.
    fn fault(&self, at: usize, mut state: M::State) -> Fault {
        let entry = &self.entries[at];
        let before = written(&state);
        let answer = written(&self.model.step(&mut state, &self.operation(entry).input));
        // The last change, and what came after it: where the state comes from.
        let change = self.entries[..at].iter().rposition(|entry| !entry.is_changeless);
        let mut numbers: Vec<usize> =
            change.map(|at| self.entries[at].number).into_iter().collect();
        numbers.push(entry.number);
        let expected = format!(
            "#{} answers {answer}, as the state before it is {before}; no indeterminate operation \
             explains another answer",
            entry.number
        );
        Fault::new(PROPERTY, self.history, numbers, expected)
    }
}
