//! Copies of one partition.

#[cfg(any(test, feature = "simulation"))]
mod catch_up;
#[cfg(any(test, feature = "simulation"))]
mod config;
#[cfg(any(test, feature = "simulation"))]
mod copy;
#[cfg(any(test, feature = "simulation"))]
mod durability;
#[cfg(any(test, feature = "simulation"))]
mod early;
#[cfg(any(test, feature = "simulation"))]
mod hand_in;
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
mod snapshot;

#[cfg(any(test, feature = "simulation"))]
use config::Stored;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use config::{Config, Scope, Timing};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use copy::{Copy, Effect};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use durability::{Durability, UnderReplicated};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use early::{Early, Replication};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use hand_in::{Claim, HandIn, Settled};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use log::Entry;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use message::{Found, Message, Round};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use recovery::{Gap, Recovered};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use snapshot::{Chunks, Cursor, Place};
