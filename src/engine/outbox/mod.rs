//! Messages between partitions: each takes effect once, and those of a pair of partitions in order.
//!
//! What handlers of one partition send is numbered by their change and kept in their entities' rows
//! until its receiver has it durably. The sender ([`Outbox`]) sends what it keeps in the order of
//! the numbers, one frame of each pair at a time, again until it is answered. The receiver
//! ([`Inbox`]) keeps one number of each sender: everything at or under it was applied. It answers
//! *applied*, and the sender sends on; and *persisted*, and the sender forgets.
//!
//! Frames are numbered, too, and name the receiver's reign: so a frame that comes late, twice, or
//! from before a crash is told from the newest, and nothing but the newest is applied.
//!
//! What a partition keeps is bounded ([`room`]), as a whole and for each receiver. A message whose
//! handler sends what does not fit is undone and put aside: it waits for room, with those behind
//! it of the same sender, and those of other senders pass. How partitions that are full of messages
//! to each other go on all the same is told there.

mod receiver;
mod room;
mod sender;

#[cfg(test)]
mod full;
#[cfg(test)]
mod property;

use std::time::Duration;

use super::id::{Epoch, Position};

pub(crate) use receiver::Inbox;
pub(crate) use room::{Bounds, Claim, Outgoing};
pub(crate) use sender::{Effect, Outbox};

/// A message's number among all that its partition sends. Never repeats; not all are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    /// The batch in which it was sent.
    pub(crate) position: Position,
    /// Which of that batch's messages, from 0.
    pub(crate) index: u32,
}

/// Bounds of what one partition sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// What is kept when nothing more may be sent.
    pub(crate) whole: Bounds,
    /// Likewise, of what is kept for one receiver.
    pub(crate) per_receiver: Bounds,
    /// Messages that are parked; at the bound, what would be parked is tried further.
    pub(crate) parked_max: usize,
    /// Messages in one frame.
    pub(crate) frame_max: usize,
    /// How often a message is tried before it is parked.
    pub(crate) attempts_max: u32,
    /// Wait after the first failure of a message; doubles with each.
    pub(crate) retry_min: Duration,
    /// Longest wait.
    pub(crate) retry_max: Duration,
    /// A frame that is not answered for this long is sent again.
    pub(crate) resend_after: Duration,
}

/// Names a frame of one sender to one receiver: the sender's reign, and a number from 1 in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameId(pub(crate) Epoch, pub(crate) u64);

/// Messages on their way.
#[derive(Clone, Debug)]
pub(crate) struct Frame<P> {
    pub(crate) id: FrameId,
    /// The receiver's reign as its sender knows it. If it is another, nothing is applied: what
    /// comes before these messages may be lost.
    pub(crate) reign: Epoch,
    /// The sender has no room for more: what is applied is to be made durable soon.
    pub(crate) is_short: bool,
    /// The right to go over the receiver's bounds with the first of these.
    pub(crate) claim: Option<Claim>,
    /// Ascending. They follow what the receiver is known to have applied in this reign.
    pub(crate) messages: Vec<(Number, P)>,
}

/// What a receiver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The receiver's reign.
    pub(crate) reign: Epoch,
    /// The frame that is dealt with, if this says so of one.
    pub(crate) done: Option<FrameId>,
    /// Everything at or under it was applied in this reign, or before it and durably.
    pub(crate) applied: Number,
    /// Everything at or under it is durable, and may be forgotten.
    pub(crate) persisted: Number,
    /// What is to be applied next waits here for room.
    pub(crate) is_aside: bool,
    /// A message of the frame that could not be applied, and why. Those behind it were left.
    pub(crate) failed: Option<(Number, String)>,
}
