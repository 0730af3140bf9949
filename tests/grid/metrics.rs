//! What an operator can see.

use std::collections::BTreeMap;

use fastness::testkit::{Calls, FaultyStore};
use fastness::{EntityOptions, Grid, Threads};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::task::LocalSet;

use crate::entities::{Counter, Ledger};

/// Everything that was recorded: name and labels, with the value.
fn recorded(work: impl AsyncFnOnce()) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || LocalSet::new().block_on(&runtime, work()));
    let entries = snapshotter.snapshot().into_vec().into_iter();
    entries
        .map(|(key, _, _, value)| {
            let labels =
                key.key().labels().map(|label| format!(",{}={}", label.key(), label.value()));
            (format!("{}{}", key.key().name(), labels.collect::<String>()), value)
        })
        .collect()
}

fn grid(store: &FaultyStore) -> fastness::GridBuilder {
    Grid::builder()
        .partitions(2)
        .threads(Threads::Current)
        .entity::<Counter>(EntityOptions::new())
        .entity::<Ledger>(EntityOptions::new().write_through())
        .store(store.clone())
}

#[test]
fn asks_pending_writes_retries_dead_letters_and_panics_are_counted() {
    let store = FaultyStore::new();
    let mut while_pending = None;
    let at_the_end = recorded(async || {
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
        store.faults().heal();
        store.faults().refuse_records(|row| &*row.key.entity_type == "ledger");
        grid.entity::<Ledger>(1).enter().await.unwrap();
        while_pending = Some(grid.dead_letters().list().await.unwrap().len());
        grid.leave().await.unwrap();
    });
    assert_eq!(while_pending, Some(1));
    let count = |name: &str| match at_the_end.get(name) {
        Some(DebugValue::Counter(count)) => *count,
        other => panic!("{name}: {other:?} in {at_the_end:#?}"),
    };
    let samples = |name: &str| match at_the_end.get(name) {
        Some(DebugValue::Histogram(samples)) => samples.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(count("fastness_requests_total,entity=counter,outcome=ok"), 5);
    assert_eq!(count("fastness_requests_total,entity=counter,outcome=panicked"), 1);
    assert_eq!(count("fastness_requests_total,entity=ledger,outcome=ok"), 1);
    assert_eq!(count("fastness_handler_panics_total,entity=counter"), 1);
    assert_eq!(samples("fastness_request_seconds,entity=counter").len(), 6);
    assert!(count("fastness_wb_retries_total") >= 2);
    assert!(count("fastness_wb_store_errors_total,class=transient") >= 2);
    assert_eq!(count("fastness_wb_dead_letters_total"), 1);
    assert!(samples("fastness_wb_batch_size").iter().any(|records| **records >= 1.0));
    assert!(!samples("fastness_wb_store_seconds,op=write").is_empty());
    // Nothing is pending any more, and no grid has dead letters.
    for gauge in ["pending_records", "pending_bytes", "dead_letters"] {
        let gauge = at_the_end.get(&format!("fastness_wb_{gauge}"));
        assert!(matches!(gauge, Some(DebugValue::Gauge(value)) if **value == 0.0), "{gauge:?}");
    }
    let no_key = at_the_end.keys().all(|name| !name.contains("key"));
    assert!(no_key, "no series is by key");
}
