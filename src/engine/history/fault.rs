//! A history that cannot have been, said so that a person can follow it.

use std::fmt;

use super::{History, Outcome};

/// What is wrong with a history, and which operations show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The property that does not hold.
    pub property: &'static str,
    /// The object whose operations show it.
    pub object: u64,
    /// Numbers of the operations that show it.
    pub operations: Vec<usize>,
    /// What should have been seen, and was not.
    pub expected: String,
    /// The operations, a line each.
    lines: Vec<String>,
}

impl Fault {
    /// The fault that `operations` of `history`, all of one object, show; there is at least one.
    pub(super) fn new<I: fmt::Debug, O: fmt::Debug>(
        property: &'static str,
        history: &History<I, O>,
        operations: Vec<usize>,
        expected: String,
    ) -> Fault {
        let object = history.operations[operations[0]].object;
        let lines = operations.iter().map(|number| line(history, *number)).collect();
        Fault { property, object, operations, expected, lines }
    }
}

/// Longer outputs are cut here, in characters.
const WRITTEN_MAX: usize = 300;

/// `value` as text, cut where it gets too long to read.
pub(super) fn written(value: &impl fmt::Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((cut, _)) = text.char_indices().nth(WRITTEN_MAX) {
        text.truncate(cut);
        text.push_str("..");
    }
    text
}

fn line<I: fmt::Debug, O: fmt::Debug>(history: &History<I, O>, number: usize) -> String {
    let operation = &history.operations[number];
    let (client, invoked_at) = (operation.client, operation.invoked_at);
    let input = written(&operation.input);
    match &operation.outcome {
        Outcome::Returned { at, output, version } => {
            let output = written(output);
            format!(
                "#{number} client {client}, {invoked_at}..{at}, at {version}: {input} -> {output}"
            )
        }
        Outcome::Indeterminate => {
            format!("#{number} client {client}, {invoked_at}.., indeterminate: {input}")
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: object {}: {}", self.property, self.object, self.expected)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
