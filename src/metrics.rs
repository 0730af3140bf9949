//! What is counted, under which name. Series are by entity type at the finest, never by key.
//!
//! A recorder must be installed before the grid is started: the handles are made then, once, so
//! that an ask costs no look-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use crate::engine::instant::Instant;
use crate::engine::write_behind::WriteBehind;

pub(crate) const REQUESTS: &str = "fastness_requests_total";
pub(crate) const REQUEST_SECONDS: &str = "fastness_request_seconds";
pub(crate) const PANICS: &str = "fastness_handler_panics_total";
pub(crate) const INBOX_DEPTH: &str = "fastness_inbox_depth";
pub(crate) const PENDING_RECORDS: &str = "fastness_wb_pending_records";
pub(crate) const PENDING_BYTES: &str = "fastness_wb_pending_bytes";
pub(crate) const OLDEST_PENDING: &str = "fastness_wb_oldest_pending_age_seconds";
pub(crate) const BATCH_RECORDS: &str = "fastness_wb_batch_size";
pub(crate) const STORE_SECONDS: &str = "fastness_wb_store_seconds";
pub(crate) const STORE_ERRORS: &str = "fastness_wb_store_errors_total";
pub(crate) const RETRIES: &str = "fastness_wb_retries_total";
pub(crate) const DEAD_LETTERS: &str = "fastness_wb_dead_letters";
pub(crate) const PARKED: &str = "fastness_wb_dead_letters_total";
pub(crate) const VIOLATIONS: &str = "fastness_invariant_violations_total";

const OUTCOMES: [&str; 13] = [
    "ok",
    "busy",
    "unavailable",
    "indeterminate",
    "expired",
    "request_reused",
    "panicked",
    "too_large",
    "undecodable",
    "unreadable_reply",
    "no_answers_kept",
    "given_up",
    "other",
];

/// Where an entity that was asked for was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// In memory.
    Hit,
    /// In the store.
    StoreHit,
    /// Nowhere.
    Miss,
    /// Nowhere, and memory knew that of the store.
    Remembered,
}

/// Why an entity is no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was not written for so long.
    Ttl,
    /// It was not asked for so long, and is removed.
    Idle,
    /// Too many entities.
    Entities,
    /// Too many bytes.
    Bytes,
    /// It was not asked for so long, and is in the store.
    Passivated,
    /// A handler asked for it.
    Asked,
}

impl Lookup {
    pub(crate) const ALL: [Lookup; 4] =
        [Lookup::Hit, Lookup::StoreHit, Lookup::Miss, Lookup::Remembered];
}

impl Reason {
    pub(crate) const ALL: [Reason; 6] = [
        Reason::Ttl,
        Reason::Idle,
        Reason::Entities,
        Reason::Bytes,
        Reason::Passivated,
        Reason::Asked,
    ];
}

/// Nothing is pending.
const NEVER: u64 = u64::MAX;

/// The metrics of one grid.
pub(crate) struct GridMetrics {
    kinds: Vec<TypeMetrics>,
    pending_records: Gauge,
    pending_bytes: Gauge,
    oldest_pending: Gauge,
    dead_letters: Gauge,
    parked: Counter,
    retries: Counter,
    pub(crate) batch_records: Histogram,
    pub(crate) store_seconds: Histogram,
    pub(crate) unavailable: Counter,
    pub(crate) refused: Counter,
    /// Per partition: when its oldest pending change was made, in nanoseconds of the clock.
    oldest_at: Vec<AtomicU64>,
    /// Per partition: entities whose newest change is not stored.
    pending: Vec<AtomicUsize>,
}

struct TypeMetrics {
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    panics: Counter,
}

