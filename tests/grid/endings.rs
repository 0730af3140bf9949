//! How grids end, and what becomes of those who still ask.

use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore};
use fastness::{
    AskError, DeadLetterError, LeaveError, Limits, PersistError, SessionError, StartError,
};

use crate::entities::{Counter, CounterAdd, Gate, Ledger, gates};
use crate::{advance_until, in_memory, manual_clock, stored, test_grid};

#[tokio::test]
async fn leaving_drains_and_leaving_twice_is_leaving_once() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(3).await.unwrap();
    let (first, second) = tokio::join!(grid.leave(), grid.leave());
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(grid.leave().await, Ok(()));

    let error = counter.add(1).await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(CounterAdd { by: 1 })), "{error:?}");
    assert_eq!(grid.persisted().await, Err(PersistError::Unavailable));
    assert_eq!(grid.session("late").await.unwrap_err(), SessionError::Unavailable);
    assert_eq!(grid.dead_letters().list().await.unwrap_err(), DeadLetterError::Unavailable);

    // The store was closed: it can be opened again at once.
    let grid = stored(&store).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 3);
}

#[tokio::test]
async fn asks_under_way_are_answered_before_the_grid_is_left() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    store.faults().hold(Calls::Writes);
    let ledger = grid.entity::<Ledger>(1);
    let ask = tokio::spawn(ledger.enter().into_future());
    let counter = grid.entity::<Counter>(1);
    while !ask.is_finished() && counter.add(1).await.unwrap() < 100 {}
    let leaving = tokio::spawn({
        let grid = grid.clone();
        async move { grid.leave().await }
    });
    while counter.add(1).await.is_ok() {}
    store.faults().release();
    assert_eq!(ask.await.unwrap().unwrap(), 1);
    assert_eq!(leaving.await.unwrap(), Ok(()));
}

#[test]
fn a_store_that_stays_down_does_not_keep_the_process_for_ever_and_leave_says_so() {
    test_grid().run(async |grid| {
        grid.faults().fail(Calls::Writes);
        for key in 0..5 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        let before = grid.clock().now();
        let Err(LeaveError::Incomplete { pending }) = grid.leave().await else {
            panic!("nothing was stored");
        };
        assert!(pending >= 5, "{pending}");
        assert_eq!(grid.clock().now(), before + Limits::default().leave_max);
    });
}

#[tokio::test]
async fn a_handler_that_never_returns_does_not_keep_leave_from_returning() {
    let clock = manual_clock();
    let grid = in_memory().partitions(1).clock(clock.clone()).start().await.unwrap();
    let gate = grid.entity::<Gate>(800);
    gate.passed().await.unwrap();
    let (arrived, open) = gates::close(800);
    let slow = tokio::spawn(gate.pass().into_future());
    tokio::task::spawn_blocking(move || arrived.recv().unwrap()).await.unwrap();
    let leaving = tokio::spawn({
        let grid = grid.clone();
        async move { grid.leave().await }
    });
    advance_until(&clock, async || leaving.is_finished()).await;
    assert_eq!(leaving.await.unwrap(), Err(LeaveError::Incomplete { pending: 0 }));
    let error = slow.await.unwrap().unwrap_err();
    assert!(matches!(error, AskError::Indeterminate { .. }), "{error:?}");
    open.send(()).unwrap();
}

#[tokio::test]
async fn leaving_goes_on_where_a_cancelled_call_stopped() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    grid.entity::<Counter>(1).add(1).await.unwrap();
    store.faults().hold(Calls::Writes);
    tokio::select! {
        biased;
        _ = grid.leave() => panic!("the store does not answer"),
        () = async { while grid.entity::<Counter>(1).add(1).await.is_ok() {} } => {}
    }
    store.faults().release();
    assert_eq!(grid.leave().await, Ok(()));
}

#[tokio::test]
async fn dropping_a_grid_without_leaving_is_a_crash_for_those_who_ask() {
    let grid = in_memory().start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(1).await.unwrap();
    drop(grid);
    let error = counter.add(1).await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn dropping_a_grid_ends_asks_under_way_as_indeterminate() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    store.faults().hold(Calls::Writes);
    let ledger = grid.entity::<Ledger>(1);
    let ask = tokio::spawn(ledger.enter().into_future());
    let counter = grid.entity::<Counter>(1); // the same partition, later
    for _ in 0..100 {
        counter.add(1).await.unwrap();
    }
    drop(grid);
    let error = ask.await.unwrap().unwrap_err();
    assert!(matches!(error, AskError::Indeterminate { request: Some(_) }), "{error:?}");
    store.faults().release();
}

#[tokio::test]
async fn a_store_has_one_grid_at_a_time() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let error = stored(&store).start().await.unwrap_err();
    assert!(matches!(error, StartError::Store(fastness::store::Error::Locked { .. })), "{error:?}");
    grid.entity::<Counter>(1).add(1).await.unwrap();
    grid.leave().await.unwrap();
}

#[tokio::test]
async fn a_grid_whose_store_was_taken_by_another_stops() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let grid = stored(&store).clock(clock.clone()).start().await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    ledger.enter().await.unwrap();
    // An operator's mistake: the fences are raised under a live grid.
    use fastness::store::Store;
    let fences: Vec<_> = (0..8).map(|p| (fastness::PartitionId(p), fastness::Epoch(100))).collect();
    store.raise_fences(&fences).await.unwrap();
    let error = ledger.enter().await.unwrap_err();
    assert!(matches!(error, AskError::Indeterminate { .. }), "{error:?}");
    let error = ledger.enter().await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
    // A write-behind change of another partition finds it out only when it is left.
    let counters: Vec<_> = (0..50).map(|key| grid.entity::<Counter>(key)).collect();
    for counter in &counters {
        let _ = counter.add(1).await; // those of the ledger's partition are refused
    }
    for _ in 0..2 {
        assert_eq!(grid.persisted().await, Err(PersistError::Unavailable));
    }
    let Err(LeaveError::Incomplete { pending }) = grid.leave().await else {
        panic!("what is not stored must not be said to be");
    };
    assert!(pending > 0);
}

#[tokio::test]
async fn a_store_of_another_grid_or_partition_count_is_refused() {
    let store = FaultyStore::new();
    stored(&store).name("shop").start().await.unwrap().leave().await.unwrap();
    let error = stored(&store.crash()).name("bank").start().await.unwrap_err();
    assert_eq!(error.to_string(), "the store has grid `shop`, not `bank`");
    let error = stored(&store.crash()).name("shop").partitions(16).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the store has partition count `8`, not `16`");
    stored(&store.crash()).name("shop").start().await.unwrap().leave().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_with_all_mistakes_at_once() {
    let limits = Limits {
        retry_min: Duration::from_secs(9),
        retry_max: Duration::from_secs(1),
        ..Limits::default()
    };
    let error = in_memory()
        .partitions(0)
        .entity::<Counter>(Default::default())
        .limits(limits)
        .start()
        .await
        .unwrap_err();
    let StartError::Configuration(mistakes) = error else { panic!("{error:?}") };
    for mistake in ["at least one partition", "named `counter`", "retry_min"] {
        assert!(mistakes.contains(mistake), "{mistake} is not in: {mistakes}");
    }
}
