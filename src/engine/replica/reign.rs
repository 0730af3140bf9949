//! One reign of a primary: who holds what of it, and what is committed.
//!
//! A position is committed when everybody in the *ack set* holds it: the in-sync set that the table
//! names, together with every member that a proposal of this reign would add and whose outcome is
//! not known. (A member that a proposal would remove stays in until the table says so.) So whatever
//! becomes of a proposal, and however late that is heard, a committed record is with all that may
//! be named the next primary.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::Log;
use super::message::Message;
use super::{Effect, Timing};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position, Seq};
use crate::engine::instant::Instant;
use crate::engine::table::{At, Member, Members, Reign as RowReign, Row, RowChange};

/// Records in one message.
const ENTRIES_MAX: usize = 64;

/// What the primary knows of another copy.
#[derive(Clone, Debug)]
struct Peer {
    has_joined: bool,
    needs_copy: bool,
    /// Everything up to here is held there.
    acked: Position,
    /// Everything up to here was sent there.
    sent: Position,
    heard_at: Instant,
    /// When something was last sent.
    sent_at: Option<Instant>,
    /// Since when it has acked nothing more of what it was sent.
    waits_since: Option<Instant>,
    /// Since when it has lagged by nothing.
    level_since: Option<Instant>,
}

/// A change of the row that was proposed, and has not been decided as far as is known here.
#[derive(Clone, Debug)]
struct Proposal {
    at: At,
    change: RowChange,
    sent_at: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Reign {
    me: Member,
    pub(super) epoch: Epoch,
    /// The row of this epoch as it was last seen.
    row: Row,
    at: At,
    peers: BTreeMap<Member, Peer>,
    proposal: Option<Proposal>,
    pub(super) committed: Position,
    /// Some copy heeds a later epoch: nothing can be committed any more.
    pub(super) is_superseded: bool,
    began_at: Instant,
    /// By token: the table does not know of this reign yet.
    is_taking_over: bool,
    /// Not before then: an earlier primary may still answer by the leases that were given to it.
    may_activate_at: Instant,
}

impl Reign {
    pub(super) fn new(
        me: Member,
        at: At,
        row: &Row,
        now: Instant,
        may_activate_at: Instant,
    ) -> Reign {
        let mut reign = Reign {
            me,
            epoch: row.epoch,
            row: row.clone(),
            at,
            peers: BTreeMap::new(),
            proposal: None,
            committed: Position::default(),
            is_superseded: false,
            began_at: now,
            is_taking_over: false,
            may_activate_at,
        };
        reign.meet_peers(now);
        reign
    }

    /// The reign that a token gives to the armed member of a row: it may serve, and its first and
    /// only proposal is to take over.
    pub(super) fn taken_over(me: Member, at: At, armed: &Row, now: Instant) -> Reign {
        let mut row = armed.clone();
        row.epoch = armed.epoch.next();
        if let RowReign::Active { primary, next, .. } = &mut row.reign {
            (*primary, *next) = (me, None);
        }
        let mut reign = Reign::new(me, at, &row, now, now);
        reign.is_taking_over = true;
        reign
    }

    /// Who is to take over, if all that is here is committed, so that it may now.
    pub(super) fn hands_over(&self, last: Position) -> Option<Member> {
        match self.row.reign {
            RowReign::Active { next, .. } if self.committed >= last => next,
            _ => None,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.row.reign, RowReign::Active { .. })
    }

    /// Whether handlers may run: not while a hand-over is under way, whose end is not known here.
    pub(super) fn may_serve(&self) -> bool {
        matches!(self.row.reign, RowReign::Active { next: None, .. }) && !self.is_superseded
    }

    /// The row has changed, in this epoch.
    pub(super) fn seen(&mut self, at: At, row: &Row, now: Instant) {
        if at.version <= self.at.version {
            return;
        }
        (self.at, self.row) = (at, row.clone());
        self.is_taking_over = false;
        // Whatever was proposed on an earlier version has been taken, or never will be.
        if self.proposal.as_ref().is_some_and(|proposal| proposal.at.version < at.version) {
            self.proposal = None;
        }
        self.meet_peers(now);
    }

