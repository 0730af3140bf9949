//! What a copy has committed and the store that it drains into does not have yet.
//!
//! A queue is of one epoch. What came before counts as its beginning: it is noted when the queue
//! begins, as of before the epoch's first record, so that the watermark has passed it when it
//! passes that.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::object::State;
use super::row::RowKey;
use super::store::{Batch, Put, Stored, Write};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, PartitionId, Position, Seq, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::primary::Change;
use crate::engine::write_behind::{
    BatchId, Config, Effect, Entry, Event, Failure, Outcome, WriteBehind,
};

const CONFIG: Config = Config {
    batch_records_max: 3,
    batch_bytes_max: 1_000_000,
    pending_records_max: 1000,
    pending_bytes_max: u64::MAX,
    pending_age_max: Duration::from_secs(5),
    retry_min: Duration::from_millis(50),
    retry_max: Duration::from_millis(500),
};

/// A store that has not answered by then is asked again.
const PATIENCE: Duration = Duration::from_millis(400);

pub(super) struct Backlog {
    partition: PartitionId,
    pub(super) epoch: Epoch,
    /// Tells its batches from those of others.
    number: u64,
    queue: WriteBehind,
    noted: VecDeque<(Position, RowKey)>,
    /// Changes of before the epoch that were noted.
    before: u32,
    /// Rows that take the place of what is stored, whatever that is.
    forced: BTreeSet<RowKey>,
    writing: Option<(BatchId, Instant)>,
    /// What that batch has, in its order.
    batch: Vec<RowKey>,
    /// Rows of which the store has something newer. None if nobody else may write.
    conflicts: Option<BTreeSet<RowKey>>,
    /// Rows that were sent to the store, and are not known to be there: some may come late.
    on_its_way: BTreeSet<RowKey>,
    /// Everything up to here is stored, as the store is told.
    watermark: Position,
    /// Whether all waits for nothing.
    is_hurried: bool,
    /// Whether what was there when that began is hurried, too.
    is_flushed: bool,
}

/// What comes of a step: what is to be written, and up to where all is stored, if that has grown.
type Drained = (Option<Batch>, Option<Position>);

impl Backlog {
    /// The backlog of an epoch, with all that was stored before.
    pub(super) fn new(
        partition: PartitionId,
        (epoch, number): (Epoch, u64),
        watermark: Position,
    ) -> Backlog {
        Backlog {
            partition,
            epoch,
            number,
            queue: WriteBehind::new(CONFIG, epoch.0),
            noted: VecDeque::new(),
            before: 0,
            forced: BTreeSet::new(),
            writing: None,
            batch: Vec::new(),
            conflicts: None,
            on_its_way: BTreeSet::new(),
            watermark,
            is_hurried: false,
            is_flushed: true,
        }
    }

    /// Others may write into the store.
    pub(super) fn expect_others(&mut self) {
        self.conflicts = Some(BTreeSet::new());
    }

