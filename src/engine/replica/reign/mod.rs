//! One reign of a primary: who holds what of it, and what is committed.
//!
//! A position is committed when everybody in the *ack set* holds it: the in-sync set that the table
//! names, together with every member that a proposal of this reign would add and whose outcome is
//! not known. (A member that a proposal would remove stays in until the table says so.) So whatever
//! becomes of a proposal, and however late that is heard, a committed record is with all that may
//! be named the next primary.

mod stores;

use std::collections::BTreeMap;

use super::early::Unreplicated;
use super::log::Log;
use super::message::{Message, Round};
use super::peer::Peer;
use super::recovery::{Extent, Recovered, Recovery};
use super::snapshot::{Chunk, Chunks, Cursor};
use super::{Effect, Scope, Stored, Timing};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position, Seq};
use crate::engine::instant::Instant;
use crate::engine::table::{
    At, Member, Members, PartitionTable, Reign as RowReign, Row, RowChange,
};

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
    scope: Scope,
    pub(super) epoch: Epoch,
    /// The row of this epoch as it was last seen.
    row: Row,
    pub(super) at: At,
    peers: BTreeMap<Member, Peer>,
    round: Round,
    proposal: Option<Proposal>,
    pub(super) committed: Position,
    /// What was there when it began, all of which earlier primaries may have acknowledged.
    pub(super) inherited: Position,
    /// Some copy heeds a later epoch: nothing can be committed any more.
    pub(super) is_superseded: bool,
    began_at: Instant,
    /// By token: the table does not know of this reign yet.
    is_taking_over: bool,
    /// Up to where all was in the store of this copy's own when that was last looked at, and since
    /// when that has stood still though another's has more.
    seen_stored: Position,
    unstored_since: Option<Instant>,
    /// It was given this reign by its predecessor, which had committed everything.
    is_by_token: bool,
    /// Nobody remembers the partition: from what it is put together.
    recovery: Option<Recovery>,
    /// Not before then: an earlier primary may still answer by the leases that were given to it.
    may_activate_at: Instant,
}

impl Reign {
    pub(super) fn new(
        me: Member,
        at: At,
        row: &Row,
        inherited: Position,
        now: Instant,
        may_activate_at: Instant,
        scope: Scope,
    ) -> Reign {
        let recovers = row.holders().is_some_and(|holders| !holders.contains(me));
        let mut reign = Reign {
            me,
            scope,
            epoch: row.epoch,
            row: row.clone(),
            at,
            peers: BTreeMap::new(),
            round: Round::default(),
            proposal: None,
            committed: Position::default(),
            inherited,
            is_superseded: false,
            began_at: now,
            is_taking_over: false,
            seen_stored: Position::default(),
            unstored_since: None,
            is_by_token: false,
            recovery: recovers.then(|| Recovery::new(row.epoch, scope, now)),
            may_activate_at,
        };
        reign.meet_peers(now);
        reign
    }

    /// The reign that a token gives to the armed member of a row: it may serve, and its first and
    /// only proposal is to take over.
    pub(super) fn taken_over(
        me: Member,
        at: At,
        armed: &Row,
        inherited: Position,
        now: Instant,
        scope: Scope,
    ) -> Reign {
        let mut row = armed.clone();
        row.epoch = armed.epoch.next();
        if let RowReign::Active { primary, next, .. } = &mut row.reign {
            (*primary, *next) = (me, None);
        }
        let mut reign = Reign::new(me, at, &row, inherited, now, now, scope);
        (reign.is_taking_over, reign.is_by_token) = (true, true);
        reign
    }

    /// Who is to take over, if all that is here is committed, so that it may now.
    pub(super) fn hands_over(&self, last: Position) -> Option<Member> {
        match self.row.reign {
            RowReign::Active { next, .. } if self.committed >= last => next,
            _ => None,
        }
    }

