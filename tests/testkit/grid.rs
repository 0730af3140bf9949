//! A grid in the test's own thread.

use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore, STARTED_AT, TestGrid, TestGridBuilder};
use fastness::{AskError, EntityOptions, LeaveError, Limits, ManualClock, PersistError};

use crate::{Counter, CounterAdd, failure};

const SECOND: Duration = Duration::from_secs(1);

/// Counters that are stored a second after their first change.
fn counters() -> TestGridBuilder {
    TestGrid::builder().entity::<Counter>(EntityOptions::new().write_behind(SECOND))
}

#[test]
fn what_is_due_happens_at_its_time_and_not_earlier() {
    counters().run(async |grid| {
        assert_eq!(grid.clock().now(), STARTED_AT);
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.advance(SECOND - Duration::from_nanos(1)).await;
        assert_eq!(grid.stored::<Counter>(1).await.unwrap(), None);
        grid.advance(Duration::from_nanos(1)).await;
        assert_eq!(grid.stored::<Counter>(1).await.unwrap(), Some(Counter { value: 1 }));
        assert_eq!(grid.clock().now(), STARTED_AT + SECOND);
    });
}

#[test]
fn the_clock_stops_at_everything_on_its_way() {
    counters().run(async |grid| {
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.faults().fail(Calls::Writes);
        grid.advance(60 * SECOND).await;
        // Retries from 50 ms, doubling, to 5 s, with jitter: in a minute there is time for these.
        let tries = grid.faults().writes();
        assert!((10..60).contains(&tries), "{tries} tries");
    });
}

#[test]
fn a_crash_loses_what_is_not_stored_and_a_restart_nothing() {
    let result: Result<(), Box<dyn std::error::Error>> = counters().run(async |grid| {
        let before = grid.entity::<Counter>(1);
        before.add(1).await?;
        grid.persisted().await?;
        before.add(10).await?;
        grid.crash().await?;
        let error = before.add(1).await.unwrap_err();
        assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
        let counter = grid.entity::<Counter>(1);
        assert_eq!(counter.value().await?, 1);
        counter.add(100).await?;
        grid.restart().await?;
        assert_eq!(grid.entity::<Counter>(1).value().await?, 101);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn clones_of_a_grid_do_not_keep_it_from_crashing() {
    counters().run(async |grid| {
        let clone = (**grid).clone();
        grid.crash().await.unwrap();
        assert_eq!(clone.persisted().await, Err(PersistError::Unavailable));
        grid.entity::<Counter>(1).add(1).await.unwrap();
    });
}

#[test]
fn a_restart_that_could_not_store_everything_says_so_and_goes_on() {
    counters().run(async |grid| {
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.faults().fail_after(0, Calls::Writes);
        let error = grid.restart().await.unwrap_err();
        assert!(error.to_string().contains("as the test decided"), "{error}");
        grid.faults().heal();
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.faults().hold(Calls::Writes);
        assert!(matches!(grid.leave().await, Err(LeaveError::Incomplete { .. })));
    });
}

#[test]
fn a_store_is_handed_from_test_grid_to_test_grid() {
    let store = FaultyStore::new();
    let clock = ManualClock::new(STARTED_AT + 3600 * SECOND);
    for value in 1..=3 {
        counters().store(&store).clock(&clock).run(async |grid| {
            assert_eq!(grid.entity::<Counter>(1).add(1).await.unwrap(), value);
            grid.advance(SECOND).await;
        });
    }
    assert_eq!(clock.now(), STARTED_AT + 3603 * SECOND);
}

#[test]
fn a_condition_is_awaited_by_moving_the_clock() {
    counters().run(async |grid| {
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.advance_until(async || grid.faults().writes() > 0).await;
        assert!(grid.stored::<Counter>(1).await.unwrap().is_some());
    });
}

#[test]
fn what_never_comes_fails_the_test_at_once() {
    let message = failure(|| {
        let grid = counters().without_store();
        grid.run(async |grid| grid.advance_until(async || false).await)
    });
    assert!(message.contains("grid.rs:") && message.contains("nothing is due"), "{message}");
    let message = failure(|| {
        counters().run(async |grid| {
            grid.faults().fail(Calls::Writes);
            grid.entity::<Counter>(1).add(1).await.unwrap();
            grid.advance_until(async || false).await;
        });
    });
    assert!(message.contains("of the test's clock"), "{message}");
    let message = failure(|| {
        counters().run(async |grid| {
            grid.faults().fail(Calls::Writes);
            grid.entity::<Counter>(1).add(1).await.unwrap();
            let _ = (**grid).persisted().await; // nobody moves the clock
        });
    });
    assert!(message.contains("while the clock stands still"), "{message}");
}

#[test]
fn a_test_may_wait_for_other_threads_if_it_says_so() {
    counters().may_wait_outside().run(async |grid| {
        let by = tokio::task::spawn_blocking(|| 5).await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).add(by).await.unwrap(), 5);
        let complete = grid.complete(tokio::task::spawn_blocking(|| 5)).await;
        assert_eq!(complete.unwrap(), 5);
    });
}

#[test]
fn every_setting_of_the_builder_is_within_reach() {
    let limits = Limits { state_bytes_max: 4, ..Limits::default() };
    let builder = counters().limits(limits).partitions(9).default_deadline(5 * SECOND);
    builder.configure(|builder| builder.name("shop")).run(async |grid| {
        assert!(format!("{:?}", **grid).contains("partitions: 9"));
        let error = grid.entity::<Counter>(1).add(1).await.unwrap_err();
        assert!(matches!(error, AskError::TooLarge { what: "state", .. }), "{error:?}");
        assert_eq!(grid.crash().await.map_err(|error| error.to_string()), Ok(()));
    });
    let message = failure(|| counters().partitions(0).run(async |_| ()));
    assert!(message.starts_with("start the test's grid: configuration:"), "{message}");
}

#[test]
fn thousands_of_tasks_are_idle_only_when_all_are() {
    counters().run(async |grid| {
        let asks: Vec<_> = (0..5000u64)
            .map(|key| {
                tokio::task::spawn_local(grid.entity::<Counter>(key % 7).add(1).into_future())
            })
            .collect();
        grid.settle().await;
        assert!(asks.iter().all(|ask| ask.is_finished()));
        grid.advance(SECOND).await;
        let mut sum = 0;
        for key in 0..7u64 {
            sum += grid.stored::<Counter>(key).await.unwrap().unwrap().value;
        }
        assert_eq!(sum, 5000);
        let busy = grid.entity::<Counter>(1).ask(CounterAdd { by: 1 });
        assert!(busy.await.is_ok());
    });
}
