//! Asking and telling, without a store.

use fastness::prelude::*;
use fastness::{AskError, EntityOptions, Grid};

use crate::entities::{Counter, CounterAdd, Overdrawn, Wallet, gates};
use crate::in_memory;

#[tokio::test]
async fn an_ask_runs_its_handler_and_returns_its_reply() {
    let grid = in_memory().start().await.unwrap();
    let counter = grid.entity::<Counter>(7);
    assert_eq!(counter.add(2).await.unwrap(), 2);
    assert_eq!(counter.ask(CounterAdd { by: 3 }).await.unwrap(), 5);
    counter.tell(CounterAdd { by: 1 }).await.unwrap();
    counter.tell(CounterAdd { by: 1 }).detach().unwrap();
    assert_eq!(counter.value().await.unwrap(), 7);
    assert_eq!(grid.entity::<Counter>(8).value().await.unwrap(), 0, "never written is default");
    grid.leave().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_fails_changes_nothing() {
    let grid = in_memory().start().await.unwrap();
    let wallet = grid.entity::<Wallet>("bob");
    assert_eq!(wallet.withdraw(1).await.unwrap(), Err(Overdrawn { missing: 1 }));
    assert_eq!(wallet.log().await.unwrap(), Vec::<String>::new());
    wallet.deposit(5).await.unwrap();
    assert_eq!(wallet.withdraw(7).await.unwrap(), Err(Overdrawn { missing: 2 }));
    let error = wallet.burn().await.unwrap_err();
    assert!(matches!(&error, AskError::Panicked { message } if message == "burnt"), "{error:?}");
    assert_eq!(wallet.log().await.unwrap(), ["+5"]);
    assert_eq!(wallet.withdraw(2).await.unwrap(), Ok(3));

    let counter = grid.entity::<Counter>(1);
    counter.add(1).await.unwrap();
    let error = counter.explode().await.unwrap_err();
    assert!(matches!(&error, AskError::Panicked { message } if message == "boom at 1001"));
    assert_eq!(counter.value().await.unwrap(), 1);
}

#[tokio::test]
async fn a_removed_entity_is_new_again() {
    let grid = in_memory().start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(4).await.unwrap();
    assert_eq!(counter.remove().await.unwrap(), 4);
    assert_eq!(counter.value().await.unwrap(), 0);
    assert_eq!(counter.add(1).await.unwrap(), 1);
}

/// A reply that panics when it is dropped, unless it was taken.
#[derive(Serialize, Deserialize)]
struct Loud(bool);

impl Drop for Loud {
    fn drop(&mut self) {
        assert!(!self.0, "dropped unheard");
    }
}

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Speaker {
    said: u64,
}

#[handlers]
impl Speaker {
    fn speak(&mut self, cx: &mut Context<Self>) -> Loud {
        gates::pass(*cx.key());
        self.said += 1;
        Loud(true)
    }

    #[read]
    fn said(&self) -> u64 {
        self.said
    }
}

#[tokio::test]
async fn a_reply_that_panics_when_nobody_hears_it_does_not_end_the_partition() {
    let options = EntityOptions::new().at_most_once();
    let grid = Grid::builder().partitions(1).entity::<Speaker>(options).start().await.unwrap();
    let speaker = grid.entity::<Speaker>(900);
    let (arrived, open) = gates::close(900);
    let ask = tokio::spawn(speaker.speak().into_future());
    tokio::task::spawn_blocking(move || arrived.recv().unwrap()).await.unwrap();
    ask.abort();
    assert!(ask.await.is_err_and(|error| error.is_cancelled()));
    open.send(()).unwrap();
    assert_eq!(speaker.said().await.unwrap(), 1);
    for _ in 0..2000 {
        speaker.said().await.unwrap(); // more than there are places: none was lost
    }
}
