//! One node's copy of a partition: a backup that follows, or a primary in its reign.

use super::config::{Config, Scope, Stored};
use super::early::Unreplicated;
use super::log::{self, Entry, Log, Parted};
use super::message::{Found, Message, Round};
use super::recovery::{Extent, Recovered};
use super::reign::Reign;
use super::snapshot::Receiving;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, Position};
use crate::engine::instant::Instant;
use crate::engine::table::{
    At, Member, Members, PartitionTable, Reign as RowReign, Row, RowChange,
};

/// What a copy wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect<R, S> {
    Send {
        to: Member,
        message: Message<R, S>,
    },
    /// Send the next rows of the copy as it is folded: what [`Copy::chunk`] gives, until it gives
    /// nothing.
    SendCopy {
        to: Member,
    },
    Propose {
        at: At,
        change: RowChange,
    },
    /// These go into the copy, in this order: they are committed.
    Fold(Vec<Entry<R>>),
    /// A part of another copy, to be put together beside this one: these records are made, then
    /// these rows are put in. If it is the first, nothing that was put together before counts.
    Stage {
        is_first: bool,
        entries: Vec<Entry<R>>,
        rows: S,
    },
    /// What was put together is the copy now.
    Install,
    /// What was put together is of no use.
    Unstage,
    /// These were here and are cut, oldest first: the primary does not have them, or none knows any
    /// more whether it does. They were never committed; of asynchronous types they may have been
    /// answered.
    Cut(Vec<Entry<R>>),
    /// Say to `to` what is left of the partition here, with [`Copy::recalled`].
    Recall {
        to: Member,
        epoch: Epoch,
    },
    /// Have the shared store heed nobody of an earlier epoch, then read the partition from it, and
    /// say so with [`Copy::scanned`].
    Scan {
        epoch: Epoch,
    },
    /// What somebody has of the partition, to be kept until it is said what counts.
    Found {
        from: Member,
        memory: Option<S>,
        store: Option<S>,
    },
    /// The copy is put together from this now, and from nothing else.
    Recovered(Recovered),
    /// Everything up to here is committed: what waited for it may be said.
    Committed(Position),
    /// The reign is over. What waits will not be said; what was not folded may be gone.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    to: Member,
    epoch: Epoch,
    last: Position,
    sent_at: Instant,
}

/// One node's copy of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Copy<R> {
    me: Member,
    pub(super) log: Log<R>,
    /// Nothing of an earlier epoch is heeded any more.
    pub(super) joined: Epoch,
    /// As a backup: how far the primary has said that all is committed.
    committed: Position,
    /// Everything up to here is stored as it must be, as far as is known here.
    persisted: Position,
    /// Everything up to here is in the store of this node's own.
    pub(super) stored: Position,
    /// Read from the store of its own: of what came after `stored`, some is there, up to here.
    /// Until it has all up to here, it is like no state that ever was.
    pub(super) whole_at: Position,
    pub(super) reign: Option<Reign>,
    /// The row, while it says that this copy is to take over.
    armed: Option<(At, Row)>,
    /// What has come of another copy that is to be this one.
    pub(super) receiving: Option<Receiving>,
    /// Handed over: to whom, what it was told, and when.
    token: Option<Token>,
    pub(super) config: Config,
}

impl<R: Clone> Copy<R> {
    /// A copy that begins with what its own store holds: everything up to `stored`, and some of
    /// what came later, up to `newest`; nothing, if these are the first of all positions. The
    /// records after `stored` come once more, and are to change only what is older.
    pub(crate) fn read(me: Member, config: Config, stored: Position, newest: Position) -> Copy<R> {
        Copy {
            me,
            log: Log::after(stored),
            joined: Epoch(0),
            committed: stored,
            persisted: Position::default(),
            stored,
            whole_at: newest,
            reign: None,
            armed: None,
            receiving: None,
            token: None,
            config,
        }
    }

    /// Where its last record is.
    pub(crate) fn last(&self) -> Position {
        self.log.last()
    }

    /// Everything up to here is in the copy.
    pub(crate) fn folded(&self) -> Position {
        self.log.folded()
    }

    /// The records that are not in the copy yet.
    pub(crate) fn unfolded(&self) -> Vec<Entry<R>> {
        self.log.tail(self.log.folded(), usize::MAX).unwrap_or_default()
    }

    /// As a primary that serves or did: everything up to here is committed.
    pub(crate) fn committed(&self) -> Option<Position> {
        self.reign.as_ref().map(|reign| reign.committed)
    }

