//! One partition's engines, wired as a processing unit wires them: sessions and answers judge an
//! ask, the handler runs, the primary holds the answer, the write-behind queue stores the change.
//! Entities are counters; a counter's state is the list of requests that it has counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Bug;
use super::deed::{Ask, Asker, Deed, Message, Reply};
use super::plan::Plan;
use super::store::{Batch, Content, Named, Row, RowKey};
use crate::engine::execution::{Answers, Session, SessionLimits, Sessions};
use crate::engine::id::{EntityId, Epoch, NodeId, PartitionId, RequestId, Seq, SessionId, Version};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::replica::primary::{self, Answer, Change, Primary, Ticket};
use crate::engine::write_behind::{self, Entry, WriteBehind};

pub(super) const COUNTERS: u16 = 0;
const SESSIONS: u16 = 1;
pub(super) const ROW_BYTES: u64 = 40;
const SESSION_DELAY: Duration = Duration::from_millis(100);
pub(super) const SESSIONS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Counter {
    pub(super) ledger: Vec<RequestId>,
    pub(super) answers: Answers,
    pub(super) version: Version,
}

#[derive(Clone, Copy)]
struct SessionRow {
    session: SessionId,
    version: Version,
    /// The floor in its newest row.
    written_floor: u64,
}

pub(super) enum Held {
    Ask(Ask, Reply, Version),
    Opening(Asker, SessionId, Session),
}

pub(super) struct Unit {
    pub(super) partition: PartitionId,
    pub(super) plan: Plan,
    pub(super) bug: Option<Bug>,
    pub(super) counters: BTreeMap<u32, Counter>,
    session_rows: Vec<SessionRow>,
    pub(super) sessions: Sessions,
    primary: Primary,
    queue: WriteBehind,
    changes: Vec<Change>,
    answers: Vec<Answer>,
    operations: u32,
    held: BTreeMap<Ticket, Held>,
    tickets: u32,
    waiting: VecDeque<Ask>,
    persist_waiters: VecDeque<Seq>,
    housekeeping_at: Instant,
    /// For [`Bug::DelayRestarted`].
    quiet_at: Instant,
    now: Instant,
    pub(super) deeds: Vec<Deed>,
}

