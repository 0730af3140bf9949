//! What a processing unit does: runs handlers in batches, and performs what its engines decide.
//!
//! It is shared, on its thread only, between the lane that brings asks and the actor that takes
//! control messages; neither holds it across an await. Both leave it through [`Unit::settle`],
//! which performs effects until there are none and says when the unit wants to be woken.

mod blocked;
mod dead_letters;
mod direct;
mod messages;
mod reminders;
mod residency;
mod sessions;
mod storing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Limits;
use crate::engine::execution::Sessions;
use crate::engine::id::{EntityId, PartitionId, Seq};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::replica::primary::{self, Primary};
use crate::engine::write_behind::{self, BatchId, WriteBehind};
use crate::metrics::UnitMetrics;
use crate::store::{DeadLetter, PartitionBatch, Row};

use super::blocked::Blocked;
use super::entities::AnyEntities;
use super::exchange::{AnyAsk, Refusal};
use super::execution::{Batch, Execution};
use super::held::Held;
use super::loading::{Load, Loading};
use super::post::{Letter, Post};
use super::registry::Registry;
use super::session_rows::SessionRows;
use super::undone::quietly;
use super::waiting::Waiting;

use dead_letters::Settling;
pub(crate) use dead_letters::{LetterId, Opened, Settled};
pub(crate) use messages::ParkedMessage;

/// How often removed entities and idle sessions are looked for.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

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

    pub(crate) fn at(self, now: Instant) -> Timestamp {
        self.time_at_start + now.saturating_since(self.started_at)
    }

    /// When partition time will be `time`.
    fn when(self, time: Timestamp) -> Instant {
        self.started_at + time.saturating_since(self.time_at_start)
    }
}

/// A batch on its way to the store.
pub(crate) struct Writing {
    pub(crate) batch: BatchId,
    pub(crate) rows: PartitionBatch,
}

/// What a unit wants of the store.
pub(crate) struct Wanted {
    pub(crate) writing: Option<Writing>,
    pub(crate) load: Option<Load>,
}

/// The in-memory half of one partition.
pub(crate) struct Unit {
    pub(crate) partition: PartitionId,
    time: PartitionTime,
    entities: Vec<Box<dyn AnyEntities>>,
    session_rows: SessionRows,
    execution: Execution,
    primary: Primary,
    /// `None` where the grid has no store.
    write_behind: Option<WriteBehind>,
    /// Asks that wait for room in the queue.
    waiting: Waiting,
    /// Asks that wait for room for what they send.
    blocked: Blocked,
    /// Asks that wait for their entities.
    loading: Loading,
    /// Writes that the store refused, and holds as dead letters.
    parked: BTreeMap<EntityId, DeadLetter>,
    /// The same, while they are on their way there.
    parking: BTreeMap<EntityId, DeadLetter>,
    /// Who waits for what becomes of a dead letter.
    settling: BTreeMap<EntityId, Settling>,
    /// Who waits for everything up to a position to be durable, ascending.
    persisted_waiters: VecDeque<(Seq, oneshot::Sender<()>)>,
    housekeeping_at: Instant,
    /// The last pass of evictions ended before its time.
    has_more_to_evict: bool,
    /// Empty: kept for its buffer.
    effects: Vec<primary::Effect>,
    /// What the store is to write next.
    writing: Option<Writing>,
    /// What the store is to read next.
    load: Option<Load>,
    /// What is to be brought to other partitions.
    letters: Vec<(PartitionId, Letter)>,
    /// Asks answered since the lane last asked, or that have given their places back.
    answered: u32,
    /// Of these, asks that have taken their places again.
    owed: u32,
    /// Which writes are not to be let in.
    crowd: u64,
    /// Their callers, to be woken.
    wakers: Vec<Waker>,
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
    pub(crate) post: Post,
    pub(crate) time: PartitionTime,
}

impl Unit {
    pub(crate) fn new(
        partition: PartitionId,
        registry: Arc<Registry>,
        primary: Primary,
        write_behind: Option<WriteBehind>,
        mut recovered: Recovered,
        mut metrics: UnitMetrics,
        now: Instant,
    ) -> Unit {
        metrics.dead_letters(recovered.parked.len());
        metrics.outbox(recovered.post.outbox.len(), recovered.post.outbox.parked_len());
        for (kind, entities) in recovered.entities.iter_mut().enumerate() {
            entities.count_in(metrics.of_type(kind));
        }
        recovered.post.begin(primary.epoch());
        let has_orphans = recovered.session_rows.has_orphans();
        let housekeeping_at = if has_orphans { now } else { now + HOUSEKEEPING_EVERY };
        let Limits { retry_min, retry_max, .. } = registry.limits;
        Unit {
            partition,
            time: recovered.time,
            entities: recovered.entities,
            session_rows: recovered.session_rows,
            execution: Execution::new(
                registry,
                write_behind.is_some(),
                recovered.sessions,
                recovered.removed,
                recovered.post,
            ),
            primary,
            write_behind,
            waiting: Waiting::default(),
            blocked: Blocked::default(),
            loading: Loading::new(retry_min, retry_max),
            parked: recovered.parked,
            parking: BTreeMap::new(),
            settling: BTreeMap::new(),
            persisted_waiters: VecDeque::new(),
            housekeeping_at,
            has_more_to_evict: false,
            effects: Vec::new(),
            writing: None,
            load: None,
            letters: Vec::new(),
            answered: 0,
            owed: 0,
            crowd: 0,
            wakers: Vec::new(),
            now,
            metrics,
        }
    }

