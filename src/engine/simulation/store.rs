//! Stores: one that all nodes share, which late writers reach; and each node's own.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Load, Loaded};
use super::object::State;
use super::random::Random;
use super::refusal::Refusing;
use super::row::{Row, RowKey};
use crate::engine::adoption::{GridId, Says};
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
    pub rows: Vec<Write>,
    /// Everything up to here is stored, without this batch.
    pub watermark: Position,
}

/// What is to become of a row.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub key: RowKey,
    /// Of a row that is not there any more, it is said up to which version.
    pub row: Result<Row, Position>,
    pub put: Put,
    /// As a dead letter: the store has refused it as a row.
    pub is_letter: bool,
}

/// In a store of a node's own, some come in place of what another past has left there: whatever
/// their versions.
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
    /// Whose it is, if anybody's.
    grid: Option<GridId>,
    rows: BTreeMap<(PartitionId, RowKey), Row>,
    /// Versions that it has refused as rows: each is newer than the row of that name.
    letters: BTreeMap<(PartitionId, RowKey), Row>,
    fences: BTreeMap<PartitionId, Epoch>,
    /// The last batch that was written, of which queue of the fence's epoch. An earlier one that is
    /// late is not: what it has may be gone since, and not even a tombstone left to tell.
    lasts: BTreeMap<PartitionId, (Epoch, u64, BatchId)>,
    watermarks: BTreeMap<PartitionId, Position>,
    /// It takes nothing: it is not there, or full.
    pub is_down: bool,
    /// What it will never take, if there is such a thing.
    pub refusing: Option<Refusing>,
}

impl Store {
    /// What it says of itself, also while it takes nothing.
    pub(super) fn says(&self) -> Says {
        Says { grid: self.grid, fences: self.fences.clone() }
    }

    /// It is this grid's from now on, and heeds nobody of an epoch before these.
    pub(super) fn take(&mut self, grid: GridId, epochs: &[(PartitionId, Epoch)]) {
        self.grid = Some(grid);
        for (partition, epoch) in epochs {
            let fence = self.fences.entry(*partition).or_default();
            if !is_broken(Breakage::FenceNotRaised) {
                *fence = (*epoch).max(*fence);
            }
        }
    }

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
        } else if self.refusing.is_some_and(|it| it.refuses_whole(&rows)) {
            Err(Failure::Refused { reason: "something in it".to_owned() })
        } else {
            (*fence, *last) = (epoch, order);
            let known = self.watermarks.entry(partition).or_default();
            // What takes the place of another past begins anew; else what is late lowers nothing.
            let is_anew = rows.iter().any(|write| write.put == Put::Anyway);
            *known = if is_anew { watermark } else { watermark.max(*known) };
            Ok(rows.into_iter().map(|write| self.put(partition, write)).collect())
        };
        Stored { partition, epoch, queue, id, result }
    }

    fn put(&mut self, partition: PartitionId, write: Write) -> Outcome {
        if self.refusing.is_some_and(|it| it.refuses(&write)) {
            return Outcome::Refused { reason: "its content".to_owned() };
        }
        let Write { key, row, put, is_letter } = write;
        let at = (partition, key);
        let found = self.row(partition, key).map(|known| known.version);
        let version = row.as_ref().map_or_else(|upto| *upto, |row| row.version);
        match (row, found) {
            (Ok(_), Some(found)) if put == Put::IfNewer && found > version => {
                return Outcome::Superseded { found: Version { position: found, index: 0 } };
            }
            (Err(_), Some(found)) if put == Put::IfNewer && found > version => (),
            (Err(_), _) => self.remove(&at),
            (Ok(row), _) if is_letter => self.park(at, row, put),
            (Ok(row), _) => {
                self.rows.insert(at, row);
                if !is_broken(Breakage::LetterKept) {
                    self.letters.remove(&at);
                }
            }
        }
        Outcome::Stored
    }

    fn remove(&mut self, at: &(PartitionId, RowKey)) {
        self.rows.remove(at);
        self.letters.remove(at);
    }

    /// Keeps as a dead letter what it does not take as a row.
    fn park(&mut self, at: (PartitionId, RowKey), row: Row, put: Put) {
        if put == Put::Anyway {
            self.rows.remove(&at);
        }
        // A write that nobody knew of may have brought it after all.
        if self.rows.get(&at).is_none_or(|known| known.version < row.version) {
            self.letters.insert(at, row);
        }
    }

    /// Somebody writes here who asks nobody.
    pub(super) fn overwrite(&mut self, at: (PartitionId, RowKey), row: Row) {
        self.rows.insert(at, row);
    }

    /// Another process begins to write here: none of the one before comes any more.
    pub(super) fn reopen(&mut self) {
        self.lasts.clear();
    }

    /// The process that was writing this is gone: who knows how much of it is there.
    pub(super) fn tear(&mut self, batch: Batch, random: &mut Random) {
        for write in batch.rows {
            if random.percent(50) {
                self.put(batch.partition, write);
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
        let row = match is_broken(Breakage::LettersNotLoaded) {
            true => self.accepted(partition, RowKey::Entity(key)),
            false => self.row(partition, RowKey::Entity(key)),
        };
        let row = row.cloned();
        (!self.is_down && !is_fenced).then_some(Loaded { load, row })
    }

    /// What is there of a partition.
    pub(super) fn read(&self, partition: PartitionId) -> Found<State> {
        let mut content = State::default();
        for key in self.keys(partition) {
            let row = match is_broken(Breakage::LettersNotFound) {
                true => self.accepted(partition, key),
                false => self.row(partition, key),
            };
            row.cloned().into_iter().for_each(|row| content.read(key, row));
        }
        let upto = self.watermarks.get(&partition).copied().unwrap_or_default();
        let newest = content.keys().filter_map(|key| content.version(key)).max();
        let newest = newest.unwrap_or_default().max(upto);
        Found { upto, newest, content }
    }

    /// The rows of a partition, and what was refused of it.
    pub(super) fn keys(&self, partition: PartitionId) -> BTreeSet<RowKey> {
        let keys = self.rows.keys().chain(self.letters.keys());
        keys.filter(|(of, _)| *of == partition).map(|(_, key)| *key).collect()
    }

    /// The newest version that is here: what was refused is not lost.
    pub(super) fn row(&self, partition: PartitionId, key: RowKey) -> Option<&Row> {
        let newer = |one: &&Row, other: &&Row| one.version.cmp(&other.version);
        let letter = self.letters.get(&(partition, key));
        self.accepted(partition, key).into_iter().chain(letter).max_by(newer)
    }

    /// The newest version that was taken as a row.
    pub(super) fn accepted(&self, partition: PartitionId, key: RowKey) -> Option<&Row> {
        self.rows.get(&(partition, key))
    }

    /// What was refused of a partition, and in which versions.
    pub(super) fn letters(&self, partition: PartitionId) -> Vec<(RowKey, Position)> {
        let of_partition = self.letters.iter().filter(|((of, _), _)| *of == partition);
        of_partition.map(|((_, key), row)| (*key, row.version)).collect()
    }
}
