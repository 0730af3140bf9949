//! Memory as a cache in front of the store: what leaves, what comes back, what expires.

use std::collections::BTreeMap;
use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore, TestGrid, TestGridBuilder, row_key};
use fastness::{AskError, EntityOptions, Eviction, Grid, GridBuilder, Limits, StartError};
use tokio::task::spawn_local;

use crate::entities::{Counter, CounterAdd, Wallet};

const SECOND: Duration = Duration::from_secs(1);

/// Counters in one partition, on threads of the grid's own.
fn on_threads(store: &FaultyStore, options: EntityOptions) -> GridBuilder {
    Grid::builder().partitions(1).entity::<Counter>(options).store(store.clone())
}

/// Counters in one partition, in the test's thread.
fn counters(options: EntityOptions) -> TestGridBuilder {
    TestGrid::builder().partitions(1).entity::<Counter>(options)
}

fn at_most(entities: u64) -> EntityOptions {
    EntityOptions::new().evict(Eviction::new().entities_per_partition(entities))
}

/// Counters of which two at the most need be in memory: 50 of them, all stored.
fn fifty(test: impl AsyncFnOnce(&mut TestGrid)) {
    counters(at_most(2).write_behind(Duration::ZERO)).run(async |grid| {
        for key in 0..50 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        grid.persisted().await.unwrap();
        test(grid).await;
    });
}

#[tokio::test]
async fn what_has_left_memory_comes_back_as_it_was() {
    let store = FaultyStore::new();
    let grid = on_threads(&store, at_most(10).write_behind(Duration::ZERO)).start().await.unwrap();
    for round in 1..=3 {
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).add(key).await.unwrap(), key * round);
        }
        grid.persisted().await.unwrap();
    }
    assert!(store.faults().rows_loaded() >= 2 * 80, "{} loads", store.faults().rows_loaded());
    grid.leave().await.unwrap();
    // A start has no more room than that.
    let grid = on_threads(&store.crash(), at_most(10)).start().await.unwrap();
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

#[test]
fn while_one_entity_is_loaded_others_go_on_and_its_asks_keep_their_order() {
    fifty(async |grid| {
        grid.entity::<Counter>(49).add(1).await.unwrap();
        grid.faults().hold(Calls::Loads);
        let away = grid.entity::<Counter>(0);
        let mut asks = Vec::new();
        for by in 1..=5 {
            away.tell(CounterAdd { by }).detach().unwrap();
            asks.push(spawn_local(away.value().into_future()));
            grid.settle().await;
        }
        assert_eq!(grid.faults().held(), 1, "one load for all of them");
        assert_eq!(grid.entity::<Counter>(49).value().await.unwrap(), 2);
        assert!(asks.iter().all(|ask| !ask.is_finished()));
        grid.faults().release();
        let mut values = Vec::new();
        for ask in asks {
            values.push(ask.await.unwrap().unwrap());
        }
        assert_eq!(values, [2, 4, 7, 11, 16]);
    });
}

#[test]
fn what_the_store_does_not_have_stays_in_memory() {
    counters(at_most(5)).run(async |grid| {
        grid.faults().fail(Calls::Writes);
        for key in 0..100 {
            grid.entity::<Counter>(key).add(key).await.unwrap();
        }
        grid.advance(10 * SECOND).await;
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
        }
        assert_eq!(grid.faults().rows_loaded(), 0, "nothing can have left");
        grid.faults().heal();
        grid.persisted().await.unwrap();
        for key in 0..100 {
            assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
        }
        assert!(grid.faults().rows_loaded() >= 90);
    });
}

#[test]
fn that_the_store_has_nothing_is_remembered() {
    fifty(async |grid| {
        let nobody = grid.entity::<Counter>(1000);
        assert_eq!(nobody.value().await.unwrap(), 0);
        let loads = grid.faults().rows_loaded();
        for _ in 0..10 {
            assert_eq!(nobody.value().await.unwrap(), 0);
        }
        assert_eq!(grid.faults().rows_loaded(), loads);
        assert_eq!(nobody.add(3).await.unwrap(), 3);
        assert_eq!(grid.faults().rows_loaded(), loads);
    });
}

