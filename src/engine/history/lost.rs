//! No acknowledged write is lost: the last read of an object shows each, or what has replaced it.

use std::collections::{BTreeMap, BTreeSet};

use super::HistoryOf;
use super::fault::Fault;
use super::values::{Values, left};

const PROPERTY: &str = "no acknowledged write is lost";

/// Checks the last read of each object, against the writes that had returned when it was invoked.
/// A lost write that another has replaced since is not looked for.
///
/// # Errors
/// The first object whose last read misses a write.
pub(crate) fn check<M: Values>(model: &M, history: &HistoryOf<M>) -> Result<(), Fault> {
    history.by_object().iter().try_for_each(|(_, numbers)| one(model, history, numbers))
}

fn one<M: Values>(model: &M, history: &HistoryOf<M>, numbers: &[usize]) -> Result<(), Fault> {
    let operation = |number: usize| &history.operations[number];
    let reads = numbers.iter().copied().filter(|number| {
        model.is_read(&operation(*number).input) && operation(*number).output().is_some()
    });
    let Some(read) = reads.max_by_key(|number| operation(*number).invoked_at) else {
        return Ok(());
    };
    let shown = operation(read).output().map_or(&[][..], |output| model.shown(output));
    let since = if M::KEEPS { None } else { replaced(model, history, numbers, shown) };
    let shown: BTreeSet<u64> = shown.iter().copied().collect();
    let asked_at = operation(read).invoked_at;
    for number in numbers.iter().copied() {
        let is_before = operation(number).returned_at().is_some_and(|at| at < asked_at);
        let Some(value) = left(model, operation(number)).filter(|_| is_before) else { continue };
        let is_missed = match since {
            _ if shown.contains(&value) => false,
            None => true,
            Some(since) => operation(number).invoked_at > since,
        };
        if is_missed {
            let expected = format!("the last read shows {value}, or what came after it");
            return Err(Fault::new(PROPERTY, history, vec![number, read], expected));
        }
    }
    Ok(())
}

/// Until when what is shown may have been put there, by who returned last of those who wrote it:
/// only what was invoked later must have replaced it. `None`: it was there at first.
fn replaced<M: Values>(
    model: &M,
    history: &HistoryOf<M>,
    numbers: &[usize],
    shown: &[u64],
) -> Option<u64> {
    let value = shown.first()?;
    let mut returns: BTreeMap<u64, u64> = BTreeMap::new();
    for operation in numbers.iter().map(|number| &history.operations[*number]) {
        if let Some(left) = left(model, operation) {
            let at = operation.returned_at().unwrap_or(u64::MAX);
            let last = returns.entry(left).or_default();
            *last = at.max(*last);
        }
    }
    // What nobody has written is `made_up`'s to find.
    Some(returns.get(value).copied().unwrap_or(u64::MAX))
}
