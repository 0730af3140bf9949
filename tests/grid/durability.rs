//! What is in the store, and when.

use std::time::Duration;

use fastness::EntityOptions;
use fastness::testkit::{Calls, FaultyStore};

use crate::entities::{Counter, Ledger};
use crate::{advance_until, in_memory, manual_clock, stored};

#[tokio::test]
async fn what_is_persisted_survives_a_crash() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).add(key).await.unwrap(), key);
    }
    grid.persisted().await.unwrap();
    drop(grid);

    let grid = stored(&store.crash()).start().await.unwrap();
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).add(1).await.unwrap(), key + 1);
    }
    grid.leave().await.unwrap();
}

#[tokio::test]
async fn a_written_through_reply_means_that_the_store_has_it() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let grid = stored(&store).clock(clock).start().await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    // The clock stands still: no delay could have written it.
    assert_eq!(ledger.enter().await.unwrap(), 1);
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.entity::<Ledger>(1).entries().await.unwrap(), 1);
}

#[tokio::test]
async fn nobody_reads_what_a_write_through_store_does_not_have() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    assert_eq!(ledger.enter().await.unwrap(), 1);
    store.faults().hold(Calls::Writes);
    let mut write = Box::pin(ledger.enter().into_future());
    let mut read = Box::pin(ledger.entries().into_future());
    let other = grid.entity::<Counter>(1);
    tokio::select! {
        biased;
        _ = &mut write => panic!("acknowledged without the store"),
        _ = &mut read => panic!("a reader saw what the store does not have"),
        // It goes through the same partition's queue later than both.
        value = async { other.add(1).await } => assert_eq!(value.unwrap(), 1),
    }
    store.faults().release();
    assert_eq!(write.await.unwrap(), 2);
    assert_eq!(read.await.unwrap(), 2);
}

#[tokio::test]
async fn many_written_through_changes_share_a_commit() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    grid.entity::<Ledger>(0).enter().await.unwrap(); // opens its partition's session
    store.faults().hold(Calls::Writes);
    let ledger = grid.entity::<Ledger>(0);
    let asks: Vec<_> = (0..200).map(|_| tokio::spawn(ledger.enter().into_future())).collect();
    let marker = grid.entity::<Counter>(0); // the same key is the same partition
    while marker.add(1).await.is_err() {}
    let before = store.faults().writes();
    store.faults().release();
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    let commits = store.faults().writes() - before;
    assert!(commits < 50, "200 changes took {commits} commits");
}

#[tokio::test]
async fn changes_of_one_entity_coalesce_until_the_delay_after_the_first() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = EntityOptions::new().write_behind(Duration::from_secs(1)).at_most_once();
    let grid = fastness::Grid::builder()
        .partitions(8)
        .entity::<Counter>(options)
        .store(store.clone())
        .clock(clock.clone())
        .start()
        .await
        .unwrap();
    let counter = grid.entity::<Counter>(1);
    for _ in 0..9 {
        counter.add(1).await.unwrap();
        clock.advance(Duration::from_millis(100));
    }
    assert_eq!(store.faults().writes(), 0, "900 ms after the first change nothing is due");
    advance_until(&clock, async || store.faults().writes() > 0).await;
    grid.persisted().await.unwrap();
    assert_eq!(store.faults().rows_written(), 1);
}

#[tokio::test]
async fn a_store_that_fails_for_a_minute_loses_nothing() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let grid = stored(&store).clock(clock.clone()).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(1).await.unwrap();
    store.faults().fail(Calls::Writes);
    counter.add(1).await.unwrap();
    let minute = Duration::from_secs(60);
    let step = Duration::from_millis(500);
    for _ in 0..minute.as_millis() / step.as_millis() {
        clock.advance(step);
        tokio::task::yield_now().await;
    }
    advance_until(&clock, async || store.faults().writes() >= 3).await;
    store.faults().heal();
    let mut persisted = Box::pin(grid.persisted());
    advance_until(&clock, async || {
        tokio::select! {
            biased;
            done = &mut persisted => { done.unwrap(); true }
            () = tokio::task::yield_now() => false,
        }
    })
    .await;
    drop(persisted);
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 2);
}

#[tokio::test]
async fn removed_entities_stay_removed() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(5).await.unwrap();
    grid.persisted().await.unwrap();
    counter.remove().await.unwrap();
    grid.persisted().await.unwrap();
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_store_nothing_is_persisted_and_nothing_written_through() {
    let grid = in_memory().start().await.unwrap();
    assert_eq!(grid.persisted().await, Err(fastness::PersistError::NoStore));
    let error = in_memory()
        .entity::<Ledger>(EntityOptions::new().write_through())
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`ledger` is written through"), "{error}");
}