    /// What its reign has found, all of which earlier primaries may have acknowledged.
    pub(crate) fn inherited(&self) -> Option<Position> {
        self.reign.as_ref().map(|reign| reign.inherited)
    }

    /// What its reign may lack of what was answered before it, unless it has put the partition
    /// together. To be reported before anything is answered.
    pub(crate) fn lacks(&self) -> Option<Unreplicated> {
        self.reign.as_ref().and_then(|reign| reign.lacks(self.config.lag_max))
    }

    /// Whether a record is part of its past, as far as that can be told.
    pub(crate) fn holds(&self, position: Position) -> Option<bool> {
        self.log.holds(position)
    }

    /// The epoch of its reign, if handlers may run.
    pub(crate) fn serves(&self) -> Option<Epoch> {
        self.reign.as_ref().filter(|reign| reign.may_serve()).map(|reign| reign.epoch)
    }

    /// The epoch of its reign, if answers may be given: also while it ends what it has begun.
    pub(crate) fn reigns(&self) -> Option<Epoch> {
        let reign = self.reign.as_ref().filter(|reign| reign.is_active() && !reign.is_superseded);
        reign.map(|reign| reign.epoch)
    }

    /// Whose leases an answer needs: of all that may be named the next primary.
    pub(crate) fn lease_set(&self) -> Option<Members> {
        self.reign.as_ref().filter(|reign| !reign.is_superseded).map(Reign::lease_set)
    }

    /// Begins to ask all who may be named the next primary whether they still heed this one. What
    /// has been read before that is true when they do ([`confirmed`](Self::confirmed)), whatever
    /// clocks say.
    pub(crate) fn confirm(&mut self) -> Option<Round> {
        self.reign.as_mut().map(Reign::confirm)
    }

    /// The last round in which all have said so, of a reign that is not over.
    pub(crate) fn confirmed(&self) -> Option<Round> {
        self.reigns().and(self.reign.as_ref()).map(Reign::confirmed)
    }

    /// Whether what was removed may be forgotten once that is stored: nobody is brought up to date
    /// who may have it as it was, and nobody whom this primary has removed would be asked for it.
    pub(crate) fn may_drop_tombstones(&self) -> bool {
        self.reign.as_ref().is_some_and(Reign::may_drop_tombstones)
    }

    /// Whether another handler may run: not while too much waits for its commit.
    pub(crate) fn has_room(&self) -> bool {
        self.log.unfolded_len() < self.config.timing.window_max
    }

    /// This node stood still: that it has heard nothing of others says nothing about them.
    pub(crate) fn stood_still(&mut self, now: Instant) {
        if let Some(reign) = &mut self.reign {
            reign.stood_still(now);
        }
    }

    /// Everything up to here is in the store that this copy drains into.
    pub(crate) fn persist(&mut self, upto: Position) {
        match self.config.scope {
            Scope::Shared => self.persisted = self.persisted.max(upto),
            Scope::Replica => self.stored = self.stored.max(upto),
        }
    }

    /// Up to where everything is known to be stored: in the shared store, or in that of each copy
    /// that counts. Whoever becomes primary need not store it again.
    pub(crate) fn persisted(&self) -> Position {
        self.persisted
    }

