//! Objects whose operations leave values behind that can be recognised.

use super::models::{list, register, set};
use super::{Model, OperationOf};

/// A model in which each value tells who wrote it: as a rule no two operations write the same.
pub(crate) trait Values: Model {
    /// Whether a value, once there, stays; else the next one takes its place.
    const KEEPS: bool;

    /// What `input` leaves behind if it takes effect.
    fn value(&self, input: &Self::Input) -> Option<u64>;

    /// The values that an answer shows, those that were there at first left out.
    fn shown<'o>(&self, output: &'o Self::Output) -> &'o [u64];
}

/// What `operation` has left behind, or may have if it is indeterminate.
pub(super) fn left<M: Values>(model: &M, operation: &OperationOf<M>) -> Option<u64> {
    let has_failed =
        operation.output().is_some_and(|output| model.is_changeless(&operation.input, output));
    model.value(&operation.input).filter(|_| !has_failed)
}

impl Values for register::Register {
    const KEEPS: bool = false;

    fn value(&self, input: &register::Input) -> Option<u64> {
        match *input {
            register::Input::Read => None,
            register::Input::Write(value) => Some(value),
            register::Input::CompareAndSet { to, .. } => Some(to),
        }
    }

    fn shown<'o>(&self, output: &'o register::Output) -> &'o [u64] {
        match output {
            register::Output::Found(value) if *value != 0 => std::slice::from_ref(value),
            register::Output::Found(_) | register::Output::Written => &[],
        }
    }
}

impl Values for list::List {
    const KEEPS: bool = true;

    fn value(&self, input: &list::Input) -> Option<u64> {
        match *input {
            list::Input::Read => None,
            list::Input::Append(element) => Some(element),
        }
    }

    fn shown<'o>(&self, output: &'o list::Output) -> &'o [u64] {
        match output {
            list::Output::Elements(elements) => elements,
            list::Output::Length(_) => &[],
        }
    }
}

impl Values for set::GrowingSet {
    const KEEPS: bool = true;

    fn value(&self, input: &set::Input) -> Option<u64> {
        match *input {
            set::Input::Read => None,
            set::Input::Add(element) => Some(element),
        }
    }

    fn shown<'o>(&self, output: &'o set::Output) -> &'o [u64] {
        match output {
            set::Output::Elements(elements) => elements,
            set::Output::Added(_) => &[],
        }
    }
}