impl Unit {
    /// A unit in a new epoch, with what the store gives back.
    pub(super) fn recover<'a>(
        partition: PartitionId,
        epoch: Epoch,
        plan: &Plan,
        bug: Option<Bug>,
        now: Instant,
        rows: impl Iterator<Item = &'a Row>,
    ) -> Unit {
        let limits = SessionLimits {
            idle_after: plan.session_idle,
            window_max: plan.window_max,
            sessions_max: SESSIONS_MAX,
        };
        let mut unit = Unit {
            partition,
            plan: plan.clone(),
            bug,
            counters: BTreeMap::new(),
            session_rows: Vec::new(),
            sessions: Sessions::new(limits),
            primary: Primary::new(epoch, NodeId::new("a")),
            queue: WriteBehind::new(plan.queue, epoch.0),
            changes: Vec::new(),
            answers: Vec::new(),
            operations: 0,
            held: BTreeMap::new(),
            tickets: 0,
            waiting: VecDeque::new(),
            persist_waiters: VecDeque::new(),
            housekeeping_at: now + plan.housekeeping_every,
            quiet_at: now,
            now,
            deeds: Vec::new(),
        };
        for row in rows {
            unit.restore(row);
        }
        unit
    }

    fn restore(&mut self, row: &Row) {
        match (row.key.of, row.content.clone()) {
            (Named::Counter(counter), Some(Content::Counter { ledger, answers })) => {
                let known = self.counters.entry(counter).or_default();
                if row.version > known.version {
                    *known = Counter { ledger, answers, version: row.version };
                }
            }
            (Named::Session(session), Some(Content::Session(state))) => {
                if self.bug != Some(Bug::SessionsForgotten) {
                    let stored_floor = state.floor;
                    self.sessions.restore(session, Session { stored_floor, ..state });
                    let slot = self.session_slot(session);
                    self.session_rows[slot].version = row.version;
                }
            }
            // A deletion that the store refused: newer than the row, which is still there.
            (Named::Session(session), None) => {
                self.sessions.close(session);
                let slot = self.session_slot(session);
                self.session_rows[slot].version = row.version;
            }
            (named, content) => unreachable!("{named:?} holds {content:?}"),
        }
    }

    /// Everything in memory: version and ledger of each row.
    pub(super) fn memory(&self) -> BTreeMap<RowKey, (Version, &[RequestId])> {
        let mut memory = BTreeMap::new();
        for (counter, known) in &self.counters {
            let key = self.key(Named::Counter(*counter));
            memory.insert(key, (known.version, known.ledger.as_slice()));
        }
        for known in &self.session_rows {
            memory.insert(self.key(Named::Session(known.session)), (known.version, &[][..]));
        }
        memory
    }

    pub(super) fn pending(&self) -> (usize, u64) {
        (self.queue.pending_records(), self.queue.pending_bytes())
    }

    pub(super) fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let has_house = !self.session_rows.is_empty();
        let waiting = self.waiting.iter().map(|ask| ask.deadline).min();
        let house = has_house.then_some(self.housekeeping_at);
        [self.queue_deadline(), waiting, house].into_iter().flatten().min()
    }

    /// Takes in asks in the order in which they came.
    pub(super) fn execute(&mut self, now: Instant, asks: Vec<Ask>) {
        self.now = now;
        let has_room = self.queue.has_room(now);
        for ask in asks {
            let is_read = ask.message == Message::Read;
            let is_behind = self.waiting.iter().any(|waiting| waiting.counter == ask.counter);
            let is_full = !has_room || !self.waiting.is_empty();
            let must_wait = if is_read { is_behind } else { is_full };
            if must_wait && self.bug != Some(Bug::NoBackPressure) {
                self.waiting.push_back(ask);
            } else {
                self.run(ask);
            }
        }
        self.finish_batch();
    }

    pub(super) fn open(&mut self, now: Instant, asker: Asker, session: SessionId, durable: bool) {
        self.now = now;
        let position = self.primary.next_position();
        let Ok((state, is_new)) = self.sessions.open(session, durable, position, self.time())
        else {
            return; // at the bound: the asker tries again
        };
        if is_new {
            self.note_session(session, durable);
        }
        let slot = self.session_slot(session);
        let version = self.session_rows[slot].version;
        let entity = session_entity(slot);
        self.hold(Held::Opening(asker, session, state), entity, version, state.durable);
        self.finish_batch();
    }

    /// Makes everything pending due; [`Deed::PersistDone`] follows when it is durable.
    pub(super) fn persist(&mut self, now: Instant) {
        self.now = now;
        let upto = self.primary.committed();
        if self.queue.persisted() >= upto {
            self.deeds.push(Deed::PersistDone);
        } else {
            self.persist_waiters.push_back(upto);
            self.step_queue(write_behind::Event::Flush);
        }
    }

    pub(super) fn stored(&mut self, now: Instant, event: write_behind::Event) {
        self.now = now;
        self.step_queue(event);
    }

    /// Does what is due, and runs what waited for room.
    pub(super) fn settle(&mut self, now: Instant) {
        self.now = now;
        let is_over = |ask: &Ask| ask.deadline <= now;
        let over: Vec<Ask> = self.waiting.iter().copied().filter(is_over).collect();
        self.waiting.retain(|ask| !is_over(ask));
        for ask in over {
            self.deeds.push(Deed::Answered { ask, reply: Reply::Busy, saw: Version::default() });
        }
        if now >= self.housekeeping_at {
            self.housekeeping_at = now + self.plan.housekeeping_every;
            for session in self.sessions.idle(self.time()) {
                self.sessions.close(session);
                self.note_session(session, false);
            }
            for session in self.sessions.behind() {
                self.note_session(session, false);
            }
            self.finish_batch();
        }
        self.tick();
        if !self.waiting.is_empty() && self.queue.has_room(now) {
            let asks = std::mem::take(&mut self.waiting);
            self.execute(now, asks.into());
            self.tick();
        }
    }

    fn tick(&mut self) {
        if self.queue_deadline().is_some_and(|at| at <= self.now) {
            self.step_queue(write_behind::Event::Tick);
        }
    }

    fn queue_deadline(&self) -> Option<Instant> {
        let deadline = self.queue.next_deadline()?;
        let restarts = self.bug == Some(Bug::DelayRestarted);
        Some(if restarts { deadline.max(self.quiet_at) } else { deadline })
    }

    fn note_session(&mut self, session: SessionId, durable: bool) {
        let slot = self.session_slot(session);
        let delay = if durable { Duration::ZERO } else { SESSION_DELAY };
        self.session_rows[slot].version = self.note(session_entity(slot), ROW_BYTES, delay);
    }

    /// Notes a change in the batch; several of one entity are one.
    pub(super) fn note(&mut self, entity: EntityId, bytes: u64, delay: Duration) -> Version {
        let version = Version { position: self.primary.next_position(), index: self.operations };
        self.operations += 1;
        let change = Change { entity, version, bytes, delay };
        match self.changes.iter_mut().find(|noted| noted.entity == entity) {
            Some(noted) => *noted = change,
            None => self.changes.push(change),
        }
        version
    }

    pub(super) fn hold(&mut self, held: Held, entity: EntityId, saw: Version, stored: bool) {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.held.insert(ticket, held);
        self.answers.push(Answer { ticket, entity, saw, stored });
    }

    fn finish_batch(&mut self) {
        let mut effects = Vec::new();
        let changes = std::mem::take(&mut self.changes);
        let answers = std::mem::take(&mut self.answers);
        self.operations = 0;
        let event = primary::Event::Executed { changes: &changes, leaving: &[], answers: &answers };
        self.primary.step(event, &mut effects);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<primary::Effect>) {
        for effect in effects {
            match effect {
                primary::Effect::Committed(change) => self.committed(change),
                primary::Effect::Evict(_) => (), // simulated counters stay in memory
                primary::Effect::Release(ticket) => {
                    self.deeds.extend(self.held.remove(&ticket).map(|held| match held {
                        Held::Ask(ask, reply, saw) => Deed::Answered { ask, reply, saw },
                        Held::Opening(asker, session, opening) => {
                            Deed::Opened { asker, session, opening }
                        }
                    }));
                }
                primary::Effect::Abandon(ticket) => {
                    self.held.remove(&ticket);
                }
            }
        }
    }

    fn committed(&mut self, change: Change) {
        let key = self.key_of(change.entity);
        let ledger = match key.of {
            Named::Counter(counter) => self.counters[&counter].ledger.clone(),
            Named::Session(_) => Vec::new(),
        };
        self.deeds.push(Deed::Committed { key, version: change.version, ledger });
        self.quiet_at = self.now + change.delay;
        self.step_queue(write_behind::Event::Changed(change));
    }

    fn step_queue(&mut self, event: write_behind::Event) {
        let event = match (event, self.bug) {
            // A failure is taken for a success.
            (write_behind::Event::Failed { batch, .. }, Some(Bug::FailureUnseen)) => {
                let outcomes = vec![write_behind::Outcome::Stored];
                write_behind::Event::Answered { batch, outcomes }
            }
            (event, _) => event,
        };
        let mut effects = Vec::new();
        self.queue.step(self.now, event, &mut effects);
        for effect in effects {
            self.perform_queue(effect);
        }
    }

    fn perform_queue(&mut self, effect: write_behind::Effect) {
        use write_behind::Effect;
        match effect {
            Effect::Write { batch, entries } => {
                let batch = self.batch(batch, &entries);
                self.deeds.push(Deed::Write(batch));
            }
            Effect::Stored { entity, version } => {
                let key = self.key_of(entity);
                self.deeds.push(Deed::Stored { key, version });
                self.durable(entity, version);
                if entity.kind == SESSIONS {
                    let SessionRow { session, version: newest, written_floor } =
                        self.session_rows[entity.slot as usize];
                    if newest == version {
                        self.sessions.floor_stored(session, written_floor);
                    }
                }
            }
            Effect::Parked { entity, version, .. } => {
                let key = self.key_of(entity);
                self.deeds.push(Deed::Parked { key, version });
                self.durable(entity, version);
            }
            Effect::Retrying { .. } => (),
            Effect::Persisted { seq } => {
                let is_off = self.bug == Some(Bug::WatermarkOffByOne);
                let seq = if is_off { seq.next() } else { seq };
                self.deeds.push(Deed::Persisted { seq });
                while self.persist_waiters.pop_front_if(|upto| *upto <= seq).is_some() {
                    self.deeds.push(Deed::PersistDone);
                }
            }
            Effect::Fenced { by } => {
                self.deeds.push(Deed::Stopped { why: format!("fenced by epoch {by}") });
            }
            Effect::Violated(violation) => {
                self.deeds.push(Deed::Stopped { why: violation.to_string() });
            }
        }
    }

    fn durable(&mut self, entity: EntityId, version: Version) {
        let mut effects = Vec::new();
        self.primary.step(primary::Event::Stored { entity, version }, &mut effects);
        self.perform(effects);
    }

    fn batch(&mut self, id: write_behind::BatchId, entries: &[Entry]) -> Batch {
        let mut batch = Batch {
            partition: self.partition,
            epoch: self.primary.epoch(),
            id,
            records: Vec::new(),
            letters: Vec::new(),
        };
        for entry in entries {
            let row = self.row(entry.entity);
            assert_eq!(row.version, entry.version, "the newest version is written");
            match entry.parking {
                None => batch.records.push(row),
                Some(_) => batch.letters.push(row),
            }
        }
        batch
    }

    fn row(&mut self, entity: EntityId) -> Row {
        let key = self.key_of(entity);
        match key.of {
            Named::Counter(counter) => {
                let counter = self.counters.entry(counter).or_default();
                counter.answers.prune(&self.sessions);
                let answers = match self.bug {
                    Some(Bug::AnswersNotStored) => Answers::new(),
                    Some(Bug::FloorsNotStored) => {
                        let kept = counter.answers.sessions().cloned();
                        kept.filter(|session| !session.answers.is_empty()).collect()
                    }
                    _ => counter.answers.clone(),
                };
                let content = Content::Counter { ledger: counter.ledger.clone(), answers };
                Row { key, version: counter.version, content: Some(content) }
            }
            Named::Session(session) => {
                let state = self.sessions.session(session).copied();
                let row = &mut self.session_rows[entity.slot as usize];
                row.written_floor = state.map_or(0, |state| state.floor);
                Row { key, version: row.version, content: state.map(Content::Session) }
            }
        }
    }

    fn key(&self, of: Named) -> RowKey {
        RowKey { partition: self.partition, of }
    }

    fn key_of(&self, entity: EntityId) -> RowKey {
        match entity.kind {
            COUNTERS => self.key(Named::Counter(entity.slot)),
            _ => self.key(Named::Session(self.session_rows[entity.slot as usize].session)),
        }
    }

    fn session_slot(&mut self, session: SessionId) -> usize {
        let known = self.session_rows.iter().position(|row| row.session == session);
        known.unwrap_or_else(|| {
            self.session_rows.push(SessionRow {
                session,
                version: Version::default(),
                written_floor: 0,
            });
            self.session_rows.len() - 1
        })
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now.as_nanos() / 1_000)
    }
}

fn session_entity(slot: usize) -> EntityId {
    EntityId { kind: SESSIONS, slot: u32::try_from(slot).expect("sessions are few") }
}
