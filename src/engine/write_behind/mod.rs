//! The write-behind queue of one partition: which committed changes go to the store, when, and in
//! which batches; what is tried again, and what is parked.
//!
//! Of many changes of one entity only the newest is written (they coalesce); the *first* since its
//! last take starts the delay, so that a hot entity is not put off for ever. One batch is
//! outstanding at most. A batch that failed is tried again without end, one that was refused is
//! halved until the culprit is alone, and the culprit is parked: written as a dead letter. Nothing
//! is ever dropped. Everything at or under the *persisted watermark* is durable, without a gap.
//!
//! It holds no state of entities, only numbers: whoever performs [`Effect::Write`] encodes. It is
//! told only of committed changes, and of one reign's: a new primary starts with a new queue.

mod bisect;
mod by_entity;
mod event;
mod pending;
mod retry;

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use bisect::Again;
pub(crate) use event::{BatchId, Effect, Entry, Event, Failure, Outcome, Parking};
use pending::PendingSet;
use retry::Backoff;

use crate::engine::id::{EntityId, Seq};
use crate::engine::instant::Instant;
use crate::engine::invariant::{Violation, invariant};

/// Bounds of a partition's queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// Records in one batch.
    pub(crate) batch_records_max: usize,
    /// Bytes in one batch; a record that alone is larger goes alone.
    pub(crate) batch_bytes_max: u64,
    /// Records that may be pending. Here, as with the next two: from half of it on nothing waits
    /// for its delay, and at it there is no room ([`WriteBehind::has_room`]).
    pub(crate) pending_records_max: usize,
    /// Bytes that may be pending.
    pub(crate) pending_bytes_max: u64,
    /// How old the oldest pending change may be.
    pub(crate) pending_age_max: Duration,
    /// Wait after the first failure, before jitter.
    pub(crate) retry_min: Duration,
    /// Longest wait, before jitter.
    pub(crate) retry_max: Duration,
}

/// The write-behind queue of one partition in one epoch.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    config: Config,
    pending: PendingSet,
    again: Again,
    backoff: Backoff,
    /// Transient failures since the store last answered.
    failures: u32,
    phase: Phase,
    last_batch: BatchId,
    persisted: Seq,
}

#[derive(Debug)]
enum Phase {
    /// The store has nothing to do.
    Idle,
    /// The store works on this batch.
    Writing { entries: Vec<Entry> },
    /// The store failed; nothing is written before this time.
    BackingOff { until: Instant },
    /// Nothing is ever written again.
    Stopped,
}

impl WriteBehind {
    /// An empty queue. The seed decides the jitter of retries.
    #[must_use]
    pub(crate) fn new(config: Config, seed: u64) -> WriteBehind {
        WriteBehind {
            config,
            pending: PendingSet::default(),
            again: Again::default(),
            backoff: Backoff::new(config.retry_min, config.retry_max, seed),
            failures: 0,
            phase: Phase::Idle,
            last_batch: BatchId::default(),
            persisted: Seq(0),
        }
    }

    /// Takes in an event and appends what is to be done, in order.
    pub(crate) fn step(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        let stepped = self.take_in(now, event, effects).and_then(|()| self.check());
        if let Err(violation) = stepped {
            self.phase = Phase::Stopped;
            effects.push(Effect::Violated(violation));
        }
    }

