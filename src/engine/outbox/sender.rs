//! The sending half: what is kept, what is sent when, what is forgotten, what is parked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::room::Room;
use super::{Claim, Config, Frame, FrameId, Number, Outgoing, Receipt};
use crate::engine::id::{Epoch, PartitionId};
use crate::engine::instant::Instant;

/// What one partition has sent and not forgotten yet.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    config: Config,
    epoch: Epoch,
    messages: BTreeMap<Number, Kept<P>>,
    pairs: BTreeMap<PartitionId, Pair>,
    parked: usize,
    room: Room,
    /// The one claim that was made, and is not settled.
    claimed: Option<Claimed>,
    /// Something may be sent that might not before.
    is_stirred: bool,
}

/// A claim is settled when its message is forgotten.
#[derive(Clone, Copy, Debug)]
struct Claimed {
    to: PartitionId,
    number: Number,
    excess: u64,
}

#[derive(Debug)]
struct Kept<P> {
    to: PartitionId,
    bytes: u64,
    content: P,
    /// The change that it is part of is as durable as it must be.
    may_leave: bool,
    is_parked: bool,
}

/// What is known of one receiver.
#[derive(Debug, Default)]
struct Pair {
    /// What is kept for it and not parked, ascending.
    queue: BTreeSet<Number>,
    /// Its reign, once it has said so.
    reign: Epoch,
    applied: Number,
    /// Number of the newest frame.
    sent: u64,
    /// The first message that is not applied waits there for room.
    is_aside: bool,
    /// The newest frame is not answered: send again then.
    resend_at: Option<Instant>,
    /// All is applied, and not all is persisted: ask then whether its reign is still the same.
    probe_at: Option<Instant>,
    /// The first message failed: not before then.
    retry_at: Option<Instant>,
    failing: Number,
    failures: u32,
    /// This message is on its way to being parked: nothing goes before that is durable.
    parking: Option<Number>,
}

/// What a sender wants done.
#[derive(Debug)]
pub(crate) enum Effect<P> {
    /// Send this to a partition.
    Send(PartitionId, Frame<P>),
    /// Its receiver has it durably: it need not be kept any more.
    Forget(Number),
    /// It failed too often: keep it as a parked one, and say so ([`Outbox::parked`]) when that is
    /// durable.
    Park {
        /// Which message.
        number: Number,
        /// Why it failed last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
}

impl<P: Clone> Outbox<P> {
    /// An empty outbox of a partition in this reign.
    #[must_use]
    pub(crate) fn new(config: Config, epoch: Epoch) -> Outbox<P> {
        Outbox {
            config,
            epoch,
            messages: BTreeMap::new(),
            pairs: BTreeMap::new(),
            parked: 0,
            room: Room::new(config.whole, config.per_receiver),
            claimed: None,
            is_stirred: false,
        }
    }

    /// The reign begins, before anything is sent.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Whether everything may be sent, whoever it is for.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        !self.room.is_tight()
    }

    /// Whether a handler may send all of this. What it sends may go over the bounds by itself.
    #[must_use]
    pub(crate) fn fits(&self, outgoing: &[Outgoing]) -> bool {
        self.room.fits(outgoing)
    }

    /// Whether the handler of a message may send all of this, with the claim that came with it.
    #[must_use]
    pub(crate) fn admits(&self, outgoing: &[Outgoing], claim: Option<Claim>) -> bool {
        let is_aside = |to| self.pairs.get(&to).is_some_and(|pair| pair.is_aside);
        self.room.fits(outgoing) || claim.is_some_and(|it| self.room.holds(it, outgoing, is_aside))
    }

    /// That is about to be sent, and may be.
    pub(crate) fn admitted(&mut self, outgoing: &[Outgoing]) {
        if !self.room.fits(outgoing) {
            self.room.go_over(outgoing);
            self.is_stirred = true; // what it claims is more now
        }
    }

