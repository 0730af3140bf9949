//! The stores: each against the suite that is public, the suite against stores that are wrong, and
//! what no suite can do to a store: sled's directory locked, read-only, full, damaged, and its
//! process killed.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod conformance;
#[cfg(feature = "sled")]
mod damage;
#[cfg(feature = "sled")]
mod directories;
#[cfg(feature = "sled")]
mod full;
#[cfg(feature = "sled")]
mod killed;
#[cfg(feature = "sled")]
mod mounts;
mod places;
#[cfg(feature = "sled")]
mod rows;
mod wrong;

use std::future::Future;

/// Runs a future of a test to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system has room for a runtime").block_on(future)
}
