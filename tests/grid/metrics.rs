//! What an operator can see.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastness::testkit::{Calls, FaultyStore};
use fastness::{EntityOptions, Eviction, Grid, Threads};
use tokio::task::LocalSet;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::entities::{Counter, Ledger};
use crate::manual_clock;

/// The value of one series of a grid's metrics.
fn value(grid: &Grid, series: &str) -> f64 {
    let text = grid.metrics();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

async fn here<T>(work: impl AsyncFnOnce() -> T) -> T {
    LocalSet::new().run_until(work()).await
}

fn grid(store: &FaultyStore) -> fastness::GridBuilder {
    Grid::builder()
        .partitions(2)
        .threads(Threads::Current)
        .entity::<Counter>(EntityOptions::new())
        .entity::<Ledger>(EntityOptions::new().write_through())
        .store(store.clone())
}

#[tokio::test]
async fn asks_pending_writes_retries_dead_letters_and_panics_are_counted() {
    let store = FaultyStore::new();
    let grid = here(async || {
        let grid = grid(&store).start().await.unwrap();
        for key in 0..5 {
            grid.entity::<Counter>(key).add(1).await.unwrap();
        }
        grid.entity::<Counter>(9).explode().await.unwrap_err();
        store.faults().fail(Calls::Writes);
        let mut down = Box::pin(grid.persisted());
        while store.faults().writes() < 3 {
            tokio::select! {
                biased;
                _ = &mut down => panic!("the store is down"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(down);
        assert!(value(&grid, "fastness_wb_pending_records") >= 5.0);
        store.faults().heal();
        store.faults().refuse_records(|row| &*row.key.entity_type == "ledger");
        grid.entity::<Ledger>(1).enter().await.unwrap();
        assert_eq!(value(&grid, "fastness_wb_dead_letters"), 1.0);
        grid.leave().await.unwrap();
        grid
    })
    .await;
    let value = |series: &str| value(&grid, series);
    assert_eq!(value("fastness_requests_total{entity=\"counter\",outcome=\"ok\"}"), 5.0);
    assert_eq!(value("fastness_requests_total{entity=\"counter\",outcome=\"panicked\"}"), 1.0);
    assert_eq!(value("fastness_requests_total{entity=\"ledger\",outcome=\"ok\"}"), 1.0);
    assert_eq!(value("fastness_handler_panics_total{entity=\"counter\"}"), 1.0);
    assert_eq!(value("fastness_request_seconds_count{entity=\"counter\"}"), 6.0);
    assert_eq!(value("fastness_request_seconds_bucket{le=\"+Inf\",entity=\"counter\"}"), 6.0);
    assert!(value("fastness_wb_retries_total") >= 2.0);
    assert!(value("fastness_wb_store_errors_total{class=\"transient\"}") >= 2.0);
    assert_eq!(value("fastness_wb_dead_letters_total"), 1.0);
    assert!(value("fastness_wb_batch_size_count") >= 1.0);
    assert!(value("fastness_wb_store_seconds_count{op=\"write\"}") >= 1.0);
    // Nothing is pending any more.
    for gauge in ["pending_records", "pending_bytes", "oldest_pending_age_seconds"] {
        assert_eq!(value(&format!("fastness_wb_{gauge}")), 0.0, "{gauge}");
    }
    assert!(!grid.metrics().contains("key="), "no series is by key");
}

#[tokio::test]
async fn the_age_of_what_is_not_stored_and_the_depth_of_the_inbox_are_seen() {
    let (store, clock) = (FaultyStore::new(), manual_clock());
    here(async || {
        let grid = grid(&store).clock(clock.clone()).start().await.unwrap();
        for key in 0..20 {
            grid.entity::<Ledger>(key).enter().await.unwrap();
        }
        grid.persisted().await.unwrap();
        store.faults().fail(Calls::Writes);
        grid.entity::<Counter>(1).add(1).await.unwrap();
        assert_eq!(value(&grid, "fastness_wb_oldest_pending_age_seconds"), 0.0);
        clock.advance(Duration::from_secs(7));
        assert_eq!(value(&grid, "fastness_wb_oldest_pending_age_seconds"), 7.0);
        // These wait for the store, and so are queued first.
        let asks = (0..20).map(|key| grid.entity::<Ledger>(key).enter().into_future());
        let asks: Vec<_> = asks.map(tokio::task::spawn_local).collect();
        while value(&grid, "fastness_inbox_depth{thread=\"0\"}") < 2.0 {
            tokio::task::yield_now().await;
        }
        store.faults().heal();
        for ask in asks {
            while !ask.is_finished() {
                clock.advance(Duration::from_millis(50));
                tokio::task::yield_now().await;
            }
            assert_eq!(ask.await.unwrap().unwrap(), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_in_memory_and_what_leaves_it_is_counted() {
    let store = FaultyStore::new();
    let eviction = Eviction::new().entities_per_node(10);
    let options = EntityOptions::new().at_most_once().write_behind(Duration::ZERO).evict(eviction);
    let grid = Grid::builder().partitions(4).entity::<Counter>(options).store(store.clone());
    let grid = grid.start().await.unwrap();
    for key in 0..100 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
        grid.persisted().await.unwrap();
    }
    let value = |series: &str| value(&grid, series);
    let entities = value("fastness_entities{entity=\"counter\"}");
    assert!((1.0..=10.0).contains(&entities), "{entities} in memory on the node");
    assert!(value("fastness_entity_bytes{entity=\"counter\"}") > 10.0 * 40.0 / 2.0);
    let left = value("fastness_evictions_total{entity=\"counter\",reason=\"entities\"}");
    assert!(left >= 100.0 - 10.0, "{left}");
    let lookups = |result: &str| {
        value(&format!("fastness_entity_lookups_total{{entity=\"counter\",result=\"{result}\"}}"))
    };
    let before = (lookups("hit"), lookups("store_hit"), lookups("miss"));
    assert_eq!(grid.entity::<Counter>(1000).value().await.unwrap(), 0);
    assert_eq!(grid.entity::<Counter>(1000).value().await.unwrap(), 0);
    assert_eq!((lookups("miss"), lookups("remembered_miss")), (before.2 + 1.0, 1.0));
    for key in 0..100 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), 1);
    }
    let (hits, store_hits) = (lookups("hit") - before.0, lookups("store_hit") - before.1);
    assert_eq!(hits + store_hits, 100.0);
    assert!(store_hits >= 90.0, "{store_hits}");
    assert!(value("fastness_load_seconds_count") >= 90.0);
}

#[tokio::test]
async fn two_grids_do_not_mix() {
    let grids = [FaultyStore::new(), FaultyStore::new()];
    here(async || {
        let [first, second] = grids;
        let (first, second) = (grid(&first).start().await, grid(&second).start().await);
        let (first, second) = (first.unwrap(), second.unwrap());
        first.entity::<Counter>(1).add(1).await.unwrap();
        let asks = "fastness_requests_total{entity=\"counter\",outcome=\"ok\"}";
        assert_eq!((value(&first, asks), value(&second, asks)), (1.0, 0.0));
    })
    .await;
}

/// The spans that were made, with their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

/// Of one thread.
struct Here(Spans, thread::ThreadId);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Here {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if thread::current().id() == self.1 {
            let mut fields = Fields(attributes.metadata().name().to_owned());
            attributes.record(&mut fields);
            self.0.0.lock().unwrap().push(fields.0);
        }
    }
}

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

#[test]
fn asks_batches_writes_and_loads_have_spans() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = FaultyStore::new();
    let work = |store: FaultyStore| {
        LocalSet::new().block_on(&runtime, async {
            let grid = grid(&store).start().await.unwrap();
            grid.entity::<Ledger>(1).enter().await.unwrap();
            grid.entity::<Counter>(1).add(1).await.unwrap();
            grid.entity::<Counter>(1).rest().await.unwrap();
            grid.persisted().await.unwrap();
            while store.faults().rows_loaded() == 0 {
                grid.entity::<Counter>(2).add(1).await.unwrap();
                grid.entity::<Counter>(1).value().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    };
    // For all threads: with one for this thread alone, whichever thread comes by a place in the
    // code first decides for all whether anybody listens there. Others' spans are left out.
    let spans = Spans::default();
    let subscriber =
        tracing_subscriber::registry().with(Here(spans.clone(), thread::current().id()));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    work(store);
    let spans = spans.0.lock().unwrap();
    let has = |text: &str| assert!(spans.iter().any(|it| it.contains(text)), "{text}: {spans:?}");
    has("ask entity=\"counter\" message=\"add\" request=");
    has("batch partition=p");
    has("store_write partitions=1 rows=");
    has("store_load entities=1");
}