    /// Messages that are kept and not parked.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.messages.len() - self.parked
    }

    /// Messages that are parked.
    #[must_use]
    pub(crate) fn parked_len(&self) -> usize {
        self.parked
    }

    /// Keeps a message, which may not leave yet. Numbers of one reign come in ascending order.
    pub(crate) fn push(&mut self, number: Number, to: PartitionId, bytes: u64, content: P) {
        let kept = Kept { to, bytes, content, may_leave: false, is_parked: false };
        self.keep(number, kept);
    }

    /// Keeps a message that was found in the store.
    pub(crate) fn restore(
        &mut self,
        number: Number,
        to: PartitionId,
        bytes: u64,
        content: P,
        is_parked: bool,
    ) {
        self.keep(number, Kept { to, bytes, content, may_leave: true, is_parked });
        self.is_stirred = true;
    }

    fn keep(&mut self, number: Number, kept: Kept<P>) {
        if kept.is_parked {
            self.parked += 1;
        } else {
            self.room.add((kept.to, kept.bytes));
            self.pairs.entry(kept.to).or_default().queue.insert(number);
        }
        let before = self.messages.insert(number, kept);
        debug_assert!(before.is_none(), "a number is given once");
    }

    /// The change that the message is part of is as durable as it must be: it may leave.
    pub(crate) fn release(&mut self, number: Number) {
        if let Some(kept) = self.messages.get_mut(&number) {
            kept.may_leave = true;
            self.is_stirred = true;
        }
    }

    /// That the message is parked is durable.
    pub(crate) fn parked(&mut self, number: Number) {
        for pair in self.pairs.values_mut() {
            if pair.parking == Some(number) {
                pair.parking = None;
                self.is_stirred = true;
            }
        }
    }

    /// Whether the message is parked, durably.
    #[must_use]
    pub(crate) fn is_parked(&self, number: Number) -> bool {
        self.messages.get(&number).is_some_and(|kept| {
            let parking = self.pairs.get(&kept.to).and_then(|pair| pair.parking);
            kept.is_parked && parking != Some(number)
        })
    }

    /// Forgets a parked message.
    pub(crate) fn discard(&mut self, number: Number) {
        if self.is_parked(number) {
            self.messages.remove(&number);
            self.parked -= 1;
        }
    }

    /// Sends what may be sent.
    pub(crate) fn step(&mut self, now: Instant, effects: &mut Vec<Effect<P>>) {
        if !self.is_stirred && self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        self.is_stirred = false;
        let Outbox { messages, config, epoch, room, claimed, .. } = self;
        for (to, pair) in &mut self.pairs {
            let claims = pair.is_to_claim(*to, room, *claimed);
            if !pair.may_send(now) && !claims {
                continue;
            }
            let mut frame = Vec::new();
            if pair.reign > Epoch::default() {
                let after = (std::ops::Bound::Excluded(pair.applied), std::ops::Bound::Unbounded);
                for number in pair.queue.range(after).take(config.frame_max) {
                    match messages.get(number) {
                        Some(kept) if kept.may_leave => frame.push((*number, kept.content.clone())),
                        _ => break, // what is behind it waits: the order is kept
                    }
                }
                if frame.is_empty() && !pair.is_to_be_probed(now, config.resend_after) {
                    continue;
                }
            }
            pair.sent += 1;
            pair.probe_at = None;
            pair.resend_at = Some(now + config.resend_after);
            let first = frame.first().map(|(number, _)| *number);
            if claims {
                let excess = room.excess();
                *claimed = first.map(|number| Claimed { to: *to, number, excess });
            }
            let is_claimed = claimed.is_some_and(|it| it.to == *to && Some(it.number) == first);
            let kept = first.filter(|_| is_claimed).and_then(|first| messages.get(&first));
            let (excess, id) = (room.excess(), FrameId(*epoch, pair.sent));
            let claim = kept.map(|kept| Claim { excess, weight: room.weight(kept.bytes) });
            let (reign, is_short) = (pair.reign, !room.is_free() || !room.is_free_for(*to));
            let frame = Frame { id, reign, is_short, claim, messages: frame };
            effects.push(Effect::Send(*to, frame));
        }
    }

    /// Takes in what a receiver says.
    pub(crate) fn receipt(
        &mut self,
        now: Instant,
        from: PartitionId,
        receipt: Receipt,
        effects: &mut Vec<Effect<P>>,
    ) {
        let Some(pair) = self.pairs.get_mut(&from) else { return };
        if receipt.reign < pair.reign {
            return;
        }
        if receipt.reign > pair.reign {
            // It has lost what it had not stored: all that is kept is sent again.
            pair.reign = receipt.reign;
            pair.applied = Number::default();
            pair.resend_at = None;
        }
        pair.applied = pair.applied.max(receipt.applied);
        pair.is_aside = receipt.is_aside;
        let is_newest = receipt.done == Some(FrameId(self.epoch, pair.sent));
        if is_newest {
            pair.resend_at = None;
        }
        self.is_stirred = true;
        while pair.queue.first().is_some_and(|first| *first <= receipt.persisted) {
            let Some(number) = pair.queue.pop_first() else { break };
            if let Some(kept) = self.messages.remove(&number) {
                self.room.remove((kept.to, kept.bytes));
            }
            self.claimed.take_if(|claimed| claimed.number == number);
            effects.push(Effect::Forget(number));
        }
        if let Some((number, reason)) = receipt.failed.filter(|_| is_newest) {
            self.failed(now, from, number, reason, effects);
        }
    }

    /// The first message of a frame that was the newest has failed.
    fn failed(
        &mut self,
        now: Instant,
        to: PartitionId,
        number: Number,
        reason: String,
        effects: &mut Vec<Effect<P>>,
    ) {
        let Some(pair) = self.pairs.get_mut(&to) else { return };
        if !pair.queue.contains(&number) {
            return;
        }
        pair.failures = if pair.failing == number { pair.failures.saturating_add(1) } else { 1 };
        pair.failing = number;
        let has_room = self.parked < self.config.parked_max;
        if pair.failures < self.config.attempts_max || !has_room {
            let doublings = (pair.failures - 1).min(16);
            let after = self.config.retry_min.saturating_mul(1 << doublings);
            pair.retry_at = Some(now + after.min(self.config.retry_max));
            return;
        }
        // No older frame can be applied any more, and the newest was answered: so nobody has
        // applied it, and nobody will.
        pair.queue.remove(&number);
        pair.parking = Some(number);
        let attempts = pair.failures;
        if let Some(kept) = self.messages.get_mut(&number) {
            kept.is_parked = true;
            self.room.remove((kept.to, kept.bytes));
            self.parked += 1;
        }
        self.claimed.take_if(|claimed| claimed.number == number);
        effects.push(Effect::Park { number, reason, attempts });
    }

    /// When [`step`](Self::step) has something to do by itself.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pairs.values().filter_map(Pair::deadline).min()
    }

    /// Whether [`step`](Self::step) may have something to do at once.
    #[must_use]
    pub(crate) fn is_stirred(&self) -> bool {
        self.is_stirred
    }
}

