//! Records that the store refuses for good.

use fastness::testkit::FaultyStore;
use fastness::{EntityOptions, Grid};

use crate::entities::{Counter, Ledger};
use crate::stored;

fn is_key(row: &fastness::store::Row, entity_type: &str, key: u64) -> bool {
    &*row.key.entity_type == entity_type && *row.key.key == key.to_be_bytes()
}

async fn add_to_many(grid: &Grid, counters: u64) {
    let mut asks = tokio::task::JoinSet::new();
    for key in 0..counters {
        asks.spawn(grid.entity::<Counter>(key).add(1).into_future());
    }
    while let Some(ask) = asks.join_next().await {
        ask.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_poisoned_record_in_ten_thousand_is_parked_and_the_others_are_stored() {
    let store = FaultyStore::new();
    store.faults().refuse_batches(|row| is_key(row, "counter", 4711));
    let grid = stored(&store).start().await.unwrap();
    add_to_many(&grid, 10_000).await;
    grid.persisted().await.unwrap();
    let letters = grid.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((letters[0].entity_type.as_str(), letters[0].key.as_str()), ("counter", "4711"));
    assert!(letters[0].reason.contains("a record, as the test decided"), "{letters:?}");
    assert!(letters[0].attempts >= 1);
    drop(grid);

    // It is durable, listed after a restart, and what readers see.
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), letters);
    for key in [0, 4710, 4711, 4712, 9999] {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 1, "counter {key}");
    }
    // A newer write that the store takes removes it.
    store.faults().heal();
    grid.entity::<Counter>(4711).add(1).await.unwrap();
    grid.persisted().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    assert_eq!(grid.entity::<Counter>(4711).value().await.unwrap(), 2);
}

#[tokio::test]
async fn a_record_refused_by_name_is_parked_without_bisecting() {
    let store = FaultyStore::new();
    store.faults().refuse_records(|row| is_key(row, "ledger", 3));
    let grid = stored(&store).start().await.unwrap();
    // Written through: acknowledged when the dead letter is durable.
    assert_eq!(grid.entity::<Ledger>(3).enter().await.unwrap(), 1);
    assert_eq!(grid.dead_letters().list().await.unwrap().len(), 1);
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.entity::<Ledger>(3).entries().await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_deletion_is_parked_and_stays_a_deletion() {
    // Without answers to keep, a removed entity's row is deleted.
    let start = async |store: FaultyStore| {
        let options = EntityOptions::new().at_most_once();
        Grid::builder().entity::<Counter>(options).store(store).start().await.unwrap()
    };
    let store = FaultyStore::new();
    let grid = start(store.clone()).await;
    let ask = |grid: &Grid| grid.entity::<Counter>(3);
    ask(&grid).add(5).await.unwrap();
    grid.persisted().await.unwrap();
    store.faults().refuse_records(|row| is_key(row, "counter", 3));
    ask(&grid).remove().await.unwrap();
    grid.persisted().await.unwrap();
    let letters = grid.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    drop(grid);
    let grid = start(store.crash()).await;
    assert_eq!(grid.dead_letters().list().await.unwrap(), letters);
    assert_eq!(ask(&grid).value().await.unwrap(), 0);
    store.faults().heal();
    assert_eq!(ask(&grid).add(1).await.unwrap(), 1);
    grid.persisted().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
}
