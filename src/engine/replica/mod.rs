//! Copies of one partition.

#[cfg(any(test, feature = "simulation"))]
mod copy;
#[cfg(any(test, feature = "simulation"))]
mod log;
#[cfg(any(test, feature = "simulation"))]
mod message;
#[cfg(any(test, feature = "simulation"))]
mod peer;
pub(crate) mod primary;
#[cfg(any(test, feature = "simulation"))]
mod recovery;
#[cfg(any(test, feature = "simulation"))]
mod reign;

#[cfg(any(test, feature = "simulation"))]
use copy::Stored;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use copy::{Config, Copy, Effect, Scope, Timing};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use log::Entry;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use message::{Found, Message, Round};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use recovery::Recovered;
