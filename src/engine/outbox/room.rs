//! How much a partition may keep of what it has sent, and who may go over that.
//!
//! A handler of an ask may send if there is room, as a whole and for each receiver; likewise one of
//! a message. Room comes back when a receiver has a message durably. So if partitions that are
//! full sent only where there is room, those full of messages to each other would wait for ever.
//!
//! Therefore a partition that has no room, and whose next message to a receiver was put aside
//! there, *claims*: with that one message the receiver may go over its own bounds. By how much a
//! partition is over is its *excess*, in weights of messages; what it forgets makes that less, and
//! nothing but claims makes it more. A claim says its sender's excess. It holds if the receiver's
//! is not more, and what is sent is one message at most and no heavier than the one that is
//! applied; or, if it is more, as long as the excess is at most as much as the bound. A sender
//! makes one claim at a time, until that message is forgotten.
//!
//! *Nobody waits for ever*, if each message makes one at most, no heavier than itself. Assume that
//! nothing moves any more. Then all that is kept waits behind a message that was put aside, and
//! whoever has no room for one keeps messages itself. Of all that have no room, take one with the
//! largest excess. It claims, for a message to a receiver whose excess is no larger (it has no
//! room either). So the claim holds there, and something moves.
//!
//! *It stays bounded.* Let there be `n` partitions, none of whose messages weighs more than `w`,
//! and `s(j)` the sum of the `j` largest excesses, where a sender counts with what it claims if
//! that is more. Never is `s(j)` more than `t(j) = w * ((2n + 1) + (2n - 1) + .. )`, of `j` terms.
//! Consider a claim that moves weight from a sender of excess `a` to a receiver of `b <= a`, and
//! any `j` partitions. If they hold the sender and not the receiver, their sum does not grow. If
//! both, only where `a < w`, which leaves the sender none: their sum is `s(j - 1) + w` at most. If
//! the receiver only, let `q` be the sum of the others of them: `q <= t(j - 1)`, and with sender
//! and receiver `q + a + b <= t(j + 1)`; so `2 (q + b) <= t(j - 1) + t(j + 1)`, which is
//! `2 (t(j) - w)`, and the sum after is `t(j)` at most. So no excess is more than `t(1)`: with 256
//! partitions, 513 messages. (One that was applied and is not forgotten counts at its receiver
//! only: its sender makes no other claim until it is.)
//!
//! Messages that each make several, or ever larger ones, can fill any bound. They may go over it
//! by as much again, and then they wait for what others apply: possibly for ever, if all do so.
//! Nothing is lost by that.

use std::collections::BTreeMap;

use crate::engine::id::PartitionId;

/// A number of messages, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

impl Bounds {
    /// Whether there is room for more beside what is `kept`.
    fn has_room(self, kept: Bounds) -> bool {
        kept.messages < self.messages && kept.bytes < self.bytes
    }
}

/// A sender without room wants its next message applied, although the receiver has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The sender's excess.
    pub(crate) excess: u64,
    /// What the message weighs.
    pub(crate) weight: u64,
}

/// A message that a handler wants to send: to whom, and its bytes.
pub(crate) type Outgoing = (PartitionId, u64);

/// The room of one partition.
#[derive(Debug)]
pub(super) struct Room {
    whole: Bounds,
    per_receiver: Bounds,
    kept: Bounds,
    receivers: BTreeMap<PartitionId, Bounds>,
    /// How many receivers have no room.
    full: usize,
    /// Weight by which it is over its bounds.
    excess: u64,
}

impl Room {
    pub(super) fn new(whole: Bounds, per_receiver: Bounds) -> Room {
        let (kept, receivers) = (Bounds::default(), BTreeMap::new());
        Room { whole, per_receiver, kept, receivers, full: 0, excess: 0 }
    }

    pub(super) fn excess(&self) -> u64 {
        self.excess
    }

    /// What a message weighs: its bytes, and no less than its share of the room.
    pub(super) fn weight(&self, bytes: u64) -> u64 {
        bytes.max(self.whole.bytes / (self.whole.messages.max(1) as u64))
    }

    /// Whether something may be sent, if its receiver has room.
    pub(super) fn is_free(&self) -> bool {
        self.excess == 0 && self.whole.has_room(self.kept)
    }

    /// Whether something may be sent to this receiver, if the whole has room.
    pub(super) fn is_free_for(&self, to: PartitionId) -> bool {
        self.receivers.get(&to).is_none_or(|kept| self.per_receiver.has_room(*kept))
    }

    /// Whether there is something that may not be sent.
    pub(super) fn is_tight(&self) -> bool {
        self.full > 0 || !self.is_free()
    }

    /// Whether all of this may be sent. What one handler sends may go over the bounds.
    pub(super) fn fits(&self, outgoing: &[Outgoing]) -> bool {
        outgoing.is_empty()
            || self.is_free() && outgoing.iter().all(|(to, _)| self.is_free_for(*to))
    }

    /// Whether all of this may be sent with this claim, although it does not fit. `is_aside` says
    /// whose next message waits for room there.
    pub(super) fn holds(
        &self,
        claim: Claim,
        outgoing: &[Outgoing],
        is_aside: impl Fn(PartitionId) -> bool,
    ) -> bool {
        // A receiver that is only slow is to take what it has first.
        let waits = |(to, _): &Outgoing| self.is_free_for(*to) || is_aside(*to);
        let weight = self.weigh(outgoing);
        let is_moved = outgoing.len() <= 1 && weight <= claim.weight;
        let is_little = self.excess.saturating_add(weight) <= self.whole.bytes;
        claim.excess >= self.excess && (is_moved || is_little) && outgoing.iter().all(waits)
    }

    /// A claim was used.
    pub(super) fn go_over(&mut self, outgoing: &[Outgoing]) {
        self.excess = self.excess.saturating_add(self.weigh(outgoing));
    }

    fn weigh(&self, outgoing: &[Outgoing]) -> u64 {
        outgoing.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(self.weight(*bytes)))
    }

    pub(super) fn add(&mut self, (to, bytes): Outgoing) {
        let was_free = self.is_free_for(to);
        let receiver = self.receivers.entry(to).or_default();
        for kept in [receiver, &mut self.kept] {
            kept.messages += 1;
            kept.bytes = kept.bytes.saturating_add(bytes);
        }
        self.full += usize::from(was_free && !self.is_free_for(to));
    }

    pub(super) fn remove(&mut self, (to, bytes): Outgoing) {
        let was_free = self.is_free_for(to);
        if let Some(receiver) = self.receivers.get_mut(&to) {
            for kept in [receiver, &mut self.kept] {
                kept.messages -= 1;
                kept.bytes -= bytes;
            }
        }
        self.full -= usize::from(!was_free && self.is_free_for(to));
        self.excess = self.excess.saturating_sub(self.weight(bytes));
    }
}