    /// What it may lack of what its predecessor has answered. (What was put together lacks other
    /// things, too: see [`Gap`](super::Gap).) Whoever is named has all that was committed, so it is
    /// no more than may be answered without that.
    pub(super) fn lacks(&self, lag_max: usize) -> Option<Unreplicated> {
        let at_most = if self.is_by_token { 0 } else { lag_max };
        let lacks = Unreplicated { after: self.inherited, at_most };
        self.recovery.is_none().then_some(lacks)
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.row.reign, RowReign::Active { .. })
    }

    /// Whether handlers may run: not while a hand-over is under way, whose end is not known here.
    pub(super) fn may_serve(&self) -> bool {
        self.is_active() && !self.row.is_armed() && !self.is_superseded
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
            self.peers.entry(member).or_insert_with(|| Peer::new(now));
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

    /// This node stood still.
    pub(super) fn stood_still(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            (peer.heard_at, peer.stuck_since) = (now, None);
        }
    }

    /// Who may be named the next primary, this copy apart: the in-sync set, and whom a proposal
    /// that is not decided adds.
    pub(super) fn lease_set(&self) -> Members {
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

    /// Asks all whether they still heed this reign.
    pub(super) fn confirm(&mut self) -> Round {
        self.round = Round(self.round.0 + 1);
        self.round
    }

    /// The last round that all who may be named the next primary have answered.
    pub(super) fn confirmed(&self) -> Round {
        let confirmed = |member| self.peers.get(&member).map(|peer| peer.confirmed);
        let all = self.lease_set().iter().map(|member| confirmed(member).unwrap_or_default()).min();
        all.unwrap_or(self.round)
    }

    /// Whose acks a commit waits for, this copy's own apart.
    fn ack_set(&self) -> Members {
        let awaited = self.peers.iter().filter(|(_, peer)| peer.awaited_since.is_some());
        self.lease_set().iter().chain(awaited.map(|(member, _)| *member)).collect()
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
            Message::Joined { last, .. } if !peer.has_copy(*last) => (), // it is late
            Message::Joined { last, .. } => {
                if !peer.has_joined || peer.needs_copy {
                    if peer.needs_copy && is_broken(Breakage::SnapshotWithoutTail) {
                        peer.acked = Position { epoch: self.epoch, seq: Seq(u64::MAX) };
                    }
                    (peer.has_joined, peer.needs_copy, peer.sending) = (true, false, None);
                    peer.sent = *last;
                }
                peer.holds(*last);
            }
            Message::Ack { last, stored, round, .. } if peer.has_joined => {
                peer.confirmed = peer.confirmed.max(*round);
                peer.stored = peer.stored.max(*stored);
                peer.holds(*last);
            }
            Message::Parted { .. } if !peer.has_joined => peer.needs_copy = true,
            Message::Taken { reached, .. } => {
                if let Some(sending) = &mut peer.sending {
                    sending.taken(*reached);
                }
            }
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

    /// Whether all who may ever be asked what they have of the partition are those whose acks a
    /// commit waits for.
    pub(super) fn may_drop_tombstones(&self) -> bool {
        let is_leaving = self.row.leaving().is_some_and(|leaving| leaving.len() > 0);
        self.may_serve() && !is_leaving && !self.brings_up()
    }

    /// Whether anybody is brought up to date.
    pub(super) fn brings_up(&self) -> bool {
        self.row.catching_up.iter().next().is_some()
            || self.peers.values().any(|peer| peer.needs_copy)
    }

    /// The next part of the copy for one that is brought up to date, if it may be sent now.
    pub(super) fn cut<R: Clone, S>(
        &mut self,
        to: Member,
        log: &Log<R>,
        chunks: &Chunks,
        rows: impl FnOnce(Cursor, usize) -> (S, Cursor),
    ) -> Option<Chunk<R, S>> {
        let peer = self.peers.get_mut(&to).filter(|peer| peer.needs_copy)?;
        peer.sending.as_mut()?.cut(log, chunks, rows)
    }

    /// Whether the partition is not put together yet.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| !recovery.is_done())
    }

    /// Somebody has said up to where it has all of the partition. Returns whether that is news.
    pub(super) fn recalled(
        &mut self,
        from: Member,
        memory: Option<Extent>,
        store: Option<Extent>,
    ) -> bool {
        let recovery = self.recovery.as_mut();
        recovery.is_some_and(|recovery| recovery.recalled(from, memory, store))
    }

    /// The shared store has been read for a reign. Returns whether that is news, of this one.
    pub(super) fn scanned(&mut self, epoch: Epoch, extent: Extent) -> bool {
        let is_own = epoch == self.epoch || is_broken(Breakage::OldLoadInstalled);
        let recovery = self.recovery.as_mut().filter(|_| is_own);
        recovery.is_some_and(|recovery| recovery.scanned(extent))
    }

    /// Asks for what is left of the partition. Returns what counts, once, when all have answered.
    pub(super) fn recover<R, S>(
        &mut self,
        table: &PartitionTable,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) -> Option<Recovered> {
        if self.is_superseded {
            return None;
        }
        let recovered = self.recovery.as_mut()?.drive(&self.row, table, timing, now, effects)?;
        self.inherited = Position { epoch: self.epoch, seq: Seq(0) };
        Some(recovered)
    }

    /// Sends what is due, and proposes what must change.
    pub(super) fn drive<R: Clone, S>(
        &mut self,
        log: &Log<R>,
        stored: Stored,
        table: &PartitionTable,
        timing: &Timing,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        if self.is_superseded || self.is_recovering() {
            return;
        }
        self.note_own_store(stored.here, now);
        let said = (self.epoch, self.committed, stored.by_all, self.round);
        for (member, peer) in &mut self.peers {
            peer.send(*member, said, log, timing, now, effects);
            let is_catching_up = self.row.catching_up.contains(*member);
            peer.await_if_near(is_catching_up, log, timing, now);
            if self.scope == Scope::Replica && !is_broken(Breakage::DeadStoreKept) {
                peer.note_stored(stored.here.min(self.committed), now);
            }
        }
        self.propose(log, stored, table, timing, now, effects);
    }

    fn propose<R, S>(
        &mut self,
        log: &Log<R>,
        stored: Stored,
        table: &PartitionTable,
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
            Some(RowChange::Activate { .. }) | None => self.wish(log, stored, table, timing, now),
            // Nor does anything depend on whether this is taken, which the table may refuse.
            Some(RowChange::Arm { .. }) => self.wish(log, stored, table, timing, now),
            // The table, which is this far, never takes it: the dead stay dead.
            Some(RowChange::Grow { add, .. }) if table.is_dead(add) => {
                self.wish(log, stored, table, timing, now)
            }
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
        stored: Stored,
        table: &PartitionTable,
        timing: &Timing,
        now: Instant,
    ) -> Option<RowChange> {
        let by = self.me;
        let is_up = |member: Member| table.is_up(member);
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
            RowReign::Active { leaving, .. } if leaving.len() > 0 && self.may_settle(stored) => {
                Some(RowChange::Settle { by })
            }
            RowReign::Active { in_sync, .. } => {
                if let Some(next) = self.successor(table, timing, now) {
                    return Some(RowChange::Arm { next });
                }
                let silent = |member: &Member| {
                    let peer = self.peers.get(member)?;
                    let why = peer.failing(timing, now)?;
                    Some((now.saturating_since(peer.heard_at), why))
                };
                let others = in_sync.iter().filter(|member| *member != by);
                let failing = others.filter_map(|member| Some((silent(&member)?, member)));
                let most = failing.max_by_key(|((since, _), member)| (*since, *member));
                if let Some(((_, why), remove)) = most {
                    return Some(RowChange::Shrink { by, remove, why });
                }
                // From the proposal on each commit waits for it, too: so it must hold all before.
                let inherited = match is_broken(Breakage::InheritedIgnored) {
                    true => Position::default(),
                    false => self.inherited,
                };
                let must_be_stored = stored.by_all.max(self.inherited);
                let keeps_up = |member: &Member| {
                    let Some(peer) = self.peers.get(member) else { return false };
                    let waits = |since| now.saturating_since(since) >= timing.rejoin_after;
                    // With a store of its own, what was said to be stored must be in that, too.
                    let has_all = peer.awaited_since.is_some_and(waits)
                        && peer.acked >= self.committed.max(inherited)
                        && (self.scope == Scope::Shared || peer.stored >= must_be_stored);
                    peer.has_joined && (has_all || is_broken(Breakage::InSyncWithoutCatchUp))
                };
                let is_wanted = |member: &Member| !table.is_dead(*member);
                let mut catching_up = self.row.catching_up.iter().filter(is_wanted);
                let add = catching_up.find(keeps_up)?;
                Some(RowChange::Grow { by, add })
            }
        }
    }
}
