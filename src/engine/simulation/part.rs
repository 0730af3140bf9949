//! One partition on a node: its copy, what of it is stored, and the answers that wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::asynchronous::Asynchronous;
use super::backlog::Backlog;
use super::object::{Key, State};
use super::others::Winner;
use super::parcel::{Endpoint, Reply};
use super::plan::Plan;
use super::record::Record;
use super::row::RowKey;
use super::serve::Live;
use super::store::{Batch, Store, Stored};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::replica::{
    Copy, Durability, Early, Entry, Found, HandIn, Message, Recovered, Replication, Round, Scope,
};
use crate::engine::table::Member;

/// An answer that waits for what it depends on.
#[derive(Debug)]
pub(super) struct Held {
    pub client: usize,
    pub number: u64,
    pub reply: Reply,
    pub waits_for: Position,
    /// Of a read that rests on no lease.
    pub round: Option<Round>,
    pub is_read: bool,
    /// Of what it answers.
    pub replication: Replication,
    /// Given though what it depends on is not committed.
    pub is_early: bool,
}

pub(super) struct Part {
    pub id: PartitionId,
    pub copy: Copy<Record>,
    /// What is committed.
    pub folded: State,
    pub(super) live: Option<Live>,
    /// What is not stored yet: of a copy that drains into a store.
    pub(super) backlog: Option<Backlog>,
    /// How many of them there were.
    backlogs: u64,
    /// While it is put together: what is left of it, and where.
    found: BTreeMap<Member, (Option<State>, Option<State>)>,
    scanned: Option<State>,
    /// Another copy that is not whole yet, and is to be this one.
    pub(super) staged: Option<State>,
    pub held: VecDeque<Held>,
    pub(super) scope: Scope,
    /// How often an entity leaves memory, if ever.
    pub(super) evict_every: Option<Duration>,
    pub(super) durability: Durability,
    /// Who wins, if others may write into the store.
    pub(super) others: Option<Winner>,
    /// Whether fewer copies are in sync than are wanted, as far as is known here.
    pub(super) is_short: bool,
    pub(super) asynchronous: Asynchronous,
    /// What is answered and not committed.
    early: Early,
    /// What this copy holds that its primary may not.
    pub(super) hand_in: HandIn<Record>,
    /// As a primary: what others have handed in, the last of each.
    pub(super) claims: BTreeMap<Endpoint, Vec<Entry<Record>>>,
}

impl Part {
    /// A copy that begins with what the node's own store has.
    pub(super) fn of_store(id: PartitionId, me: Member, plan: &Plan, store: &Store) -> Part {
        let Found { upto, newest, content } = store.read(id);
        let upto = if is_broken(Breakage::StoreTakenForPrefix) { newest } else { upto };
        Part {
            id,
            copy: Copy::read(me, plan.replica, upto, newest),
            folded: content,
            live: None,
            backlog: None,
            backlogs: 0,
            found: BTreeMap::new(),
            scanned: None,
            staged: None,
            held: VecDeque::new(),
            scope: plan.replica.scope,
            evict_every: plan.evict_every,
            durability: plan.durability,
            others: plan.others,
            is_short: true,
            asynchronous: plan.asynchronous.clone(),
            early: Early::default(),
            hand_in: HandIn::default(),
            claims: BTreeMap::new(),
        }
    }

    /// The reign is over.
    pub(super) fn end(&mut self) -> impl Iterator<Item = (usize, u64, Reply)> {
        let waiting = self.live.as_mut().map(|live| live.loads.take_waiting());
        self.live.take_if(|_| !is_broken(Breakage::LiveKept));
        if self.scope == Scope::Shared {
            self.backlog = None;
        }
        (self.found, self.scanned) = (BTreeMap::new(), None);
        self.early.end();
        self.claims.clear();
        let kept = if is_broken(Breakage::HeldOutlivesReign) { self.held.len() } else { 0 };
        let held = self.held.drain(kept..).map(|held| (held.client, held.number, Reply::Unknown));
        let waiting = waiting.into_iter().flatten();
        waiting.map(|ask| (ask.client, ask.number, Reply::Refused)).chain(held)
    }

    /// These are committed.
    pub(super) fn fold(&mut self, entries: Vec<Entry<Record>>) {
        for Entry { position, mut record } in entries {
            let stored = self.copy.stored();
            let may_leave = |(key, version): &(Key, Position)| {
                // The shared store has it, or its primary would not have evicted it.
                let is_stored = self.scope == Scope::Shared || *version <= stored;
                (is_stored && !self.is_pending(*key)) || is_broken(Breakage::DirtyEvicted)
            };
            record.evicted = record.evicted.filter(may_leave);
            if let Some(backlog) = &mut self.backlog
                && !is_broken(Breakage::StoredBeforeCommit)
            {
                // Else its primary has noted it before.
                let is_due = |key: &RowKey| match key {
                    RowKey::Entity(key) if is_broken(Breakage::AsyncStoredEarly) => {
                        self.live.is_none() || self.asynchronous.of(*key) == Replication::Sync
                    }
                    _ => true,
                };
                let keys = record.keys().into_iter().filter(is_due);
                keys.for_each(|key| backlog.note(position, key));
            }
            self.folded.write(position, &record);
        }
    }