impl Pair {
    fn may_send(&mut self, now: Instant) -> bool {
        if self.queue.is_empty() || self.parking.is_some() {
            (self.resend_at, self.probe_at, self.retry_at) = (None, None, None);
            return false;
        }
        if self.retry_at.max(self.resend_at).is_some_and(|at| at > now) {
            return false;
        }
        (self.resend_at, self.retry_at) = (None, None);
        true
    }

    /// Whether its first message is to be sent with a claim, or with a larger one.
    fn is_to_claim(&self, to: PartitionId, room: &Room, claimed: Option<Claimed>) -> bool {
        if !self.is_aside || self.parking.is_some() {
            return false;
        }
        match claimed {
            None => !room.is_free() || !room.is_free_for(to),
            Some(claimed) => {
                claimed.to == to && claimed.number > self.applied && claimed.excess < room.excess()
            }
        }
    }

    /// Nothing is to be sent: whether to ask all the same.
    fn is_to_be_probed(&mut self, now: Instant, after: Duration) -> bool {
        if self.queue.first().is_none_or(|first| *first > self.applied) {
            self.probe_at = None; // it waits here
            return false;
        }
        *self.probe_at.get_or_insert(now + after) <= now
    }

    fn deadline(&self) -> Option<Instant> {
        self.retry_at.max(self.resend_at).or(self.probe_at)
    }
}
