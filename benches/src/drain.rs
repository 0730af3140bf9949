//! A million dirty entities into sled: by the grid, and by hand with the same bytes, batches and
//! syncs.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, Row, RowKey, Store,
};
use fastness::{Epoch, Limits, PartitionId, SledStore, Threads};

use crate::load::{Counts, on_this_thread};
use crate::ours::{Ours, grid, without_sessions};
use crate::report::{Found, Report, Side};

/// Never while it is measured.
const LATER: Duration = Duration::from_secs(86_400);

/// What the store writes in front of a record: a checksum, a version, and whether it is in chunks.
const HEAD: [u8; 25] = [1; 25];

/// Callers at a time while entities are made dirty.
const CALLERS: u64 = 64;

/// A row of a commit, without copying it.
struct Noted {
    partition: PartitionId,
    key: RowKey,
    record: Bytes,
}

/// The rows of each commit, in order.
type Commits = Arc<Mutex<Vec<Vec<Noted>>>>;

/// A sled store that notes what it was given.
struct Noting {
    inner: SledStore,
    commits: Commits,
}

#[async_trait]
impl Store for Noting {
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
        self.inner.load(keys).await
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(partition).await
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let rows = batches.iter().flat_map(|batch| {
            let noted = |row: &Row| {
                let record = row.record.clone()?;
                Some(Noted { partition: batch.partition, key: row.key.clone(), record })
            };
            batch.records.iter().filter_map(noted)
        });
        self.commits.lock().expect("nobody panics with it").push(rows.collect());
        self.inner.write(batches).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

impl Noted {
    /// As the store lays it out, but for the numbers in its head.
    fn entry(&self) -> (Vec<u8>, Vec<u8>) {
        let Noted { partition, key, record } = self;
        let name = key.entity_type.as_bytes();
        let key = [b"R", &partition.0.to_be_bytes()[..], name, &[0, 0], &key.key].concat();
        (key, [&HEAD[..], record].concat())
    }
}

pub(crate) fn run(report: &mut Report) {
    let entities = report.amount(1_000_000);
    let commits = Commits::default();
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| by_the_grid(entities, &commits))),
        ("by hand", Box::new(|| by_hand(&commits).expect("there is room on the disk"))),
    ];
    let rounds = report.measure(format!("drain {entities} entities"), "K rows/s", sides);
    report.compare(&rounds, "ours", "by hand", Some(0.8));
}

fn by_the_grid(entities: usize, commits: &Commits) -> Found {
    commits.lock().expect("nobody panics with it").clear();
    let directory = tempfile::tempdir().expect("there is room on the disk");
    let inner = SledStore::open(directory.path()).expect("there is room on the disk");
    let store = Noting { inner, commits: Arc::clone(commits) };
    let limits = Limits {
        pending_records_max: usize::MAX,
        pending_bytes_max: u64::MAX,
        pending_age_max: LATER,
        ..Limits::default()
    };
    let grid = grid(without_sessions().write_behind(LATER), Threads::PerCore(NonZeroUsize::MIN));
    on_this_thread(async || {
        let ours = Ours::start(grid.limits(limits).store(store)).await;
        make_dirty(&ours, entities as u64).await;
        let began_at = Instant::now();
        ours.0.persisted().await.expect("the store takes it");
        let took = began_at.elapsed();
        ours.end().await;
        thousands_per_second(entities, took)
    })
}

async fn make_dirty(ours: &Ours, entities: u64) {
    let call = |caller| {
        let ours = ours.clone();
        tokio::task::spawn_local(async move {
            for key in (caller..entities).step_by(CALLERS as usize) {
                ours.add(key).await;
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(call).collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
}

/// What the grid has written: one batch and one sync for each of its commits.
fn by_hand(commits: &Commits) -> anyhow::Result<Found> {
    let commits = commits.lock().expect("nobody panics with it");
    let entries = |commit: &Vec<Noted>| commit.iter().map(Noted::entry).collect();
    let commits: Vec<Vec<(Vec<u8>, Vec<u8>)>> = commits.iter().map(entries).collect();
    let directory = tempfile::tempdir()?;
    let database = open_sled(directory.path())?;
    let rows: usize = commits.iter().map(Vec::len).sum();
    let began_at = Instant::now();
    for commit in commits {
        let mut batch = sled::Batch::default();
        for (key, value) in commit {
            batch.insert(key, value);
        }
        database.tree.apply_batch(batch)?;
        database.sync()?;
    }
    Ok(thousands_per_second(rows, began_at.elapsed()))
}

fn thousands_per_second(rows: usize, took: Duration) -> Found {
    Found::from(rows as f64 / took.as_micros() as f64 * 1000.0)
}

/// sled as the store opens it, and the file to sync.
pub(crate) struct Database {
    pub(crate) tree: sled::Db,
    file: File,
}

pub(crate) fn open_sled(directory: &Path) -> anyhow::Result<Database> {
    let path = directory.join("sled");
    let tree = sled::Config::new().path(&path).cache_capacity(64 << 20).open()?;
    let file = File::options().read(true).write(true).open(path.join("db"))?;
    Ok(Database { tree, file })
}

impl Database {
    /// sled's `flush` is no `fsync` on Linux.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        self.tree.flush()?;
        Ok(self.file.sync_data()?)
    }
}
