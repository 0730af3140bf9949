//! What a processing unit does: runs handlers in batches, and performs what its engines decide.
//!
//! It is shared, on its thread only, between the lane that brings asks and the actor that takes
//! control messages; neither holds it across an await. Both leave it through [`Unit::settle`],
//! which performs effects until there are none and says when the unit wants to be woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::oneshot;

use crate::engine::execution::{Session, Sessions};
use crate::engine::id::{EntityId, PartitionId, Seq, SessionId, Version};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::replica::primary::{self, Primary};
use crate::engine::write_behind::{self, BatchId, Parking, WriteBehind};
use crate::metrics::UnitMetrics;
use crate::store::{DeadLetter, PartitionBatch, Row};

use super::entities::AnyEntities;
use super::exchange::{AnyAsk, Refusal};
use super::execution::{Batch, Execution};
use super::held::Held;
use super::registry::Registry;
use super::session_rows::{SESSIONS, SessionRows};
use super::waiting::Waiting;

/// How often removed entities and idle sessions are looked for.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

/// How long the store may lag behind the opening of a session that is not durable.
const SESSION_DELAY: Duration = Duration::from_secs(1);

/// Partition time: starts at what was recovered or the wall clock, whichever is later, and goes on
/// with the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionTime {
    started_at: Instant,
    time_at_start: Timestamp,
}

impl PartitionTime {
    pub(crate) fn new(now: Instant, wall: Timestamp, recovered: Timestamp) -> PartitionTime {
        PartitionTime { started_at: now, time_at_start: wall.max(recovered) }
    }

    fn at(self, now: Instant) -> Timestamp {
        self.time_at_start + now.saturating_since(self.started_at)
    }
}

/// A batch on its way to the store.
pub(crate) struct Writing {
    pub(crate) batch: BatchId,
    pub(crate) rows: PartitionBatch,
}

/// The in-memory half of one partition.
pub(crate) struct Unit {
    pub(crate) partition: PartitionId,
    registry: Arc<Registry>,
    time: PartitionTime,
    entities: Vec<Box<dyn AnyEntities>>,
    session_rows: SessionRows,
    sessions: Sessions,
    primary: Primary,
    /// `None` where the grid has no store.
    write_behind: Option<WriteBehind>,
    batch: Batch,
    held: Slab<Held>,
    waiting: Waiting,
    /// Removed entities that something is still known of.
    removed: BTreeSet<EntityId>,
    /// Writes that the store refused, and holds as dead letters.
    parked: BTreeMap<EntityId, DeadLetter>,
    /// The same, while they are on their way there.
    parking: BTreeMap<EntityId, DeadLetter>,
    /// Who waits for everything up to a position to be durable, ascending.
    persisted_waiters: VecDeque<(Seq, oneshot::Sender<()>)>,
    housekeeping_at: Instant,
    /// What the store is to write next.
    writing: Option<Writing>,
    /// Asks answered since the lane last asked.
    answered: u32,
    now: Instant,
    metrics: UnitMetrics,
}

/// What recovery found out about a partition.
pub(crate) struct Recovered {
    pub(crate) entities: Vec<Box<dyn AnyEntities>>,
    pub(crate) session_rows: SessionRows,
    pub(crate) sessions: Sessions,
    pub(crate) parked: BTreeMap<EntityId, DeadLetter>,
    pub(crate) removed: BTreeSet<EntityId>,
    pub(crate) time: PartitionTime,
}

impl Unit {
    pub(crate) fn new(
        partition: PartitionId,
        registry: Arc<Registry>,
        primary: Primary,
        write_behind: Option<WriteBehind>,
        recovered: Recovered,
        metrics: UnitMetrics,
        now: Instant,
    ) -> Unit {
        Unit {
            partition,
            time: recovered.time,
            entities: recovered.entities,
            session_rows: recovered.session_rows,
            sessions: recovered.sessions,
            primary,
            write_behind,
            batch: Batch::default(),
            held: Slab::new(),
            waiting: Waiting::default(),
            removed: recovered.removed,
            parked: recovered.parked,
            parking: BTreeMap::new(),
            persisted_waiters: VecDeque::new(),
            housekeeping_at: now + HOUSEKEEPING_EVERY,
            writing: None,
            answered: 0,
            now,
            metrics,
            registry,
        }
    }

    /// Takes in asks in the order in which they came: runs what may run.
    pub(crate) fn execute(&mut self, now: Instant, asks: impl Iterator<Item = Arc<dyn AnyAsk>>) {
        self.now = now;
        let has_room = self.has_room();
        for ask in asks {
            if self.must_wait(&*ask, has_room) {
                let hash = self.key_hash(&*ask);
                self.waiting.push(ask, hash);
            } else {
                self.run(ask);
            }
        }
        self.finish_batch();
    }