    fn meet_peers(&mut self, now: Instant) {
        let named: Members = self.members().chain(self.row.catching_up.iter()).collect();
        self.peers.retain(|member, _| named.contains(*member));
        for member in named.iter().filter(|member| *member != self.me) {
            self.peers.entry(member).or_insert_with(|| Peer {
                has_joined: false,
                needs_copy: false,
                acked: Position::default(),
                sent: Position::default(),
                heard_at: now,
                sent_at: None,
                waits_since: None,
                level_since: None,
            });
        }
    }

    /// The in-sync set, or before activation the candidates.
    fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.row.holders().into_iter().flat_map(Members::iter)
    }

    /// The in-sync set as it was last seen.
    pub(super) fn in_sync(&self) -> Members {
        self.members().collect()
    }

    /// Whose acks a commit waits for, this copy's own apart.
    pub(super) fn ack_set(&self) -> Members {
        let proposed = self.proposal.as_ref().map(|proposal| &proposal.change);
        let added = match proposed {
            Some(RowChange::Grow { add, .. }) if !is_broken(Breakage::PendingIgnored) => Some(*add),
            _ => None,
        };
        let dropped = match proposed {
            Some(RowChange::Shrink { remove, .. }) if is_broken(Breakage::DroppedBeforeCommit) => {
                Some(*remove)
            }
            _ => None,
        };
        let counts = |member: &Member| *member != self.me && Some(*member) != dropped;
        self.members().chain(added).filter(counts).collect()
    }

    /// Takes in what a copy says.
    pub(super) fn heard<R: Clone, S>(
        &mut self,
        from: Member,
        message: &Message<R, S>,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        match message {
            Message::Newer { epoch } if *epoch > self.epoch => self.is_superseded = true,
            message if message.epoch() != self.epoch => return,
            Message::Joined { last, .. } => {
                if !peer.has_joined || peer.needs_copy {
                    if peer.needs_copy && is_broken(Breakage::SnapshotWithoutTail) {
                        peer.acked = Position { epoch: self.epoch, seq: Seq(u64::MAX) };
                    }
                    (peer.has_joined, peer.needs_copy) = (true, false);
                    peer.sent = *last;
                }
                peer.holds(*last);
            }
            Message::Ack { last, .. } if peer.has_joined => peer.holds(*last),
            Message::Parted { .. } => peer.needs_copy = true,
            Message::NotJoined { .. } => peer.has_joined = false,
            _ => return,
        }
        peer.heard_at = now;
    }

    /// Commits what all that count hold. Returns whether that has moved.
    pub(super) fn commit(&mut self, last: Position) -> bool {
        if !self.is_active() || self.is_superseded {
            return false;
        }
        let held = |member: Member| match self.peers.get(&member) {
            Some(peer) if peer.has_joined => peer.acked,
            _ => Position::default(),
        };
        let held_by_all = self.ack_set().iter().map(held).min().unwrap_or(last).min(last);
        let held_by_all = if is_broken(Breakage::AckBeforeBackups) { last } else { held_by_all };
        let has_moved = held_by_all > self.committed;
        self.committed = self.committed.max(held_by_all);
        has_moved
    }

    /// Sends what is due, and proposes what must change.
    pub(super) fn drive<R: Clone, S>(
        &mut self,
        log: &Log<R>,
        is_up: &dyn Fn(Member) -> bool,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        if self.is_superseded {
            return;
        }
        let (epoch, committed) = (self.epoch, self.committed);
        for (member, peer) in &mut self.peers {
            peer.send(*member, epoch, committed, log, timing, now, effects);
        }
        self.propose(log, is_up, timing, now, effects);
    }

