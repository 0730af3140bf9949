//! Times of the history checker, which the engine has no clock for.

use std::time::Instant;

use crate::engine::history::million;

/// `cargo test --release --features testkit --lib history::million -- --nocapture` prints them.
#[test]
fn million_operations_are_decided() {
    let operations = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    million::each(operations, &mut |name, check| {
        let started_at = Instant::now();
        let found = check();
        println!("{:6.2} s  {name}: {found}", started_at.elapsed().as_secs_f64());
    });
}
