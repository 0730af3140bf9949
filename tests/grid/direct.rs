//! Callers on the very thread that serves their partition.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fastness::{AskError, EntityOptions, Grid, GridBuilder, LeaveError, Threads};
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::entities::{Counter, CounterAdd, Wallet};
use crate::faulty_store::FaultyStore;
use crate::{manual_clock, stored};

fn here(builder: GridBuilder) -> GridBuilder {
    builder.partitions(4).threads(Threads::Current)
}

fn in_memory() -> GridBuilder {
    here(Grid::builder().entity::<Counter>(EntityOptions::new()))
}

#[tokio::test]
async fn an_ask_is_answered_at_its_first_poll() {
    LocalSet::new()
        .run_until(async {
            let grid = in_memory().start().await.unwrap();
            grid.entity::<Counter>(1).add(1).await.unwrap(); // opens the session
            let mut ask = Box::pin(grid.entity::<Counter>(1).add(1).into_future());
            let answer = std::future::poll_fn(|cx| match ask.as_mut().poll(cx) {
                std::task::Poll::Ready(answer) => std::task::Poll::Ready(Some(answer)),
                std::task::Poll::Pending => std::task::Poll::Ready(None),
            });
            assert_eq!(answer.await.expect("it need not wait").unwrap(), 2);
        })
        .await;
}

#[tokio::test]
async fn what_one_caller_sends_runs_in_order() {
    LocalSet::new()
        .run_until(async {
            let store = FaultyStore::new();
            let grid = here(stored(&store)).start().await.unwrap();
            let counter = grid.entity::<Counter>(1);
            for round in 0..200 {
                let tells = (1..=3).map(|by| counter.tell(CounterAdd { by }).detach());
                assert!(tells.into_iter().all(|told| told.is_ok()));
                assert_eq!(counter.value().await.unwrap(), 6 * (round + 1));
            }
        })
        .await;
}

#[tokio::test]
async fn a_task_that_asks_without_end_lets_others_go_on() {
    LocalSet::new()
        .run_until(async {
            let store = FaultyStore::new();
            let grid = here(stored(&store)).start().await.unwrap();
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
            // Timers, the store, and other callers have their turn.
            grid.entity::<Wallet>("bob").deposit(1).await.unwrap();
            grid.persisted().await.unwrap();
            is_over.set(true);
            busy.await.unwrap();
            assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), asks.get());
        })
        .await;
}

#[tokio::test]
async fn panics_errors_and_removals_are_as_ever() {
    LocalSet::new()
        .run_until(async {
            let store = FaultyStore::new();
            let grid = here(stored(&store)).start().await.unwrap();
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
        })
        .await;
}

#[tokio::test]
async fn where_there_is_no_room_the_ask_waits_for_its_deadline() {
    LocalSet::new()
        .run_until(async {
            let (store, clock) = (FaultyStore::new(), manual_clock());
            let limits = fastness::Limits { pending_records_max: 2, ..Default::default() };
            let grid = here(stored(&store)).limits(limits).clock(clock.clone());
            let grid = grid.partitions(1).start().await.unwrap();
            store.faults.set_down(true);
            grid.entity::<Wallet>("full").deposit(1).await.unwrap();
            let wallet = grid.entity::<Wallet>("bob");
            let ask = wallet.deposit(1).deadline(Duration::from_secs(3)).into_future();
            let ask = spawn_local(ask);
            while !ask.is_finished() {
                clock.advance(Duration::from_millis(100));
                yield_now().await;
            }
            let busy = ask.await.unwrap().unwrap_err();
            assert!(matches!(busy, AskError::Busy(_)), "{busy:?}");
        })
        .await;
}

#[tokio::test]
async fn several_grids_share_a_thread_and_end_one_by_one() {
    LocalSet::new()
        .run_until(async {
            let grids = [in_memory().start().await.unwrap(), in_memory().start().await.unwrap()];
            for (grid, by) in grids.iter().zip([1, 10]) {
                assert_eq!(grid.entity::<Counter>(1).add(by).await.unwrap(), by);
            }
            let [first, second] = grids;
            assert_eq!(first.leave().await, Ok::<(), LeaveError>(()));
            assert_eq!(second.entity::<Counter>(1).add(1).await.unwrap(), 11);
            drop(second);
        })
        .await;
}
