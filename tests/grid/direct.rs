//! Callers on the very thread that serves their partition.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::Calls;
use fastness::{AskError, EntityOptions, Grid, LeaveError, Threads};
use tokio::sync::oneshot;
use tokio::task::{spawn_local, yield_now};

use crate::entities::{Counter, CounterAdd, Wallet, WalletDeposit};
use crate::test_grid;

#[test]
fn an_ask_is_answered_at_its_first_poll() {
    test_grid().run(async |grid| {
        grid.entity::<Counter>(1).add(1).await.unwrap(); // opens the session
        let mut ask = Box::pin(grid.entity::<Counter>(1).add(1).into_future());
        let answer = std::future::poll_fn(|cx| match ask.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        });
        assert_eq!(answer.await.expect("it need not wait").unwrap(), 2);
    });
}

#[test]
fn what_one_caller_sends_runs_in_order() {
    test_grid().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        for round in 0..200 {
            let tells = (1..=3).map(|by| counter.tell(CounterAdd { by }).detach());
            assert!(tells.into_iter().all(|told| told.is_ok()));
            assert_eq!(counter.value().await.unwrap(), 6 * (round + 1));
        }
    });
}

#[test]
fn more_asks_than_a_task_has_turns_run_in_order() {
    test_grid().run(async |grid| {
        let wallet = grid.entity::<Wallet>("bob");
        wallet.deposit(0).await.unwrap(); // opens the session
        let asks = (1..=500).map(|amount| Box::pin(wallet.deposit(amount).into_future()));
        let mut asks: Vec<_> = asks.map(Some).collect();
        let mut last = Some(wallet.tell(WalletDeposit { amount: 501 }));
        std::future::poll_fn(|cx| {
            for ask in &mut asks {
                if ask.as_mut().is_some_and(|ask| ask.as_mut().poll(cx).is_ready()) {
                    *ask = None;
                }
            }
            // In the same turn: whatever was polled before was sent before.
            if let Some(last) = last.take() {
                assert!(last.detach().is_ok());
            }
            if asks.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let log = wallet.log().await.unwrap();
        let wanted: Vec<String> = (0..=501).map(|amount| format!("+{amount}")).collect();
        assert_eq!(log, wanted);
    });
}

/// Where the tasks that `Scout` spawns find their grid, and say what they found.
static SCOUTED: OnceLock<Grid> = OnceLock::new();
static FOUND: Mutex<Option<oneshot::Sender<Vec<u64>>>> = Mutex::new(None);

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Scout {}

#[handlers]
impl Scout {
    /// Asks every counter, from a task of the thread that serves this scout.
    fn look(&mut self) {
        let found = FOUND.lock().unwrap().take().unwrap();
        spawn_local(async move {
            let mut values = Vec::new();
            for key in 0..100 {
                let counter = SCOUTED.get().unwrap().entity::<Counter>(key);
                values.push(counter.value().await.unwrap());
            }
            found.send(values).unwrap();
        });
    }
}

#[test]
fn a_caller_on_another_partitions_thread_reaches_the_right_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let threads = Threads::PerCore(2.try_into().unwrap());
        let builder = Grid::builder().partitions(7).threads(threads);
        let types = builder.entity::<Counter>(EntityOptions::new());
        let grid = types.entity::<Scout>(EntityOptions::new()).start().await.unwrap();
        assert!(SCOUTED.set(grid.clone()).is_ok());
        for key in 0..100 {
            grid.entity::<Counter>(key).add(key).await.unwrap();
        }
        for scout in 0..20 {
            let (sender, found) = oneshot::channel();
            *FOUND.lock().unwrap() = Some(sender);
            grid.entity::<Scout>(scout).look().await.unwrap();
            assert_eq!(found.await.unwrap(), (0..100).collect::<Vec<u64>>());
        }
        grid.leave().await.unwrap();
    });
}

#[test]
fn a_task_that_asks_without_end_lets_others_go_on() {
    test_grid().run(async |grid| {
        let (asks, is_over) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(false)));
        let (counted, over) = (Rc::clone(&asks), Rc::clone(&is_over));
        let counter = grid.entity::<Counter>(1);
        let busy = spawn_local(async move {
            while !over.get() {
                counter.add(1).await.unwrap();
                counted.set(counted.get() + 1);
            }
        });
        while asks.get() < 1000 {
            yield_now().await;
        }
        // Control messages, the store, and other callers have their turn.
        grid.entity::<Wallet>("bob").deposit(1).await.unwrap();
        grid.persisted().await.unwrap();
        is_over.set(true);
        busy.await.unwrap();
        assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), asks.get());
    });
}

#[test]
fn panics_errors_and_removals_are_as_ever() {
    test_grid().run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(5).await.unwrap();
        let panicked = counter.explode().await.unwrap_err();
        assert!(matches!(panicked, AskError::Panicked { .. }), "{panicked:?}");
        assert_eq!(counter.value().await.unwrap(), 5);
        counter.remove().await.unwrap();
        assert_eq!(counter.value().await.unwrap(), 0);
        let wallet = grid.entity::<Wallet>("bob");
        wallet.deposit(5).await.unwrap();
        assert_eq!(wallet.withdraw(7).await.unwrap().unwrap_err().missing, 2);
        assert_eq!(wallet.log().await.unwrap(), ["+5"]);
        grid.leave().await.unwrap();
        let left = wallet.balance().await.unwrap_err();
        assert!(matches!(left, AskError::Unavailable(_)), "{left:?}");
    });
}

#[test]
fn where_there_is_no_room_the_ask_waits_for_its_deadline() {
    let limits = fastness::Limits { pending_records_max: 2, ..Default::default() };
    test_grid().limits(limits).partitions(1).run(async |grid| {
        grid.faults().fail(Calls::Writes);
        grid.entity::<Wallet>("full").deposit(1).await.unwrap();
        let before = grid.clock().now();
        let deposit = grid.entity::<Wallet>("bob").deposit(1).deadline(Duration::from_secs(3));
        let busy = grid.complete(deposit).await.unwrap_err();
        assert!(matches!(busy, AskError::Busy(_)), "{busy:?}");
        assert_eq!(grid.clock().now(), before + Duration::from_secs(3));
    });
}

#[test]
fn several_grids_share_a_thread_and_end_one_by_one() {
    test_grid().run(async |first| {
        let second = Grid::builder().threads(Threads::Current).partitions(4);
        let second = second.entity::<Counter>(EntityOptions::new()).start().await.unwrap();
        for (grid, by) in [(&**first, 1), (&second, 10)] {
            assert_eq!(grid.entity::<Counter>(1).add(by).await.unwrap(), by);
        }
        assert_eq!(first.leave().await, Ok::<(), LeaveError>(()));
        assert_eq!(second.entity::<Counter>(1).add(1).await.unwrap(), 11);
    });
}