    /// Takes in asks in the order in which they came: runs what may run.
    pub(crate) fn execute(&mut self, now: Instant, asks: impl Iterator<Item = Arc<dyn AnyAsk>>) {
        self.now = now;
        let _span = tracing::debug_span!("batch", partition = %self.partition).entered();
        let has_room = self.has_room();
        for ask in asks {
            if self.must_wait(&*ask, has_room) {
                let hash = self.key_hash(&*ask);
                self.waiting.push(ask, hash);
            } else if let Some(ask) = self.find_entity(ask) {
                self.run_in_order(ask);
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
        for ask in self.blocked.take_expired(now) {
            self.refuse(&*ask, Refusal::Busy);
        }
        for ask in self.loading.take_expired(now) {
            self.refuse(&*ask, Refusal::Busy);
        }
        self.expire();
        if now >= self.housekeeping_at {
            self.keep_house();
        }
    }

    /// Performs what is due and runs what waited for room.
    pub(crate) fn settle(&mut self) {
        self.exchange();
        let mut has_run = false;
        if !self.waiting.is_empty() && self.has_room() {
            let asks = self.waiting.take_all();
            self.execute(self.now, asks.into_iter());
            has_run = true;
        }
        has_run |= self.retry_blocked();
        if has_run {
            self.exchange();
        }
        self.evict();
        if let Some(queue) = &self.write_behind {
            self.metrics.pending(queue);
        }
        if self.load.is_none() {
            self.load = self.loading.next_load(self.partition, self.now);
        }
    }

    /// Does what other partitions, reminders and the queue for the store have come to want.
    fn exchange(&mut self) {
        if self.execution.post.is_used() {
            self.fire_reminders();
            self.exchange_letters();
        }
        let due = self.write_behind.as_ref().and_then(WriteBehind::next_deadline);
        if due.is_some_and(|due| due <= self.now) {
            self.step_write_behind(write_behind::Event::Tick);
        }
    }

    /// What the store is to do now, if anything.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        let wants = self.writing.is_some() || self.load.is_some();
        wants.then(|| Wanted { writing: self.writing.take(), load: self.load.take() })
    }

    /// When the unit wants to be woken.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let store = self.write_behind.as_ref().and_then(WriteBehind::next_deadline);
        let has_house = !self.execution.removed.is_empty()
            || !self.session_rows.is_empty()
            || self
                .entities
                .iter()
                .any(|entities| entities.keeps_answers() || entities.is_leaving());
        let house = has_house.then_some(self.housekeeping_at);
        let waits = [self.waiting.next_deadline(), self.loading.next_deadline()];
        let more = self.has_more_to_evict.then_some(self.now);
        let post = self.execution.post.is_used().then(|| self.post_deadline()).flatten();
        let deadlines = [store, waits[0], waits[1], house, self.expiry_at(), more, post];
        deadlines.into_iter().flatten().min()
    }

    /// The same, for messages and reminders.
    fn post_deadline(&self) -> Option<Instant> {
        let post = &self.execution.post;
        let is_behind = self.write_behind.is_some() && post.inbox.is_behind();
        let rows = is_behind.then_some(self.housekeeping_at);
        let letters = post.wake_at.filter(|_| !self.primary.is_fenced() && !post.is_silent());
        let deadlines = [rows, letters, self.reminder_at(), self.blocked.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// How many asks were answered since the last call: as many more may be admitted.
    pub(crate) fn take_answered(&mut self) -> u32 {
        self.owed += self.blocked.take_owed();
        let taken_again = self.owed.min(self.answered);
        self.owed -= taken_again;
        std::mem::take(&mut self.answered) - taken_again
    }

    /// Moves to `wakers` whoever has an answer since the last call.
    pub(crate) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.wakers);
    }

    /// Ends every ask that is still here. Nothing is served any more.
    pub(crate) fn stop(&mut self) {
        self.fence();
    }

