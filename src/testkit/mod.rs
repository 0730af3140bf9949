//! What users test their entities with; built with the feature `testkit`.
//!
//! * [`EntityHarness`]: one entity, no grid, nothing async: a message in, its reply and the state
//!   out, and everything encoded and decoded on the way.
//! * [`TestGrid`]: a whole grid in the test's own thread, with a clock that the test moves, crashes
//!   and restarts, over a [`FaultyStore`] whose [`Faults`] the test decides.
//! * [`golden`] and [`golden_rows`]: bytes that were stored once, kept in files beside the tests,
//!   and held to be readable, and written alike, by today's build.
//!
//! All of this panics, with what to do, where a test should fail.

mod builder;
mod delivered;
mod encoding;
mod faults;
mod faulty_store;
mod golden;
mod grid;
mod harness;
mod idle;
mod lines;
mod sent;
mod stored_row;

use crate::engine::instant::Timestamp;

pub use builder::TestGridBuilder;
pub use delivered::Delivered;
pub use faults::{Calls, Faults};
pub use faulty_store::FaultyStore;
pub use golden::{Golden, golden, golden_rows};
pub use grid::{RestartError, TestGrid};
pub use harness::EntityHarness;
pub use sent::{SentMessage, SetReminder};
pub use stored_row::{StoredRow, row_key};

/// The time at which the clocks of the testkit start: 2026-01-01 00:00:00 UTC.
pub const STARTED_AT: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
