//! Memory as a cache in front of the store: what leaves, what comes back, what expires.

use std::collections::BTreeMap;
use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore};
use fastness::{AskError, EntityOptions, Eviction, Grid, GridBuilder, StartError};

use crate::entities::{Counter, CounterAdd};
use crate::{advance_until, manual_clock};

const SECOND: Duration = Duration::from_secs(1);

/// A deadline that does not come, however much faster a test's clock runs than its threads.
const PATIENT: Duration = Duration::from_secs(1 << 32);

/// Counters in one partition.
fn counters(store: &FaultyStore, options: EntityOptions) -> GridBuilder {
    Grid::builder().partitions(1).entity::<Counter>(options).store(store.clone())
}

fn at_most(entities: u64) -> EntityOptions {
    EntityOptions::new().evict(Eviction::new().entities_per_partition(entities))
}

#[tokio::test]
async fn what_has_left_memory_comes_back_as_it_was() {
    let store = FaultyStore::new();
    let grid = counters(&store, at_most(10).write_behind(Duration::ZERO)).start().await.unwrap();
    for round in 1..=3 {
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).add(key).await.unwrap(), key * round);
        }
        grid.persisted().await.unwrap();
    }
    assert!(store.faults().rows_loaded() >= 2 * 80, "{} loads", store.faults().rows_loaded());
    grid.leave().await.unwrap();
    // A start has no more room than that.
    let grid = counters(&store.crash(), at_most(10)).start().await.unwrap();
    let before = store.faults().rows_loaded();
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 3 * key);
    }
    assert!(
        store.faults().rows_loaded() - before >= 90,
        "{} loads",
        store.faults().rows_loaded() - before
    );
}

#[tokio::test]
async fn while_one_entity_is_loaded_others_go_on_and_its_asks_keep_their_order() {
    let store = FaultyStore::new();
    let grid = counters(&store, at_most(2).write_behind(Duration::ZERO)).start().await.unwrap();
    for key in 0..50 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    grid.entity::<Counter>(49).add(1).await.unwrap();
    store.faults().hold(Calls::Loads);
    let away = grid.entity::<Counter>(0);
    let mut asks = Vec::new();
    for by in 1..=5 {
        away.tell(CounterAdd { by }).detach().unwrap();
        asks.push(tokio::spawn(away.value().into_future()));
        tokio::task::yield_now().await; // it is sent now
    }
    assert_eq!(grid.entity::<Counter>(49).value().await.unwrap(), 2);
    assert!(asks.iter().all(|ask| !ask.is_finished()));
    store.faults().release();
    let mut values = Vec::new();
    for ask in asks {
        values.push(ask.await.unwrap().unwrap());
    }
    assert_eq!(values, [2, 4, 7, 11, 16]);
}

#[tokio::test]
async fn what_the_store_does_not_have_stays_in_memory() {
    let store = FaultyStore::new();
    let grid = counters(&store, at_most(5)).start().await.unwrap();
    store.faults().fail(Calls::Writes);
    for key in 0..100 {
        grid.entity::<Counter>(key).add(key).await.unwrap();
    }
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
    }
    assert_eq!(store.faults().rows_loaded(), 0, "nothing can have left");
    store.faults().heal();
    grid.persisted().await.unwrap();
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
    }
    assert!(store.faults().rows_loaded() >= 90);
}

#[tokio::test]
async fn that_the_store_has_nothing_is_remembered() {
    let store = FaultyStore::new();
    let grid = counters(&store, at_most(10).write_behind(Duration::ZERO)).start().await.unwrap();
    for key in 0..20 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    let nobody = grid.entity::<Counter>(1000);
    assert_eq!(nobody.value().await.unwrap(), 0);
    let loads = store.faults().rows_loaded();
    for _ in 0..10 {
        assert_eq!(nobody.value().await.unwrap(), 0);
    }
    assert_eq!(store.faults().rows_loaded(), loads);
    assert_eq!(nobody.add(3).await.unwrap(), 3);
    assert_eq!(store.faults().rows_loaded(), loads);
}

#[tokio::test]
async fn a_handler_passivates_its_entity_once_that_is_stored() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let grid = counters(&store, EntityOptions::new()).clock(clock.clone()).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    assert_eq!(counter.add(7).await.unwrap(), 7);
    assert_eq!(counter.rest().await.unwrap(), 7);
    assert_eq!(counter.value().await.unwrap(), 7);
    assert_eq!(store.faults().rows_loaded(), 0, "it is not stored yet");
    advance_until(&clock, async || {
        // An answered write closes the number before it: then no answer holds the entity.
        grid.entity::<Counter>(2).add(1).await.unwrap();
        counter.value().await.unwrap();
        store.faults().rows_loaded() == 1
    })
    .await;
    assert_eq!(counter.value().await.unwrap(), 7);
    assert_eq!(store.faults().rows_loaded(), 1, "it stays until it is asked to leave again");
}

