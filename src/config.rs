//! What a user may set, with the defaults and the reason for each number.

use std::time::Duration;

/// How the entities of one type are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityOptions {
    durability: Durability,
    answers: Answers,
    pub(crate) expire_after_write: Option<Duration>,
    pub(crate) expire_after_access: Option<Duration>,
    pub(crate) passivate_after: Option<Duration>,
    pub(crate) eviction: Option<Eviction>,
}

/// When the store has an acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// At most this long after the change, as long as the store works.
    Behind(Duration),
    /// Before it is acknowledged.
    Through,
}

/// Whether answers are kept for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Kept,
    NotKept,
}

impl EntityOptions {
    /// How long the store lags behind unless told otherwise. Long enough that a busy entity is
    /// stored once for hundreds of changes, short enough that a person does not notice.
    pub const WRITE_BEHIND: Duration = Duration::from_millis(200);

    /// Stored [`WRITE_BEHIND`](Self::WRITE_BEHIND) after the first change (where the grid has a
    /// store); answers are kept, so that a retry never runs twice.
    #[must_use]
    pub const fn new() -> EntityOptions {
        EntityOptions {
            durability: Durability::Behind(EntityOptions::WRITE_BEHIND),
            answers: Answers::Kept,
            expire_after_write: None,
            expire_after_access: None,
            passivate_after: None,
            eviction: None,
        }
    }

    /// A change is acknowledged at once and stored at most `delay` later (counted from the first
    /// change that is not stored yet, so that a busy entity is not put off). What a crash of the
    /// process can lose is bounded by it.
    #[must_use]
    pub const fn write_behind(self, delay: Duration) -> EntityOptions {
        EntityOptions { durability: Durability::Behind(delay), ..self }
    }

    /// A change is acknowledged when the store has it, and no reader sees it earlier. Changes of
    /// many entities share one commit of the store.
    #[must_use]
    pub const fn write_through(self) -> EntityOptions {
        EntityOptions { durability: Durability::Through, ..self }
    }

    /// Asks of this type are not numbered and no answers are kept: cheaper, but one whose outcome
    /// is indeterminate cannot be asked again under its id.
    #[must_use]
    pub const fn at_most_once(self) -> EntityOptions {
        EntityOptions { answers: Answers::NotKept, ..self }
    }

    /// An entity is removed when it was not written for this long (partition time), as if a handler
    /// had called `cx.remove()`: whoever asks then finds it new, and its row is deleted.
    #[must_use]
    pub const fn expire_after_write(self, ttl: Duration) -> EntityOptions {
        EntityOptions { expire_after_write: Some(ttl), ..self }
    }

    /// An entity is removed when nobody asked it anything for this long (partition time). What is
    /// read is not stored, so a start of the grid, and a return from the store, count as an access.
    #[must_use]
    pub const fn expire_after_access(self, idle: Duration) -> EntityOptions {
        EntityOptions { expire_after_access: Some(idle), ..self }
    }

    /// An entity leaves memory when nobody asked it anything for this long, and comes back from
    /// the store with the next ask. Needs a store.
    #[must_use]
    pub const fn passivate_after(self, idle: Duration) -> EntityOptions {
        EntityOptions { passivate_after: Some(idle), ..self }
    }

    /// Entities that are asked for least leave memory where it takes more than this, and come back
    /// from the store with the next ask. Needs a store.
    #[must_use]
    pub const fn evict(self, eviction: Eviction) -> EntityOptions {
        EntityOptions { eviction: Some(eviction), ..self }
    }

    pub(crate) const fn durability(self) -> Durability {
        self.durability
    }

    pub(crate) const fn keeps_answers(self) -> bool {
        matches!(self.answers, Answers::Kept)
    }
}

impl Default for EntityOptions {
    fn default() -> EntityOptions {
        EntityOptions::new()
    }
}

/// How much memory the entities of one type may take. None of these is bounded unless said so.
///
/// An entity stays, over the bound if it must, as long as the store does not have its newest
/// change, or a session that is open may still ask for an answer of it. Both are bounded
/// themselves ([`Limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    pub(crate) entities_per_node: u64,
    pub(crate) entities_per_partition: u64,
    pub(crate) bytes_per_node: u64,
    pub(crate) bytes_per_partition: u64,
}

impl Eviction {
    /// No bound.
    #[must_use]
    pub const fn new() -> Eviction {
        const NONE: u64 = u64::MAX;
        Eviction {
            entities_per_node: NONE,
            entities_per_partition: NONE,
            bytes_per_node: NONE,
            bytes_per_partition: NONE,
        }
    }

    /// So many entities in all partitions of a node together. What the store was found not to have
    /// is remembered, and counts as well.
    #[must_use]
    pub const fn entities_per_node(self, entities: u64) -> Eviction {
        Eviction { entities_per_node: entities, ..self }
    }

    /// So many entities in one partition.
    #[must_use]
    pub const fn entities_per_partition(self, entities: u64) -> Eviction {
        Eviction { entities_per_partition: entities, ..self }
    }

    /// So many bytes in all partitions of a node together: an estimate, from the sizes of the
    /// encoded states and of what surrounds them.
    #[must_use]
    pub const fn bytes_per_node(self, bytes: u64) -> Eviction {
        Eviction { bytes_per_node: bytes, ..self }
    }

    /// So many bytes in one partition.
    #[must_use]
    pub const fn bytes_per_partition(self, bytes: u64) -> Eviction {
        Eviction { bytes_per_partition: bytes, ..self }
    }
}

