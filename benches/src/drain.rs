//! A million dirty entities into sled: by the grid, and by hand with the same bytes, batches and
//! syncs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, Row, RowKey, Store,
};
use fastness::{EntityOptions, Epoch, Grid, Limits, PartitionId, SledStore, Threads};

use crate::local::Counter;
use crate::report::{Report, Side};

/// Rows of each commit, in order: what is to be written by hand again.
type Commits = Arc<Mutex<Vec<Vec<(Vec<u8>, Vec<u8>)>>>>;

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
            batch.records.iter().map(|row| {
                let key = [&batch.partition.0.to_be_bytes()[..], &row.key.key].concat();
                (key, row.record.as_ref().map_or_else(Vec::new, |record| record.to_vec()))
            })
        });
        self.commits.lock().expect("nobody panics with it").push(rows.collect());
        self.inner.write(batches).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let entities = report.amount(1_000_000);
    let commits = Commits::default();
    let again = Arc::clone(&commits);
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(move || by_the_grid(entities, &commits))),
        ("by hand", Box::new(move || by_hand(&again).expect("there is room on the disk"))),
    ];
    let rounds = report.measure(format!("drain {entities} entities"), "K rows/s", sides);
    report.compare(&rounds, "ours", "by hand", Some(0.8));
    Ok(())
}

fn by_the_grid(entities: usize, commits: &Commits) -> f64 {
    commits.lock().expect("nobody panics with it").clear();
    let directory = tempfile::tempdir().expect("there is room on the disk");
    let inner = SledStore::open(directory.path()).expect("there is room on the disk");
    let store = Noting { inner, commits: Arc::clone(commits) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime is made").block_on(async {
        let limits = Limits {
            pending_records_max: usize::MAX,
            pending_bytes_max: u64::MAX,
            pending_age_max: Duration::from_secs(86_400),
            ..Limits::default()
        };
        let options = EntityOptions::new().at_most_once().write_behind(Duration::from_secs(86_400));
        let one = std::num::NonZeroUsize::MIN;
        let grid = Grid::builder().entity::<Counter>(options).threads(Threads::PerCore(one));
        let grid = grid.limits(limits).store(store).start().await.expect("the grid starts");
        for from in (0..entities as u64).step_by(1000) {
            let asks: Vec<_> = (from..from + 1000)
                .map(|key| tokio::spawn(grid.entity::<Counter>(key).increment().into_future()))
                .collect();
            for ask in asks {
                ask.await.expect("no caller panics").expect("the grid serves");
            }
        }
        let started_at = Instant::now();
        grid.persisted().await.expect("the store takes it");
        let rate = entities as f64 / started_at.elapsed().as_micros() as f64 * 1000.0;
        grid.leave().await.expect("the grid ends");
        rate
    })
}

/// What the grid has written in this round: one batch and one sync for each of its commits.
fn by_hand(commits: &Commits) -> anyhow::Result<f64> {
    let commits = std::mem::take(&mut *commits.lock().expect("nobody panics with it"));
    let directory = tempfile::tempdir()?;
    let database =
        sled::Config::new().path(directory.path().join("sled")).cache_capacity(64 << 20).open()?;
    let file = std::fs::File::open(directory.path().join("sled/db"))?;
    let rows: usize = commits.iter().map(Vec::len).sum();
    let started_at = Instant::now();
    for commit in commits {
        let mut batch = sled::Batch::default();
        for (key, value) in commit {
            batch.insert(key, value);
        }
        database.apply_batch(batch)?;
        database.flush()?;
        file.sync_data()?;
    }
    Ok(rows as f64 / started_at.elapsed().as_micros() as f64 * 1000.0)
}
