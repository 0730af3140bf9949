//! Stores: one that all nodes share, which late writers reach; and each node's own.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Load, Loaded};
use super::object::State;
use super::random::Random;
use super::row::{Row, RowKey};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, PartitionId, Position, Version};
use crate::engine::replica::Found;
use crate::engine::write_behind::{BatchId, Failure, Outcome};

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub partition: PartitionId,
    pub epoch: Epoch,
    /// Of which queue in that epoch, and which of its batches.
    pub queue: u64,
    pub id: BatchId,
    /// In a store of a node's own, some come in place of what another past has left there: whatever
    /// their versions. Of a row that is not there any more, it is said up to which version.
    pub rows: Vec<(RowKey, Result<Row, Position>, Put)>,
    /// Everything up to here is stored, without this batch.
    pub watermark: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    IfNewer,
    Anyway,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub queue: u64,
    pub id: BatchId,
    pub result: Result<Vec<Outcome>, Failure>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    rows: BTreeMap<(PartitionId, RowKey), Row>,
    fences: BTreeMap<PartitionId, Epoch>,
    /// The last batch that was written, of which queue of the fence's epoch. An earlier one that is
    /// late is not: what it has may be gone since, and not even a tombstone left to tell.
    lasts: BTreeMap<PartitionId, (Epoch, u64, BatchId)>,
    watermarks: BTreeMap<PartitionId, Position>,
    /// It takes nothing: it is not there, or full.
    pub is_down: bool,
}

impl Store {
    /// All rows of a batch or none.
    pub(super) fn write(&mut self, batch: Batch) -> Stored {
        let Batch { partition, epoch, queue, id, rows, watermark } = batch;
        let fence = self.fences.entry(partition).or_default();
        let (order, last) = ((epoch, queue, id), self.lasts.entry(partition).or_default());
        let is_late = order < *last && !is_broken(Breakage::LateBatchWritten);
        let result = if is_late {
            Err(Failure::Unavailable { reason: "another has come before it".to_owned() })
        } else if self.is_down {
            Err(Failure::Unavailable { reason: "it is down".to_owned() })
        } else if *fence > epoch {
            Err(Failure::Fenced { by: *fence })
        } else {
            (*fence, *last) = (epoch, order);
            let known = self.watermarks.entry(partition).or_default();
            // What takes the place of another past begins anew; else what is late lowers nothing.
            let is_anew = rows.iter().any(|(_, _, put)| *put == Put::Anyway);
            *known = if is_anew { watermark } else { watermark.max(*known) };
            Ok(rows
                .into_iter()
                .map(|(key, row, put)| self.put((partition, key), row, put))
                .collect())
        };
        Stored { partition, epoch, queue, id, result }
    }

    fn put(&mut self, at: (PartitionId, RowKey), row: Result<Row, Position>, put: Put) -> Outcome {
        let found = self.rows.get(&at).map(|known| known.version);
        match (row, found) {
            (Err(upto), Some(found)) if put == Put::IfNewer && found > upto => (),
            (Err(_), _) => drop(self.rows.remove(&at)),
            (Ok(row), Some(found)) if put == Put::IfNewer && found > row.version => {
                return Outcome::Superseded { found: Version { position: found, index: 0 } };
            }
            (Ok(row), _) => drop(self.rows.insert(at, row)),
        }
        Outcome::Stored
    }

    /// Another process begins to write here: none of the one before comes any more.
    pub(super) fn reopen(&mut self) {
        self.lasts.clear();
    }

    /// The process that was writing this is gone: who knows how much of it is there.
    pub(super) fn tear(&mut self, batch: Batch, random: &mut Random) {
        for (key, row, put) in batch.rows {
            if random.percent(50) {
                self.put((batch.partition, key), row, put);
            }
        }
    }

    /// Heeds nobody of an earlier epoch from now on, and says what is there. Nothing, while it is
    /// down.
    pub(super) fn scan(&mut self, partition: PartitionId, epoch: Epoch) -> Option<Found<State>> {
        let fence = self.fences.entry(partition).or_default();
        if self.is_down || *fence > epoch {
            return None;
        }
        if !is_broken(Breakage::FenceNotRaised) {
            *fence = epoch;
        }
        Some(self.read(partition))
    }

    /// What is there of an entity. Nothing is said while it is down, or to somebody who writes no
    /// more.
    pub(super) fn load(&self, load: Load) -> Option<Loaded> {
        let Load { partition, epoch, key, .. } = load;
        let is_fenced = self.fences.get(&partition).is_some_and(|fence| *fence > epoch);
        let row = self.row(partition, RowKey::Entity(key)).cloned();
        (!self.is_down && !is_fenced).then_some(Loaded { load, row })
    }

    /// What is there of a partition.
    pub(super) fn read(&self, partition: PartitionId) -> Found<State> {
        let mut content = State::default();
        for ((of, key), row) in &self.rows {
            if *of == partition {
                content.read(*key, row.clone());
            }
        }
        let upto = self.watermarks.get(&partition).copied().unwrap_or_default();
        let newest = content.keys().filter_map(|key| content.version(key)).max();
        let newest = newest.unwrap_or_default().max(upto);
        Found { upto, newest, content }
    }

    /// The rows of a partition, as they are.
    pub(super) fn keys(&self, partition: PartitionId) -> BTreeSet<RowKey> {
        self.rows.keys().filter(|(of, _)| *of == partition).map(|(_, key)| *key).collect()
    }

    pub(super) fn row(&self, partition: PartitionId, key: RowKey) -> Option<&Row> {
        self.rows.get(&(partition, key))
    }
}
