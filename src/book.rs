//! The book's pages as doctests, so that the Rust in them is compiled and run.
//!
//! One line for each page with Rust in it; `tests/tidy.rs` finds those that are missing.

#[cfg(feature = "sled")]
#[doc = include_str!("../book/src/guide/quick_start.md")]
mod quick_start {}

#[doc = include_str!("../book/src/guide/entities.md")]
mod entities {}

#[cfg(feature = "sled")]
#[doc = include_str!("../book/src/guide/grid.md")]
mod grid {}

#[doc = include_str!("../book/src/guide/delivery.md")]
mod delivery {}

#[doc = include_str!("../book/src/guide/exactly_once.md")]
mod exactly_once {}

#[cfg(feature = "sled")]
#[doc = include_str!("../book/src/guide/cache.md")]
mod cache {}

#[cfg(feature = "testkit")]
#[doc = include_str!("../book/src/guide/messages.md")]
mod messages {}

#[cfg(feature = "sled")]
#[doc = include_str!("../book/src/guide/persistence.md")]
mod persistence {}

#[cfg(feature = "sled")]
#[doc = include_str!("../book/src/guide/operating.md")]
mod operating {}

#[doc = include_str!("../book/src/guide/changing_types.md")]
mod changing_types {}

#[doc = include_str!("../book/src/adr/0006_keys_and_hashing.md")]
mod keys_and_hashing {}

#[cfg(feature = "testkit")]
#[doc = include_str!("../book/src/guide/testing.md")]
mod testing {}
