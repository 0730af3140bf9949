//! Every metric: its name, what it is, its labels, and what it says. The book's reference
//! (`reference/metrics.md`) is held against this table.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// For a person.
    pub(crate) unit: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

macro_rules! metrics {
    ($(
        $constant:ident =
            $name:literal, $shape:ident, $unit:literal, [$($label:literal),*], $help:literal;
    )+) => {
        $(pub(super) const $constant: &Metric = &Metric {
            name: $name,
            shape: Shape::$shape,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// All of them.
        #[cfg(test)]
        pub(crate) const METRICS: &[&Metric] = &[$($constant),+];
    };
}

metrics! {
    REQUESTS = "fastness_requests_total", Counter, "asks", ["entity", "outcome"],
        "asks that ended, by entity type and outcome";
    REQUEST_SECONDS = "fastness_request_seconds", Histogram, "seconds", ["entity"],
        "from the ask to its answer";
    PANICS = "fastness_handler_panics_total", Counter, "handlers", ["entity"],
        "handlers that panicked and were undone";
    INBOX_DEPTH = "fastness_inbox_depth", Gauge, "asks", ["thread"],
        "asks that were queued when the thread last looked";
    LOOKUPS = "fastness_entity_lookups_total", Counter, "asks", ["entity", "result"],
        "asks to types that may leave memory, by where their entity was found";
    ENTITIES = "fastness_entities", Gauge, "entities", ["entity"],
        "entities in memory, remembered misses included";
    ENTITY_BYTES = "fastness_entity_bytes", Gauge, "bytes", ["entity"],
        "what these take, about, where that is bounded";
    EVICTIONS = "fastness_evictions_total", Counter, "entities", ["entity", "reason"],
        "entities that left memory or expired, by reason";
    EVICTIONS_BLOCKED = "fastness_evictions_blocked_total", Counter, "times", ["entity"],
        "times that memory was over its bound and nothing might leave";
    LOAD_SECONDS = "fastness_load_seconds", Histogram, "seconds", [],
        "time of one read of entities from the store";
    LOAD_ERRORS = "fastness_load_errors_total", Counter, "entities", [],
        "entities that the store could not be read for";
    PENDING_RECORDS = "fastness_wb_pending_records", Gauge, "entities", [],
        "entities whose newest change is not stored";
    PENDING_BYTES = "fastness_wb_pending_bytes", Gauge, "bytes", [],
        "size of these";
    OLDEST_PENDING = "fastness_wb_oldest_pending_age_seconds", Gauge, "seconds", [],
        "age of the oldest change that is not stored";
    BATCH_RECORDS = "fastness_wb_batch_size", Histogram, "records", [],
        "records in one commit of the store";
    STORE_SECONDS = "fastness_wb_store_seconds", Histogram, "seconds", ["op"],
        "time of one commit of the store";
    STORE_ERRORS = "fastness_wb_store_errors_total", Counter, "commits", ["class"],
        "failed commits of the store, by class";
    RETRIES = "fastness_wb_retries_total", Counter, "batches", [],
        "partitions' batches that are tried again";
    DEAD_LETTERS = "fastness_wb_dead_letters", Gauge, "writes", [],
        "writes that the store refused and that are parked";
    PARKED = "fastness_wb_dead_letters_total", Counter, "writes", [],
        "writes that were parked";
    REPLAYED = "fastness_wb_dead_letters_replayed_total", Counter, "writes", [],
        "dead letters that somebody replayed";
    DISCARDED = "fastness_wb_dead_letters_discarded_total", Counter, "writes", [],
        "dead letters that somebody discarded";
    OUTBOX = "fastness_outbox_messages", Gauge, "messages", [],
        "messages that were sent and that their receivers do not have durably";
    MESSAGES = "fastness_messages_total", Counter, "messages", ["outcome"],
        "messages that came to a partition, by what became of them, and those that were parked";
    PARKED_MESSAGES = "fastness_messages_parked", Gauge, "messages", [],
        "messages that failed too often and that are parked";
    REMINDERS = "fastness_reminders_total", Counter, "firings", ["outcome"],
        "reminders that were due, by what became of them";
    VIOLATIONS = "fastness_invariant_violations_total", Counter, "violations", ["invariant"],
        "broken invariants; each is a bug";
}

/// How an ask may end.
pub(super) const OUTCOMES: [&str; 12] = [
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
];

/// What may become of a message.
pub(super) const MESSAGE_OUTCOMES: [&str; 5] =
    ["applied", "refused", "duplicate", "undone", "parked"];

/// What may become of a reminder that is due.
pub(super) const REMINDER_OUTCOMES: [&str; 5] =
    ["fired", "refused", "missed", "undone", "given_up"];

/// Upper bounds of times, in seconds: from a handler alone to a store that is hardly there.
pub(super) const SECONDS_BOUNDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of sizes of commits.
pub(super) const BATCH_BOUNDS: &[f64] =
    &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0];

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

impl Lookup {
    pub(crate) const ALL: [Lookup; 4] =
        [Lookup::Hit, Lookup::StoreHit, Lookup::Miss, Lookup::Remembered];

    pub(super) fn label(self) -> &'static str {
        match self {
            Lookup::Hit => "hit",
            Lookup::StoreHit => "store_hit",
            Lookup::Miss => "miss",
            Lookup::Remembered => "remembered_miss",
        }
    }
}

/// Why an entity is no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was not written for so long, and is removed.
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

impl Reason {
    pub(crate) const ALL: [Reason; 6] = [
        Reason::Ttl,
        Reason::Idle,
        Reason::Entities,
        Reason::Bytes,
        Reason::Passivated,
        Reason::Asked,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Reason::Ttl => "ttl",
            Reason::Idle => "idle",
            Reason::Entities => "entities",
            Reason::Bytes => "bytes",
            Reason::Passivated => "passivated",
            Reason::Asked => "asked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row of the book's table, as far as the code knows it.
    #[test]
    fn the_book_has_every_metric_as_it_is() {
        let page = include_str!("../../book/src/reference/metrics.md");
        let rows = page.lines().filter(|line| line.starts_with("| `fastness_"));
        let rows: Vec<Vec<&str>> =
            rows.map(|row| row.split('|').skip(1).take(3).map(str::trim).collect()).collect();
        let wanted: Vec<Vec<String>> = METRICS
            .iter()
            .map(|metric| {
                let shape = format!("{:?}", metric.shape).to_lowercase();
                let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
                let name = format!("`{}`", metric.name);
                vec![name, format!("{shape}, {}", metric.unit), labels.join(", ")]
            })
            .collect();
        assert_eq!(rows, wanted, "left: the book, right: the code");
    }

    #[test]
    fn alarms_are_about_metrics_that_exist() {
        let page = include_str!("../../book/src/reference/metrics.md");
        let alarms = page.split_once("```yaml").expect("the page has alarms").1;
        let words = alarms.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
        let named: Vec<&str> = words.filter(|word| word.starts_with("fastness_")).collect();
        assert!(named.len() >= 6, "{named:?}");
        for name in named {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