#[tokio::test]
async fn an_idle_entity_leaves_memory_and_comes_back() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = EntityOptions::new().at_most_once().passivate_after(60 * SECOND);
    let grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
    let (idle, busy) = (grid.entity::<Counter>(1), grid.entity::<Counter>(2));
    idle.add(5).await.unwrap();
    for _ in 0..100 {
        busy.add(1).await.unwrap();
        clock.advance(SECOND);
    }
    assert_eq!(store.faults().rows_loaded(), 0, "the busy one stayed");
    advance_until(&clock, async || {
        assert_eq!(busy.value().await.unwrap(), 100);
        assert_eq!(idle.value().await.unwrap(), 5);
        store.faults().rows_loaded() > 0
    })
    .await;
    assert_eq!(store.faults().rows_loaded(), 1);
}

#[tokio::test]
async fn an_entity_expires_so_long_after_its_last_write() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = EntityOptions::new().expire_after_write(60 * SECOND);
    let grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(5).await.unwrap();
    clock.advance(59 * SECOND);
    assert_eq!(counter.add(1).await.unwrap(), 6, "a write puts it off");
    clock.advance(59 * SECOND);
    assert_eq!(counter.value().await.unwrap(), 6, "a read does not");
    clock.advance(SECOND);
    assert_eq!(counter.value().await.unwrap(), 0);
    assert_eq!(counter.add(2).await.unwrap(), 2, "it is new");
    // Without anybody asking: its row goes.
    clock.advance(61 * SECOND);
    let is_removed = "reason=\"ttl\"} 2";
    advance_until(&clock, async || grid.metrics().contains(is_removed)).await;
    grid.leave().await.unwrap();
    let grid = counters(&store.crash(), EntityOptions::new()).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
}

#[tokio::test]
async fn an_entity_expires_so_long_after_anybody_asked() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = EntityOptions::new().expire_after_access(60 * SECOND);
    let grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
    let counter = grid.entity::<Counter>(1);
    counter.add(5).await.unwrap();
    for _ in 0..5 {
        clock.advance(59 * SECOND);
        assert_eq!(counter.value().await.unwrap(), 5, "a read puts it off");
    }
    grid.leave().await.unwrap();
    clock.advance(59 * SECOND);
    let grid = counters(&store.crash(), options).clock(clock.clone()).start().await.unwrap();
    clock.advance(59 * SECOND);
    let counter = grid.entity::<Counter>(1);
    assert_eq!(counter.value().await.unwrap(), 5, "a start puts it off");
    clock.advance(60 * SECOND);
    assert_eq!(counter.value().await.unwrap(), 0);
}

#[tokio::test]
async fn what_expired_in_the_store_does_not_come_back() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = at_most(2).write_behind(Duration::ZERO).expire_after_write(60 * SECOND);
    let grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
    for key in 0..50 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    assert_eq!(grid.entity::<Counter>(0).value().await.unwrap(), 1);
    assert!(store.faults().rows_loaded() > 0);
    clock.advance(60 * SECOND);
    for key in 0..50 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 0);
    }
    grid.leave().await.unwrap();
    let grid = counters(&store.crash(), EntityOptions::new()).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(0).value().await.unwrap(), 0, "its row is gone");
}

