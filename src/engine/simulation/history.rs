//! What the clients were told, and whether it can be.

use std::time::Duration;

use super::lapse;
use super::object::{Input, Key, Kind, Output, kind_of, rings_after};
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

/// # Errors
/// What cannot be.
pub(super) fn check(history: &[Done], drift: u64) -> Result<(), String> {
    check_values(&register::Register, &of_kind!(history, Register))?;
    check_values(&list::List, &of_kind!(history, List))?;
    check_values(&set::GrowingSet, &of_kind!(history, Set))?;
    check_values(&list::List, &of_bells(history, drift))?;
    lapse::check(history, drift)?;
    check_order(&slot::Slot, &of_slots(history))?;
    let counters = of_kind!(history, Counter);
    bounds::counters(&counters).map_err(|fault| fault.to_string())?;
    check_order(&counter::Counter, &counters)
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

fn check_values<M: Values>(model: &M, history: &HistoryOf<M>) -> Result<(), String> {
    made_up::check(model, history)
        .and_then(|()| twice::check(model, history))
        .and_then(|()| lost::check(model, history))
        .map_err(|fault| fault.to_string())?;
    check_order(model, history)
}

/// By two checkers that have nothing in common.
fn check_order<M: Model>(model: &M, history: &HistoryOf<M>) -> Result<(), String> {
    version_order::check(model, history).map_err(|fault| fault.to_string())?;
    let mut short = history.clone();
    let of = |object: u64| history.operations.iter().filter(|it| it.object == object).count();
    short.operations.retain(|operation| of(operation.object) <= SEARCHED_MAX);
    search::check(model, &short).map(drop).map_err(|fault| fault.to_string())
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