#[test]
fn a_handler_passivates_its_entity_once_that_is_stored() {
    counters(EntityOptions::new()).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        assert_eq!(counter.add(7).await.unwrap(), 7);
        assert_eq!(counter.rest().await.unwrap(), 7);
        assert_eq!(counter.value().await.unwrap(), 7);
        assert_eq!(grid.faults().rows_loaded(), 0, "it is not stored yet");
        grid.advance_until(async || {
            // An answered write closes the number before it: then no answer holds the entity.
            grid.entity::<Counter>(2).add(1).await.unwrap();
            counter.value().await.unwrap();
            grid.faults().rows_loaded() == 1
        })
        .await;
        grid.advance(10 * SECOND).await;
        assert_eq!(counter.value().await.unwrap(), 7);
        assert_eq!(grid.faults().rows_loaded(), 1, "it stays until it is asked to leave again");
    });
}

#[test]
fn an_idle_entity_leaves_memory_and_comes_back() {
    let options = EntityOptions::new().at_most_once().passivate_after(60 * SECOND);
    counters(options).run(async |grid| {
        let (idle, busy) = (grid.entity::<Counter>(1), grid.entity::<Counter>(2));
        idle.add(5).await.unwrap();
        for _ in 0..100 {
            busy.add(1).await.unwrap();
            grid.advance(SECOND).await;
        }
        assert_eq!(busy.value().await.unwrap(), 100);
        assert_eq!(grid.faults().rows_loaded(), 0, "the busy one stayed");
        assert_eq!(idle.value().await.unwrap(), 5);
        assert_eq!(grid.faults().rows_loaded(), 1);
    });
}

#[test]
fn an_entity_expires_so_long_after_its_last_write() {
    counters(EntityOptions::new().expire_after_write(60 * SECOND)).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(5).await.unwrap();
        grid.advance(59 * SECOND).await;
        assert_eq!(counter.add(1).await.unwrap(), 6, "a write puts it off");
        grid.advance(59 * SECOND).await;
        assert_eq!(counter.value().await.unwrap(), 6, "a read does not");
        grid.advance(SECOND).await;
        assert_eq!(counter.value().await.unwrap(), 0);
        assert_eq!(counter.add(2).await.unwrap(), 2, "it is new");
        // Without anybody asking: its row goes.
        grid.advance(61 * SECOND).await;
        grid.leave().await.unwrap();
        assert!(grid.stored::<Counter>(1).await.unwrap().is_none());
    });
}

#[test]
fn an_entity_expires_so_long_after_anybody_asked() {
    counters(EntityOptions::new().expire_after_access(60 * SECOND)).run(async |grid| {
        let counter = grid.entity::<Counter>(1);
        counter.add(5).await.unwrap();
        for _ in 0..5 {
            grid.advance(59 * SECOND).await;
            assert_eq!(counter.value().await.unwrap(), 5, "a read puts it off");
        }
        grid.advance(59 * SECOND).await;
        grid.restart().await.unwrap();
        grid.advance(59 * SECOND).await;
        let counter = grid.entity::<Counter>(1);
        assert_eq!(counter.value().await.unwrap(), 5, "a start puts it off");
        grid.advance(60 * SECOND).await;
        assert_eq!(counter.value().await.unwrap(), 0);
    });
}

#[test]
fn what_expired_in_the_store_does_not_come_back() {
    let options = at_most(2).write_behind(Duration::ZERO).expire_after_write(60 * SECOND);
    counters(options).run(async |grid| {
        for key in 0..50 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        grid.persisted().await.unwrap();
        assert_eq!(grid.entity::<Counter>(0).value().await.unwrap(), 1);
        assert!(grid.faults().rows_loaded() > 0);
        grid.advance(60 * SECOND).await;
        for key in 0..50 {
            assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 0);
        }
        grid.leave().await.unwrap();
        assert!(grid.stored::<Counter>(0).await.unwrap().is_none(), "its row is gone");
    });
}

#[test]
fn while_the_store_cannot_be_read_only_what_is_away_waits() {
    fifty(async |grid| {
        grid.entity::<Counter>(49).add(1).await.unwrap();
        grid.faults().fail(Calls::Loads);
        let away = grid.entity::<Counter>(0);
        let ask = spawn_local(away.ask(CounterAdd { by: 1 }).deadline(5 * SECOND).into_future());
        grid.advance_until(async || {
            assert_eq!(grid.entity::<Counter>(49).value().await.unwrap(), 2);
            ask.is_finished()
        })
        .await;
        let heard = ask.await.unwrap();
        assert!(matches!(heard, Err(AskError::Busy(_))), "{heard:?}");
        assert!(grid.faults().rows_loaded() > 1, "it was tried again");
        grid.faults().heal();
        let value = grid.complete(away.value()).await.unwrap();
        assert_eq!(value, 1, "what was refused did not run");
    });
}

