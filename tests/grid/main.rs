//! The real runtime, in one process: what a user of an embedded grid sees.
#![allow(clippy::unwrap_used)] // a test that fails may panic anywhere

mod asks;
mod cache;
mod dead_letters;
mod direct;
mod durability;
mod endings;
mod entities;
mod evolution;
mod full_outboxes;
#[cfg(feature = "sled")]
mod killed;
mod limits;
mod message_versions;
mod messages;
mod metrics;
mod promises;
mod refusals;
mod reminders;
mod sessions;

use std::time::Duration;

use fastness::testkit::{FaultyStore, TestGrid, TestGridBuilder};
use fastness::{EntityOptions, Grid, GridBuilder, ManualClock, Timestamp};

use entities::{Counter, Gate, Ledger, Wallet};

/// A grid of the test entities without a store.
fn in_memory() -> GridBuilder {
    Grid::builder()
        .partitions(8)
        .entity::<Counter>(EntityOptions::new())
        .entity::<Gate>(EntityOptions::new())
        .entity::<Wallet>(EntityOptions::new())
}

/// A grid of the test entities on a store; ledgers are written through.
fn stored(store: &FaultyStore) -> GridBuilder {
    in_memory().entity::<Ledger>(EntityOptions::new().write_through()).store(store.clone())
}

/// The same types, in the test's own thread, with a clock that the test moves.
fn test_grid() -> TestGridBuilder {
    TestGrid::builder()
        .entity::<Counter>(EntityOptions::new())
        .entity::<Gate>(EntityOptions::new())
        .entity::<Wallet>(EntityOptions::new())
        .entity::<Ledger>(EntityOptions::new().write_through())
}

/// A clock that tests move, in the year 2026.
fn manual_clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000))
}

/// Moves the clock in small steps until the condition holds: tests wait for what happens, and not
/// for time.
async fn advance_until(clock: &ManualClock, mut done: impl AsyncFnMut() -> bool) {
    while !done().await {
        clock.advance(Duration::from_millis(20));
        tokio::task::yield_now().await;
    }
}