impl GridMetrics {
    pub(crate) fn new(kinds: &[&'static str], partitions: u16) -> GridMetrics {
        describe();
        GridMetrics {
            kinds: kinds.iter().map(|name| TypeMetrics::new(name)).collect(),
            pending_records: gauge!(PENDING_RECORDS),
            pending_bytes: gauge!(PENDING_BYTES),
            oldest_pending: gauge!(OLDEST_PENDING),
            dead_letters: gauge!(DEAD_LETTERS),
            parked: counter!(PARKED),
            retries: counter!(RETRIES),
            batch_records: histogram!(BATCH_RECORDS),
            store_seconds: histogram!(STORE_SECONDS, "op" => "write"),
            unavailable: counter!(STORE_ERRORS, "class" => "transient"),
            refused: counter!(STORE_ERRORS, "class" => "permanent"),
            oldest_at: (0..partitions).map(|_| AtomicU64::new(NEVER)).collect(),
            pending: (0..partitions).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Counts an ask that was answered, or ended without an answer.
    pub(crate) fn answered(&self, kind: u16, outcome: &'static str, after: Duration) {
        if let Some(kind) = self.kinds.get(usize::from(kind)) {
            kind.outcome(outcome).increment(1);
            kind.seconds.record(after.as_secs_f64());
        }
    }

    /// Counts an ask that ended without having been answered.
    pub(crate) fn ended(&self, kind: u16, outcome: &'static str) {
        if let Some(kind) = self.kinds.get(usize::from(kind)) {
            kind.outcome(outcome).increment(1);
        }
    }

    /// How many entities' newest changes are not stored, without asking anybody who may be busy.
    pub(crate) fn count_pending(&self) -> usize {
        self.pending.iter().map(|pending| pending.load(Ordering::Relaxed)).sum()
    }

    /// Brings the age of the oldest pending change up to date.
    pub(crate) fn refresh_age(&self, now: Instant) {
        let oldest = self.oldest_at.iter().map(|at| at.load(Ordering::Relaxed)).min();
        let age = match oldest {
            None | Some(NEVER) => Duration::ZERO,
            Some(nanos) => now.saturating_since(Instant::from_nanos(nanos)),
        };
        self.oldest_pending.set(age.as_secs_f64());
    }
}

impl TypeMetrics {
    fn new(entity: &'static str) -> TypeMetrics {
        TypeMetrics {
            outcomes: OUTCOMES
                .map(|outcome| counter!(REQUESTS, "entity" => entity, "outcome" => outcome)),
            seconds: histogram!(REQUEST_SECONDS, "entity" => entity),
            panics: counter!(PANICS, "entity" => entity),
        }
    }

    fn outcome(&self, outcome: &'static str) -> &Counter {
        let at = OUTCOMES.iter().position(|known| *known == outcome);
        &self.outcomes[at.unwrap_or(OUTCOMES.len() - 1)]
    }
}

/// One partition's share of the grid's metrics.
pub(crate) struct UnitMetrics {
    grid: Arc<GridMetrics>,
    partition: usize,
    records: usize,
    bytes: u64,
    dead_letters: usize,
}

impl UnitMetrics {
    pub(crate) fn new(grid: Arc<GridMetrics>, partition: u16) -> UnitMetrics {
        let partition = usize::from(partition);
        UnitMetrics { grid, partition, records: 0, bytes: 0, dead_letters: 0 }
    }

    pub(crate) fn answered(&self, kind: u16, outcome: &'static str, after: Duration) {
        self.grid.answered(kind, outcome, after);
    }

    pub(crate) fn panicked(&self, kind: u16, panics: u64) {
        if let Some(kind) = self.grid.kinds.get(usize::from(kind)) {
            kind.panics.increment(panics);
        }
    }

    /// Notes how much waits to be stored.
    pub(crate) fn pending(&mut self, queue: &WriteBehind) {
        let (records, bytes) = (queue.pending_records(), queue.pending_bytes());
        self.grid.pending_records.increment(records as f64 - self.records as f64);
        self.grid.pending_bytes.increment(bytes as f64 - self.bytes as f64);
        self.grid.pending[self.partition].store(records, Ordering::Relaxed);
        (self.records, self.bytes) = (records, bytes);
        let oldest = queue.oldest_at().map_or(NEVER, Instant::as_nanos);
        self.grid.oldest_at[self.partition].store(oldest, Ordering::Relaxed);
    }

    /// Notes how many dead letters there are now.
    pub(crate) fn dead_letters(&mut self, now: usize) {
        self.grid.dead_letters.increment(now as f64 - self.dead_letters as f64);
        self.dead_letters = now;
    }

    pub(crate) fn parked(&self) {
        self.grid.parked.increment(1);
    }

    pub(crate) fn replayed(&self) {}

    pub(crate) fn discarded(&self) {}

    pub(crate) fn retrying(&self) {
        self.grid.retries.increment(1);
    }

    pub(crate) fn violated(&self, invariant: &'static str) {
        counter!(VIOLATIONS, "invariant" => invariant).increment(1);
    }
}

impl Drop for UnitMetrics {
    fn drop(&mut self) {
        self.grid.pending_records.decrement(self.records as f64);
        self.grid.pending_bytes.decrement(self.bytes as f64);
        self.grid.dead_letters.decrement(self.dead_letters as f64);
        self.grid.oldest_at[self.partition].store(NEVER, Ordering::Relaxed);
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(REQUESTS, "asks that ended, by entity type and outcome");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "from the ask to its answer");
    describe_counter!(PANICS, "handlers that panicked and were undone");
    describe_gauge!(INBOX_DEPTH, "asks queued at a thread");
    describe_gauge!(PENDING_RECORDS, "entities whose newest change is not stored");
    describe_gauge!(PENDING_BYTES, Unit::Bytes, "size of these");
    describe_gauge!(OLDEST_PENDING, Unit::Seconds, "age of the oldest change not stored");
    describe_histogram!(BATCH_RECORDS, "records in one commit of the store");
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "time of one call of the store");
    describe_counter!(STORE_ERRORS, "failed calls of the store, by class");
    describe_counter!(RETRIES, "batches that are tried again");
    describe_gauge!(DEAD_LETTERS, "writes that the store refused and that are parked");
    describe_counter!(PARKED, "writes that were parked");
    describe_counter!(VIOLATIONS, "broken invariants; each is a bug");
}
