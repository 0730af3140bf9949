//! A store whose faults a test decides.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::faults::{Calls, Faults};
use super::stored_row::StoredRow;
use crate::engine::id::{Epoch, PartitionId};
use crate::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, MemoryStore, PartitionBatch, RecordOutcome,
    Row, RowKey, Store,
};

/// Opens the store beneath.
type Open = Box<dyn Fn() -> Result<Arc<dyn Store>, Error> + Send + Sync>;

/// A store whose [`Faults`] a test decides, over a [`MemoryStore`] or any other.
///
/// Clones are handles to the same contents and the same faults. While one grid uses them, another
/// is refused as [`Error::Locked`].
pub struct FaultyStore {
    shared: Arc<Shared>,
    /// Calls of an older life are those of a dead process.
    life: u64,
    is_closed: AtomicBool,
}

struct Shared {
    faults: Faults,
    open: Open,
    state: Mutex<State>,
    /// Calls that the store beneath has not answered.
    working: AtomicUsize,
}

#[derive(Default)]
struct State {
    life: u64,
    is_claimed: bool,
    /// How many partitions the grid has that claimed it last.
    partitions: u16,
    opened: Option<Arc<dyn Store>>,
}

/// Rows read at once.
const ROWS_AT_ONCE: usize = 1000;

impl FaultyStore {
    /// An empty store in memory.
    #[must_use]
    pub fn new() -> FaultyStore {
        let memory = MemoryStore::new();
        FaultyStore::over(move || Ok(memory.reopen()))
    }

    /// A store over another one, which `open` opens when it is first used, and again after each
    /// crash and each close; the handle before was dropped by then.
    pub fn over<S: Store>(
        open: impl Fn() -> Result<S, Error> + Send + Sync + 'static,
    ) -> FaultyStore {
        let shared = Shared {
            faults: Faults::new(),
            open: Box::new(move || Ok(Arc::new(open()?))),
            state: Mutex::default(),
            working: AtomicUsize::new(0),
        };
        FaultyStore { shared: Arc::new(shared), life: 0, is_closed: AtomicBool::new(false) }
    }

    /// What goes wrong with it.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The store as the next process finds it after a crash of the one before: every call by an
    /// older handle fails as [`Error::Closed`] from now on, those that are held included.
    #[must_use]
    pub fn crash(&self) -> FaultyStore {
        let life = {
            let mut state = self.shared.state();
            state.life += 1;
            state.is_claimed = false;
            state.opened = None;
            state.life
        };
        self.shared.faults.wake();
        FaultyStore { shared: Arc::clone(&self.shared), life, is_closed: AtomicBool::new(false) }
    }