    /// Up to where everything is in the store that this copy drains into.
    pub(crate) fn stored(&self) -> Position {
        match self.config.scope {
            Scope::Shared => self.persisted,
            Scope::Replica => self.stored,
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.config.scope
    }

    /// The epoch that it heeds.
    pub(crate) fn joined(&self) -> Epoch {
        self.joined
    }

    /// Whether it has everything that happened up to its last record.
    fn is_whole(&self) -> bool {
        self.last() >= self.whole_at
    }

    /// What is left of the partition here, for a primary that asks. `memory` is the copy with all
    /// records, `store` what the store of this node's own holds.
    pub(crate) fn recalled<S>(
        &self,
        epoch: Epoch,
        memory: S,
        store: Option<Found<S>>,
    ) -> Message<R, S> {
        let remembers = self.is_whole() && self.last() > Position::default();
        let (upto, newest) = (self.last(), self.last());
        let memory = remembers.then(|| Found { upto, newest, content: memory });
        Message::Recalled { epoch, memory, store }
    }

    /// The shared store heeds nobody of an earlier epoch than this any more, and has been read:
    /// `extent` is how much is in it. Returns whether that was waited for.
    pub(crate) fn scanned(&mut self, epoch: Epoch, extent: Extent) -> bool {
        self.reign.as_mut().is_some_and(|reign| reign.scanned(epoch, extent))
    }

    /// Names the row as its primary knows it.
    pub(crate) fn at(&self) -> Option<At> {
        self.reign.as_ref().filter(|reign| reign.may_serve()).map(|reign| reign.at)
    }

    /// Who holds everything that this primary has answered, as far as it knows itself.
    pub(crate) fn in_sync(&self) -> Option<Members> {
        self.reign.as_ref().filter(|reign| reign.is_active()).map(Reign::in_sync)
    }

    /// The row is this now, as far as is known here. `may_activate_at` is when the last lease ends
    /// that this node has given to earlier primaries.
    pub(crate) fn seen<S>(
        &mut self,
        at: At,
        row: &Row,
        may_activate_at: Instant,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        let is_armed = matches!(row.reign, RowReign::Active { next, .. } if next == Some(self.me));
        self.armed = is_armed.then(|| (at, row.clone()));
        self.token = self.token.filter(|token| token.epoch >= row.epoch);
        if let Some(reign) = &mut self.reign {
            if row.epoch == reign.epoch && row.primary() == Some(self.me) {
                reign.seen(at, row, now);
                return;
            }
            if row.epoch > reign.epoch {
                self.end_reign(effects);
            }
        }
        if row.primary() == Some(self.me) && row.epoch > self.joined {
            self.unstage(effects);
            self.joined = row.epoch;
            self.log.begin(row.epoch);
            let inherited = self.log.last();
            let scope = self.config.scope;
            self.reign = Some(Reign::new(self.me, at, row, inherited, now, may_activate_at, scope));
        }
    }

    /// Where the next record of its reign will be.
    pub(crate) fn next_position(&self, epoch: Epoch) -> Position {
        self.log.next(epoch)
    }

    /// A handler has run: its record.
    ///
    /// # Panics
    /// If handlers may not run.
    pub(crate) fn execute(&mut self, record: R) -> Position {
        let epoch = self.serves().expect("it serves");
        let position = self.log.next(epoch);
        let is_in = self.log.append(Entry { position, record });
        debug_assert!(is_in, "the next position comes next");
        position
    }

    /// Takes in what another copy says.
    pub(crate) fn heard<S>(
        &mut self,
        from: Member,
        message: Message<R, S>,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        match message {
            Message::Join { .. } | Message::Append { .. } | Message::Snapshot { .. } => {
                self.follow(from, message, effects);
            }
            Message::Recall { epoch } => effects.push(Effect::Recall { to: from, epoch }),
            Message::Token { epoch, last } => self.take_over(epoch, last, now, effects),
            Message::Recalled { epoch, memory, store } => {
                let extent = |found: &Option<Found<S>>| found.as_ref().map(Found::extent);
                let Some(reign) = self.reign.as_mut().filter(|reign| reign.epoch == epoch) else {
                    return;
                };
                if reign.recalled(from, extent(&memory), extent(&store)) {
                    let content = |found: Option<Found<S>>| found.map(|found| found.content);
                    let (memory, store) = (content(memory), content(store));
                    effects.push(Effect::Found { from, memory, store });
                }
            }
            answer => {
                if let Some(reign) = &mut self.reign {
                    reign.heard(from, &answer, now);
                }
            }
        }
    }

    /// Does what is due.
    pub(crate) fn drive<S>(
        &mut self,
        table: &PartitionTable,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        self.send_token(now, effects);
        let Some(reign) = &mut self.reign else { return };
        if let Some(recovered) = reign.recover(table, &self.config.timing, now, effects) {
            self.log = Log::anew(reign.epoch);
            (self.persisted, self.stored) = (Position::default(), Position::default());
            self.whole_at = Position::default();
            effects.push(Effect::Recovered(recovered));
        }
        let has_moved = reign.commit(self.log.last());
        if has_moved {
            let committed = reign.committed;
            effects.push(Effect::Fold(self.log.fold(committed)));
            effects.push(Effect::Committed(committed));
            let kept = self.config.chunks.kept(self.config.kept_max, reign.brings_up());
            self.log.trim(kept);
        }
        if self.config.scope == Scope::Replica && reign.is_active() {
            self.persisted = self.persisted.max(reign.stored_by_all(self.stored, self.persisted));
        }
        let stored = Stored { by_all: self.persisted, here: self.stored };
        reign.drive(&self.log, stored, table, &self.config.timing, now, effects);
        // What has just been committed is answered first.
        if let Some(to) = reign.hands_over(self.log.last()).filter(|_| !has_moved) {
            let (epoch, last, sent_at) = (reign.epoch, self.log.last(), Instant::default());
            // From here on nothing of this epoch is served again.
            self.token = Some(Token { to, epoch, last, sent_at });
            self.end_reign(effects);
            self.send_token(now, effects);
        }
    }

    /// Says that it has handed over, until that is heard.
    fn send_token<S>(&mut self, now: Instant, effects: &mut Vec<Effect<R, S>>) {
        let Some(token) = &mut self.token else { return };
        let is_first = token.sent_at == Instant::default();
        let is_late = now.saturating_since(token.sent_at) >= self.config.timing.send_again_after;
        if is_first || is_late {
            token.sent_at = now;
            let message = Message::Token { epoch: token.epoch, last: token.last };
            effects.push(Effect::Send { to: token.to, message });
        }
    }

    /// The former primary serves no more: this copy does, in the next epoch.
    fn take_over<S>(
        &mut self,
        epoch: Epoch,
        last: Position,
        now: Instant,
        effects: &mut Vec<Effect<R, S>>,
    ) {
        let Some((at, row)) = &self.armed else { return };
        let is_ready = self.joined == epoch && row.epoch == epoch && self.log.last() == last;
        if is_ready && self.reign.is_none() {
            self.joined = epoch.next();
            self.log.begin(self.joined);
            let scope = self.config.scope;
            self.reign = Some(Reign::taken_over(self.me, *at, row, last, now, scope));
            self.unstage(effects);
        }
    }

    pub(super) fn end_reign<S>(&mut self, effects: &mut Vec<Effect<R, S>>) {
        if self.reign.take().is_some() {
            effects.push(Effect::Over);
        }
    }

    /// What a primary says, to this backup.
    fn follow<S>(&mut self, from: Member, message: Message<R, S>, effects: &mut Vec<Effect<R, S>>) {
        let epoch = message.epoch();
        let reply = |message| Effect::Send { to: from, message };
        let is_old = epoch < self.joined && !is_broken(Breakage::NoFence);
        if is_old || (epoch <= self.joined && self.reign.is_some()) {
            effects.push(reply(Message::Newer { epoch: self.joined }));
            return;
        }
        match message {
            // No copy says that. It is not heeded: one cannot tell what it has in common with this.
            Message::Join { starts, .. } | Message::Snapshot { starts, .. }
                if !log::are_sound(&starts) => {}
            Message::Join { starts, .. } => {
                if epoch > self.joined {
                    self.end_reign(effects);
                    if self.receiving.is_some_and(|known| known.epoch() < epoch) {
                        self.unstage(effects);
                    }
                    match self.log.join(&starts) {
                        Ok(cut) if cut.is_empty() => (),
                        Ok(cut) => effects.push(Effect::Cut(cut)),
                        Err(Parted) => {
                            effects.push(reply(Message::Parted { epoch }));
                            return;
                        }
                    }
                    self.joined = epoch;
                    self.token = None;
                }
                effects.push(reply(Message::Joined { epoch, last: self.log.last() }));
            }
            Message::Snapshot { starts, chunk, .. } => {
                let answer = self.take(epoch, &starts, chunk, effects);
                effects.push(reply(answer));
            }
            Message::Append { .. } if epoch > self.joined => {
                effects.push(reply(Message::NotJoined { epoch }));
            }
            Message::Append { entries, committed, persisted, round, .. } => {
                self.persisted = self.persisted.max(persisted);
                // A gap is answered with what is there: the rest comes again.
                for entry in entries {
                    if !self.log.append(entry) {
                        break;
                    }
                }
                let last = self.log.last();
                let is_overtaken = |known: Receiving| known.reached().at <= last;
                if self.receiving.is_some_and(is_overtaken) {
                    self.unstage(effects);
                }
                self.committed = self.committed.max(committed);
                let folded = self.log.fold(self.committed);
                if !folded.is_empty() {
                    effects.push(Effect::Fold(folded));
                    self.log.trim(self.config.kept_max);
                }
                let (last, stored) = (self.log.last(), self.stored);
                effects.push(reply(Message::Ack { epoch, last, stored, round }));
            }
            _ => (),
        }
    }
}