    fn has_room(&self) -> bool {
        let letters_max = self.execution.limits().dead_letters_per_partition_max;
        self.write_behind.as_ref().is_none_or(|queue| queue.has_room(self.now))
            && self.parked.len() < letters_max
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

    /// Runs the ask, unless one before it, of the same entity, waits for room for what it sends.
    fn run_in_order(&mut self, ask: Arc<dyn AnyAsk>) {
        if self.blocked.is_empty() {
            return self.run(ask, false);
        }
        let hash = self.key_hash(&*ask);
        if self.blocked.has(ask.target_kind(), hash) {
            self.block(ask, Box::default(), false);
        } else {
            self.run(ask, false);
        }
    }

    /// Runs the ask. `is_first` says that it came before all that wait for room.
    fn run(&mut self, ask: Arc<dyn AnyAsk>, is_first: bool) {
        if self.primary.is_fenced() {
            self.refuse(&*ask, Refusal::Unavailable);
            return;
        }
        let kind = ask.target_kind();
        self.begin();
        let (entities, execution) = (&mut self.entities, &mut self.execution);
        let entities = entities[usize::from(kind)].as_any();
        let same = Arc::clone(&ask);
        // Handlers are guarded one by one; what is left is user code in an odd place, such as the
        // `Drop` of a reply that nobody waits for. It costs its caller the answer, and nobody else.
        match quietly(|| ask.execute(entities, execution)) {
            Ok(None) => (),
            Ok(Some(outgoing)) => self.block(same, outgoing, is_first),
            Err(_) => {
                execution.panics += 1;
                self.refuse(&*same, Refusal::Unavailable);
            }
        }
        self.answered += std::mem::take(&mut self.execution.given_up);
        let panics = std::mem::take(&mut self.execution.panics);
        if panics > 0 {
            self.metrics.panicked(kind, panics);
        }
    }

    /// Sets the batch's position and time: the same until it is finished.
    fn begin(&mut self) {
        self.execution.position = self.primary.next_position();
        self.execution.time = self.time.at(self.now);
    }

    fn finish_batch(&mut self) {
        let Batch { changes, leaving, answers, .. } = &self.execution.batch;
        if changes.is_empty() && leaving.is_empty() && answers.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        let is_evicting = !leaving.is_empty();
        let event = primary::Event::Executed { changes, leaving, answers };
        self.primary.step(event, &mut effects);
        self.execution.batch.clear();
        self.perform(&mut effects);
        self.effects = effects;
        if is_evicting {
            let seq = self.primary.committed();
            self.step_write_behind(write_behind::Event::Passed { seq });
        }
    }

    fn perform(&mut self, effects: &mut Vec<primary::Effect>) {
        for effect in effects.drain(..) {
            match effect {
                primary::Effect::Committed(change) => {
                    if self.write_behind.is_some() {
                        self.step_write_behind(write_behind::Event::Changed(change));
                    } else {
                        self.forget_removed(change.entity, change.version);
                    }
                }
                primary::Effect::Evict(leaving) => {
                    self.execution.removed.remove(&leaving.entity);
                    self.entities[usize::from(leaving.entity.kind)].evict(leaving);
                }
                primary::Effect::Release(ticket) => {
                    match self.execution.held.remove(ticket.0 as usize) {
                        Held::Ask(ask) => {
                            self.answered += 1;
                            let outcome = ask.release(&mut self.wakers);
                            self.count(&*ask, outcome);
                        }
                        Held::Session(opened, state) => {
                            let _ = opened.send(state); // whoever asked may be gone
                        }
                        Held::Messages(numbers) => {
                            let outbox = &mut self.execution.post.outbox;
                            numbers.into_iter().for_each(|number| outbox.release(number));
                        }
                        Held::Parked(number) => self.execution.post.outbox.parked(number),
                        Held::Settled(done) => {
                            let _ = done.send(()); // whoever asked may be gone
                        }
                    }
                }
                primary::Effect::Abandon(ticket) => {
                    // Whoever else waits hears that nobody is there any more.
                    if let Held::Ask(ask) = self.execution.held.remove(ticket.0 as usize) {
                        self.refuse(&*ask, Refusal::Unavailable);
                    }
                }
            }
        }
    }

    fn refuse(&mut self, ask: &dyn AnyAsk, refusal: Refusal) {
        self.answered += 1;
        let outcome = ask.refuse(refusal, &mut self.wakers);
        self.count(ask, outcome);
    }

    /// Counts an ask that was answered here; whoever gave up has counted that.
    fn count(&self, ask: &dyn AnyAsk, outcome: Option<&'static str>) {
        if let Some(outcome) = outcome {
            let after = self.now.saturating_since(ask.asked_at());
            self.metrics.answered(ask.target_kind(), outcome, after);
        }
    }

    fn fence(&mut self) {
        let mut effects = Vec::new();
        self.primary.step(primary::Event::Fenced, &mut effects);
        self.perform(&mut effects);
        self.persisted_waiters.clear();
        self.settling.clear();
        let blocked = self.blocked.take_all();
        let waiting = self.waiting.take_all().into_iter().chain(blocked);
        for ask in waiting.chain(self.loading.take_all()) {
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