#[tokio::test]
async fn while_the_store_cannot_be_read_only_what_is_away_waits() {
    let store = FaultyStore::new();
    let clock = manual_clock();
    let options = at_most(2).write_behind(Duration::ZERO);
    let grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
    for key in 0..50 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    grid.entity::<Counter>(49).add(1).await.unwrap();
    store.faults().fail(Calls::Loads);
    let away = grid.entity::<Counter>(0);
    let mut ask = Box::pin(away.ask(CounterAdd { by: 1 }).deadline(5 * SECOND).into_future());
    let mut heard = None;
    advance_until(&clock, async || {
        assert_eq!(grid.entity::<Counter>(49).value().await.unwrap(), 2);
        tokio::select! {
            biased;
            answer = &mut ask => heard = Some(answer),
            () = std::future::ready(()) => {}
        }
        heard.is_some()
    })
    .await;
    assert!(matches!(heard, Some(Err(AskError::Busy(_)))), "{heard:?}");
    assert!(store.faults().rows_loaded() > 1, "it was tried again");
    store.faults().heal();
    let mut ask = Box::pin(away.value().deadline(PATIENT).into_future());
    let mut value = None;
    advance_until(&clock, async || {
        tokio::select! {
            biased;
            answer = &mut ask => value = Some(answer.unwrap()),
            () = std::future::ready(()) => {}
        }
        value.is_some()
    })
    .await;
    assert_eq!(value, Some(1), "what was refused did not run");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_nobody_else_anything() {
    let store = FaultyStore::new();
    let grid = counters(&store, at_most(2).write_behind(Duration::ZERO)).start().await.unwrap();
    for key in 0..50 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    store.faults().damage(|key| key.key.last() == Some(&7));
    for key in 0..50 {
        match (key, grid.entity::<Counter>(key).value().await) {
            (7, Err(AskError::Undecodable { reason })) => {
                assert!(reason.contains("as the test decided"), "{reason}");
            }
            (_, found) => assert_eq!(found.unwrap(), 1),
        }
    }
    store.faults().heal();
    assert_eq!(grid.entity::<Counter>(7).value().await.unwrap(), 1);
}

#[tokio::test]
async fn an_answer_that_may_be_asked_for_again_is_not_lost_by_leaving_memory() {
    let store = FaultyStore::new();
    let options = at_most(2).write_behind(Duration::ZERO);
    let grid = counters(&store, options).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    for number in 1..=40 {
        let counter = grid.entity::<Counter>(number);
        let added = counter.ask(CounterAdd { by: 5 }).request(session.request(number)).await;
        assert_eq!(added.unwrap(), 5);
    }
    grid.persisted().await.unwrap();
    for number in 1..=40 {
        let counter = grid.entity::<Counter>(number);
        let again = counter.ask(CounterAdd { by: 5 }).request(session.request(number)).await;
        assert_eq!(again.unwrap(), 5, "it does not run again");
    }
    drop(grid);
    let grid = counters(&store.crash(), options).start().await.unwrap();
    let session = grid.session("import").await.unwrap();
    for number in 1..=40 {
        let counter = grid.entity::<Counter>(number);
        let again = counter.ask(CounterAdd { by: 5 }).request(session.request(number)).await;
        assert_eq!(again.unwrap(), 5, "nor after a crash");
    }
}

#[tokio::test]
async fn memory_needs_a_store_to_be_a_cache() {
    let leaving = [at_most(1), EntityOptions::new().passivate_after(SECOND)];
    for options in leaving {
        let started = Grid::builder().entity::<Counter>(options).start().await;
        let Err(StartError::Configuration(what)) = started else { panic!("{started:?}") };
        assert!(what.contains("may leave memory"), "{what}");
    }
}

/// Everything at once, against a map: asks, removals, passivation, expiry, eviction, a store that
/// fails now and then, and crashes after everything was persisted.
#[tokio::test]
async fn a_cached_grid_is_a_map() {
    for seed in 1..=20u64 {
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let clock = manual_clock();
        let options = at_most(1 + next(8)).write_behind(Duration::from_millis(next(50)));
        let mut store = FaultyStore::new();
        let mut grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
        let mut model = BTreeMap::new();
        for _ in 0..600 {
            let key = next(30);
            let counter = grid.entity::<Counter>(key);
            let known = model.get(&key).copied().unwrap_or(0);
            match next(20) {
                0..=6 => {
                    assert_eq!(counter.add(key + 1).await.unwrap(), known + key + 1);
                    model.insert(key, known + key + 1);
                }
                7..=12 => assert_eq!(counter.value().await.unwrap(), known, "seed {seed}"),
                13 => {
                    counter.remove().await.unwrap();
                    model.remove(&key);
                }
                14 => assert_eq!(counter.rest().await.unwrap(), known, "seed {seed}"),
                15 | 16 => clock.advance(Duration::from_millis(next(40))),
                17 if next(2) == 0 => store.faults().fail(Calls::Writes),
                17 => store.faults().heal(),
                18 if next(4) == 0 => {
                    store.faults().heal();
                    let mut persisted = Box::pin(grid.persisted());
                    advance_until(&clock, async || {
                        tokio::select! {
                            biased;
                            done = &mut persisted => { done.unwrap(); true }
                            () = std::future::ready(()) => false,
                        }
                    })
                    .await;
                    drop(persisted);
                    store = store.crash();
                    grid = counters(&store, options).clock(clock.clone()).start().await.unwrap();
                }
                _ => tokio::task::yield_now().await,
            }
        }
        assert!(
            store.faults().rows_loaded() > 20,
            "seed {seed}: {} loads",
            store.faults().rows_loaded()
        );
    }
}
