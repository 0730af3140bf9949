//! Rows, and short ways to write and read them.

use bytes::Bytes;
use fastness::store::{
    BatchOutcome, Error, GridRow, PartitionBatch, RecordOutcome, Row, RowKey, Store,
};
use fastness::{Epoch, PartitionId, Version};

pub(crate) const PARTITION: PartitionId = PartitionId(3);

pub(crate) fn row(number: u32, seq: u64, record: impl Into<Bytes>) -> Row {
    let key = Bytes::copy_from_slice(&number.to_be_bytes());
    let key = RowKey { entity_type: "t".into(), key };
    Row { key, version: Version::new(1, seq, 0), record: Some(record.into()) }
}

pub(crate) fn batch(records: Vec<Row>) -> PartitionBatch {
    let dead_letters = vec![];
    PartitionBatch { partition: PARTITION, epoch: Epoch(1), records, dead_letters }
}

/// Writes rows, all of which must be stored if the call succeeds.
pub(crate) async fn write(store: &dyn Store, records: Vec<Row>) -> Result<(), Error> {
    let wanted = vec![BatchOutcome::Written(vec![RecordOutcome::Stored; records.len()])];
    assert_eq!(store.write(&[batch(records)]).await?, wanted);
    Ok(())
}

pub(crate) async fn rows(store: &dyn Store) -> Result<Vec<Row>, Error> {
    store.scan(PARTITION, None, usize::MAX).await
}

pub(crate) fn grid_row() -> GridRow {
    let (name, hash) = ("test".to_owned(), "xxh3-64".to_owned());
    GridRow { grid_id: 1, name, partitions: 8, copies: 1, format: 1, hash }
}

/// Random numbers (splitmix64) from a printed seed; `FASTNESS_SEED` repeats it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(name: &str) -> Random {
        let seed = match std::env::var("FASTNESS_SEED") {
            Ok(seed) => seed.parse().expect("the seed is a number"),
            Err(_) => u64::from(getrandom::u32().expect("the system has random numbers")),
        };
        println!("{name}: FASTNESS_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
