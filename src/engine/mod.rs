//! Everything that decides, as pure state machines.
//!
//! Each takes the time and an event, changes itself, and says what is to be done:
//! `step(now, Event, &mut Vec<Effect>)`, and `next_deadline()` for when it wants to be woken. No
//! clock, no randomness, no I/O, no tasks, no hash-map order: the same inputs give the same
//! outputs, in production and in simulation.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub(crate) mod eviction;
pub(crate) mod execution;
pub(crate) mod hash;
pub(crate) mod id;
pub(crate) mod instant;
pub(crate) mod invariant;
pub(crate) mod replica;
#[cfg(test)]
mod sim;
pub(crate) mod write_behind;
