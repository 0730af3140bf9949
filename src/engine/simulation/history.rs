//! What the clients were told, and whether it can be.
//!
//! Replies carry the version of what they saw, which orders those of one register: replayed in that
//! order, each must have found what the one before it left, and no order may go against time. A
//! write of which nobody can tell is settled by who finds its value.

use std::collections::{BTreeMap, BTreeSet};

use super::parcel::{Ask, Key, Value};
use crate::engine::id::{PartitionId, Position, Version};
use crate::engine::instant::Instant;

#[derive(Clone, Debug)]
pub(super) struct Done {
    pub partition: PartitionId,
    pub ask: Ask,
    pub began_at: Instant,
    pub told: Told,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Done { at: Instant, found: Value, version: Version },
    Unknown,
}

/// One operation that was answered.
struct Answered<'a> {
    done: &'a Done,
    at: Instant,
    found: Value,
    version: Version,
}

impl Done {
    fn register(&self) -> (PartitionId, Key) {
        (self.partition, self.ask.key())
    }

    pub(super) fn is_returned(&self) -> bool {
        matches!(self.told, Told::Done { .. })
    }

    /// The value that it writes, if it finds what it expects.
    fn writes(&self, found: Value) -> Option<Value> {
        match self.ask {
            Ask::Read(_) => None,
            Ask::Write(_, value) => Some(value),
            Ask::Swap(_, expected, value) => (expected == found).then_some(value),
        }
    }
}

/// # Errors
/// What cannot be.
pub(super) fn check(history: &[Done]) -> Result<(), String> {
    let registers: BTreeSet<(PartitionId, Key)> = history.iter().map(Done::register).collect();
    registers.into_iter().try_for_each(|register| check_register(history, register))
}

fn check_register(history: &[Done], register: (PartitionId, Key)) -> Result<(), String> {
    let of_register = || history.iter().filter(|done| done.register() == register);
    let mut answered: Vec<Answered<'_>> = of_register()
        .filter_map(|done| match done.told {
            Told::Done { at, found, version } => Some(Answered { done, at, found, version }),
            Told::Unknown => None,
        })
        .collect();
    answered.sort_by_key(|it| (it.version, it.done.began_at));
    check_versions(&answered)?;
    check_time(&answered)?;
    // Writes that may have been done, by what they wrote: each value is written once.
    let open: BTreeMap<Value, &Done> = of_register()
        .filter(|done| !done.is_returned())
        .filter_map(|done| match done.ask {
            Ask::Write(_, value) | Ask::Swap(_, _, value) => Some((value, done)),
            Ask::Read(_) => None,
        })
        .collect();
    replay(&answered, open)
}

/// Each write has a version of its own.
fn check_versions(answered: &[Answered<'_>]) -> Result<(), String> {
    let writes = answered.iter().filter(|it| it.done.writes(it.found).is_some());
    let mut known: BTreeMap<Position, &Done> = BTreeMap::new();
    for it in writes {
        if let Some(other) = known.insert(it.version.position, it.done) {
            return Err(format!(
                "two writes in version {}: {other:?} and {:?}",
                it.version, it.done
            ));
        }
    }
    Ok(())
}

/// What began after another had ended comes after it.
fn check_time(answered: &[Answered<'_>]) -> Result<(), String> {
    // From the last version to the first: the earliest end of all that come later.
    let mut earliest: Option<&Answered<'_>> = None;
    let mut from = answered.len();
    while from > 0 {
        // Those of one position are in any order.
        let position = answered[from - 1].version.position;
        let first = answered[..from].partition_point(|it| it.version.position < position);
        for it in &answered[first..from] {
            if let Some(later) = earliest.filter(|later| later.at < it.done.began_at) {
                return Err(format!(
                    "{:?} began after {:?} had ended, and is of the earlier version {}",
                    it.done, later.done, it.version
                ));
            }
        }
        for it in &answered[first..from] {
            if earliest.is_none_or(|known| it.at < known.at) {
                earliest = Some(it);
            }
        }
        from = first;
    }
    Ok(())
}

fn replay(answered: &[Answered<'_>], mut open: BTreeMap<Value, &Done>) -> Result<(), String> {
    let mut value = 0;
    for it in answered {
        if it.found != value {
            // A write of which nobody was told has been done in between.
            let written = open.remove(&it.found).filter(|by| by.began_at <= it.at);
            if written.is_none() {
                return Err(format!(
                    "{:?} found {} in version {}, and not {value}",
                    it.done, it.found, it.version
                ));
            }
            value = it.found;
        }
        if let Some(written) = it.done.writes(it.found) {
            value = written;
        }
    }
    Ok(())
}
