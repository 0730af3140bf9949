//! How long it takes to decide whether a long history can have been.

use std::time::{Duration, Instant};

use crate::engine::history::million;

/// Makes histories of so many operations, right ones and ones with a planted fault, and checks
/// them. `told` hears of each check which history it was of, what was found, and how long that
/// took.
///
/// # Panics
/// If a check finds something else than is there.
pub fn decide(operations: usize, told: &mut dyn FnMut(&str, &str, Duration)) {
    million::each(operations, &mut |name, check| {
        let began_at = Instant::now();
        let found = check();
        told(name, &found, began_at.elapsed());
    });
}
