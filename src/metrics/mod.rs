//! What is counted, and how an operator reads it. Series are by entity type at the finest, never by
//! key.
//!
//! Each processing unit counts for itself, in cells that only its own thread writes: an ask costs
//! no lock and no contended line. They are added up when somebody looks.

mod cells;
mod definitions;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::engine::instant::Instant;
use crate::engine::write_behind::WriteBehind;

use cells::{Cell, Histogram};
use definitions::{BATCH_BOUNDS, MESSAGE_OUTCOMES, OUTCOMES, REMINDER_OUTCOMES, SECONDS_BOUNDS};
pub(crate) use definitions::{Lookup, Reason};

/// Nothing is pending.
const NEVER: u64 = u64::MAX;

/// The metrics of one grid.
pub(crate) struct GridMetrics {
    names: Vec<&'static str>,
    /// By entity type: asks that ended at their callers.
    callers: Vec<AskCounts>,
    /// By partition.
    units: Vec<Arc<UnitCounts>>,
    /// By thread: asks that are queued.
    inboxes: Vec<Arc<AtomicU64>>,
    pub(crate) batch_records: Histogram,
    pub(crate) store_seconds: Histogram,
    pub(crate) load_seconds: Histogram,
    pub(crate) unavailable: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) load_errors: AtomicU64,
    violations: Mutex<BTreeMap<&'static str, u64>>,
}

/// What one partition counts.
struct UnitCounts {
    types: Vec<Arc<TypeCounts>>,
    pending_records: Cell,
    pending_bytes: Cell,
    /// When its oldest pending change was made, in nanoseconds of the clock.
    oldest_at: Cell,
    dead_letters: Cell,
    parked: Cell,
    replayed: Cell,
    discarded: Cell,
    retries: Cell,
    outbox: Cell,
    parked_messages: Cell,
    messages: [Cell; MESSAGE_OUTCOMES.len()],
    reminders: [Cell; REMINDER_OUTCOMES.len()],
}

/// What one partition counts of one entity type.
#[derive(Default)]
pub(crate) struct TypeCounts {
    asks: AskCounts,
    panics: Cell,
    pub(crate) lookups: [Cell; Lookup::ALL.len()],
    pub(crate) evicted: [Cell; Reason::ALL.len()],
    pub(crate) blocked: Cell,
    pub(crate) entities: Cell,
    pub(crate) bytes: Cell,
}

struct AskCounts {
    outcomes: [Cell; OUTCOMES.len()],
    seconds: Histogram,
}

impl Default for AskCounts {
    fn default() -> AskCounts {
        AskCounts { outcomes: Default::default(), seconds: Histogram::of_seconds(SECONDS_BOUNDS) }
    }
}

impl AskCounts {
    fn of(&self, outcome: &'static str) -> &Cell {
        let at = OUTCOMES.iter().position(|known| *known == outcome);
        &self.outcomes[at.expect("every outcome has its name in the list")]
    }
}

impl GridMetrics {
    pub(crate) fn new(names: &[&'static str], partitions: u16, threads: usize) -> GridMetrics {
        let unit = || UnitCounts {
            types: names.iter().map(|_| Arc::default()).collect(),
            pending_records: Cell::default(),
            pending_bytes: Cell::default(),
            oldest_at: Cell::new(NEVER),
            dead_letters: Cell::default(),
            parked: Cell::default(),
            replayed: Cell::default(),
            discarded: Cell::default(),
            retries: Cell::default(),
            outbox: Cell::default(),
            parked_messages: Cell::default(),
            messages: Default::default(),
            reminders: Default::default(),
        };
        GridMetrics {
            names: names.to_vec(),
            callers: names.iter().map(|_| AskCounts::default()).collect(),
            units: (0..partitions).map(|_| Arc::new(unit())).collect(),
            inboxes: (0..threads).map(|_| Arc::default()).collect(),
            batch_records: Histogram::of_counts(BATCH_BOUNDS),
            store_seconds: Histogram::of_seconds(SECONDS_BOUNDS),
            load_seconds: Histogram::of_seconds(SECONDS_BOUNDS),
            unavailable: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            load_errors: AtomicU64::new(0),
            violations: Mutex::default(),
        }
    }

    /// Where a thread notes how many asks are queued.
    pub(crate) fn inbox(&self, thread: usize) -> Arc<AtomicU64> {
        Arc::clone(&self.inboxes[thread])
    }

    /// Counts, on any thread, an ask that was answered, or ended without an answer.
    pub(crate) fn answered(&self, kind: u16, outcome: &'static str, after: Duration) {
        self.ended(kind, outcome);
        if let Some(asks) = self.callers.get(usize::from(kind)) {
            asks.seconds.record_shared(after.as_secs_f64());
        }
    }

    /// Counts, on any thread, an ask that ended without having been answered.
    pub(crate) fn ended(&self, kind: u16, outcome: &'static str) {
        if let Some(asks) = self.callers.get(usize::from(kind)) {
            asks.of(outcome).add_shared(1);
        }
    }

    /// How many entities' newest changes are not stored, without asking anybody who may be busy.
    pub(crate) fn count_pending(&self) -> usize {
        self.units.iter().map(|unit| unit.pending_records.get() as usize).sum()
    }

    /// Age of the oldest change that is not stored.
    fn oldest_age(&self, now: Instant) -> Duration {
        match self.units.iter().map(|unit| unit.oldest_at.get()).min() {
            None | Some(NEVER) => Duration::ZERO,
            Some(nanos) => now.saturating_since(Instant::from_nanos(nanos)),
        }
    }
}

/// One partition's share of the grid's metrics. Written by its own thread only.
pub(crate) struct UnitMetrics {
    grid: Arc<GridMetrics>,
    counts: Arc<UnitCounts>,
}

impl UnitMetrics {
    pub(crate) fn new(grid: Arc<GridMetrics>, partition: u16) -> UnitMetrics {
        let counts = Arc::clone(&grid.units[usize::from(partition)]);
        UnitMetrics { grid, counts }
    }

