//! A disk without room, and with room again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fastness::prelude::*;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, Row, RowKey,
};
use fastness::{EntityOptions, Epoch, Limits, PartitionId, SledStore, Store};

use crate::block_on;
use crate::mounts::Tmpfs;
use crate::rows::{grid_row, row, rows, write};

const VALUE: usize = 50 << 10;

#[test]
fn a_store_on_a_full_disk_works_again_when_there_is_room() {
    let Some(tmpfs) = Tmpfs::mount(48) else { return };
    let directory = tmpfs.path().join("store");
    let store = SledStore::open(&directory).unwrap();
    block_on(async {
        store.claim(&grid_row()).await.unwrap();
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            acknowledged.push(put(&store, round * 1000).await.unwrap());
            let filler = tmpfs.fill();
            let mut failures = 0;
            for number in 1..400 {
                match put(&store, round * 1000 + number).await {
                    Ok(row) => acknowledged.push(row),
                    Err(Error::Unavailable { .. }) => failures += 1,
                    Err(other) => panic!("a full disk is no {other:?}"),
                }
                if failures >= 5 {
                    break;
                }
            }
            assert!(failures >= 5, "the disk was not full");
            fs::remove_file(filler).unwrap();
            acknowledged.push(put(&store, round * 1000 + 999).await.unwrap());
            expect(&acknowledged, &rows(&store).await.unwrap());
        }
        drop(store);
        let store = SledStore::open(&directory).unwrap();
        expect(&acknowledged, &rows(&store).await.unwrap());
        store.close().await.unwrap();
    });
}

async fn put(store: &SledStore, number: u32) -> Result<Row, Error> {
    let row = row(number, 1, vec![number as u8; VALUE]);
    write(store, vec![row.clone()]).await.map(|()| row)
}

/// What failed may be there as well.
fn expect(acknowledged: &[Row], found: &[Row]) {
    for row in acknowledged {
        let is_there = found.iter().any(|found| found == row);
        assert!(is_there, "{:?} was acknowledged", row.key);
    }
    let is_whole = |row: &Row| {
        let bytes = row.record.as_ref().expect("a scan has no removals");
        bytes.len() == VALUE && bytes.iter().all(|byte| *byte == row.key.key[3])
    };
    assert!(found.iter().all(is_whole), "a row is torn");
}

/// Keeps some bytes.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Parcel {
    bytes: Vec<u8>,
}

#[handlers]
impl Parcel {
    fn pack(&mut self, bytes: u64) -> u64 {
        self.bytes = vec![7; bytes as usize];
        bytes
    }

    #[read]
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[test]
fn a_grid_on_a_full_disk_answers_and_loses_nothing() {
    let Some(tmpfs) = Tmpfs::mount(48) else { return };
    let directory = tmpfs.path().join("store");
    block_on(async {
        let failures = Arc::new(AtomicUsize::new(0));
        let inner = SledStore::open(&directory).unwrap();
        let grid = grid(Watched { inner, failures: Arc::clone(&failures) }).await;
        let filler = tmpfs.fill();
        let mut packed = 0;
        // It takes what its bounds allow while it fails; it does not say that it is stored.
        while packed < 40 || failures.load(Ordering::SeqCst) < 3 {
            let bytes = grid.entity::<Parcel>(packed % 400).pack(1000 + packed % 400).await;
            assert_eq!(bytes.unwrap(), 1000 + packed % 400);
            packed += 1;
        }
        fs::remove_file(filler).unwrap();
        grid.persisted().await.unwrap();
        drop(grid);
        let grid = self::grid(opened(&directory)).await;
        for key in 0..packed.min(400) {
            assert_eq!(grid.entity::<Parcel>(key).size().await.unwrap(), 1000 + key);
        }
        grid.leave().await.unwrap();
    });
}

/// Opens the store as soon as the threads of the grid that was dropped have let go of it.
fn opened(directory: &Path) -> SledStore {
    loop {
        match SledStore::open(directory) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.expect("there is room again"),
        }
    }
}

async fn grid(store: impl Store) -> fastness::Grid {
    let limits = Limits {
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(5),
        ..Limits::default()
    };
    let options = EntityOptions::new().write_behind(Duration::from_millis(1));
    let grid = fastness::Grid::builder().partitions(8).limits(limits).store(store);
    grid.entity::<Parcel>(options).start().await.expect("the store is sound")
}

/// Counts the writes that fail.
struct Watched {
    inner: SledStore,
    failures: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Watched {
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
        let written = self.inner.write(batches).await;
        if let Err(error) = &written {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
        written
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}