    /// Every row that is stored, by partition and key, past all faults; those of sessions included.
    /// Empty before the first grid has used the store.
    ///
    /// # Errors
    /// Those of the store beneath.
    pub async fn rows(&self) -> Result<Vec<StoredRow>, Error> {
        let store = self.shared.opened()?;
        let partitions = self.shared.state().partitions;
        let mut found = Vec::new();
        for partition in (0..partitions).map(PartitionId) {
            let mut after = None;
            loop {
                let scan = store.scan(partition, after.as_ref(), ROWS_AT_ONCE);
                let rows = self.working(scan).await?;
                let is_last = rows.len() < ROWS_AT_ONCE;
                after = rows.last().map(|row| row.key.clone());
                found.extend(rows.into_iter().map(|row| StoredRow::new(partition, row)));
                if is_last {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Puts rows in, past all faults, as the grid had that wrote them.
    ///
    /// # Errors
    /// Those of the store beneath.
    pub(super) async fn fill(&self, rows: Vec<StoredRow>) -> Result<(), Error> {
        let store = self.shared.opened()?;
        for row in rows {
            let epoch = row.version().position.epoch;
            self.working(store.raise_fences(&[(row.partition(), epoch)])).await?;
            let batch = PartitionBatch {
                partition: row.partition(),
                epoch,
                records: vec![row.into_row()],
                dead_letters: Vec::new(),
            };
            self.working(store.write(&[batch])).await?;
        }
        Ok(())
    }

    /// Whether the store beneath has calls to answer.
    pub(super) fn is_working(&self) -> bool {
        self.shared.working.load(Ordering::SeqCst) > 0
    }

    /// The store beneath, once the faults let such a call go on.
    async fn pass(&self, call: Calls) -> Result<Arc<dyn Store>, Error> {
        self.check()?;
        let passed = self.shared.faults.pass(call, || self.check().is_err()).await;
        self.check()?;
        passed?;
        self.shared.opened()
    }

    /// # Errors
    /// [`Error::Closed`] if this handle may no longer be used.
    fn check(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::SeqCst) || self.shared.state().life != self.life {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Counts a call as under way as long as it is.
    async fn working<T>(&self, call: impl Future<Output = T>) -> T {
        let _working = Working::new(&self.shared.working);
        call.await
    }

    /// Writes what is not refused.
    async fn write_one(
        &self,
        store: &dyn Store,
        batch: &PartitionBatch,
    ) -> Result<BatchOutcome, Error> {
        let faults = self.faults();
        let is_refused: Vec<bool> =
            batch.records.iter().map(|row| faults.is_refused(row)).collect();
        let mut taken = batch.clone();
        let mut at = is_refused.iter();
        taken.records.retain(|_| at.next() == Some(&false));
        let outcome = self.working(store.write(&[taken])).await?.pop();
        let outcome = outcome.ok_or_else(|| missing("outcome of a batch"))?;
        let BatchOutcome::Written(outcomes) = outcome else { return Ok(outcome) };
        let mut outcomes = outcomes.into_iter();
        let refusal = || RecordOutcome::Refused { reason: "refused, as the test decided".into() };
        let mut all = Vec::with_capacity(batch.records.len() + batch.dead_letters.len());
        for is_refused in is_refused {
            all.push(if is_refused {
                refusal()
            } else {
                outcomes.next().ok_or_else(|| missing("outcome of a record"))?
            });
        }
        all.extend(outcomes);
        Ok(BatchOutcome::Written(all))
    }
}

fn missing(what: &str) -> Error {
    Error::Unavailable { reason: format!("the store beneath gave no {what}") }
}

impl Shared {
    fn opened(&self) -> Result<Arc<dyn Store>, Error> {
        let mut state = self.state();
        if let Some(store) = &state.opened {
            return Ok(Arc::clone(store));
        }
        let store = (self.open)()?;
        state.opened = Some(Arc::clone(&store));
        Ok(store)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Only opening is foreign code in here, and it changes nothing of this.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        let store = self.pass(Calls::Writes).await?;
        if std::mem::replace(&mut self.shared.state().is_claimed, true) {
            return Err(Error::Locked { location: "the test's store".to_owned() });
        }
        let claimed = self.working(store.claim(row)).await;
        let mut state = self.shared.state();
        match &claimed {
            Ok(found) => state.partitions = found.partitions,
            Err(_) => state.is_claimed = false,
        }
        claimed
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        let store = self.pass(Calls::Writes).await?;
        self.working(store.raise_fences(fences)).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let store = self.pass(Calls::Loads).await?;
        let rows = self.working(store.scan(partition, after, rows_max)).await?;
        rows.iter().try_for_each(|row| self.faults().check(&row.key))?;
        Ok(rows)
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        let passed = self.pass(Calls::Loads).await;
        self.faults().note_load(keys.len());
        let store = match passed {
            Ok(store) => store,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let loaded = self.working(store.load(keys)).await;
        let checked = keys.iter().zip(loaded).map(|((_, key), loaded)| {
            self.faults().check(key)?;
            loaded
        });
        checked.collect()
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        let store = self.pass(Calls::Loads).await?;
        self.working(store.dead_letters(partition)).await
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let passed = self.pass(Calls::Writes).await;
        let faults = self.faults();
        faults.note_write(batches);
        let store = passed?;
        let mut records = batches.iter().flat_map(|batch| &batch.records);
        if records.any(|row| faults.is_poisoned(row)) {
            return Err(Error::Refused { reason: "a record, as the test decided".to_owned() });
        }
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            outcomes.push(self.write_one(&*store, batch).await?);
        }
        Ok(outcomes)
    }

    async fn close(&self) -> Result<(), Error> {
        if self.check().is_err() {
            return Ok(());
        }
        self.is_closed.store(true, Ordering::SeqCst);
        let opened = {
            let mut state = self.shared.state();
            state.is_claimed = false;
            state.opened.take()
        };
        match opened {
            Some(store) => self.working(store.close()).await,
            None => Ok(()),
        }
    }
}

impl Clone for FaultyStore {
    fn clone(&self) -> FaultyStore {
        let is_closed = AtomicBool::new(false);
        FaultyStore { shared: Arc::clone(&self.shared), life: self.life, is_closed }
    }
}

impl Default for FaultyStore {
    fn default() -> FaultyStore {
        FaultyStore::new()
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("faults", self.faults()).finish_non_exhaustive()
    }
}

/// A call under way.
struct Working<'a>(&'a AtomicUsize);

impl<'a> Working<'a> {
    fn new(working: &'a AtomicUsize) -> Working<'a> {
        working.fetch_add(1, Ordering::SeqCst);
        Working(working)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
