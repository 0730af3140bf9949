//! What the clients were told, and whether it can be.

use super::object::{Input, Key, Kind, Output, kind_of};
use crate::engine::history::models::{counter, list, register, set};
use crate::engine::history::values::Values;
use crate::engine::history::{
    HistoryOf, Model, Operation, Outcome, bounds, lost, made_up, search, twice, version_order,
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

/// # Errors
/// What cannot be.
pub(super) fn check(history: &[Done]) -> Result<(), String> {
    let registers = of_kind(history, Kind::Register, |input, output| match (input, output) {
        (Input::Register(input), None) => Some((input, None)),
        (Input::Register(input), Some(Output::Register(output))) => Some((input, Some(output))),
        _ => None,
    });
    check_values(&register::Register, &registers)?;
    let lists = of_kind(history, Kind::List, |input, output| match (input, output) {
        (Input::List(input), None) => Some((input, None)),
        (Input::List(input), Some(Output::List(output))) => Some((input, Some(output))),
        _ => None,
    });
    check_values(&list::List, &lists)?;
    let sets = of_kind(history, Kind::Set, |input, output| match (input, output) {
        (Input::Set(input), None) => Some((input, None)),
        (Input::Set(input), Some(Output::Set(output))) => Some((input, Some(output))),
        _ => None,
    });
    check_values(&set::GrowingSet, &sets)?;
    let counters = of_kind(history, Kind::Counter, |input, output| match (input, output) {
        (Input::Counter(input), None) => Some((input, None)),
        (Input::Counter(input), Some(Output::Counter(output))) => Some((input, Some(output))),
        _ => None,
    });
    bounds::counters(&counters).map_err(|fault| fault.to_string())?;
    check_order(&counter::Counter, &counters)
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

/// The operations of all objects of a kind.
fn of_kind<I, O>(
    history: &[Done],
    kind: Kind,
    as_kind: impl Fn(Input, Option<Output>) -> Option<(I, Option<O>)>,
) -> crate::engine::history::History<I, O> {
    let operation = |done: &Done| {
        let (output, at) = match &done.told {
            Told::Done { at, output, version } => (Some(output.clone()), Some((*at, *version))),
            Told::Unknown => (None, None),
        };
        let (input, output) = as_kind(done.input, output).expect("answers are of the kind asked");
        let outcome = match (output, at) {
            (Some(output), Some((at, version))) => {
                Outcome::Returned { at: at.as_nanos(), output, version }
            }
            _ => Outcome::Indeterminate,
        };
        Operation {
            client: done.client as u32,
            object: u64::from(done.partition.0) << 8 | u64::from(done.key),
            input,
            invoked_at: done.began_at.as_nanos(),
            outcome,
        }
    };
    let operations = history.iter().filter(|done| kind_of(done.key) == kind).map(operation);
    crate::engine::history::History { operations: operations.collect() }
}
