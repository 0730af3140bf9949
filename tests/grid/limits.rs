//! Bounds: what is over one is refused with a typed error, and costs nobody else anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore, TestGrid};
use fastness::{AskError, EntityOptions, Limits};
use tokio::task::spawn_local;

use crate::entities::{Counter, CounterAdd, Gate, GatePass, Ledger, Wallet, gates};
use crate::{advance_until, in_memory, manual_clock, stored, test_grid};

#[tokio::test]
async fn a_state_of_20_megabytes_is_refused_and_undone() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    ledger.enter().await.unwrap();
    let error = ledger.grow(20 << 20).await.unwrap_err();
    let AskError::TooLarge { what: "state", bytes, max_bytes } = error else {
        panic!("{error:?}");
    };
    assert!(bytes > 20 << 20 && max_bytes == 8 << 20);
    assert_eq!(ledger.enter().await.unwrap(), 2);
    assert_eq!(ledger.grow(1 << 20).await.unwrap(), 1 << 20);
}

#[tokio::test]
async fn keys_and_replies_over_the_limit_are_refused() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let error = grid.entity::<Wallet>("x".repeat(2000)).deposit(1).await.unwrap_err();
    assert!(matches!(error, AskError::TooLarge { what: "key", bytes: 2002, max_bytes: 1024 }));
    let ledger = grid.entity::<Ledger>(1);
    let error = ledger.echo(2 << 20).await.unwrap_err();
    assert!(matches!(error, AskError::TooLarge { what: "reply", .. }), "{error:?}");
    assert_eq!(ledger.entries().await.unwrap(), 0, "undone");
}

#[tokio::test]
async fn an_entity_type_that_the_grid_does_not_have_is_refused() {
    let grid = in_memory().start().await.unwrap();
    let error = grid.entity::<Ledger>(1).enter().await.unwrap_err();
    assert!(matches!(error, AskError::UnknownEntityType { name: "ledger" }), "{error:?}");
}

#[tokio::test]
async fn while_a_handler_takes_its_time_others_hear_busy_and_its_caller_indeterminate() {
    let clock = manual_clock();
    let grid = in_memory().partitions(1).clock(clock.clone()).start().await.unwrap();
    let gate = grid.entity::<Gate>(100);
    gate.passed().await.unwrap();
    let (arrived, open) = gates::close(100);
    let slow = tokio::spawn(gate.ask(GatePass {}).deadline(Duration::from_secs(1)).into_future());
    tokio::task::spawn_blocking(move || arrived.recv().unwrap()).await.unwrap();
    // The thread of the partition is busy now.
    let counter = grid.entity::<Counter>(1);
    let queued = counter.ask(CounterAdd { by: 5 }).deadline(Duration::from_millis(500));
    let queued = tokio::spawn(queued.into_future());
    advance_until(&clock, async || queued.is_finished()).await;
    let error = queued.await.unwrap().unwrap_err();
    assert!(matches!(error, AskError::Busy(CounterAdd { by: 5 })), "{error:?}");
    advance_until(&clock, async || slow.is_finished()).await;
    let Err(AskError::Indeterminate { request: Some(request) }) = slow.await.unwrap() else {
        panic!("its outcome cannot be known");
    };
    open.send(()).unwrap();
    // The retry hears what became of it, and does not run it again.
    assert_eq!(gate.ask(GatePass {}).request(request).await.unwrap(), 1);
    assert_eq!(gate.passed().await.unwrap(), 1);
    assert_eq!(counter.value().await.unwrap(), 0, "what was busy never ran");
}