    /// Where the entities of one type count for themselves.
    pub(crate) fn of_type(&self, kind: usize) -> Arc<TypeCounts> {
        Arc::clone(&self.counts.types[kind])
    }

    pub(crate) fn answered(&self, kind: u16, outcome: &'static str, after: Duration) {
        let asks = &self.counts.types[usize::from(kind)].asks;
        asks.of(outcome).add(1);
        asks.seconds.record(after.as_secs_f64());
    }

    /// Counts an ask that took no time that the grid's clock would show.
    pub(crate) fn answered_at_once(&self, kind: u16, outcome: &'static str) {
        let asks = &self.counts.types[usize::from(kind)].asks;
        asks.of(outcome).add(1);
        asks.seconds.record_nought();
    }

    pub(crate) fn panicked(&self, kind: u16, panics: u64) {
        self.counts.types[usize::from(kind)].panics.add(panics);
    }

    /// Notes how much waits to be stored.
    pub(crate) fn pending(&mut self, queue: &WriteBehind) {
        self.counts.pending_records.set(queue.pending_records() as u64);
        self.counts.pending_bytes.set(queue.pending_bytes());
        self.counts.oldest_at.set(queue.oldest_at().map_or(NEVER, Instant::as_nanos));
    }

    /// Notes how many dead letters there are now.
    pub(crate) fn dead_letters(&mut self, now: usize) {
        self.counts.dead_letters.set(now as u64);
    }

    pub(crate) fn parked(&self) {
        self.counts.parked.add(1);
    }

    pub(crate) fn replayed(&self) {
        self.counts.replayed.add(1);
    }

    pub(crate) fn discarded(&self) {
        self.counts.discarded.add(1);
    }

    /// Notes how many messages are kept that were sent, and how many of all are parked.
    pub(crate) fn outbox(&self, kept: usize, parked: usize) {
        self.counts.outbox.set(kept as u64);
        self.counts.parked_messages.set(parked as u64);
    }

    /// Counts a message by what became of it.
    pub(crate) fn message(&self, outcome: &'static str) {
        let at = MESSAGE_OUTCOMES.iter().position(|known| *known == outcome);
        self.counts.messages[at.expect("every outcome has its name in the list")].add(1);
    }

    /// Counts reminders by what became of them.
    pub(crate) fn reminder(&self, outcome: &'static str, firings: u64) {
        let at = REMINDER_OUTCOMES.iter().position(|known| *known == outcome);
        self.counts.reminders[at.expect("every outcome has its name in the list")].add(firings);
    }

    pub(crate) fn retrying(&self) {
        self.counts.retries.add(1);
    }

    pub(crate) fn violated(&self, invariant: &'static str) {
        let violations = self.grid.violations.lock();
        *violations.unwrap_or_else(PoisonError::into_inner).entry(invariant).or_default() += 1;
    }
}

impl Drop for UnitMetrics {
    fn drop(&mut self) {
        self.counts.oldest_at.set(NEVER);
    }
}

/// Adds one; for what is counted on several threads, and seldom.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
