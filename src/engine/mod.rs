//! Everything that decides, as pure state machines.
//!
//! Each takes the time and an event, changes itself, and says what is to be done:
//! `step(now, Event, &mut Vec<Effect>)`, and `next_deadline()` for when it wants to be woken. No
//! clock, no randomness, no I/O, no tasks, no hash-map order: the same inputs give the same
//! outputs, in production and in simulation.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod execution;
pub mod hash;
pub mod id;
pub mod instant;
pub mod invariant;
pub mod replica;
pub mod write_behind;