    /// Lets time pass: what is due is done.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.now = now;
        for ask in self.waiting.take_expired(now) {
            self.refuse(&*ask, Refusal::Busy);
        }
        if now >= self.housekeeping_at {
            self.keep_house();
        }
    }

    /// Opens a session, or finds it open; `opened` hears where, once that is durable if the session
    /// is to be. Dropped without a word at the bound.
    pub(crate) fn open_session(
        &mut self,
        now: Instant,
        session: SessionId,
        durable: bool,
        opened: oneshot::Sender<Session>,
    ) {
        self.now = now;
        if self.primary.is_fenced() {
            return;
        }
        let position = self.primary.next_position();
        let time = self.time.at(now);
        let Ok((state, is_new)) = self.sessions.open(session, durable, position, time) else {
            return;
        };
        if is_new {
            self.note_session(session, durable);
        }
        self.hold_session(session, state, opened);
        self.finish_batch();
    }

    /// Closes a session: its answers may be forgotten. `closed` hears of it when that is durable.
    pub(crate) fn close_session(
        &mut self,
        now: Instant,
        session: SessionId,
        closed: oneshot::Sender<Session>,
    ) {
        self.now = now;
        let Some(state) = self.sessions.session(session).copied() else {
            let never = Session {
                opening: self.primary.next_position(),
                floor: 0,
                durable: false,
                used_at: Timestamp::default(),
            };
            let _ = closed.send(never); // it is as closed as can be
            return;
        };
        self.sessions.close(session);
        self.note_session(session, state.durable);
        self.hold_session(session, state, closed);
        self.finish_batch();
    }

    /// Makes everything that is pending due, and tells `persisted` when all of it is durable.
    pub(crate) fn persist(&mut self, now: Instant, persisted: oneshot::Sender<()>) {
        self.now = now;
        let Some(write_behind) = &self.write_behind else {
            return; // dropped: there is nothing durable here
        };
        let upto = self.primary.committed();
        if write_behind.persisted() >= upto {
            let _ = persisted.send(()); // whoever asked may be gone
            return;
        }
        self.persisted_waiters.push_back((upto, persisted));
        self.step_write_behind(write_behind::Event::Flush);
    }

    /// The store has answered.
    pub(crate) fn stored(&mut self, now: Instant, event: write_behind::Event) {
        self.now = now;
        self.step_write_behind(event);
    }

    /// Performs what is due and runs what waited for room. Returns what the store is to write.
    pub(crate) fn settle(&mut self) -> Option<Writing> {
        let due = self.write_behind.as_ref().and_then(WriteBehind::next_deadline);
        if due.is_some_and(|due| due <= self.now) {
            self.step_write_behind(write_behind::Event::Tick);
        }
        if !self.waiting.is_empty() && self.has_room() {
            let asks = self.waiting.take_all();
            self.execute(self.now, asks.into_iter());
            let due = self.write_behind.as_ref().and_then(WriteBehind::next_deadline);
            if due.is_some_and(|due| due <= self.now) {
                self.step_write_behind(write_behind::Event::Tick);
            }
        }
        if let Some(queue) = &self.write_behind {
            self.metrics.pending(queue);
        }
        self.writing.take()
    }

    /// When the unit wants to be woken.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let store = self.write_behind.as_ref().and_then(WriteBehind::next_deadline);
        let has_house = !self.removed.is_empty() || !self.session_rows.is_empty();
        let house = has_house.then_some(self.housekeeping_at);
        [store, self.waiting.next_deadline(), house].into_iter().flatten().min()
    }

    /// How many asks were answered since the last call: as many more may be admitted.
    pub(crate) fn take_answered(&mut self) -> u32 {
        std::mem::take(&mut self.answered)
    }

    /// Writes that the store refused for good.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = (String, &DeadLetter)> {
        self.parked.iter().map(|(id, letter)| (self.describe(*id), letter))
    }

    /// How many entities' newest changes the store does not hold.
    pub(crate) fn pending_records(&self) -> usize {
        self.write_behind.as_ref().map_or(0, WriteBehind::pending_records)
    }

    /// Ends every ask that is still here. Nothing is served any more.
    pub(crate) fn stop(&mut self) {
        self.fence();
    }

    fn has_room(&self) -> bool {
        self.write_behind.as_ref().is_none_or(|queue| queue.has_room(self.now))
    }

    /// A write waits while there is no room; a read only behind a waiting write of its entity, so
    /// that a caller reads what it wrote before.
    fn must_wait(&mut self, ask: &dyn AnyAsk, has_room: bool) -> bool {
        if self.primary.is_fenced() {
            return false;
        }
        if ask.writes() {
            return !has_room || !self.waiting.is_empty();
        }
        let hash = if self.waiting.is_empty() { return false } else { self.key_hash(ask) };
        self.waiting.has(ask.target_kind(), hash)
    }

    fn key_hash(&mut self, ask: &dyn AnyAsk) -> u64 {
        let entities = &mut self.entities[usize::from(ask.target_kind())];
        ask.key_hash(entities.as_any())
    }

    fn run(&mut self, ask: Arc<dyn AnyAsk>) {
        if self.primary.is_fenced() {
            self.refuse(&*ask, Refusal::Unavailable);
            return;
        }
        let kind = ask.target_kind();
        let has_store = self.write_behind.is_some();
        let mut execution = Execution {
            position: self.primary.next_position(),
            time: self.time.at(self.now),
            has_store,
            limits: &self.registry.limits,
            sessions: &mut self.sessions,
            batch: &mut self.batch,
            held: &mut self.held,
            removed: &mut self.removed,
            panics: 0,
            given_up: 0,
        };
        ask.execute(self.entities[usize::from(kind)].as_any(), &mut execution);
        let Execution { panics, given_up, .. } = execution;
        self.answered += given_up;
        if panics > 0 {
            self.metrics.panicked(kind, panics);
        }
    }

    fn finish_batch(&mut self) {
        let Batch { changes, answers, .. } = &self.batch;
        if changes.is_empty() && answers.is_empty() {
            return;
        }
        let mut effects = Vec::with_capacity(changes.len() + answers.len());
        self.primary.step(primary::Event::Executed { changes, answers }, &mut effects);
        self.batch.clear();
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<primary::Effect>) {
        for effect in effects {
            match effect {
                primary::Effect::Committed(change) => {
                    if self.write_behind.is_some() {
                        self.step_write_behind(write_behind::Event::Changed(change));
                    } else {
                        self.forget_removed(change.entity, change.version);
                    }
                }
                primary::Effect::Release(ticket) => match self.held.remove(ticket.0 as usize) {
                    Held::Ask(ask) => {
                        self.answered += 1;
                        self.count(&*ask, ask.release());
                    }
                    Held::Session(opened, state) => {
                        let _ = opened.send(state); // whoever asked may be gone
                    }
                },
                primary::Effect::Abandon(ticket) => match self.held.remove(ticket.0 as usize) {
                    Held::Ask(ask) => self.refuse(&*ask, Refusal::Unavailable),
                    Held::Session(..) => (),
                },
            }
        }
    }

    fn refuse(&mut self, ask: &dyn AnyAsk, refusal: Refusal) {
        self.answered += 1;
        self.count(ask, ask.refuse(refusal));
    }

    fn count(&self, ask: &dyn AnyAsk, outcome: &'static str) {
        let after = self.now.saturating_since(ask.asked_at());
        self.metrics.answered(ask.target_kind(), outcome, after);
    }

    fn step_write_behind(&mut self, event: write_behind::Event) {
        let Some(write_behind) = &mut self.write_behind else { return };
        let mut effects = Vec::new();
        write_behind.step(self.now, event, &mut effects);
        for effect in effects {
            self.perform_write_behind(effect);
        }
    }

    fn perform_write_behind(&mut self, effect: write_behind::Effect) {
        use write_behind::Effect;
        match effect {
            Effect::Write { batch, entries } => self.write(batch, entries),
            Effect::Stored { entity, version } => {
                if self.parked.get(&entity).is_some_and(|parked| parked.row.version <= version) {
                    self.parked.remove(&entity);
                    self.metrics.dead_letters(self.parked.len());
                }
                self.durable(entity, version);
                self.forget_removed(entity, version);
            }
            Effect::Parked { entity, version, .. } => {
                self.park(entity);
                self.durable(entity, version);
            }
            Effect::Retrying { failures, after, reason } => {
                self.metrics.retrying();
                let partition = self.partition;
                tracing::warn!(%partition, failures, ?after, reason, "store failed, will retry");
            }
            Effect::Persisted { seq } => {
                while let Some((_, waiter)) =
                    self.persisted_waiters.pop_front_if(|(upto, _)| *upto <= seq)
                {
                    let _ = waiter.send(()); // whoever asked may be gone
                }
            }
            Effect::Fenced { by } => {
                tracing::error!(partition = %self.partition, %by, "fenced by a later epoch");
                self.fence();
            }
            Effect::Violated(violation) => {
                self.metrics.violated(violation.invariant.name());
                tracing::error!(partition = %self.partition, %violation, "partition stops");
                self.fence();
            }
        }
    }

    fn write(&mut self, batch: BatchId, entries: Vec<write_behind::Entry>) {
        let mut rows = PartitionBatch {
            partition: self.partition,
            epoch: self.primary.epoch(),
            records: Vec::with_capacity(entries.len()),
            dead_letters: Vec::new(),
        };
        let parked_at = self.time.at(self.now);
        for entry in entries {
            let row = self.row(entry.entity);
            debug_assert_eq!(row.version, entry.version, "the newest version is the one to write");
            match entry.parking {
                None => rows.records.push(row),
                Some(Parking { reason, attempts, .. }) => {
                    let letter = DeadLetter { row, reason, attempts, parked_at };
                    self.parking.insert(entry.entity, without_record(&letter));
                    rows.dead_letters.push(letter);
                }
            }
        }
        debug_assert!(self.writing.is_none(), "at most one batch is outstanding");
        self.writing = Some(Writing { batch, rows });
    }

    fn row(&mut self, id: EntityId) -> Row {
        match id.kind {
            SESSIONS => self.session_rows.row(id.slot, &self.sessions),
            kind => self.entities[usize::from(kind)].row(id.slot, &self.sessions),
        }
    }

    fn durable(&mut self, entity: EntityId, version: Version) {
        let mut effects = Vec::new();
        self.primary.step(primary::Event::Stored { entity, version }, &mut effects);
        self.perform(effects);
    }

    fn park(&mut self, entity: EntityId) {
        let Some(letter) = self.parking.remove(&entity) else { return };
        tracing::error!(
            partition = %self.partition,
            entity_type = %letter.row.key.entity_type,
            key = self.describe(entity),
            version = %letter.row.version,
            reason = letter.reason,
            "store refused a record, parked as a dead letter"
        );
        self.parked.insert(entity, letter);
        self.metrics.parked();
        self.metrics.dead_letters(self.parked.len());
    }

    fn describe(&self, id: EntityId) -> String {
        match id.kind {
            SESSIONS => self.session_rows.describe(id.slot),
            kind => self.entities[usize::from(kind)].describe(id.slot),
        }
    }

    fn forget_removed(&mut self, id: EntityId, version: Version) {
        if id.kind == SESSIONS {
            self.session_rows.forget_closed(id.slot, version, &self.sessions);
        } else if self.removed.contains(&id)
            && !self.entities[usize::from(id.kind)].forget_removed(id.slot, version)
        {
            self.removed.remove(&id);
        }
    }

    /// Drops idle sessions, and what was kept of removed entities for sessions that are over.
    fn keep_house(&mut self) {
        self.housekeeping_at = self.now + HOUSEKEEPING_EVERY;
        let time = self.time.at(self.now);
        for session in self.sessions.idle(time) {
            self.sessions.close(session);
            self.note_session(session, false);
        }
        for id in self.removed.clone() {
            let position = self.primary.next_position();
            let mut execution = Execution {
                position,
                time,
                has_store: self.write_behind.is_some(),
                limits: &self.registry.limits,
                sessions: &mut self.sessions,
                batch: &mut self.batch,
                held: &mut self.held,
                removed: &mut BTreeSet::new(),
                panics: 0,
                given_up: 0,
            };
            if !self.entities[usize::from(id.kind)].bury(id.slot, &mut execution) {
                self.removed.remove(&id);
            }
        }
        self.finish_batch();
    }

    fn note_session(&mut self, session: SessionId, durable: bool) {
        let has_store = self.write_behind.is_some();
        let delay = if durable && has_store { Duration::ZERO } else { SESSION_DELAY };
        let mut execution = Execution {
            position: self.primary.next_position(),
            time: self.time.at(self.now),
            has_store,
            limits: &self.registry.limits,
            sessions: &mut self.sessions,
            batch: &mut self.batch,
            held: &mut self.held,
            removed: &mut self.removed,
            panics: 0,
            given_up: 0,
        };
        self.session_rows.note(session, delay, &mut execution);
    }

    fn hold_session(
        &mut self,
        session: SessionId,
        state: Session,
        teller: oneshot::Sender<Session>,
    ) {
        let (entity, saw) = self.session_rows.seen(session);
        let stored = state.durable && self.write_behind.is_some();
        let ticket = self.held.insert(Held::Session(teller, state));
        let ticket = u32::try_from(ticket).expect("held answers are bounded far below 2^32");
        self.batch.answers.push(primary::Answer {
            ticket: primary::Ticket(ticket),
            entity,
            saw,
            stored,
        });
    }

    fn fence(&mut self) {
        let mut effects = Vec::new();
        self.primary.step(primary::Event::Fenced, &mut effects);
        self.perform(effects);
        self.persisted_waiters.clear();
        for ask in self.waiting.take_all() {
            self.refuse(&*ask, Refusal::Unavailable);
        }
    }
}

/// A dead letter to be listed: its record is in the entity, and in the store.
pub(crate) fn without_record(letter: &DeadLetter) -> DeadLetter {
    let Row { key, version, .. } = &letter.row;
    let row = Row { key: key.clone(), version: *version, record: None };
    DeadLetter { row, reason: letter.reason.clone(), ..*letter }
}