#[tokio::test]
async fn a_caller_that_gives_up_before_its_handler_begins_leaves_no_trace() {
    let grid = in_memory().partitions(1).start().await.unwrap();
    let gate = grid.entity::<Gate>(200);
    gate.passed().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(1).await.unwrap();
    let (arrived, open) = gates::close(200);
    let slow = tokio::spawn(gate.pass().into_future());
    tokio::task::spawn_blocking(move || arrived.recv().unwrap()).await.unwrap();
    {
        let mut ask = Box::pin(counter.add(10).into_future());
        tokio::select! {
            biased;
            _ = &mut ask => panic!("its thread is busy"),
            () = tokio::task::yield_now() => {} // it is queued, and now forgotten
        }
    }
    open.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap(), 1);
    assert_eq!(counter.add(1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_partition_says_busy_with_the_message_and_recovers() {
    let clock = manual_clock();
    let limits = Limits { asks_per_partition_max: 4, ..Limits::default() };
    let grid = in_memory().partitions(1).limits(limits).clock(clock.clone()).start().await.unwrap();
    let gate = grid.entity::<Gate>(300);
    gate.passed().await.unwrap();
    let (arrived, open) = gates::close(300);
    let slow = tokio::spawn(gate.pass().into_future());
    tokio::task::spawn_blocking(move || arrived.recv().unwrap()).await.unwrap();
    let counter = grid.entity::<Counter>(1);
    for _ in 0..3 {
        counter.tell(CounterAdd { by: 1 }).detach().unwrap();
    }
    let error = counter.tell(CounterAdd { by: 9 }).detach().unwrap_err();
    assert!(matches!(error, AskError::Busy(CounterAdd { by: 9 })), "{error:?}");
    let waiting = counter.ask(CounterAdd { by: 7 }).deadline(Duration::from_secs(1));
    let waiting = tokio::spawn(waiting.into_future());
    advance_until(&clock, async || waiting.is_finished()).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, AskError::Busy(CounterAdd { by: 7 })), "{error:?}");
    open.send(()).unwrap();
    slow.await.unwrap().unwrap();
    assert_eq!(counter.add(1).await.unwrap(), 4);
}

#[test]
fn a_full_queue_to_the_store_holds_back_writers_and_not_readers() {
    let limits = Limits { pending_records_max: 10, ..Limits::default() };
    let builder = TestGrid::builder().partitions(1).limits(limits);
    builder.entity::<Counter>(EntityOptions::new().at_most_once()).run(async |grid| {
        grid.faults().fail(Calls::Writes);
        for key in 0..10 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        let add = grid.entity::<Counter>(10).ask(CounterAdd { by: 3 });
        let held_back = spawn_local(add.deadline(Duration::from_secs(1)).into_future());
        // Reads go on, but for those of an entity that a write waits for.
        assert_eq!(grid.entity::<Counter>(5).value().await.unwrap(), 1);
        grid.advance(Duration::from_millis(999)).await;
        assert!(!held_back.is_finished());
        grid.advance(Duration::from_millis(1)).await;
        let error = held_back.await.unwrap().unwrap_err();
        assert!(matches!(error, AskError::Busy(CounterAdd { by: 3 })), "{error:?}");

        let patient = spawn_local(grid.entity::<Counter>(10).add(4).into_future());
        grid.settle().await;
        grid.faults().heal();
        let value = grid.complete(patient).await.unwrap().unwrap();
        assert_eq!(value, 4, "what was busy never ran");
    });
}

#[test]
fn a_detached_write_waits_for_the_store_however_long_that_takes() {
    let limits = Limits { pending_records_max: 1, ..Limits::default() };
    test_grid().limits(limits).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.persisted().await.unwrap();
        grid.faults().fail(Calls::Writes);
        counter.add(1).await.unwrap(); // fills the queue
        counter.tell(CounterAdd { by: 10 }).detach().unwrap();
        grid.advance(Duration::from_secs(1000)).await;
        grid.faults().heal();
        assert_eq!(grid.complete(counter.value()).await.unwrap(), 12);
    });
}

#[test]
fn a_detached_write_waits_for_a_store_that_does_not_answer() {
    let limits = Limits { pending_records_max: 1, ..Limits::default() };
    test_grid().limits(limits).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(1).await.unwrap();
        grid.persisted().await.unwrap();
        grid.faults().hold(Calls::Writes);
        counter.add(10).await.unwrap(); // fills the queue
        counter.tell(CounterAdd { by: 100 }).detach().unwrap();
        let read = spawn_local(counter.value().into_future()); // behind the write
        grid.advance(Duration::from_secs(1)).await;
        assert!(grid.faults().held() == 1 && !read.is_finished());
        grid.faults().release();
        assert_eq!(read.await.unwrap().unwrap(), 111);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_callers_at_once_are_all_served() {
    let grid = in_memory().default_deadline(Duration::from_secs(600)).start().await.unwrap();
    let total = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..100_000u64 {
        let (counter, total) = (grid.entity::<Counter>(caller % 100), Arc::clone(&total));
        callers.spawn(async move {
            counter.add(1).await.unwrap();
            total.fetch_add(1, Ordering::Relaxed);
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(total.load(Ordering::Relaxed), 100_000);
    let mut sum = 0;
    for key in 0..100 {
        sum += grid.entity::<Counter>(key).value().await.unwrap();
    }
    assert_eq!(sum, 100_000);
    grid.leave().await.unwrap();
}
