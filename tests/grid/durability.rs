//! What is in the store, and when.

use std::time::Duration;

use fastness::testkit::{Calls, TestGrid};
use fastness::{EntityOptions, PersistError};

use crate::entities::{Counter, Ledger};
use crate::{in_memory, test_grid};

#[test]
fn what_is_persisted_survives_a_crash() {
    test_grid().run(async |grid| {
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).add(key).await.unwrap(), key);
        }
        grid.persisted().await.unwrap();
        grid.crash().await.unwrap();
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).add(1).await.unwrap(), key + 1);
        }
        grid.leave().await.unwrap();
    });
}

#[test]
fn a_written_through_reply_means_that_the_store_has_it() {
    test_grid().run(async |grid| {
        // The clock stands still: no delay could have written it.
        assert_eq!(grid.entity::<Ledger>(1).enter().await.unwrap(), 1);
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Ledger>(1).entries().await.unwrap(), 1);
    });
}

#[test]
fn nobody_reads_what_a_write_through_store_does_not_have() {
    test_grid().run(async |grid| {
        let ledger = grid.entity::<Ledger>(1);
        assert_eq!(ledger.enter().await.unwrap(), 1);
        grid.faults().hold(Calls::Writes);
        let mut write = Box::pin(ledger.enter().into_future());
        let mut read = Box::pin(ledger.entries().into_future());
        tokio::select! {
            biased;
            _ = &mut write => panic!("acknowledged without the store"),
            _ = &mut read => panic!("a reader saw what the store does not have"),
            () = grid.advance(Duration::from_secs(1)) => {}
        }
        assert_eq!(grid.entity::<Counter>(1).add(1).await.unwrap(), 1, "others go on");
        grid.faults().release();
        assert_eq!(write.await.unwrap(), 2);
        assert_eq!(read.await.unwrap(), 2);
    });
}

#[test]
fn many_written_through_changes_share_a_commit() {
    test_grid().run(async |grid| {
        let ledger = grid.entity::<Ledger>(0);
        ledger.enter().await.unwrap(); // opens its partition's session
        grid.faults().hold(Calls::Writes);
        let spawn = |_| tokio::task::spawn_local(ledger.enter().into_future());
        let asks: Vec<_> = (0..200).map(spawn).collect();
        grid.settle().await;
        let before = grid.faults().writes();
        grid.faults().release();
        for (at, ask) in asks.into_iter().enumerate() {
            assert_eq!(ask.await.unwrap().unwrap(), at as u64 + 2);
        }
        let commits = grid.faults().writes() - before;
        assert!(commits <= 2, "200 changes took {commits} commits");
    });
}

#[test]
fn changes_of_one_entity_coalesce_until_the_delay_after_the_first() {
    let options = EntityOptions::new().write_behind(Duration::from_secs(1)).at_most_once();
    TestGrid::builder().entity::<Counter>(options).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        for _ in 0..10 {
            counter.add(1).await.unwrap();
            assert_eq!(grid.faults().writes(), 0, "within a second of the first nothing is due");
            grid.advance(Duration::from_millis(100)).await;
        }
        assert_eq!((grid.faults().writes(), grid.faults().rows_written()), (1, 1));
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 10);
    });
}

#[test]
fn a_store_that_fails_for_a_minute_loses_nothing() {
    test_grid().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.faults().fail(Calls::Writes);
        counter.add(1).await.unwrap();
        grid.advance(Duration::from_secs(60)).await;
        assert!(grid.faults().writes() >= 10, "{:?}", grid.faults());
        grid.faults().heal();
        grid.persisted().await.unwrap();
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 2);
    });
}

#[test]
fn removed_entities_stay_removed() {
    test_grid().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(5).await.unwrap();
        grid.persisted().await.unwrap();
        assert!(grid.stored::<Counter>(1).await.unwrap().is_some());
        counter.remove().await.unwrap();
        grid.persisted().await.unwrap();
        assert!(grid.stored::<Counter>(1).await.unwrap().is_none());
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
    });
}

#[tokio::test]
async fn without_a_store_nothing_is_persisted_and_nothing_written_through() {
    let grid = in_memory().start().await.unwrap();
    assert_eq!(grid.persisted().await, Err(PersistError::NoStore));
    let error = in_memory()
        .entity::<Ledger>(EntityOptions::new().write_through())
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`ledger` is written through"), "{error}");
}
