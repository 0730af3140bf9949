//! A store in memory: for tests, and for trying things out. It survives its grid, not its process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, RecordOutcome, Row, RowKey,
    Store,
};
use crate::engine::id::{Epoch, PartitionId};

/// Keeps everything in memory.
///
/// Clones share the contents and the claim on them: while one grid uses them, a second one that is
/// given a clone is refused as [`Error::Locked`]. A clone is a handle of its own: closing one does
/// not close the others.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Arc<Mutex<Contents>>,
    /// Calls with an older number than that of the contents are those of a dead process.
    life: u64,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Contents {
    life: u64,
    is_claimed: bool,
    grid: Option<GridRow>,
    fences: BTreeMap<PartitionId, Epoch>,
    rows: BTreeMap<(PartitionId, RowKey), Row>,
    dead_letters: BTreeMap<(PartitionId, RowKey), DeadLetter>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// The same contents, as a process finds them that starts after the one before has crashed:
    /// every call by an older handle fails as [`Error::Closed`] from now on.
    #[must_use]
    pub fn reopen(&self) -> MemoryStore {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.life += 1;
        contents.is_claimed = false;
        self.handle(contents.life)
    }

    fn handle(&self, life: u64) -> MemoryStore {
        MemoryStore {
            contents: Arc::clone(&self.contents),
            life,
            is_closed: AtomicBool::new(false),
        }
    }

    fn contents(&self) -> Result<MutexGuard<'_, Contents>, Error> {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if contents.life != self.life || self.is_closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        Ok(contents)
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> MemoryStore {
        self.handle(self.life)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        let mut contents = self.contents()?;
        if contents.is_claimed {
            return Err(Error::Locked { location: "memory".to_owned() });
        }
        contents.is_claimed = true;
        Ok(contents.grid.get_or_insert_with(|| row.clone()).clone())
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        let mut contents = self.contents()?;
        let raise = |(partition, epoch): &(PartitionId, Epoch)| {
            let fence = contents.fences.entry(*partition).or_default();
            let found = *fence;
            *fence = found.max(*epoch);
            found
        };
        Ok(fences.iter().map(raise).collect())
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let contents = self.contents()?;
        let of_partition = contents.rows.iter().filter(|((of, _), _)| *of == partition);
        let following = of_partition.filter(|((_, key), _)| after.is_none_or(|after| key > after));
        Ok(following.map(|(_, row)| row.clone()).take(rows_max).collect())
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        let load = |key: &(PartitionId, RowKey)| {
            let contents = self.contents()?;
            let row = contents.rows.get(key).cloned();
            let dead_letter = contents.dead_letters.get(key).cloned();
            Ok(Loaded { row, dead_letter })
        };
        keys.iter().map(load).collect()
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        let contents = self.contents()?;
        let of_partition = contents.dead_letters.iter().filter(|((of, _), _)| *of == partition);
        Ok(of_partition.map(|(_, letter)| letter.clone()).collect())
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let mut contents = self.contents()?;
        Ok(batches.iter().map(|batch| contents.write(batch)).collect())
    }

    async fn close(&self) -> Result<(), Error> {
        if let Ok(mut contents) = self.contents() {
            contents.is_claimed = false;
            self.is_closed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Contents {
    fn write(&mut self, batch: &PartitionBatch) -> BatchOutcome {
        let fence = self.fences.get(&batch.partition).copied().unwrap_or_default();
        if batch.epoch < fence {
            return BatchOutcome::Fenced { by: fence };
        }
        let mut outcomes = Vec::with_capacity(batch.records.len() + batch.dead_letters.len());
        outcomes.extend(batch.records.iter().map(|row| self.write_row(batch.partition, row)));
        let letters = &batch.dead_letters;
        outcomes.extend(letters.iter().map(|letter| self.write_letter(batch.partition, letter)));
        BatchOutcome::Written(outcomes)
    }

    fn write_row(&mut self, partition: PartitionId, row: &Row) -> RecordOutcome {
        let key = (partition, row.key.clone());
        if let Some(stored) = self.rows.get(&key)
            && stored.version > row.version
        {
            return RecordOutcome::Superseded { found: stored.version };
        }
        if self.dead_letters.get(&key).is_some_and(|old| old.row.version <= row.version) {
            self.dead_letters.remove(&key);
        }
        match &row.record {
            Some(_) => self.rows.insert(key, row.clone()),
            None => self.rows.remove(&key),
        };
        RecordOutcome::Stored
    }

    fn write_letter(&mut self, partition: PartitionId, letter: &DeadLetter) -> RecordOutcome {
        match self.dead_letters.entry((partition, letter.row.key.clone())) {
            Entry::Occupied(old) if old.get().row.version > letter.row.version => {
                RecordOutcome::Superseded { found: old.get().row.version }
            }
            entry => {
                entry.insert_entry(letter.clone());
                RecordOutcome::Stored
            }
        }
    }
}
