//! A store made slower: each write takes a multiple of the time that it would take.
//!
//! For trying out what a slow disk does to a grid (and for killing one in the middle of a write).
//! It also shows how to wrap a store.

use std::time::Instant;

use async_trait::async_trait;
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, Row, RowKey, Store,
};
use fastness::{Epoch, PartitionId};

/// Writes `factor` times slower than `inner`, and does everything else as `inner` does.
pub(crate) struct SlowStore<S> {
    pub(crate) inner: S,
    pub(crate) factor: u32,
}

#[async_trait]
impl<S: Store> Store for SlowStore<S> {
    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let started = Instant::now();
        let outcome = self.inner.write(batches).await;
        // Afterwards, so that a kill meanwhile finds it durable and not yet acknowledged.
        tokio::time::sleep(started.elapsed() * self.factor.saturating_sub(1)).await;
        outcome
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
