//! Dead letters, step by step: what becomes of a write that the store refuses for good, and what a
//! person can do about it. `cargo run --example dead_letters`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use async_trait::async_trait;
use fastness::prelude::*;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, RecordOutcome, Row, RowKey,
};
use fastness::{EntityOptions, Epoch, Grid, PartitionId, SledStore, Store};

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Account {
    cents: i64,
}

#[handlers]
impl Account {
    fn book(&mut self, cents: i64) -> i64 {
        self.cents += cents;
        self.cents
    }

    #[read]
    fn cents(&self) -> i64 {
        self.cents
    }
}

/// A store that takes no overdrawn account, as a table with a constraint would.
struct Strict {
    inner: SledStore,
    is_strict: Arc<AtomicBool>,
}

impl Strict {
    fn refuses(&self, row: &Row) -> bool {
        // A record is opaque to a store; this one peeks where the state's only number is.
        let is_overdrawn = |record: &[u8]| {
            record.windows(6).any(|at| at == b"\xa5cents") && {
                let at = record.windows(6).position(|at| at == b"\xa5cents").unwrap_or(0);
                // MessagePack's negative numbers.
                matches!(record.get(at + 6), Some(0xd0..=0xd3 | 0xe0..=0xff))
            }
        };
        self.is_strict.load(Ordering::Relaxed)
            && &*row.key.entity_type == "account"
            && row.record.as_deref().is_some_and(is_overdrawn)
    }
}

#[async_trait]
impl Store for Strict {
    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let mut outcomes = Vec::new();
        for batch in batches {
            let mut taken = batch.clone();
            taken.records.retain(|row| !self.refuses(row));
            let outcome = self.inner.write(&[taken]).await?.remove(0);
            let BatchOutcome::Written(written) = outcome else {
                outcomes.push(outcome);
                continue;
            };
            let mut written = written.into_iter();
            let mut all = Vec::new();
            for row in &batch.records {
                let refused = RecordOutcome::Refused { reason: "account is overdrawn".to_owned() };
                all.push(if self.refuses(row) { refused } else { next(&mut written)? });
            }
            all.extend(written);
            outcomes.push(BatchOutcome::Written(all));
        }
        Ok(outcomes)
    }

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

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

fn next(written: &mut impl Iterator<Item = RecordOutcome>) -> Result<RecordOutcome, Error> {
    let missing = || Error::Unavailable { reason: "an outcome is missing".to_owned() };
    written.next().ok_or_else(missing)
}

async fn start(directory: &Path, is_strict: &Arc<AtomicBool>) -> anyhow::Result<Grid> {
    let store = Strict { inner: SledStore::open(directory)?, is_strict: Arc::clone(is_strict) };
    Ok(Grid::builder().entity::<Account>(EntityOptions::new()).store(store).start().await?)
}

async fn show(grid: &Grid) -> anyhow::Result<()> {
    for letter in grid.dead_letters().list().await? {
        let inspection = grid.dead_letters().inspect(&letter.id).await?;
        let state = inspection.text().unwrap_or_default();
        println!("   {} {}: {state}, refused: {}", letter.entity_type, letter.key, letter.reason);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let directory: PathBuf = temporary.path().join("accounts");
    let is_strict = Arc::new(AtomicBool::new(true));

    println!("1. Three accounts hold 100 each, and that is stored.");
    let grid = start(&directory, &is_strict).await?;
    for name in ["ann", "bob", "cid"] {
        grid.entity::<Account>(name).book(100).await?;
    }
    grid.persisted().await?;

    println!("2. Each is overdrawn. The callers are answered; the store refuses the rows:");
    for (name, cents) in [("ann", -150), ("bob", -300), ("cid", -170)] {
        grid.entity::<Account>(name).book(cents).await?;
    }
    grid.persisted().await?;
    show(&grid).await?;

    println!("3. The grid is started again. What was acknowledged stands, the letters are there:");
    grid.leave().await?;
    let grid = start(&directory, &is_strict).await?;
    println!("   ann has {}", grid.entity::<Account>("ann").cents().await?);
    show(&grid).await?;

    println!("4. A newer write overtakes: cid pays 90 in, which the store takes.");
    grid.entity::<Account>("cid").book(90).await?;
    grid.persisted().await?;
    show(&grid).await?;

    println!("5. To replay ann's changes nothing as long as the store is as it is:");
    let letters = grid.dead_letters().list().await?;
    let refused = grid.dead_letters().replay(&letters[0].id).await;
    println!("   {}", refused.err().map_or_else(String::new, |error| error.to_string()));

    println!("6. Bob's was a mistake, and is discarded: his account goes back to its row.");
    let letters = grid.dead_letters().list().await?;
    grid.dead_letters().discard(&letters[1].id).await?;
    println!("   bob has {}", grid.entity::<Account>("bob").cents().await?);

    println!("7. The store is mended: it takes overdrafts now. Ann's is replayed, and stored.");
    is_strict.store(false, Ordering::Relaxed);
    let letters = grid.dead_letters().list().await?;
    grid.dead_letters().replay(&letters[0].id).await?;
    ensure!(grid.dead_letters().list().await?.is_empty());

    println!("8. After another start no letters are left:");
    grid.leave().await?;
    let grid = start(&directory, &is_strict).await?;
    ensure!(grid.dead_letters().list().await?.is_empty());
    for name in ["ann", "bob", "cid"] {
        println!("   {name} has {}", grid.entity::<Account>(name).cents().await?);
    }
    grid.leave().await?;
    Ok(())
}