#[test]
fn a_row_that_cannot_be_read_costs_nobody_else_anything() {
    fifty(async |grid| {
        let seven = row_key::<Counter>(7u64);
        grid.faults().damage(move |key| *key == seven);
        for key in 0..50 {
            match (key, grid.entity::<Counter>(key).value().await) {
                (7, Err(AskError::Undecodable { reason })) => {
                    assert!(reason.contains("as the test decided"), "{reason}");
                }
                (_, found) => assert_eq!(found.unwrap(), 1),
            }
        }
        grid.faults().heal();
        assert_eq!(grid.entity::<Counter>(7).value().await.unwrap(), 1);
    });
}

#[tokio::test]
async fn an_answer_that_may_be_asked_for_again_is_not_lost_by_leaving_memory() {
    let store = FaultyStore::new();
    let options = at_most(2).write_behind(Duration::ZERO);
    let grid = on_threads(&store, options).start().await.unwrap();
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
    let grid = on_threads(&store.crash(), options).start().await.unwrap();
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

/// Everything at once, against a map: asks, removals, passivation, eviction, a store that
/// fails now and then, and crashes after everything was persisted.
#[test]
fn a_cached_grid_is_a_map() {
    for seed in 1..=20u64 {
        let mut random = seed;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let options = at_most(1 + next(8)).write_behind(Duration::from_millis(next(50)));
        counters(options).run(async |grid| {
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
                    15 | 16 => grid.advance(Duration::from_millis(next(40))).await,
                    17 if next(2) == 0 => grid.faults().fail(Calls::Writes),
                    17 => grid.faults().heal(),
                    18 if next(4) == 0 => {
                        grid.faults().heal();
                        grid.persisted().await.unwrap();
                        grid.crash().await.unwrap();
                    }
                    _ => tokio::task::yield_now().await,
                }
            }
            let loads = grid.faults().rows_loaded();
            assert!(loads > 20, "seed {seed}: {loads} loads");
        });
    }
}

#[tokio::test]
async fn what_expired_while_no_grid_was_there_is_removed_though_nobody_asks() {
    let store = FaultyStore::new();
    let clock = crate::manual_clock();
    let options = EntityOptions::new().expire_after_write(60 * SECOND);
    let build = |store: &FaultyStore| {
        let grid = Grid::builder().partitions(1).entity::<Counter>(options);
        grid.store(store.clone()).clock(clock.clone())
    };
    let grid = build(&store).start().await.unwrap();
    grid.entity::<Counter>(1).add(1).await.unwrap();
    grid.leave().await.unwrap();
    clock.advance(61 * SECOND);
    let grid = build(&store.crash()).start().await.unwrap();
    let is_removed = "reason=\"ttl\"} 1";
    crate::advance_until(&clock, async || grid.metrics().contains(is_removed)).await;
}

/// The value of one series of a grid's metrics.
fn series(grid: &TestGrid, name: &str) -> f64 {
    let text = grid.metrics();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn in_memory(grid: &TestGrid) -> f64 {
    series(grid, "fastness_entities{entity=\"counter\"}")
}

#[test]
fn asks_that_waited_for_a_load_run_before_those_that_waited_for_room() {
    let limits = Limits { pending_records_max: 60, ..Limits::default() };
    let options = at_most(2).at_most_once().write_behind(Duration::ZERO);
    let wallets = EntityOptions::new().at_most_once().evict(Eviction::new().entities_per_node(1));
    let grid = counters(options).entity::<Wallet>(wallets).limits(limits);
    grid.run(async |grid| {
        for name in ["bob", "eve", "joe"] {
            grid.entity::<Wallet>(name).deposit(1).await.unwrap();
            grid.persisted().await.unwrap();
        }
        grid.faults().hold(Calls::Loads);
        let bob = grid.entity::<Wallet>("bob");
        let first = spawn_local(bob.deposit(10).into_future());
        let held = grid.advance_until(async || grid.faults().held() == 1);
        held.await;
        // Now there is no room any more, and a second write waits for that.
        grid.faults().hold(Calls::All);
        let mut others = Vec::new();
        for key in 0..60 {
            others.push(spawn_local(grid.entity::<Counter>(key).add(1).into_future()));
        }
        let full = || series(grid, "fastness_wb_pending_records") >= 60.0;
        grid.advance_until(async || full()).await;
        let second = spawn_local(bob.deposit(100).into_future());
        grid.settle().await;
        assert!(!first.is_finished() && !second.is_finished());
        grid.faults().release();
        assert_eq!(grid.complete(first).await.unwrap().unwrap(), 11);
        assert_eq!(grid.complete(second).await.unwrap().unwrap(), 111);
        assert_eq!(grid.complete(bob.log()).await.unwrap(), ["+1", "+10", "+100"]);
    });
}

#[test]
fn misses_are_not_remembered_where_nothing_would_let_them_go() {
    counters(EntityOptions::new().at_most_once()).run(async |grid| {
        grid.entity::<Counter>(1).add(1).await.unwrap();
        grid.entity::<Counter>(1).rest().await.unwrap();
        grid.persisted().await.unwrap();
        for key in 1000..1200 {
            assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 0);
        }
        assert!(in_memory(grid) <= 1.0, "{} in memory", in_memory(grid));
    });
}

