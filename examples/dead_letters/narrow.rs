//! A store that refuses some rows for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, RecordOutcome, Row, RowKey,
};
use fastness::{Epoch, PartitionId, SledStore, Store};

/// Takes no row of more than so many bytes, as a column of a database does not. All else is the
/// store's beneath, dead letters of any size among it.
pub(crate) struct Narrow {
    pub(crate) sled: SledStore,
    pub(crate) bytes_max: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Narrow {
    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let max = self.bytes_max.load(Ordering::Relaxed);
        let fits = |row: &Row| row.record.as_ref().is_none_or(|record| record.len() <= max);
        let mut fitting = batches.to_vec();
        fitting.iter_mut().for_each(|batch| batch.records.retain(fits));
        let mut outcomes = self.sled.write(&fitting).await?;
        for (batch, outcome) in batches.iter().zip(&mut outcomes) {
            let BatchOutcome::Written(records) = outcome else { continue };
            for (at, _) in batch.records.iter().enumerate().filter(|(_, row)| !fits(row)) {
                let reason = format!("the row has more than {max} bytes");
                records.insert(at, RecordOutcome::Refused { reason });
            }
        }
        Ok(outcomes)
    }

    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        self.sled.claim(row).await
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        self.sled.raise_fences(fences).await
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        self.sled.scan(partition, after, rows_max).await
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        self.sled.load(keys).await
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        self.sled.dead_letters(partition).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.sled.close().await
    }
}
