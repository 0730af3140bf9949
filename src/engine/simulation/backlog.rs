//! What a primary has committed and the store does not have yet.

use std::collections::VecDeque;
use std::time::Duration;

use super::object::{Key, State};
use super::store::{Batch, Stored};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{EntityId, Epoch, PartitionId, Position, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::primary::Change;
use crate::engine::write_behind::{BatchId, Config, Effect, Event, Failure, WriteBehind};

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

/// The backlog of one reign.
pub(super) struct Backlog {
    epoch: Epoch,
    queue: WriteBehind,
    noted: VecDeque<(Position, Key)>,
    writing: Option<(BatchId, Instant)>,
    /// What was inherited, and not stored, has come once more up to here: before that is
    /// committed, nothing is known to be stored.
    complete_at: Position,
}

impl Backlog {
    pub(super) fn new(epoch: Epoch, complete_at: Position) -> Backlog {
        let queue = WriteBehind::new(CONFIG, epoch.0);
        Backlog { epoch, queue, noted: VecDeque::new(), writing: None, complete_at }
    }

    /// An entity has changed there, and that is committed.
    pub(super) fn note(&mut self, at: Position, key: Key) {
        self.noted.push_back((at, key));
    }

    /// What is to be written now, and up to where all is stored, if that has grown.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        partition: PartitionId,
        committed: Position,
        folded: &State,
    ) -> (Option<Batch>, Option<Position>) {
        let mut effects = Vec::new();
        let mut is_new = false;
        for (position, key) in std::mem::take(&mut self.noted) {
            is_new = true;
            let change = Change {
                entity: EntityId { kind: 0, slot: u32::from(key) },
                version: Version { position, index: 0 },
                bytes: 10,
                delay: Duration::from_millis(20 * u64::from(key)),
            };
            self.queue.step(now, Event::Changed(change), &mut effects);
        }
        if is_new && committed.epoch == self.epoch && committed >= self.complete_at {
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
        self.perform(now, partition, folded, effects)
    }

    /// The store has answered.
    pub(super) fn stored(
        &mut self,
        now: Instant,
        stored: Stored,
        folded: &State,
    ) -> (Option<Batch>, Option<Position>) {
        let Stored { partition, epoch, id, result } = stored;
        let mut effects = Vec::new();
        if epoch == self.epoch && self.writing.is_some_and(|(batch, _)| batch == id) {
            let event = match result {
                Ok(outcomes) => Event::Answered { batch: id, outcomes },
                Err(failure) => Event::Failed { batch: id, failure },
            };
            self.step(now, event, &mut effects);
        }
        self.perform(now, partition, folded, effects)
    }

    fn step(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        self.writing = None;
        self.queue.step(now, event, effects);
    }

    fn perform(
        &mut self,
        now: Instant,
        partition: PartitionId,
        folded: &State,
        effects: Vec<Effect>,
    ) -> (Option<Batch>, Option<Position>) {
        let (mut write, mut persisted) = (None, None);
        for effect in effects {
            match effect {
                Effect::Write { batch, entries } => {
                    self.writing = Some((batch, now));
                    let keys = entries.iter().map(|entry| entry.entity.slot as Key);
                    let row = |key| folded.entities.get(&key).map(|entity| (key, entity.clone()));
                    let rows = keys.filter_map(row).collect();
                    write = Some(Batch { partition, epoch: self.epoch, id: batch, rows });
                }
                Effect::Persisted { seq } => {
                    persisted = Some(Position { epoch: self.epoch, seq });
                }
                Effect::Violated(violation) => panic!("{violation}"),
                Effect::Stored { .. }
                | Effect::Parked { .. }
                | Effect::Retrying { .. }
                | Effect::Fenced { .. } => (),
            }
        }
        if is_broken(Breakage::WatermarkTooHigh) {
            persisted = folded.entities.values().map(|entity| entity.changed_at).max();
        }
        (write, persisted)
    }
}