    fn propose<R, S>(
        &mut self,
        log: &Log<R>,
        is_up: &dyn Fn(Member) -> bool,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) where
        R: Clone,
    {
        if let Some(proposal) = &self.proposal {
            // Lost, or not decided yet: to say it once more does nothing twice.
            if now.saturating_since(proposal.sent_at) < timing.propose_again_after {
                return;
            }
        }
        let known = self.proposal.take().map(|proposal| proposal.change);
        let change = match known {
            // Who has joined may have died since, and while nobody is active nothing depends on
            // which of the two is taken.
            Some(RowChange::Activate { .. }) | None => self.wish(log, is_up, timing, now),
            known => known,
        };
        self.proposal = change.map(|change| Proposal { at: self.at, change, sent_at: now });
        if let Some(Proposal { at, change, .. }) = &self.proposal {
            effects.push(Effect::Propose { at: *at, change: change.clone() });
        }
    }

    /// What should change of the row.
    fn wish<R: Clone>(
        &mut self,
        log: &Log<R>,
        is_up: &dyn Fn(Member) -> bool,
        timing: &Timing,
        now: Instant,
    ) -> Option<RowChange> {
        let by = self.me;
        match &self.row.reign {
            _ if self.is_taking_over => Some(RowChange::TakeOver { by }),
            RowReign::Unborn => None,
            RowReign::Preparing { candidates, .. } => {
                if now < self.may_activate_at {
                    return None;
                }
                let has_all = |member: Member| {
                    let peer = self.peers.get(&member);
                    peer.is_some_and(|peer| peer.has_joined && peer.acked >= log.last())
                };
                let others = || candidates.iter().filter(|member| *member != by);
                let is_late = now.saturating_since(self.began_at) >= timing.join_patience;
                if others().any(|member| is_up(member) && !has_all(member)) && !is_late {
                    return None;
                }
                let joined = others().filter(|member| is_up(*member) && has_all(*member));
                let joined = joined.chain([by]).collect();
                Some(RowChange::Activate { by, joined })
            }
            RowReign::Active { next: Some(_), .. } => None,
            RowReign::Active { leaving, .. } if leaving.len() > 0 => Some(RowChange::Settle { by }),
            RowReign::Active { in_sync, .. } => {
                let silent = |member: &Member| {
                    let peer = self.peers.get(member)?;
                    let silent_for = now.saturating_since(peer.heard_at);
                    (silent_for >= timing.replica_timeout).then_some(silent_for)
                };
                let others = in_sync.iter().filter(|member| *member != by);
                let most = others.filter_map(|member| Some((silent(&member)?, member))).max();
                if let Some((_, remove)) = most {
                    return Some(RowChange::Shrink { by, remove });
                }
                // From the proposal on each commit waits for it, too: so it must hold all before.
                let is_level = |member: &Member| {
                    let holds_all = |peer: &&Peer| {
                        let has_all = peer.acked >= self.committed;
                        peer.has_joined && (has_all || is_broken(Breakage::InSyncWithoutCatchUp))
                    };
                    let since = self.peers.get(member).filter(holds_all)?.level_since?;
                    (now.saturating_since(since) >= timing.rejoin_after).then_some(())
                };
                let add = self.row.catching_up.iter().find(|member| is_level(member).is_some())?;
                Some(RowChange::Grow { by, add })
            }
        }
    }
}

impl Peer {
    fn holds(&mut self, last: Position) {
        if last > self.acked {
            (self.acked, self.waits_since) = (last, None);
        }
        self.sent = self.sent.max(self.acked);
    }

    #[allow(clippy::too_many_arguments)] // what one message is made of
    fn send<R: Clone, S>(
        &mut self,
        to: Member,
        epoch: Epoch,
        committed: Position,
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
        if self.acked >= log.last() {
            self.level_since.get_or_insert(now);
        } else if now.saturating_since(self.heard_at) >= timing.send_again_after {
            self.level_since = None; // it has not kept up
        }
        if self.needs_copy || log.tail(self.sent, 1).is_none() {
            self.needs_copy = true;
            if is_due(self.sent_at, timing.send_copy_again_after) {
                self.sent_at = Some(now);
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
        if entries.is_empty() && !is_due(self.sent_at, timing.heartbeat) {
            return;
        }
        let after = self.sent;
        self.sent = entries.last().map_or(self.sent, |entry| entry.position);
        self.sent_at = Some(now);
        effects.push(Effect::Send {
            to,
            message: Message::Append { epoch, after, entries, committed },
        });
    }
}
