//! A store on trial: calls that must succeed, and rules that must hold.

use std::fmt::Debug;

use bytes::Bytes;

use super::super::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, RecordOutcome, Row, RowKey,
    Store,
};
use super::Place;
use crate::engine::id::{Epoch, PartitionId, Version};
use crate::engine::instant::Timestamp;

/// The partition of cases that need only one.
pub(super) const P: PartitionId = PartitionId(7);

/// Characters of a value that a panic shows.
const SHOWN_MAX: usize = 2000;

/// One case, its store, and how to open that again.
pub(super) struct Trial {
    case: &'static str,
    place: Box<dyn Place>,
    store: Option<Box<dyn Store>>,
}

impl Trial {
    pub(super) async fn start(case: &'static str, place: Box<dyn Place>) -> Trial {
        let mut trial = Trial { case, place, store: None };
        trial.open(&grid_row()).await;
        trial
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is taken only while it is opened anew")
    }

    /// Closes the store and opens it again. Returns the grid's row that it then has.
    pub(super) async fn close_and_reopen(&mut self, row: &GridRow) -> GridRow {
        let closed = self.store().close().await;
        self.succeed("close", closed);
        self.store = None;
        self.open(row).await
    }

    /// Crashes the store and opens it again. Returns the grid's row that it then has.
    pub(super) async fn crash_and_reopen(&mut self, row: &GridRow) -> GridRow {
        let store = self.store.take().expect("it is taken only while it is opened anew");
        self.place.crash(store).await;
        self.open(row).await
    }

    async fn open(&mut self, row: &GridRow) -> GridRow {
        let store = self.place.open().await;
        let claimed = store.claim(row).await;
        self.store = Some(store);
        self.succeed("claim", claimed)
    }

    pub(super) async fn raise(&self, fences: &[(u16, u64)]) -> Vec<u64> {
        let fences: Vec<_> = fences
            .iter()
            .map(|(partition, epoch)| (PartitionId(*partition), Epoch(*epoch)))
            .collect();
        let found = self.succeed("raise_fences", self.store().raise_fences(&fences).await);
        found.into_iter().map(|epoch| epoch.0).collect()
    }

    pub(super) async fn write(&self, batches: &[PartitionBatch]) -> Vec<BatchOutcome> {
        self.succeed("write", self.store().write(batches).await)
    }

    /// Writes records to [`P`] and returns their outcomes.
    pub(super) async fn records(&self, records: &[Row]) -> Vec<RecordOutcome> {
        self.one(batch(P, records, &[])).await
    }

    /// Writes dead letters to [`P`] and returns their outcomes.
    pub(super) async fn park(&self, letters: &[DeadLetter]) -> Vec<RecordOutcome> {
        self.one(batch(P, &[], letters)).await
    }

    async fn one(&self, batch: PartitionBatch) -> Vec<RecordOutcome> {
        let outcomes = self.write(&[batch]).await;
        match <[BatchOutcome; 1]>::try_from(outcomes) {
            Ok([BatchOutcome::Written(outcomes)]) => outcomes,
            other => self.broken("a batch that is not fenced is written", &other, "one `Written`"),
        }
    }

    /// All rows of a partition, read at once.
    pub(super) async fn rows(&self, partition: PartitionId) -> Vec<Row> {
        self.page(partition, None, 100_000).await
    }

    pub(super) async fn page(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Vec<Row> {
        self.succeed("scan", self.store().scan(partition, after, rows_max).await)
    }

    pub(super) async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Loaded> {
        let loaded = self.store().load(keys).await;
        loaded.into_iter().map(|loaded| self.succeed("load", loaded)).collect()
    }

    pub(super) async fn letters(&self, partition: PartitionId) -> Vec<DeadLetter> {
        self.succeed("dead_letters", self.store().dead_letters(partition).await)
    }

    /// Holds the store to a rule.
    pub(super) fn hold<T: Debug + PartialEq<U>, U: Debug>(&self, rule: &str, found: T, wanted: U) {
        if found != wanted {
            self.broken(rule, &found, &format!("{wanted:?}"));
        }
    }

    fn succeed<T>(&self, call: &str, result: Result<T, Error>) -> T {
        result.unwrap_or_else(|error| self.broken(&format!("`{call}` succeeds"), &error, "`Ok`"))
    }

    fn broken(&self, rule: &str, found: &dyn Debug, wanted: &str) -> ! {
        let shown = |text: &str| text.chars().take(SHOWN_MAX).collect::<String>();
        let (found, wanted) = (shown(&format!("{found:?}")), shown(wanted));
        let case = self.case;
        panic!(
            "store conformance, case `{case}`: broken rule: {rule}\n found: {found}\nwanted: {wanted}"
        );
    }
}

/// The grid that the stores on trial belong to.
pub(super) fn grid_row() -> GridRow {
    GridRow {
        grid_id: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
        name: "conformance".to_owned(),
        partitions: 256,
        copies: 1,
        format: 1,
        hash: "xxh3-64".to_owned(),
    }
}

pub(super) fn batch(
    partition: PartitionId,
    records: &[Row],
    dead_letters: &[DeadLetter],
) -> PartitionBatch {
    batch_of_epoch(1000, partition, records, dead_letters)
}

pub(super) fn batch_of_epoch(
    epoch: u64,
    partition: PartitionId,
    records: &[Row],
    dead_letters: &[DeadLetter],
) -> PartitionBatch {
    let (records, dead_letters) = (records.to_vec(), dead_letters.to_vec());
    PartitionBatch { partition, epoch: Epoch(epoch), records, dead_letters }
}

pub(super) fn key(entity_type: &str, key: &[u8]) -> RowKey {
    RowKey { entity_type: entity_type.into(), key: Bytes::copy_from_slice(key) }
}

/// A row of type `t`, of version `1.seq.0`.
pub(super) fn row(of: &str, seq: u64, record: &str) -> Row {
    let record = Some(Bytes::copy_from_slice(record.as_bytes()));
    Row { key: key("t", of.as_bytes()), version: Version::new(1, seq, 0), record }
}

/// What deletes such a row.
pub(super) fn removal(of: &str, seq: u64) -> Row {
    Row { record: None, ..row(of, seq, "") }
}

pub(super) fn letter(row: Row) -> DeadLetter {
    DeadLetter {
        row,
        reason: "refused, says the suite: \u{00e9}".to_owned(),
        attempts: 3,
        parked_at: Timestamp::from_micros(1_790_000_000_000_001),
    }
}

pub(super) fn stored(count: usize) -> Vec<RecordOutcome> {
    vec![RecordOutcome::Stored; count]
}

/// The outcome of a record when the row is of version `1.seq.0`.
pub(super) fn superseded(seq: u64) -> RecordOutcome {
    RecordOutcome::Superseded { found: Version::new(1, seq, 0) }
}