#[test]
fn a_remembered_miss_goes_with_time() {
    let idle = EntityOptions::new().at_most_once().expire_after_access(10 * SECOND);
    for options in [idle.passivate_after(60 * SECOND), idle.passivate_after(5 * SECOND)] {
        counters(options).run(async |grid| {
            grid.entity::<Counter>(1).add(1).await.unwrap();
            grid.entity::<Counter>(1).rest().await.unwrap();
            grid.persisted().await.unwrap();
            for key in 1000..1200 {
                assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 0);
            }
            assert!(in_memory(grid) >= 200.0, "remembered");
            grid.advance(100 * SECOND).await;
            assert_eq!(in_memory(grid), 0.0);
        });
    }
}

#[test]
fn thousands_that_are_idle_at_once_all_leave() {
    let options = EntityOptions::new().at_most_once().passivate_after(60 * SECOND);
    counters(options).run(async |grid| {
        for key in 0..3500 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        grid.persisted().await.unwrap();
        assert_eq!(in_memory(grid), 3500.0);
        grid.advance(61 * SECOND).await;
        assert_eq!(in_memory(grid), 0.0);
        assert_eq!(grid.entity::<Counter>(3499).value().await.unwrap(), 1);
    });
}

/// Removes a counter whose answer a session may ask for, closes the session's number, and sees that
/// the row goes from the store, too.
fn removed_row_goes(options: EntityOptions) {
    counters(options.write_behind(Duration::ZERO)).run(async |grid| {
        let session = grid.session("import").await.unwrap();
        let counter = grid.entity::<Counter>(7);
        counter.add(1).request(session.request(1)).await.unwrap();
        counter.remove().request(session.request(2)).await.unwrap();
        grid.persisted().await.unwrap();
        let rows_of = async |grid: &TestGrid| {
            let rows = grid.store().rows().await.unwrap();
            rows.iter().filter(|row| *row.row_key() == row_key::<Counter>(7u64)).count()
        };
        assert_eq!(rows_of(grid).await, 1, "it holds the answers");
        session.checkpoint(2);
        let other = grid.entity::<Counter>(8);
        other.add(1).request(session.request(3)).await.unwrap(); // tells the partition
        for key in 100..140 {
            grid.entity::<Counter>(key).add(1).await.unwrap(); // memory is short
        }
        grid.advance(60 * SECOND).await;
        assert_eq!(rows_of(grid).await, 0);
    });
}

#[test]
fn a_removed_entity_goes_from_the_store_once_nobody_may_ask() {
    removed_row_goes(EntityOptions::new());
    removed_row_goes(at_most(2));
}

#[test]
fn expiry_waits_while_the_store_takes_nothing() {
    let limits = Limits { pending_records_max: 10, ..Limits::default() };
    let options = EntityOptions::new()
        .at_most_once()
        .expire_after_write(600 * SECOND)
        .write_behind(Duration::ZERO);
    counters(options).limits(limits).run(async |grid| {
        for key in 0..200 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
            grid.persisted().await.unwrap();
        }
        grid.faults().fail(Calls::Writes);
        for key in 200..210 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        grid.advance(700 * SECOND).await;
        let pending = series(grid, "fastness_wb_pending_records");
        assert!(pending <= 10.0, "{pending} are pending");
        grid.faults().heal();
        grid.advance(60 * SECOND).await;
        assert_eq!(in_memory(grid), 0.0, "and then all of it is removed");
    });
}
