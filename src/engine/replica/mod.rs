//! Copies of one partition.

#[cfg(any(test, feature = "testkit"))]
mod copy;
#[cfg(any(test, feature = "testkit"))]
mod log;
#[cfg(any(test, feature = "testkit"))]
mod message;
pub(crate) mod primary;
#[cfg(any(test, feature = "testkit"))]
mod reign;

#[cfg(any(test, feature = "testkit"))]
pub(crate) use copy::{Copy, Effect, Timing};
#[cfg(any(test, feature = "testkit"))]
pub(crate) use log::Entry;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use message::Message;
