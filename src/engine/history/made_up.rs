//! No value is shown that nobody wrote, or not yet.

use std::collections::BTreeMap;

use super::HistoryOf;
use super::fault::Fault;
use super::values::{Values, left};

const PROPERTY: &str = "every value was written by somebody";

/// Checks everything that was shown: an operation that returned, or an indeterminate one, of the
/// same object wrote it, and was invoked before it was shown.
///
/// # Errors
/// The first value of the first object that nobody can have written.
pub(crate) fn check<M: Values>(model: &M, history: &HistoryOf<M>) -> Result<(), Fault> {
    history.by_object().iter().try_for_each(|(_, numbers)| one(model, history, numbers))
}

fn one<M: Values>(model: &M, history: &HistoryOf<M>, numbers: &[usize]) -> Result<(), Fault> {
    let mut written: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for number in numbers.iter().copied() {
        let operation = &history.operations[number];
        if let Some(value) = left(model, operation) {
            let first = written.entry(value).or_insert((operation.invoked_at, number));
            *first = (operation.invoked_at, number).min(*first);
        }
    }
    for number in numbers.iter().copied() {
        let operation = &history.operations[number];
        let (Some(at), Some(output)) = (operation.returned_at(), operation.output()) else {
            continue;
        };
        for value in model.shown(output) {
            let (expected, numbers) = match written.get(value) {
                None => (format!("somebody who wrote {value}"), vec![number]),
                Some((invoked_at, writer)) if *invoked_at > at => {
                    (format!("{value} not before it was asked for"), vec![number, *writer])
                }
                Some(_) => continue,
            };
            return Err(Fault::new(PROPERTY, history, numbers, expected));
        }
    }
    Ok(())
}
