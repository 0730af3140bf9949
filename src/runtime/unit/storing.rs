//! A unit and its store: what its write-behind queue decides is done here.

use tokio::sync::oneshot;

use super::super::execution::Execution;
use super::super::inbox_rows::INBOXES;
use super::super::post::Post;
use super::super::session_rows::SESSIONS;
use super::{Unit, Writing, without_record};
use crate::engine::id::{EntityId, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::primary;
use crate::engine::write_behind::{self, BatchId, Parking};
use crate::store::{DeadLetter, PartitionBatch, Row};

impl Unit {
    /// Makes everything that is pending due, and tells `persisted` when all of it is durable.
    pub(crate) fn persist(&mut self, now: Instant, persisted: oneshot::Sender<()>) {
        self.now = now;
        let Some(write_behind) = &self.write_behind else {
            return; // dropped: there is nothing durable here
        };
        if self.primary.is_fenced() {
            return; // dropped: nothing is stored any more
        }
        let upto = self.primary.committed();
        if write_behind.persisted() >= upto {
            let _ = persisted.send(()); // whoever asked may be gone
            return;
        }
        self.persisted_waiters.retain(|(_, waiter)| !waiter.is_closed());
        self.persisted_waiters.push_back((upto, persisted));
        self.step_write_behind(write_behind::Event::Flush);
    }

    /// The store has answered.
    pub(crate) fn stored(&mut self, now: Instant, event: write_behind::Event) {
        self.now = now;
        self.step_write_behind(event);
    }

    pub(super) fn step_write_behind(&mut self, event: write_behind::Event) {
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
                self.letter_stored(entity, version);
                self.durable(entity, version);
                self.forget_removed(entity, version);
            }
            Effect::Parked { entity, version, parking } => {
                self.park(entity, version, &parking);
                self.durable(entity, version);
            }
            Effect::Retrying { failures, after, reason } => {
                self.metrics.retrying();
                let partition = self.partition;
                tracing::warn!(%partition, failures, ?after, reason, "store failed, will retry");
            }
            Effect::Persisted { seq } => {
                self.execution.post.inbox.persisted(seq);
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
            SESSIONS => self.session_rows.row(id.slot, &self.execution.sessions),
            INBOXES => {
                let Post { rows, inbox, .. } = &mut *self.execution.post;
                rows.row(id.slot, inbox)
            }
            kind => {
                let Execution { sessions, post, .. } = &self.execution;
                self.entities[usize::from(kind)].row(id.slot, sessions, post)
            }
        }
    }

    fn durable(&mut self, entity: EntityId, version: Version) {
        let mut effects = Vec::new();
        self.primary.step(primary::Event::Stored { entity, version }, &mut effects);
        self.perform(&mut effects);
    }

    pub(super) fn forget_removed(&mut self, id: EntityId, version: Version) {
        if id.kind == SESSIONS {
            self.session_rows.stored(id.slot, version, &mut self.execution.sessions);
        } else if id.kind == INBOXES {
            let Post { rows, inbox, .. } = &mut *self.execution.post;
            rows.stored(id.slot, version, inbox);
        } else if self.execution.removed.contains(&id)
            && !self.entities[usize::from(id.kind)].forget_removed(id.slot, version)
        {
            self.execution.removed.remove(&id);
        }
    }
}
