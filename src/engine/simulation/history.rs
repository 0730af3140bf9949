//! What the clients were told, and whether it can be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lapse;
use super::object::{Input, Key, Kind, Output, kind_of, rings_after};
use crate::engine::history::fault::Fault;
use crate::engine::history::models::{counter, list, register, set, slot};
use crate::engine::history::values::Values;
use crate::engine::history::{
    History, HistoryOf, Model, Operation, Outcome, bounds, lost, made_up, search, twice,
    version_order,
};
use crate::engine::id::{PartitionId, Version};
use crate::engine::instant::Instant;

/// Objects of more operations are not put into a line by trial: that may take long.
const SEARCHED_MAX: usize = 40;

#[derive(Clone, Debug)]
pub(super) struct Done {
    pub client: usize,
    pub partition: PartitionId,
    pub key: Key,
    pub input: Input,
    pub began_at: Instant,
    pub told: Told,
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Done { at: Instant, output: Output, version: Version },
    Unknown,
}

impl Done {
    pub(super) fn is_returned(&self) -> bool {
        matches!(self.told, Told::Done { .. })
    }
}

/// How many objects were put in order, and of how many nobody could tell, by their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Objects that either checker has decided.
    pub decided: u64,
    /// Objects that both have given up. What is not about order was checked of them, too.
    pub undecided: BTreeMap<&'static str, u64>,
}

impl Decided {
    /// Counts what another has counted, too.
    pub fn add(&mut self, other: &Decided) {
        self.decided += other.decided;
        for (kind, count) in &other.undecided {
            *self.undecided.entry(kind).or_default() += count;
        }
    }
}

/// The operations of all objects of a kind.
macro_rules! of_kind {
    ($history:expr, $kind:ident) => {
        operations(
            $history,
            Kind::$kind,
            |input| match input {
                Input::$kind(input) => Some(input),
                _ => None,
            },
            |output| match output {
                Output::$kind(output) => Some(output),
                _ => None,
            },
        )
    };
}

/// Counts what was decided.
///
/// # Errors
/// What cannot be.
pub(super) fn check(history: &[Done], drift: u64, decided: &mut Decided) -> Result<(), String> {
    check_values("registers", &register::Register, &of_kind!(history, Register), decided)?;
    check_values("lists", &list::List, &of_kind!(history, List), decided)?;
    check_values("sets", &set::GrowingSet, &of_kind!(history, Set), decided)?;
    check_values("bells", &list::List, &of_bells(history, drift), decided)?;
    lapse::check(history, drift)?;
    check_order("slots", &slot::Slot, &of_slots(history), decided)?;
    let counters = of_kind!(history, Counter);
    bounds::counters(&counters).map_err(|fault| fault.to_string())?;
    check_order("counters", &counter::Counter, &counters, decided)
}

/// What was seen of slots: that nothing was there is a change that nobody has asked for.
fn of_slots(history: &[Done]) -> HistoryOf<slot::Slot> {
    let mut slots = of_kind!(history, Slot);
    for operation in &mut slots.operations {
        if operation.output() == Some(&slot::Output::Found(None)) {
            operation.input = slot::Input::Lapse;
        }
    }
    slots
}

/// What was seen of bells: each rings once, if at all as far as is known here, and not early.
fn of_bells(history: &[Done], drift: u64) -> HistoryOf<list::List> {
    let input_of = |input| match input {
        Input::Bell(input) => Some(input),
        _ => None,
    };
    let output_of = |output| match output {
        Output::Bell(output) => Some(output),
        _ => Some(list::Output::Length(0)), // see below
    };
    let mut bells = operations(history, Kind::Bell, input_of, output_of);
    for operation in &mut bells.operations {
        if let list::Input::Append(value) = operation.input {
            operation.outcome = Outcome::Indeterminate;
            operation.invoked_at += at_least(rings_after(value), drift).as_nanos() as u64;
        }
    }
    bells
}

/// What is left of a time that was measured by a clock that may be fast by so many millionths: by
/// that of each of two reigns.
pub(super) fn at_least(time: Duration, drift: u64) -> Duration {
    let fast = time.as_nanos() as u64 * drift / 1_000_000;
    time.saturating_sub(Duration::from_nanos(fast))
}

fn check_values<M: Values>(
    kind: &'static str,
    model: &M,
    history: &HistoryOf<M>,
    decided: &mut Decided,
) -> Result<(), String> {
    made_up::check(model, history)
        .and_then(|()| twice::check(model, history))
        .and_then(|()| lost::check(model, history))
        .map_err(|fault| fault.to_string())?;
    check_order(kind, model, history, decided)
}

/// By two checkers that have nothing in common.
fn check_order<M: Model>(
    kind: &'static str,
    model: &M,
    history: &HistoryOf<M>,
    decided: &mut Decided,
) -> Result<(), String> {
    for (_, numbers) in history.by_object() {
        let of = numbers.iter().map(|number| history.operations[*number].clone());
        let object = History { operations: of.collect() };
        match is_decided(model, &object)? {
            true => decided.decided += 1,
            false => *decided.undecided.entry(kind).or_default() += 1,
        }
    }
    Ok(())
}

/// Whether either checker could tell that an object is right.
fn is_decided<M: Model>(model: &M, object: &HistoryOf<M>) -> Result<bool, String> {
    let fault = |fault: Fault| fault.to_string();
    let replayed = version_order::check(model, object).map_err(fault)?;
    let is_short = object.operations.len() <= SEARCHED_MAX;
    let is_searched = is_short && search::check(model, object).map_err(fault)?.undecided.is_empty();
    Ok(is_searched || replayed.undecided_objects == 0)
}

fn operations<I, O>(
    history: &[Done],
    kind: Kind,
    input_of: impl Fn(Input) -> Option<I>,
    output_of: impl Fn(Output) -> Option<O>,
) -> History<I, O> {
    let operation = |done: &Done| {
        let outcome = match &done.told {
            Told::Done { at, output, version } => Outcome::Returned {
                at: at.as_nanos(),
                output: output_of(output.clone()).expect("answers are of the kind asked"),
                version: *version,
            },
            Told::Unknown => Outcome::Indeterminate,
        };
        Operation {
            client: done.client as u32,
            object: u64::from(done.partition.0) << 8 | u64::from(done.key),
            input: input_of(done.input).expect("what is asked is of the key's kind"),
            invoked_at: done.began_at.as_nanos(),
            outcome,
        }
    };
    let of_kind = history.iter().filter(|done| kind_of(done.key) == kind);
    History { operations: of_kind.map(operation).collect() }
}