    /// When to send [`Event::Tick`]: `None` while only an answer or a change can move the queue.
    /// It is in the past only after [`Event::Changed`], when what changed is due.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Writing { .. } | Phase::Stopped => None,
            Phase::BackingOff { until } => Some(until),
            Phase::Idle => {
                let due_at = self.pending.first_due_at();
                let hurry_at = self.pending.oldest_at().map(|at| at + self.config.hurry_after());
                let waiting = due_at.into_iter().chain(hurry_at.filter(|_| due_at.is_some()));
                waiting.chain(self.pending.first_parking_at()).min()
            }
        }
    }

    /// Whether further handlers may run. Asked before, because afterwards nothing may be dropped:
    /// what one batch of handlers adds may go over the bounds.
    #[must_use]
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        let Config { pending_records_max, pending_bytes_max, pending_age_max, .. } = self.config;
        !matches!(self.phase, Phase::Stopped)
            && self.pending.records() < pending_records_max
            && self.pending.bytes() < pending_bytes_max
            && self.age(now) <= pending_age_max
    }

    /// Everything at or under it is durable.
    #[must_use]
    pub(crate) fn persisted(&self) -> Seq {
        self.persisted
    }

    /// Whether the store does not hold the entity in its newest version yet.
    #[must_use]
    pub(crate) fn is_pending(&self, entity: EntityId) -> bool {
        self.pending.contains(entity)
    }

    /// How many entities are pending.
    #[must_use]
    pub(crate) fn pending_records(&self) -> usize {
        self.pending.records()
    }

    /// Size of the newest versions of all pending entities.
    #[must_use]
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending.bytes()
    }

    /// When the oldest change that is not durable was made.
    #[must_use]
    pub(crate) fn oldest_at(&self) -> Option<Instant> {
        self.pending.oldest_at()
    }

    fn take_in(
        &mut self,
        now: Instant,
        event: Event,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        match event {
            Event::Changed(change) => {
                self.pending.change(now, change)?;
                self.hurry_if_pressed(now);
                return self.advance(effects);
            }
            Event::Passed { seq } => {
                self.pending.pass(seq);
                return self.advance(effects);
            }
            Event::Flush => self.pending.hurry(now),
            Event::Answered { batch, outcomes } => self.answered(now, batch, outcomes, effects),
            Event::Failed { batch, failure } => self.failed(now, batch, failure, effects),
            Event::Tick => (),
        }
        self.hurry_if_pressed(now);
        self.advance(effects)?;
        self.write(now, effects)
    }

    /// Ends the outstanding batch, if it is this one: the store may answer one that was given up.
    fn finish(&mut self, batch: BatchId) -> Option<Vec<Entry>> {
        if batch != self.last_batch {
            return None;
        }
        match &mut self.phase {
            Phase::Writing { entries } => {
                let entries = std::mem::take(entries);
                self.phase = Phase::Idle;
                Some(entries)
            }
            Phase::Idle | Phase::BackingOff { .. } | Phase::Stopped => None,
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        batch: BatchId,
        outcomes: Vec<Outcome>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entries) = self.finish(batch) else {
            return;
        };
        if entries.len() != outcomes.len() {
            let reason = format!("{} outcomes of {} records", outcomes.len(), entries.len());
            return self.unavailable(now, entries, reason, effects);
        }
        self.failures = 0;
        for (entry, outcome) in entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Stored => self.stored(entry, effects),
                Outcome::Superseded { found } => {
                    let reason = format!("the store holds the newer version {found}");
                    self.refused(now, entry, reason, effects);
                }
                Outcome::Refused { reason } => self.refused(now, entry, reason, effects),
            }
        }
    }

    fn failed(
        &mut self,
        now: Instant,
        batch: BatchId,
        failure: Failure,
        effects: &mut Vec<Effect>,
    ) {
        if let Failure::Fenced { by } = failure {
            // True whichever batch has found it out.
            self.phase = Phase::Stopped;
            effects.push(Effect::Fenced { by });
            return;
        }
        let Some(entries) = self.finish(batch) else {
            return;
        };
        match failure {
            Failure::Refused { reason } => {
                self.failures = 0;
                match <[Entry; 1]>::try_from(entries) {
                    Ok([culprit]) => self.refused(now, culprit, reason, effects),
                    Err(entries) => {
                        let group = self.group(entries);
                        self.again.push_halves(group);
                    }
                }
            }
            Failure::Unavailable { reason } => self.unavailable(now, entries, reason, effects),
            Failure::Fenced { .. } => (),
        }
    }

    fn unavailable(
        &mut self,
        now: Instant,
        entries: Vec<Entry>,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        let group = self.group(entries);
        self.again.push(group);
        self.failures = self.failures.saturating_add(1);
        let after = self.backoff.after(self.failures);
        self.phase = Phase::BackingOff { until: now + after };
        effects.push(Effect::Retrying { failures: self.failures, after, reason });
    }

    fn group(&mut self, entries: Vec<Entry>) -> Vec<EntityId> {
        let again = |entry: Entry| {
            let entity = entry.entity;
            self.pending.again(entry);
            entity
        };
        entries.into_iter().map(again).collect()
    }

    fn stored(&mut self, entry: Entry, effects: &mut Vec<Effect>) {
        let Entry { entity, version, parking } = entry;
        self.pending.stored(entity);
        effects.push(match parking {
            None => Effect::Stored { entity, version },
            Some(parking) => Effect::Parked { entity, version, parking },
        });
    }

    fn refused(&mut self, now: Instant, entry: Entry, reason: String, effects: &mut Vec<Effect>) {
        let entity = entry.entity;
        if self.pending.prefer_newer(entity) {
            return;
        }
        let Some(mut parking) = entry.parking else {
            let attempts = self.pending.attempts(entity);
            self.pending.park(entity, now, Parking { reason, attempts, refusals: 0 });
            return;
        };
        // Not even as a dead letter: it stays pending, and holds up nothing but the watermark.
        parking.refusals = parking.refusals.saturating_add(1);
        let failures = parking.refusals;
        let after = self.backoff.after(failures);
        self.pending.park(entity, now + after, parking);
        effects.push(Effect::Retrying { failures, after, reason });
    }

    fn hurry_if_pressed(&mut self, now: Instant) {
        let Config { pending_records_max, pending_bytes_max, .. } = self.config;
        let is_pressed = self.pending.records() >= pending_records_max.div_ceil(2)
            || self.pending.bytes() >= pending_bytes_max.div_ceil(2)
            || self.age(now) >= self.config.hurry_after();
        if is_pressed {
            self.pending.hurry(now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.pending.oldest_at().map_or(Duration::ZERO, |at| now.saturating_since(at))
    }

    fn advance(&mut self, effects: &mut Vec<Effect>) -> Result<(), Violation> {
        let durable = self.pending.durable();
        invariant!(
            PersistedMonotonic,
            durable >= self.persisted,
            "{durable:?} after {:?}",
            self.persisted
        );
        if durable > self.persisted {
            self.persisted = durable;
            effects.push(Effect::Persisted { seq: durable });
        }
        Ok(())
    }

    /// Hands the next batch to the store, if there is one and the store is free.
    fn write(&mut self, now: Instant, effects: &mut Vec<Effect>) -> Result<(), Violation> {
        match self.phase {
            Phase::Writing { .. } | Phase::Stopped => return Ok(()),
            Phase::BackingOff { until } if now < until => return Ok(()),
            Phase::BackingOff { .. } | Phase::Idle => self.phase = Phase::Idle,
        }
        let mut entries = self.next_batch(now);
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: u64 = entries.iter().map(|entry| self.pending.bytes_of(entry.entity)).sum();
        invariant!(
            BatchBounded,
            entries.len() == 1
                || (entries.len() <= self.config.batch_records_max
                    && bytes <= self.config.batch_bytes_max),
            "{} records, {bytes} bytes",
            entries.len()
        );
        entries.sort_by_key(|entry| entry.parking.is_some());
        self.last_batch = BatchId(self.last_batch.0 + 1);
        self.phase = Phase::Writing { entries: entries.clone() };
        effects.push(Effect::Write { batch: self.last_batch, entries });
        Ok(())
    }

    /// A group that failed goes first, as it was, then dead letters among themselves (what the
    /// store thinks of them must not touch others), then what is due.
    fn next_batch(&mut self, now: Instant) -> Vec<Entry> {
        let mut batch = Filling::new(&self.config);
        if let Some(mut group) = self.again.pop() {
            // Versions may have grown since: then the group is cut.
            let fits = group.iter().take_while(|entity| batch.add(&mut self.pending, **entity));
            let rest = group.split_off(fits.count());
            self.again.push(rest);
            return batch.entries;
        }
        while self.pending.parking(now).is_some_and(|entity| batch.add(&mut self.pending, entity)) {
        }
        if batch.entries.is_empty() {
            while self.pending.due(now).is_some_and(|entity| batch.add(&mut self.pending, entity)) {
            }
        }
        batch.entries
    }

    fn check(&self) -> Result<(), Violation> {
        let durable = self.pending.durable();
        invariant!(
            PersistedIsDurable,
            self.persisted <= durable,
            "{:?}, durable to {durable:?}",
            self.persisted
        );
        if cfg!(test) {
            let taken = match &self.phase {
                Phase::Writing { entries } => entries.iter().map(|entry| entry.entity).collect(),
                Phase::Stopped => return Ok(()),
                Phase::Idle | Phase::BackingOff { .. } => BTreeSet::new(),
            };
            self.pending.check(&taken, &self.again.entities().collect())?;
            let is_idle = matches!(self.phase, Phase::Idle);
            invariant!(PendingOrdered, !is_idle || self.again.is_empty(), "{:?}", self.again);
        }
        Ok(())
    }
}

impl Config {
    /// From this age of the oldest pending change on nothing waits for its delay.
    fn hurry_after(&self) -> Duration {
        self.pending_age_max / 2
    }
}

/// A batch that is being filled up to its bounds.
struct Filling {
    entries: Vec<Entry>,
    bytes: u64,
    records_max: usize,
    bytes_max: u64,
}

impl Filling {
    fn new(config: &Config) -> Filling {
        Filling {
            entries: Vec::new(),
            bytes: 0,
            records_max: config.batch_records_max,
            bytes_max: config.batch_bytes_max,
        }
    }

    /// Takes the entity if there is room. The first one always fits.
    fn add(&mut self, pending: &mut PendingSet, entity: EntityId) -> bool {
        let bytes = self.bytes.saturating_add(pending.bytes_of(entity));
        let fits = self.entries.is_empty()
            || (self.entries.len() < self.records_max && bytes <= self.bytes_max);
        if fits && let Some(entry) = pending.take(entity) {
            self.entries.push(entry);
            self.bytes = bytes;
        }
        fits
    }
}