impl Default for Eviction {
    fn default() -> Eviction {
        Eviction::new()
    }
}

/// Every bound of a grid. At a bound callers wait until their deadline, then hear `Busy`; nothing
/// is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Asks of one partition between their admission and their answer. More only adds waiting:
    /// one partition runs one handler at a time.
    pub asks_per_partition_max: u32,
    /// Bytes of an encoded key. Keys are part of every row and held in memory.
    pub key_bytes_max: usize,
    /// Bytes of an encoded state. Each change of an entity encodes it whole, so states far larger
    /// than this are slow long before they are refused.
    pub state_bytes_max: usize,
    /// Bytes of an encoded reply that is kept for retries.
    pub reply_bytes_max: usize,
    /// Entities of one partition that wait to be stored.
    pub pending_records_max: usize,
    /// Bytes of these.
    pub pending_bytes_max: u64,
    /// Age of the oldest of these: what a crash can lose stays bounded even if the store is down.
    pub pending_age_max: Duration,
    /// Records of one partition in one commit of the store.
    pub batch_records_max: usize,
    /// Bytes of these. A single larger record still goes, alone.
    pub batch_bytes_max: u64,
    /// Writes of one partition that the store refused for good and that nobody has replayed or
    /// discarded yet. Each is held in memory, too; at the bound the partition takes no writes.
    pub dead_letters_per_partition_max: usize,
    /// Messages that one partition has sent and still keeps, because their receivers do not have
    /// them durably. At the bound, asks whose handlers send wait, and so do messages and reminders;
    /// but what two full partitions have sent to each other goes on.
    pub outbox_messages_max: usize,
    /// Bytes of these.
    pub outbox_bytes_max: u64,
    /// Of these, messages to one partition: who sends to others does not wait for one that is slow.
    pub outbox_messages_per_receiver_max: usize,
    /// Bytes of these.
    pub outbox_bytes_per_receiver_max: u64,
    /// Bytes of one encoded message that a handler sends.
    pub message_bytes_max: usize,
    /// How often a message is tried whose handler panics, before it is parked; and a reminder,
    /// before it is given up.
    pub message_attempts_max: u32,
    /// Messages of one partition that are parked. At the bound, one that would be parked is tried
    /// further, and those behind it wait.
    pub parked_messages_max: usize,
    /// Reminders that one entity may have. All of them are part of its row.
    pub reminders_per_entity_max: usize,
    /// First pause after a failure of the store; doubles up to `retry_max`, with jitter.
    pub retry_min: Duration,
    /// Longest pause between tries of a failing store.
    pub retry_max: Duration,
    /// A session that is not durable and asks nothing of a partition for this long is closed
    /// there; a retry that comes later is refused as expired.
    pub session_idle: Duration,
    /// How far the numbers of a session may run ahead of its oldest open one: as many answers may
    /// have to be kept.
    pub session_window_max: u64,
    /// Sessions open at one partition.
    pub sessions_per_partition_max: usize,
    /// How long the id of an indeterminate ask stays good for a retry.
    pub retry_window: Duration,
    /// How long `leave` waits for asks under way and for the store.
    pub leave_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            asks_per_partition_max: 1024,
            key_bytes_max: 1024,
            state_bytes_max: 8 << 20,
            reply_bytes_max: 1 << 20,
            pending_records_max: 100_000,
            pending_bytes_max: 64 << 20,
            pending_age_max: Duration::from_secs(60),
            batch_records_max: 1000,
            batch_bytes_max: 4 << 20,
            dead_letters_per_partition_max: 10_000,
            outbox_messages_max: 10_000,
            outbox_bytes_max: 16 << 20,
            outbox_messages_per_receiver_max: 2500,
            outbox_bytes_per_receiver_max: 4 << 20,
            message_bytes_max: 1 << 20,
            message_attempts_max: 5,
            parked_messages_max: 10_000,
            reminders_per_entity_max: 100,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            session_idle: Duration::from_secs(3600),
            session_window_max: 1 << 16,
            sessions_per_partition_max: 10_000,
            retry_window: Duration::from_secs(60),
            leave_max: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// What does not fit together.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let positive = [
            ("asks_per_partition_max", self.asks_per_partition_max as usize),
            ("key_bytes_max", self.key_bytes_max),
            ("state_bytes_max", self.state_bytes_max),
            ("reply_bytes_max", self.reply_bytes_max),
            ("pending_records_max", self.pending_records_max),
            ("dead_letters_per_partition_max", self.dead_letters_per_partition_max),
            ("outbox_messages_max", self.outbox_messages_max),
            ("outbox_bytes_max", self.outbox_bytes_max as usize),
            ("outbox_messages_per_receiver_max", self.outbox_messages_per_receiver_max),
            ("outbox_bytes_per_receiver_max", self.outbox_bytes_per_receiver_max as usize),
            ("message_attempts_max", self.message_attempts_max as usize),
            ("batch_records_max", self.batch_records_max),
            ("sessions_per_partition_max", self.sessions_per_partition_max),
        ];
        let zero = positive.iter().filter(|(_, value)| *value == 0);
        mistakes.extend(zero.map(|(name, _)| format!("{name} is zero")));
        if self.retry_min > self.retry_max {
            mistakes.push("retry_min is more than retry_max".to_owned());
        }
        if self.session_window_max < u64::from(self.asks_per_partition_max) {
            mistakes.push("session_window_max is less than asks_per_partition_max".to_owned());
        }
        mistakes
    }
}
