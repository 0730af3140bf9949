//! Each fault does what it says, and nothing else.

use std::time::Duration;

use fastness::testkit::{Calls, TestGrid, TestGridBuilder, row_key};
use fastness::{AskError, EntityOptions, Eviction, StartError};

use crate::{Counter, CounterAdd, failure};

const SECOND: Duration = Duration::from_secs(1);

/// Counters that are written through.
fn counters() -> TestGridBuilder {
    TestGrid::builder().entity::<Counter>(EntityOptions::new().write_through())
}

/// Counters of which few are in memory.
fn few() -> TestGridBuilder {
    let eviction = Eviction::new().entities_per_partition(2);
    let options = EntityOptions::new().evict(eviction).write_behind(Duration::ZERO);
    TestGrid::builder().partitions(1).entity::<Counter>(options)
}

async fn fill(grid: &TestGrid) {
    for key in 0..20 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
}

#[test]
fn writes_that_fail_are_tried_again() {
    counters().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        assert_eq!(counter.add(1).await.unwrap(), 1);
        grid.faults().fail(Calls::Writes);
        let mut add =
            Box::pin(counter.ask(CounterAdd { by: 1 }).deadline(60 * SECOND).into_future());
        tokio::select! {
            biased;
            _ = &mut add => panic!("acknowledged without the store"),
            () = grid.advance(10 * SECOND) => {}
        }
        assert!(grid.faults().writes() > 3, "{:?}", grid.faults());
        assert_eq!(grid.stored::<Counter>(1).await.unwrap(), Some(Counter { value: 1 }));
        grid.faults().heal();
        assert_eq!(grid.complete(add).await.unwrap(), 2);
        assert_eq!(grid.stored::<Counter>(1).await.unwrap(), Some(Counter { value: 2 }));
    });
}

#[test]
fn the_first_calls_succeed_and_those_after_them_fail() {
    counters().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.faults().fail_after(2, Calls::Writes);
        assert_eq!(counter.add(1).await.unwrap(), 2);
        assert_eq!(counter.add(1).await.unwrap(), 3);
        let add = counter.ask(CounterAdd { by: 1 }).deadline(SECOND);
        let error = grid.complete(add).await.unwrap_err();
        assert!(matches!(error, AskError::Indeterminate { .. }), "{error:?}");
    });
}

#[test]
fn held_writes_wait_and_go_on() {
    counters().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.faults().hold(Calls::Writes);
        let add = tokio::task::spawn_local(counter.add(1).into_future());
        grid.advance(5 * SECOND).await;
        assert_eq!(grid.faults().held(), 1);
        assert!(!add.is_finished());
        grid.faults().release();
        grid.settle().await;
        assert!(add.is_finished());
        assert_eq!(grid.faults().held(), 0);
        assert_eq!(add.await.unwrap().unwrap(), 2);
    });
}

#[test]
fn a_slow_store_takes_its_time_by_the_clock() {
    counters().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.faults().slow(Calls::Writes, grid.clock(), 3 * SECOND);
        let before = grid.clock().now();
        let add = counter.add(1);
        assert_eq!(grid.complete(add).await.unwrap(), 2);
        assert_eq!(grid.clock().now().saturating_since(before), 3 * SECOND);
    });
}

#[test]
fn records_are_refused_by_name_or_in_their_batch() {
    for by_name in [true, false] {
        counters().run(async |grid| {
            let three = row_key::<Counter>(3u64);
            match by_name {
                true => grid.faults().refuse_records(move |row| row.key == three),
                false => grid.faults().refuse_batches(move |row| row.key == three),
            }
            for key in 0..10 {
                let add = grid.entity::<Counter>(key).add(1);
                assert_eq!(grid.complete(add).await.unwrap(), 1);
            }
            let letters = grid.dead_letters().list().await.unwrap();
            assert_eq!(letters.len(), 1, "{letters:?}");
            assert_eq!(letters[0].key, "3");
            assert_eq!(grid.stored::<Counter>(3).await.unwrap(), None);
            assert_eq!(grid.stored::<Counter>(4).await.unwrap(), Some(Counter { value: 1 }));
        });
    }
}

#[test]
fn loads_fail_or_wait_while_writes_go_on() {
    few().run(async |grid| {
        fill(grid).await;
        grid.faults().fail(Calls::Loads);
        let value = grid.entity::<Counter>(0).value().deadline(SECOND);
        let error = grid.complete(value).await.unwrap_err();
        assert!(matches!(error, AskError::Busy(_)), "{error:?}");
        assert!(grid.faults().loads() > 1, "it was tried again");
        grid.entity::<Counter>(19).add(1).await.unwrap();
        grid.persisted().await.unwrap();
        grid.faults().heal();
        grid.faults().hold(Calls::Loads);
        let value = tokio::task::spawn_local(grid.entity::<Counter>(0).value().into_future());
        grid.advance(SECOND).await;
        assert!(!value.is_finished() && grid.faults().held() == 1);
        grid.faults().release();
        assert_eq!(value.await.unwrap().unwrap(), 1);
    });
}

#[test]
fn a_damaged_row_costs_its_entity_alone_and_the_next_start() {
    few().run(async |grid| {
        fill(grid).await;
        let three = row_key::<Counter>(3u64);
        grid.faults().damage(move |key| *key == three);
        for key in 0..20 {
            match (key, grid.entity::<Counter>(key).value().await) {
                (3, Err(AskError::Undecodable { reason })) => {
                    assert!(reason.contains("as the test decided"), "{reason}");
                }
                (_, found) => assert_eq!(found.unwrap(), 1),
            }
        }
        let error = grid.crash().await.unwrap_err();
        assert!(matches!(error, StartError::Store(_)), "{error:?}");
        grid.faults().heal();
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Counter>(3).value().await.unwrap(), 1);
    });
}

#[test]
fn calls_of_a_dead_process_change_nothing() {
    counters().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.faults().hold(Calls::Writes);
        let add = tokio::task::spawn_local(counter.add(1).into_future());
        grid.settle().await;
        assert_eq!(grid.faults().held(), 1);
        let _next = grid.store().crash();
        grid.settle().await;
        assert_eq!(grid.faults().held(), 0, "it has failed");
        grid.faults().release();
        grid.crash().await.unwrap();
        assert!(add.await.unwrap().is_err());
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 1);
    });
}

#[cfg(feature = "sled")]
#[test]
fn any_store_can_be_faulty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let store = fastness::testkit::FaultyStore::over(move || fastness::SledStore::open(&path));
    counters().store(&store).run(async |grid| {
        assert_eq!(grid.entity::<Counter>(1).add(1).await.unwrap(), 1);
        grid.faults().fail(Calls::All);
        let add = grid.entity::<Counter>(1).ask(CounterAdd { by: 1 }).deadline(SECOND);
        assert!(grid.complete(add).await.is_err());
        grid.faults().heal();
        grid.crash().await.unwrap();
        let value = grid.entity::<Counter>(1).value().await.unwrap();
        grid.restart().await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), value);
        let rows = grid.store().rows().await.unwrap();
        assert!(rows.iter().any(|row| row.entity_type() == "counter"), "{rows:?}");
    });
}

#[test]
fn a_grid_without_a_store_has_none_to_look_into() {
    let builder = TestGrid::builder().without_store().entity::<Counter>(EntityOptions::new());
    let message = failure(|| builder.run(async |grid| grid.faults().heal()));
    assert!(message.contains("with a store"), "{message}");
}
