//! A store whose faults a test decides.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, MemoryStore, PartitionBatch, RecordOutcome,
    Row, RowKey, Store,
};
use fastness::{Epoch, PartitionId};
use tokio::sync::watch;

type Rule = Box<dyn Fn(&Row) -> bool + Send>;

/// What goes wrong with a store; shared with the test.
pub(crate) struct Faults {
    /// Every write fails.
    pub(crate) is_down: AtomicBool,
    /// A batch with such a record is refused as a whole.
    pub(crate) poison: Mutex<Rule>,
    /// Such records are refused by name.
    pub(crate) refused: Mutex<Rule>,
    /// Writes wait while this is false.
    pub(crate) is_open: watch::Sender<bool>,
    /// Calls of `write` so far, and the rows in them.
    pub(crate) writes: AtomicUsize,
    pub(crate) rows: AtomicUsize,
    /// Every load fails.
    pub(crate) loads_fail: AtomicBool,
    /// Loads wait while this is false.
    pub(crate) loads_open: watch::Sender<bool>,
    /// Keys that were asked for so far.
    pub(crate) loads: AtomicUsize,
    /// Such keys are damaged.
    pub(crate) damaged: Mutex<Box<dyn Fn(&RowKey) -> bool + Send>>,
}

#[derive(Clone)]
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) faults: Arc<Faults>,
}

impl FaultyStore {
    pub(crate) fn new() -> FaultyStore {
        let faults = Faults {
            is_down: AtomicBool::new(false),
            poison: Mutex::new(Box::new(|_| false)),
            refused: Mutex::new(Box::new(|_| false)),
            is_open: watch::channel(true).0,
            writes: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            loads_fail: AtomicBool::new(false),
            loads_open: watch::channel(true).0,
            loads: AtomicUsize::new(0),
            damaged: Mutex::new(Box::new(|_| false)),
        };
        FaultyStore { inner: MemoryStore::new(), faults: Arc::new(faults) }
    }

    /// The store as the next process finds it after a crash of the one before.
    pub(crate) fn crash(&self) -> FaultyStore {
        FaultyStore { inner: self.inner.reopen(), faults: Arc::clone(&self.faults) }
    }
}

impl Faults {
    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        self.inner.claim(row).await
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        self.inner.raise_fences(fences).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        self.inner.scan(partition, after, rows_max).await
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        let faults = &self.faults;
        let _ = faults.loads_open.subscribe().wait_for(|is_open| *is_open).await;
        faults.loads.fetch_add(keys.len(), Ordering::SeqCst);
        if faults.loads_fail.load(Ordering::SeqCst) {
            return vec![Err(Error::Unavailable { reason: "down".to_owned() }); keys.len()];
        }
        let mut loaded = self.inner.load(keys).await;
        for ((_, key), loaded) in keys.iter().zip(&mut loaded) {
            if faults.damaged.lock().unwrap()(key) {
                *loaded = Err(Error::Corrupt { what: "for the test".to_owned() });
            }
        }
        loaded
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(partition).await
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let faults = &self.faults;
        let _ = faults.is_open.subscribe().wait_for(|is_open| *is_open).await;
        faults.writes.fetch_add(1, Ordering::SeqCst);
        let rows = batches.iter().map(|batch| batch.records.len()).sum();
        faults.rows.fetch_add(rows, Ordering::SeqCst);
        if faults.is_down.load(Ordering::SeqCst) {
            return Err(Error::Unavailable { reason: "down for the test".to_owned() });
        }
        let is_poisoned = |row: &Row| faults.poison.lock().unwrap()(row);
        if batches.iter().flat_map(|batch| &batch.records).any(is_poisoned) {
            return Err(Error::Refused { reason: "a poisoned record".to_owned() });
        }
        let mut outcomes = Vec::new();
        for batch in batches {
            outcomes.push(self.write_one(batch).await?);
        }
        Ok(outcomes)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

impl FaultyStore {
    /// Writes what is not refused.
    async fn write_one(&self, batch: &PartitionBatch) -> Result<BatchOutcome, Error> {
        let is_refused: Vec<bool> = {
            let refused = self.faults.refused.lock().unwrap();
            batch.records.iter().map(&*refused).collect()
        };
        let mut taken = batch.clone();
        let mut at = is_refused.iter();
        taken.records.retain(|_| !at.next().unwrap());
        let outcome = self.inner.write(&[taken]).await?.remove(0);
        let BatchOutcome::Written(outcomes) = outcome else { return Ok(outcome) };
        let mut outcomes = outcomes.into_iter();
        let refusal = || RecordOutcome::Refused { reason: "refused for the test".to_owned() };
        let mut all: Vec<_> = is_refused
            .iter()
            .map(|is_refused| if *is_refused { refusal() } else { outcomes.next().unwrap() })
            .collect();
        all.extend(outcomes);
        Ok(BatchOutcome::Written(all))
    }
}
