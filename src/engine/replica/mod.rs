//! Copies of one partition.

#[cfg(any(test, feature = "simulation"))]
mod copy;
#[cfg(any(test, feature = "simulation"))]
mod log;
#[cfg(any(test, feature = "simulation"))]
mod message;
pub(crate) mod primary;
#[cfg(any(test, feature = "simulation"))]
mod reign;

#[cfg(any(test, feature = "simulation"))]
pub(crate) use copy::{Copy, Effect, Standing, Timing};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use log::Entry;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use message::{Message, Round};
