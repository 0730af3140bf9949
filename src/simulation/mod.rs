//! Whole grids in virtual time, each from a seed: what the protocol is tried with. Built with the
//! feature `simulation`.
//!
//! Nothing here is needed to use a grid. `examples/simulate.rs` is the command for it.

#[doc(hidden)]
pub mod histories;
#[doc(hidden)]
pub mod planning;

use crate::engine::breakage::{self, Breakage};
use crate::engine::simulation;

pub use simulation::{Decided, Failure, Summary, Trace};

/// Runs one seed; with `trace`, each thing that happens is told. With `left_out`, a rule of the
/// protocol is left out, by its name in [`rules`]: then a failure is what is hoped for.
///
/// # Errors
/// The first thing that must not be, or that there is no such rule.
pub fn run(seed: u64, left_out: Option<&str>, trace: Option<Trace>) -> Result<Summary, Failure> {
    let rule = match left_out {
        None => None,
        Some(name) => {
            let rule = Breakage::ALL.iter().find(|rule| format!("{rule:?}") == name);
            let what = format!("no rule is called {name}");
            Some(*rule.ok_or(Failure { seed, what })?)
        }
    };
    breakage::with(rule, || simulation::run(seed, trace))
}

/// The rules that can be left out.
#[must_use]
pub fn rules() -> Vec<String> {
    Breakage::ALL.iter().map(|rule| format!("{rule:?}")).collect()
}