    /// Whether the store that this copy drains into does not have an entity as it is here.
    pub(super) fn is_pending(&self, key: Key) -> bool {
        self.is_row_pending(RowKey::Entity(key))
    }

    fn is_row_pending(&self, key: RowKey) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_pending(key))
    }

    /// Everything of the partition that is here: of what is in memory, that; of the rest, what is
    /// in the store that is drained into.
    pub(super) fn whole(&self, store: &Store) -> State {
        self.with_evicted(self.folded.clone(), store)
    }

    /// With what is in the store only, as it has left memory. What is there of a row that is still
    /// to be removed counts no more.
    fn with_evicted(&self, mut memory: State, store: &Store) -> State {
        let is_here = |key: &RowKey| match key {
            RowKey::Entity(key) if memory.dropped.contains_key(key) => true,
            key => memory.version(*key).is_some(),
        };
        let is_going =
            |key: &RowKey| self.is_row_pending(*key) && !is_broken(Breakage::ForgottenLoaded);
        let keys = store.keys(self.id).into_iter();
        let away: Vec<RowKey> = keys.filter(|key| !is_here(key) && !is_going(key)).collect();
        for key in away {
            let row = match is_broken(Breakage::LettersNotCopied) {
                true => store.accepted(self.id, key),
                false => store.row(self.id, key),
            };
            // A tombstone that is only there is one that was dropped.
            let row = row.filter(|row| !row.is_tombstone());
            row.cloned().into_iter().for_each(|row| memory.read(key, row));
        }
        memory
    }

    /// The copy is another one now; so is the store of its own to be, which may have of another
    /// past what this does not.
    pub(super) fn install(&mut self, copy: State, store: &Store) {
        self.folded = copy;
        if self.scope == Scope::Replica {
            let before = self.backlog.take();
            let on_its_way = before.map(|backlog| backlog.on_its_way()).unwrap_or_default();
            let mut backlog = self.new_backlog();
            for key in self.folded.keys().collect::<BTreeSet<_>>().union(&store.keys(self.id)) {
                let row = self.folded.row(*key);
                if is_broken(Breakage::StoreNotEqualised) {
                    row.is_some().then(|| backlog.note(Position::default(), *key));
                } else if row.as_ref() != store.row(self.id, *key) || on_its_way.contains(key) {
                    backlog.force(*key);
                }
            }
            let named = |key: &&RowKey| {
                self.folded.row(**key).is_some() || store.row(self.id, **key).is_some()
            };
            on_its_way.iter().filter(|key| !named(key)).for_each(|key| backlog.force(*key));
            self.backlog = Some(backlog);
        }
    }

    fn new_backlog(&mut self) -> Backlog {
        self.backlogs += 1;
        let (epoch, stored) = (self.copy.joined(), self.copy.stored());
        let mut backlog = Backlog::new(self.id, (epoch, self.backlogs), stored);
        if self.others.is_some() {
            backlog.expect_others();
        }
        backlog
    }

    /// A store of its own is drained into by each copy, in each epoch anew.
    fn follow_epoch(&mut self) {
        let is_behind = |backlog: &Backlog| backlog.epoch != self.copy.joined();
        if self.scope == Scope::Replica && self.backlog.as_ref().is_none_or(is_behind) {
            let before = self.backlog.take();
            let forced = before.as_ref().map(|backlog| backlog.forced().clone());
            self.begin_backlog(forced.unwrap_or_default());
            if let Some((before, backlog)) = before.zip(self.backlog.as_mut()) {
                backlog.follow(&before);
            }
        }
    }

    /// What is not stored comes first.
    pub(super) fn begin_backlog(&mut self, forced: BTreeSet<RowKey>) {
        let (mut backlog, stored) = (self.new_backlog(), self.copy.stored());
        let dropped = self.folded.dropped.iter().map(|(key, at)| (RowKey::Entity(*key), Some(*at)));
        let there = self.folded.keys().map(|key| (key, self.folded.version(key)));
        for (key, version) in there.chain(dropped).filter(|(key, _)| !forced.contains(key)) {
            let is_stored = version <= Some(stored);
            if !is_stored && !is_broken(Breakage::PendingForgotten) {
                backlog.note(Position::default(), key);
            }
        }
        forced.into_iter().for_each(|key| backlog.force(key));
        self.backlog = Some(backlog);
    }

    /// Sends to the store what is due there.
    pub(super) fn drain(&mut self, now: Instant) -> Option<Batch> {
        self.follow_epoch();
        self.folded.forget_dropped(self.copy.stored());
        let committed = match self.scope {
            Scope::Shared => self.copy.committed()?,
            Scope::Replica => self.copy.folded(),
        };
        let is_hurried = self.durability.is_hurried(self.is_short);
        let (seen, backlog) = self.seen_and_backlog()?;
        backlog.hurry(is_hurried);
        let drained = backlog.drain(now, committed, seen);
        self.persisted(drained)
    }

    /// The store has answered.
    pub(super) fn stored(&mut self, now: Instant, stored: Stored) -> Option<Batch> {
        let (seen, backlog) = self.seen_and_backlog()?;
        let drained = backlog.stored(now, stored, seen);
        self.persisted(drained)
    }

    fn seen_and_backlog(&mut self) -> Option<(&State, &mut Backlog)> {
        let seen = match &self.live {
            Some(live)
                if is_broken(Breakage::StoredBeforeCommit)
                    || is_broken(Breakage::AsyncStoredEarly) =>
            {
                &live.state
            }
            _ => &self.folded,
        };
        self.backlog.as_mut().map(|backlog| (seen, backlog))
    }

    fn persisted(&mut self, (batch, upto): (Option<Batch>, Option<Position>)) -> Option<Batch> {
        if let Some(upto) = upto {
            self.copy.persist(upto);
        }
        batch
    }

    /// The copy with all records. What they evict into a store of its own stays: only when they are
    /// folded it is known that it is there.
    pub(super) fn remembered(&self) -> State {
        let mut memory = self.folded.clone();
        for Entry { position, mut record } in self.copy.unfolded() {
            record.evicted = record.evicted.filter(|_| self.scope == Scope::Shared);
            memory.write(position, &record);
        }
        memory
    }

    /// What is left of the partition here. What has left memory for a store of its own belongs to
    /// the memory.
    pub(super) fn recalled(&self, epoch: Epoch, store: &Store) -> Message<Record, State> {
        let memory = self.remembered();
        match self.scope {
            Scope::Shared => self.copy.recalled(epoch, memory, None),
            Scope::Replica => {
                let is_forgotten = is_broken(Breakage::EvictedNotRecalled);
                let memory = if is_forgotten { memory } else { self.with_evicted(memory, store) };
                self.copy.recalled(epoch, memory, Some(store.read(self.id)))
            }
        }
    }

    /// Somebody has this of it.
    pub(super) fn found(&mut self, from: Member, memory: Option<State>, store: Option<State>) {
        self.found.insert(from, (memory, store));
    }

    /// The shared store has this of it.
    pub(super) fn scanned(&mut self, epoch: Epoch, found: Found<State>) {
        // One of an earlier reign may come late.
        if self.copy.scanned(epoch, found.extent()) {
            self.scanned = Some(found.content);
        }
    }

    /// Puts the copy together.
    pub(super) fn recover(&mut self, recovered: &Recovered, store: &Store) {
        let mut copy = State::default();
        let mut found = std::mem::take(&mut self.found);
        let memory = recovered.memory.and_then(|from| found.get_mut(&from)?.0.take());
        let stores = recovered.stores.iter().filter_map(|from| found.get_mut(from)?.1.take());
        let parts = stores.collect::<Vec<State>>().into_iter().chain(memory);
        parts.chain(self.scanned.take()).for_each(|part| copy.merge(&part));
        self.install(copy, store);
    }

    /// Takes the answers that depend on nothing that is not committed, or stored, in their order:
    /// by lease, if there is one, and by round.
    pub(super) fn take_ready(&mut self, committed: Position, has_lease: bool) -> Vec<Held> {
        let (confirmed, persisted) = (self.copy.confirmed(), self.copy.persisted());
        let stores_first = self.durability.stores_first(self.is_short);
        let answers = self.durability.answers(self.is_short);
        let is_allowed = |held: &Held| match held.round {
            Some(round) => confirmed >= Some(round) || is_broken(Breakage::ConfirmedUnasked),
            None if held.replication != Replication::Sync => {
                has_lease || is_broken(Breakage::AsyncWithoutLease)
            }
            None => has_lease,
        };
        let early = &mut self.early;
        early.commit(committed);
        let mut is_ready = |held: &mut Held| {
            let is_early = is_broken(Breakage::AnsweredBeforeCommit)
                || (held.is_read && is_broken(Breakage::ReadBeforeCommit));
            let is_ready = is_allowed(held)
                && (held.waits_for <= persisted || !stores_first)
                && (held.is_read || answers);
            if is_ready && held.waits_for > committed && !is_early {
                // The store takes only what is committed: who waits for it waits for both.
                held.is_early = early.tell(held.waits_for, held.replication);
                return held.is_early;
            }
            is_ready
        };
        // Each waits for what it saw, and not for what came before it.
        let (mut ready, mut rest) = (Vec::new(), VecDeque::new());
        for mut held in self.held.drain(..) {
            match is_ready(&mut held) {
                true => ready.push(held),
                false => rest.push_back(held),
            }
        }
        self.held = rest;
        ready
    }
}
