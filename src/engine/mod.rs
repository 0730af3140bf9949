//! Everything that decides, as pure state machines.
//!
//! `replica` and `write_behind` take an event, change themselves, and say what is to be done:
//! `step(Event, &mut Vec<Effect>)`. What depends on time, as `write_behind` does, is told it first,
//! and says when it wants to be woken (`next_deadline()`). `execution`, `eviction`, `outbox`
//! and `alarms` are asked, and answer at once.
//!
//! No clock, no randomness, no I/O, no tasks, no hash-map order: the same inputs give the same
//! outputs, in production and in simulation.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

#[cfg(any(test, feature = "simulation"))]
pub(crate) mod adoption;
pub(crate) mod alarms;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod breakage;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod controller;
pub(crate) mod eviction;
pub(crate) mod execution;
#[cfg(test)]
pub(crate) mod formation;
pub(crate) mod hash;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod history;
pub(crate) mod id;
pub(crate) mod instant;
pub(crate) mod invariant;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod lease;
pub(crate) mod outbox;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod placement;
pub(crate) mod replica;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod report;
#[cfg(test)]
mod sim;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod simulation;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod suspicion;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod table;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod voters;
pub(crate) mod write_behind;
