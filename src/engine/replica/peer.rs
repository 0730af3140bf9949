//! What a primary knows of another copy, and what it sends there.

use std::time::Duration;

use super::log::Log;
use super::message::{Message, Round};
use super::snapshot::Sending;
use super::{Effect, Timing};
use crate::engine::id::{Epoch, Position};
use crate::engine::instant::Instant;
use crate::engine::table::{Failing, Member};

/// Records in one message.
const ENTRIES_MAX: usize = 64;

/// A copy that lags by no more is waited for: then it cannot fall behind any more.
const NEAR: usize = ENTRIES_MAX;

/// How often the time doubles for which a copy that did not keep up is not waited for again.
const DOUBLINGS_MAX: u32 = 6;

/// What the primary knows of another copy.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) has_joined: bool,
    pub(super) needs_copy: bool,
    /// How much of that it has.
    pub(super) sending: Option<Sending>,
    /// Everything up to here is held there.
    pub(super) acked: Position,
    /// Everything up to here is in its own store.
    pub(super) stored: Position,
    /// So it was when that was last looked at.
    seen_stored: Position,
    /// Everything up to here was sent there.
    pub(super) sent: Position,
    /// The last round that it has answered, and that it was asked.
    pub(super) confirmed: Round,
    pub(super) asked: Round,
    pub(super) heard_at: Instant,
    /// When something was last sent.
    sent_at: Option<Instant>,
    /// Since when it has acked nothing more of what it was sent.
    waits_since: Option<Instant>,
    /// Since when it has acked nothing more, though there is more.
    pub(super) stuck_since: Option<Instant>,
    /// Since when its store has taken in nothing more, though this node's own has.
    pub(super) unstored_since: Option<Instant>,
    /// A copy that is brought up to date and is near: since when commits wait for it.
    pub(super) awaited_since: Option<Instant>,
    /// How often it then did not keep up, and until when it is not waited for again.
    failures: u32,
    not_before: Instant,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Peer {
        Peer {
            has_joined: false,
            needs_copy: false,
            sending: None,
            acked: Position::default(),
            stored: Position::default(),
            seen_stored: Position::default(),
            sent: Position::default(),
            confirmed: Round::default(),
            asked: Round::default(),
            heard_at: now,
            sent_at: None,
            waits_since: None,
            stuck_since: None,
            unstored_since: None,
            awaited_since: None,
            failures: 0,
            not_before: now,
        }
    }

    /// Whether it has all that a snapshot was to bring it, or needs none.
    pub(super) fn has_copy(&self, last: Position) -> bool {
        !self.needs_copy || self.sending.as_ref().is_some_and(|sending| last >= sending.since())
    }

    pub(super) fn holds(&mut self, last: Position) {
        if last > self.acked {
            (self.acked, self.waits_since, self.stuck_since) = (last, None, None);
        }
        self.sent = self.sent.max(self.acked);
    }

    /// Whether it is not heard, or heard and does not take in what it is sent, in memory or in its
    /// own store.
    pub(super) fn failing(&self, timing: &Timing, now: Instant) -> Option<Failing> {
        let lasts = |since: Instant, most: Duration| now.saturating_since(since) >= most;
        let is_stuck = |since| lasts(since, timing.replica_timeout * 2);
        let is_unstored = |since| lasts(since, timing.store_patience);
        let is_silent =
            lasts(self.heard_at, timing.replica_timeout) || self.stuck_since.is_some_and(is_stuck);
        let unstored = self.unstored_since.is_some_and(is_unstored).then_some(Failing::Unstored);
        if is_silent { Some(Failing::Silent) } else { unstored }
    }

    fn is_failing(&self, timing: &Timing, now: Instant) -> bool {
        self.failing(timing, now).is_some()
    }

    /// The primary's own store has all up to there. A store that stands still while others do not
    /// would hold up what is to be in all of them.
    pub(super) fn note_stored(&mut self, upto: Position, now: Instant) {
        if self.stored >= upto || self.stored > self.seen_stored {
            self.unstored_since = None;
        } else {
            self.unstored_since.get_or_insert(now);
        }
        self.seen_stored = self.stored;
    }

    /// Has commits wait for a copy that is nearly up to date, as long as it keeps up.
    pub(super) fn await_if_near<R: Clone>(
        &mut self,
        is_catching_up: bool,
        log: &Log<R>,
        timing: &Timing,
        now: Instant,
    ) {
        if !is_catching_up || !self.has_joined || self.needs_copy {
            self.awaited_since = None;
            return;
        }
        if self.awaited_since.is_some() && self.is_failing(timing, now) {
            let patience = timing.replica_timeout * (1 << self.failures.min(DOUBLINGS_MAX));
            self.awaited_since = None;
            self.failures += 1;
            self.not_before = now + patience;
        }
        let is_near = log.tail(self.acked, 0).is_some() && log.len_after(self.acked) <= NEAR;
        if is_near && now >= self.not_before && !self.is_failing(timing, now) {
            self.awaited_since.get_or_insert(now);
        }
    }

    pub(super) fn send<R: Clone, S>(
        &mut self,
        to: Member,
        (epoch, committed, persisted, round): (Epoch, Position, Position, Round),
        log: &Log<R>,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        let is_due = |sent_at: Option<Instant>, after: Duration| {
            sent_at.is_none_or(|at| now.saturating_since(at) >= after)
        };
        if !self.has_joined && !self.needs_copy {
            if is_due(self.sent_at, timing.send_again_after) {
                self.sent_at = Some(now);
                let message = Message::Join { epoch, starts: log.starts().to_vec() };
                effects.push(Effect::Send { to, message });
            }
            return;
        }
        if self.acked < log.last() {
            self.stuck_since.get_or_insert(now);
        } else {
            self.stuck_since = None;
        }
        if self.needs_copy || log.tail(self.sent, 1).is_none() {
            self.needs_copy = true;
            let begin = || Sending::new(log.folded(), now);
            let sending = self.sending.get_or_insert_with(begin);
            if sending.step(timing.send_copy_again_after, now) {
                effects.push(Effect::SendCopy { to });
            }
            return;
        }
        if self.sent > self.acked {
            let since = *self.waits_since.get_or_insert(now);
            if is_due(Some(since), timing.send_again_after) {
                // Lost on the way, or the answer was.
                (self.sent, self.waits_since) = (self.acked, None);
            }
        }
        let Some(entries) = log.tail(self.sent, ENTRIES_MAX) else { return };
        let is_asked = self.asked >= round;
        if entries.is_empty() && is_asked && !is_due(self.sent_at, timing.heartbeat) {
            return;
        }
        let after = self.sent;
        self.sent = entries.last().map_or(self.sent, |entry| entry.position);
        (self.sent_at, self.asked) = (Some(now), round);
        let message = Message::Append { epoch, after, entries, committed, persisted, round };
        effects.push(Effect::Send { to, message });
    }
}