    /// The rows of which the store has something newer.
    pub(super) fn take_conflicts(&mut self) -> BTreeSet<RowKey> {
        self.conflicts.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the store may not have a row as it is.
    pub(super) fn is_pending(&self, key: RowKey) -> bool {
        self.noted.iter().any(|(_, noted)| *noted == key)
            || self.queue.is_pending(key.id())
            || self.on_its_way.contains(&key)
    }

    /// A row has changed there, and that is committed.
    pub(super) fn note(&mut self, at: Position, key: RowKey) {
        self.noted.push_back((at, key));
    }

    /// What is stored of a row is of another past: this comes in its place.
    pub(super) fn force(&mut self, key: RowKey) {
        self.forced.insert(key);
        self.note(Position::default(), key);
    }

    /// The rows that are still to take the place of what is stored.
    pub(super) fn forced(&self) -> &BTreeSet<RowKey> {
        &self.forced
    }

    /// What may still come to the store that this or earlier ones have sent there.
    pub(super) fn on_its_way(&self) -> BTreeSet<RowKey> {
        self.on_its_way.clone()
    }

    /// This one comes after another.
    pub(super) fn follow(&mut self, before: &Backlog) {
        self.on_its_way.extend(&before.on_its_way);
    }

    /// From now on everything is due at once, what is pending too; or no longer so.
    pub(super) fn hurry(&mut self, is_hurried: bool) {
        self.is_flushed = !is_hurried || (self.is_hurried && self.is_flushed);
        self.is_hurried = is_hurried;
    }

    /// Lets go what is due. All up to `committed` was noted.
    pub(super) fn drain(&mut self, now: Instant, committed: Position, state: &State) -> Drained {
        let mut effects = Vec::new();
        for (position, key) in std::mem::take(&mut self.noted) {
            let version = if position.epoch == self.epoch {
                Version { position, index: 0 }
            } else {
                self.before += 1;
                let position = Position { epoch: self.epoch, seq: Seq(0) };
                Version { position, index: self.before }
            };
            let delay = 20 * u64::from(key.id().slot % 16) * u64::from(!self.is_hurried);
            let delay = Duration::from_millis(delay);
            let change = Change { entity: key.id(), version, bytes: 10, delay };
            self.queue.step(now, Event::Changed(change), &mut effects);
        }
        if !self.is_flushed {
            self.is_flushed = true;
            self.queue.step(now, Event::Flush, &mut effects);
        }
        if committed.epoch == self.epoch {
            self.queue.step(now, Event::Passed { seq: committed.seq }, &mut effects);
        }
        if let Some((batch, since)) = self.writing
            && now.saturating_since(since) >= PATIENCE
        {
            let failure = Failure::Unavailable { reason: "no answer".to_owned() };
            self.step(now, Event::Failed { batch, failure }, &mut effects);
        }
        if self.queue.next_deadline().is_some_and(|at| at <= now) {
            self.queue.step(now, Event::Tick, &mut effects);
        }
        self.perform(now, state, effects)
    }

    /// The store has answered.
    pub(super) fn stored(&mut self, now: Instant, stored: Stored, state: &State) -> Drained {
        let Stored { epoch, queue, id, result, .. } = stored;
        let mut effects = Vec::new();
        let is_own = (epoch, queue) == (self.epoch, self.number);
        if is_own && self.writing.is_some_and(|(batch, _)| batch == id) {
            let event = match self.mistaken(result) {
                Ok(outcomes) => {
                    self.note_conflicts(&outcomes);
                    Event::Answered { batch: id, outcomes }
                }
                Err(failure) => Event::Failed { batch: id, failure },
            };
            self.step(now, event, &mut effects);
        }
        self.perform(now, state, effects)
    }

    /// What the store has said, as it is heard.
    fn mistaken(&self, result: Result<Vec<Outcome>, Failure>) -> Result<Vec<Outcome>, Failure> {
        let heard = |outcome| match outcome {
            Outcome::Superseded { .. } if is_broken(Breakage::SupersededCountsAsStored) => {
                Outcome::Stored
            }
            Outcome::Refused { .. } if is_broken(Breakage::ParkedUnstored) => Outcome::Stored,
            outcome => outcome,
        };
        match result {
            Ok(outcomes) => Ok(outcomes.into_iter().map(heard).collect()),
            Err(Failure::Refused { .. })
                if self.batch.len() == 1 && is_broken(Breakage::ParkedUnstored) =>
            {
                Ok(vec![Outcome::Stored])
            }
            Err(failure) => Err(failure),
        }
    }

    /// Where nobody else writes, nothing is ever newer: nobody before may write any more, either.
    fn note_conflicts(&mut self, outcomes: &[Outcome]) {
        for (key, outcome) in self.batch.iter().zip(outcomes) {
            if !matches!(outcome, Outcome::Superseded { .. }) {
                continue;
            }
            let Some(conflicts) = &mut self.conflicts else {
                panic!("{} is not the newest: {key:?}, {outcome:?}", self.partition);
            };
            conflicts.insert(*key);
        }
    }

    fn step(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        self.writing = None;
        self.queue.step(now, event, effects);
    }

    fn perform(&mut self, now: Instant, state: &State, effects: Vec<Effect>) -> Drained {
        let (mut write, mut persisted) = (None, None);
        for effect in effects {
            match effect {
                Effect::Write { batch, entries } => {
                    self.writing = Some((batch, now));
                    let keys = entries.iter().map(|entry| RowKey::of(entry.entity));
                    self.on_its_way.extend(keys.clone());
                    self.batch = keys.collect();
                    let row = |entry: &Entry| {
                        let (key, upto) = (RowKey::of(entry.entity), entry.version.position);
                        let (row, put) = (state.row(key).ok_or(upto), self.put_of(key));
                        Write { key, row, put, is_letter: entry.parking.is_some() }
                    };
                    let rows = entries.iter().map(row).collect();
                    let (partition, epoch, queue, watermark) =
                        (self.partition, self.epoch, self.number, self.watermark);
                    write = Some(Batch { partition, epoch, queue, id: batch, rows, watermark });
                }
                Effect::Persisted { seq } if seq > Seq(0) => {
                    persisted = Some(Position { epoch: self.epoch, seq });
                }
                // A dead letter is as durable as a row.
                Effect::Stored { entity, .. } | Effect::Parked { entity, .. } => {
                    self.forced.remove(&RowKey::of(entity));
                    self.on_its_way.remove(&RowKey::of(entity));
                }
                Effect::Violated(violation) => panic!("{violation}"),
                Effect::Persisted { .. } | Effect::Retrying { .. } | Effect::Fenced { .. } => (),
            }
        }
        if is_broken(Breakage::WatermarkTooHigh) {
            persisted = state.keys().filter_map(|key| state.version(key)).max();
        }
        self.watermark = self.watermark.max(persisted.unwrap_or_default());
        (write, persisted)
    }

    fn put_of(&self, key: RowKey) -> Put {
        if self.forced.contains(&key) { Put::Anyway } else { Put::IfNewer }
    }
}
