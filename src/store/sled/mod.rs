//! The embedded store: sled 0.34 in a directory of its own.
//!
//! All calls of sled block, so they are made by one thread, which takes them from a bounded queue.
//! `database` is what it does, `layout` how rows lie in sled's tree.

mod changes;
mod database;
mod layout;
mod opened;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::database::Database;
use super::{BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, Row, RowKey, Store};
use crate::engine::id::{Epoch, PartitionId};

/// Calls that may wait for the store's thread. A grid makes one at a time once it runs; while it
/// starts, each of its threads scans.
const CALLS_MAX: usize = 64;

/// Keeps a grid in a directory, by default the store of choice for an embedded grid.
///
/// What it says is stored survives a loss of power: sled's own `flush` is no `fsync` on Linux, so
/// each commit also syncs sled's file. Every value carries a checksum. The directory is locked
/// while it is in use. Dropped without [`close`](Store::close), it ends as in a crash: what was
/// stored is there.
#[derive(Debug)]
pub struct SledStore {
    /// `None` once it is being dropped.
    calls: Option<mpsc::Sender<Call>>,
    /// Hears when the thread has let go of the directory.
    released: Mutex<std::sync::mpsc::Receiver<()>>,
}

/// How long dropping a store waits for its thread, so that the directory can be opened again right
/// after it. sled may take longer over what has failed.
const RELEASE_MAX: Duration = Duration::from_secs(5);

impl Drop for SledStore {
    fn drop(&mut self) {
        self.calls = None;
        let released = self.released.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = released.recv_timeout(RELEASE_MAX); // an error is how it hears
    }
}

/// Does one thing to the database, and tells whoever asked.
type Call = Box<dyn FnOnce(&mut Database) + Send>;

impl SledStore {
    /// Opens the store in a directory, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is in use, [`Error::Corrupt`] or [`Error::UnknownLayout`] if what is
    /// there is no such store, [`Error::Unavailable`] if the directory cannot be used.
    pub fn open(directory: impl AsRef<Path>) -> Result<SledStore, Error> {
        let directory = directory.as_ref().to_owned();
        let (calls, mut queue) = mpsc::channel::<Call>(CALLS_MAX);
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        let run = move || {
            let _release = release; // dropped last
            let opening = catch_unwind(|| Database::open(&directory));
            let mut database = match opening.unwrap_or_else(|_| Err(not_sound())) {
                Ok(database) => database,
                Err(error) => {
                    let _ = opened.send(Err(error)); // it waits for this
                    return;
                }
            };
            let _ = opened.send(Ok(())); // it waits for this
            while let Some(call) = queue.blocking_recv() {
                call(&mut database);
            }
            // sled may panic over what is broken, and there is nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
        };
        let thread = thread::Builder::new().name("fastness-sled".to_owned());
        thread.spawn(run).map_err(|error| unavailable("make a thread", &error))?;
        is_open.recv().map_err(|_| panicked())??;
        Ok(SledStore { calls: Some(calls), released: Mutex::new(released) })
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = oneshot::channel();
        let call = move |database: &mut Database| {
            let worked = catch_unwind(AssertUnwindSafe(|| work(database)));
            let result = worked.unwrap_or_else(|_| {
                database.distrust("sled panicked");
                Err(panicked())
            });
            let _ = done.send(result); // whoever asked may be gone
        };
        let calls = self.calls.as_ref().ok_or(Error::Closed)?;
        calls.send(Box::new(call)).await.map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?
    }
}

#[async_trait]
impl Store for SledStore {
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        let row = row.clone();
        self.call(move |database| database.claim(&row)).await
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        let fences = fences.to_vec();
        self.call(move |database| database.raise_fences(&fences)).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let after = after.cloned();
        self.call(move |database| database.scan(partition, after.as_ref(), rows_max)).await
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        let (keys, count) = (keys.to_vec(), keys.len());
        let loaded = self.call(move |database| Ok(database.load(&keys))).await;
        loaded.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        self.call(move |database| database.dead_letters(partition)).await
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        // Cheap: the records' bytes are shared.
        let batches = batches.to_vec();
        self.call(move |database| database.write(&batches)).await
    }

    async fn close(&self) -> Result<(), Error> {
        match self.call(Database::close).await {
            Err(Error::Closed) => Ok(()),
            closed => closed,
        }
    }
}

/// sled asserts what it reads.
fn not_sound() -> Error {
    Error::Corrupt { what: "sled panicked over its file".to_owned() }
}

fn panicked() -> Error {
    Error::Unavailable { reason: "sled panicked".to_owned() }
}

fn unavailable(doing: &str, error: &dyn std::error::Error) -> Error {
    Error::Unavailable { reason: format!("{doing}: {error}") }
}
