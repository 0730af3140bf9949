//! Exactly once: retries, durable sessions, and what happens to late tries.

use std::time::Duration;

use fastness::testkit::FaultyStore;
use fastness::{AskError, Limits, RequestId};

use crate::entities::{Counter, CounterAdd, CounterExplode, CounterRemove, Overdrawn, Wallet};
use crate::entities::{Ledger, WalletWithdraw};
use crate::{in_memory, manual_clock, stored};

#[tokio::test]
async fn a_request_runs_once_and_every_retry_hears_its_answer() {
    let grid = in_memory().start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let counter = grid.entity::<Counter>(1);
    for _ in 0..3 {
        let add = counter.ask(CounterAdd { by: 5 }).request(session.request(1));
        assert_eq!(add.await.unwrap(), 5);
    }
    // The same number goes to another entity, too.
    let other = grid.entity::<Counter>(2);
    let add = other.ask(CounterAdd { by: 5 }).request(session.request(1));
    assert_eq!(add.await.unwrap(), 5);
    assert_eq!(counter.value().await.unwrap(), 5);
}

#[tokio::test]
async fn errors_and_panics_are_answers_too() {
    let grid = in_memory().start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let wallet = grid.entity::<Wallet>("bob");
    let withdraw = || wallet.ask(WalletWithdraw { amount: 1 }).request(session.request(1));
    assert_eq!(withdraw().await.unwrap(), Err(Overdrawn { missing: 1 }));
    wallet.deposit(10).await.unwrap();
    assert_eq!(withdraw().await.unwrap(), Err(Overdrawn { missing: 1 }), "as it was answered");
    let counter = grid.entity::<Counter>(1);
    let explode = || counter.ask(CounterExplode {}).request(session.request(2));
    for _ in 0..2 {
        let error = explode().await.unwrap_err();
        assert!(matches!(&error, AskError::Panicked { message } if message == "boom at 1000"));
    }
}

#[tokio::test]
async fn a_number_is_not_for_two_messages() {
    let grid = in_memory().start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.ask(CounterAdd { by: 1 }).request(session.request(1)).await.unwrap();
    let error = counter.ask(CounterRemove {}).request(session.request(1)).await.unwrap_err();
    assert!(matches!(error, AskError::RequestReused { .. }), "{error:?}");
}

#[tokio::test]
async fn below_the_checkpoint_nothing_runs_any_more() {
    let grid = in_memory().start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.ask(CounterAdd { by: 1 }).request(session.request(1)).await.unwrap();
    session.checkpoint(5);
    for number in [1, 5] {
        // The answer of 1 may still be there until its entity is written again.
        let add = counter.ask(CounterAdd { by: 1 }).request(session.request(number)).await;
        assert!(matches!(add, Ok(1) | Err(AskError::Expired { .. })), "{number}: {add:?}");
    }
    counter.ask(CounterAdd { by: 1 }).request(session.request(6)).await.unwrap();
    let error = counter.ask(CounterAdd { by: 1 }).request(session.request(1)).await.unwrap_err();
    assert!(matches!(error, AskError::Expired { .. }), "{error:?}");
    assert_eq!(counter.value().await.unwrap(), 2);
}

#[tokio::test]
async fn a_durable_session_survives_a_crash_with_its_answers() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    for number in 1..=3 {
        let enter = ledger.enter().request(session.request(number));
        assert_eq!(enter.await.unwrap(), number);
    }
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    // The source is not certain, and asks everything again.
    for number in 1..=4 {
        let enter = ledger.enter().request(session.request(number));
        assert_eq!(enter.await.unwrap(), number);
    }
    assert_eq!(ledger.entries().await.unwrap(), 4);
}

#[tokio::test]
async fn a_closed_session_is_over() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let request = session.request(1);
    let counter = grid.entity::<Counter>(1);
    counter.ask(CounterAdd { by: 1 }).request(request).await.unwrap();
    session.close().await.unwrap();
    let error = counter.ask(CounterAdd { by: 1 }).request(request).await.unwrap_err();
    assert!(matches!(error, AskError::Expired { .. }), "{error:?}");
    // Opened anew under the same name, it starts anew.
    let session = grid.session("import").await.unwrap();
    let add = counter.ask(CounterAdd { by: 1 }).request(session.request(1));
    assert_eq!(add.await.unwrap(), 2);
}

#[tokio::test]
async fn requests_of_unknown_sessions_are_expired() {
    let grid = in_memory().start().await.unwrap();
    let request = RequestId { session: fastness::SessionId(7), number: 1 };
    let error = grid.entity::<Counter>(1).add(1).request(request).await.unwrap_err();
    assert!(matches!(error, AskError::Expired { .. }), "{error:?}");
}

#[tokio::test]
async fn a_session_that_was_idle_too_long_is_opened_anew_without_the_caller_noticing() {
    let clock = manual_clock();
    let limits = Limits { session_idle: Duration::from_secs(60), ..Limits::default() };
    let grid = in_memory().partitions(1).limits(limits).clock(clock.clone()).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(1).await.unwrap();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(counter.add(1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_type_that_keeps_no_answers_takes_no_requests() {
    let grid = fastness::Grid::builder()
        .entity::<Counter>(fastness::EntityOptions::new().at_most_once())
        .start()
        .await
        .unwrap();
    let session = grid.session("import").await.unwrap();
    let counter = grid.entity::<Counter>(1);
    let error = counter.ask(CounterAdd { by: 1 }).request(session.request(1)).await.unwrap_err();
    assert!(matches!(error, AskError::NoAnswersKept { name: "counter" }), "{error:?}");
    assert_eq!(counter.add(1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_source_that_runs_too_far_ahead_waits_for_its_checkpoint() {
    let limits = Limits { session_window_max: 4, asks_per_partition_max: 4, ..Limits::default() };
    let grid = in_memory().limits(limits).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let counter = grid.entity::<Counter>(1);
    let far = counter.ask(CounterAdd { by: 1 }).request(session.request(5));
    let mut far = Box::pin(far.into_future());
    tokio::select! {
        biased;
        _ = &mut far => panic!("5 is more than 4 ahead of 0"),
        done = counter.ask(CounterAdd { by: 1 }).request(session.request(4)).into_future() => {
            done.unwrap();
        }
    }
    session.checkpoint(1);
    assert_eq!(far.await.unwrap(), 2);
}

#[tokio::test]
async fn what_was_forgotten_before_a_crash_is_too_late_after_it() {
    let store = FaultyStore::new();
    let grid = stored(&store).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    ledger.enter().request(session.request(1)).await.unwrap();
    session.checkpoint(1);
    ledger.enter().request(session.request(2)).await.unwrap(); // forgets the answer of 1
    session.checkpoint(2);
    // Another entity of the partition brings the news.
    let other = grid.entity::<Counter>(1);
    other.ask(CounterAdd { by: 1 }).request(session.request(3)).await.unwrap();
    ledger.grow(1).await.unwrap(); // written without any answer of the session
    grid.persisted().await.unwrap();
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    let ledger = grid.entity::<Ledger>(1);
    for number in [1, 2] {
        let again = ledger.enter().request(session.request(number)).await;
        assert!(matches!(again, Err(AskError::Expired { .. })), "{number}: {again:?}");
    }
    assert_eq!(ledger.entries().await.unwrap(), 2);
}
