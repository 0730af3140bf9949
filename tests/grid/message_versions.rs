//! Messages that meet another build, or another state, than they were sent to.

use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::{FaultyStore, TestGrid};
use fastness::{Address, EntityOptions, Grid, GridBuilder, StartError};

use crate::messages::metric;

/// Lets in what comes while it is open.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Gate {
    is_open: bool,
    is_broken: bool,
    taken: u64,
}

#[handlers]
impl Gate {
    fn knock(&mut self, at: String, cx: &mut Context<Self>) {
        cx.send(Address::<Gate>::of(at), GateEnter {});
    }

    fn enter(&mut self) -> Result<(), String> {
        assert!(!self.is_broken, "the gate is broken");
        if !self.is_open {
            return Err("shut".to_owned());
        }
        self.taken += 1;
        Ok(())
    }

    fn set(&mut self, is_open: bool, is_broken: bool) {
        (self.is_open, self.is_broken) = (is_open, is_broken);
    }

    #[read]
    fn taken(&self) -> u64 {
        self.taken
    }
}

mod later {
    use super::*;

    /// The same type in a build that nobody enters.
    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = String)]
    pub(super) struct Gate {
        taken: u64,
    }

    #[handlers]
    impl Gate {
        #[read]
        pub(super) fn taken(&self) -> u64 {
            self.taken
        }
    }
}

fn through() -> EntityOptions {
    EntityOptions::new().write_through()
}

fn stored(store: &FaultyStore, builder: GridBuilder) -> GridBuilder {
    builder.partitions(4).store(store.clone())
}

#[test]
fn what_refused_a_message_refuses_it_after_a_crash_too() {
    TestGrid::builder().entity::<Gate>(through()).run(async |grid| {
        grid.entity::<Gate>("a").knock("b".to_owned()).await.unwrap();
        let refused = "fastness_messages_total{outcome=\"refused\"}";
        grid.advance_until(async || metric(grid, refused) == 1).await;
        // Stored; and a keeps the message for a second yet.
        grid.entity::<Gate>("b").set(true, false).await.unwrap();
        grid.crash().await.unwrap();
        let duplicate = "fastness_messages_total{outcome=\"duplicate\"}";
        grid.advance_until(async || metric(grid, duplicate) == 1).await;
        grid.advance(Duration::from_secs(60)).await;
        assert_eq!(grid.entity::<Gate>("b").taken().await.unwrap(), 0);
    });
}

#[tokio::test]
async fn a_message_that_was_applied_is_not_parked_by_a_build_that_does_not_know_it() {
    let store = FaultyStore::new();
    let first = stored(&store, Grid::builder().entity::<Gate>(through()));
    // Time stands still: that it may be forgotten is not stored.
    let grid = first.clock(crate::manual_clock()).start().await.unwrap();
    let gate = grid.entity::<Gate>("b");
    gate.set(true, false).await.unwrap();
    grid.entity::<Gate>("a").knock("b".to_owned()).await.unwrap();
    while gate.taken().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    drop(grid);
    let store = store.crash();
    let later = stored(&store, Grid::builder().entity::<later::Gate>(through()));
    let grid = later.start().await.unwrap();
    assert_eq!(metric(&grid, "fastness_outbox_messages"), 1, "it is sent again");
    while metric(&grid, "fastness_messages_total{outcome=\"duplicate\"}") == 0 {
        assert_eq!(metric(&grid, "fastness_messages_total{outcome=\"undone\"}"), 0);
        tokio::task::yield_now().await;
    }
    assert_eq!(grid.entity::<later::Gate>("b").taken().await.unwrap(), 1);
    grid.leave().await.unwrap();
}

#[tokio::test]
async fn a_type_is_not_retired_while_its_messages_have_not_arrived() {
    let store = FaultyStore::new();
    let gates = |store| stored(store, Grid::builder().entity::<Gate>(through()));
    let grid = gates(&store).start().await.unwrap();
    grid.entity::<Gate>("b").set(true, true).await.unwrap();
    grid.entity::<Gate>("a").knock("b".to_owned()).await.unwrap();
    while metric(&grid, "fastness_messages_total{outcome=\"undone\"}") == 0 {
        tokio::task::yield_now().await;
    }
    drop(grid); // left, it would try again until the message is parked
    let store = store.crash();
    let others = Grid::builder().entity::<crate::entities::Counter>(EntityOptions::new());
    let error = stored(&store, others).retired("gate").start().await.unwrap_err();
    assert!(
        matches!(&error, StartError::RetiredTooEarly { name, rows: 1 } if name == "gate"),
        "{error:?}"
    );
    let grid = gates(&store).start().await.unwrap();
    grid.entity::<Gate>("b").set(true, false).await.unwrap();
    while grid.entity::<Gate>("b").taken().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    grid.leave().await.unwrap();
}
