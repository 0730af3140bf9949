//! Real processes, told to end, or killed with signal 9. The telemetry example is killed at random
//! moments of its progress, started again, and must end with the numbers of a run that nobody
//! disturbed; so is the shopping cart, whose customers also see their purchases in order.
//!
//! A debug build counts the first rows only, a release build the whole year. The seed is printed;
//! `FASTNESS_SEED=<seed> cargo test --test process` chooses the same moments again.

#[path = "../../examples/telemetry/flights.rs"]
#[allow(dead_code, reason = "the example reads more of it")]
mod flights;

#[path = "../../examples/shopping_cart/purchases.rs"]
mod purchases;

mod count;
mod shopping_cart;
mod signals;
mod telemetry;

use std::env;

use crate::count::count;
use crate::telemetry::{Moment, Store, Telemetry};

/// How many rows a run counts that is not slowed down.
const ROWS: u64 = if cfg!(debug_assertions) { 12_000 } else { 336_776 };

/// With a store ten times slower, three batches take as long as many otherwise.
const SLOW_ROWS: u64 = 6_000;

/// The example notes its progress after so many rows.
const BATCH: u64 = 2_000;

#[test]
fn killed_before_anything_is_noted() {
    let mut random = Random::new("first");
    for _ in 0..5 {
        kill_and_restart(ROWS, Moment::Row(random.within(1, BATCH)), Store::AsItIs);
    }
}

#[test]
fn killed_at_any_row() {
    let mut random = Random::new("any");
    for _ in 0..5 {
        kill_and_restart(ROWS, Moment::Row(random.within(1, ROWS)), Store::AsItIs);
    }
}

#[test]
fn killed_when_all_rows_are_answered() {
    for moment in [Moment::Draining, Moment::Draining, Moment::Leaving] {
        kill_and_restart(ROWS, moment, Store::AsItIs);
    }
}

#[test]
fn killed_with_a_slow_store() {
    let mut random = Random::new("slow");
    for _ in 0..2 {
        kill_and_restart(SLOW_ROWS, Moment::Row(random.within(1, BATCH)), Store::TenTimesSlower);
        let later = Moment::Row(random.within(BATCH, SLOW_ROWS));
        kill_and_restart(SLOW_ROWS, later, Store::TenTimesSlower);
        kill_and_restart(SLOW_ROWS, Moment::Draining, Store::TenTimesSlower);
    }
    kill_and_restart(SLOW_ROWS, Moment::Leaving, Store::TenTimesSlower);
}

#[test]
fn killed_again_and_again() {
    let mut random = Random::new("again");
    let directory = tempfile::tempdir().unwrap();
    let mut row = random.within(1, 2 * BATCH);
    while row < ROWS.min(20 * BATCH) {
        Telemetry::start(directory.path(), ROWS, Store::AsItIs).kill_at(Moment::Row(row));
        row += random.within(BATCH, 3 * BATCH);
    }
    let end = Telemetry::start(directory.path(), ROWS, Store::AsItIs).finish();
    assert_eq!(end.totals, count(ROWS));
}

/// This test's way to count is also another program's, in another language.
#[test]
fn the_count_agrees_with_the_one_in_python() {
    let expected = include_str!("../../examples/telemetry/expected.json");
    let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
    assert_eq!(count(u64::MAX), expected);
}

/// Runs the example on a fresh directory, kills it at `moment`, and lets a second run end.
fn kill_and_restart(rows: u64, moment: Moment, store: Store) {
    println!("{rows} rows, killed at {moment:?}, store {store:?}");
    let directory = tempfile::tempdir().expect("there is room for a directory");
    Telemetry::start(directory.path(), rows, store).kill_at(moment);

    let second = Telemetry::start(directory.path(), rows, Store::AsItIs).finish();
    assert_eq!(second.totals, count(rows), "after a kill at {moment:?}");
    let noted = noted_at_least(rows, moment);
    assert!(second.resumed_at >= noted, "{} of {noted} rows noted", second.resumed_at);

    // Everything is done and stored by now, so a third run has nothing to send.
    let third = Telemetry::start(directory.path(), rows, Store::AsItIs).finish();
    assert_eq!((third.resumed_at, third.totals), (rows, second.totals));
}

/// A batch is noted while the next one is sent, so all but the two newest are.
fn noted_at_least(rows: u64, moment: Moment) -> u64 {
    match moment {
        Moment::Row(row) => ((row - 1) / BATCH).saturating_sub(1) * BATCH,
        Moment::Draining => (rows - 1) / BATCH * BATCH,
        Moment::Leaving => rows,
    }
}

/// Random numbers (splitmix64) from a printed seed.
struct Random(u64);

impl Random {
    fn new(name: &str) -> Random {
        let seed = match env::var("FASTNESS_SEED") {
            Ok(seed) => seed.parse().expect("the seed is a number"),
            Err(_) => u64::from(getrandom::u32().expect("the system has random numbers")),
        };
        println!("{name}: FASTNESS_SEED={seed}");
        Random(seed)
    }

    /// A number from `low` to `high`.
    fn within(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (mixed ^ (mixed >> 31)) % (high - low + 1)
    }
}
