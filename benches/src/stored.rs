//! Asks whose changes go to sled: behind the answer, or before it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use fastness::{EntityOptions, SledStore, Threads};
use tempfile::TempDir;

use crate::load::{
    Counts, KEYS, Load, Random, Share, What, on_this_thread, put_under, rate, rate_here,
};
use crate::ours::{Ours, grid, without_sessions};
use crate::report::{Found, Report, Side};

const IN_FLIGHT: usize = 64;

/// Changes that go to sled behind their answers.
#[derive(Clone, Copy)]
struct Behind {
    /// How many counters are changed again and again.
    counters: u64,
    delay: Duration,
    /// So many that what is measured is many times longer than the delay, also in a quick run:
    /// before it is over, sled has heard of nothing.
    asks: usize,
    aim: Option<f64>,
}

/// Each counter is stored once in each delay: the first two give sled 5,000 and 50,000 rows a
/// second, the last one more than it takes. (What was late shows in how late it was in the end.)
const BEHIND: [Behind; 3] = [
    Behind { counters: 1_000, delay: SHORT, asks: 3_000_000, aim: AIM },
    Behind { counters: KEYS, delay: Duration::from_secs(2), asks: 10_000_000, aim: AIM },
    Behind { counters: KEYS, delay: SHORT, asks: 3_000_000, aim: None },
];

const SHORT: Duration = EntityOptions::WRITE_BEHIND;

/// For as long as the store keeps up.
const AIM: Option<f64> = Some(0.8);

/// Bytes of a counter's row as the store writes it.
const ROW_BYTES: usize = 150;

pub(crate) fn run(report: &mut Report) {
    for of in BEHIND {
        behind(report, of);
    }
    through(report);
}

fn store(directory: &TempDir) -> SledStore {
    SledStore::open(directory.path().join("store")).expect("there is room on the disk")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("there is room on the disk")
}

/// The callers and the grid in one thread, so that another core is left to sled.
fn behind(report: &mut Report, Behind { counters: keys, delay, asks, aim }: Behind) {
    let load = Load { keys, ..Load::new(What::Add, asks, IN_FLIGHT) };
    let lates = RefCell::new(Vec::new());
    let with_store = || {
        let directory = directory();
        on_this_thread(async || {
            let options = without_sessions().write_behind(delay);
            let grid = grid(options, Threads::Current).store(store(&directory));
            let ours = Ours::start(grid).await;
            let late = Cell::new(0.0);
            let note = async || late.set((oldest_pending(&ours) - delay.as_secs_f64()).max(0.0));
            let times = put_under(&ours, load, Share::WHOLE, note).await;
            lates.borrow_mut().push(late.get()); // as it was in the end
            ours.end().await;
            times.found(load)
        })
    };
    let without_store = || {
        let grid = grid(without_sessions(), Threads::Current);
        on_this_thread(async || rate_here(Ours::start(grid).await, load).await)
    };
    let sides: Vec<Side<'_>> = vec![
        ("ours, sled behind", Box::new(with_store)),
        ("ours without a store", Box::new(without_store)),
    ];
    let work = format!("write-behind {delay:?}, {keys} counters");
    let rounds = report.measure(&work, "M asks/s", sides);
    report.line(&work, "sled is late by", "s", &lates.borrow());
    report.compare(&rounds, "ours, sled behind", "ours without a store", aim);
}

/// Age of the oldest change that is not stored, in seconds.
fn oldest_pending(ours: &Ours) -> f64 {
    let text = ours.0.metrics();
    let value =
        text.lines().find_map(|line| line.strip_prefix("fastness_wb_oldest_pending_age_seconds "));
    value.and_then(|value| value.parse().ok()).expect("the series is there")
}

fn through(report: &mut Report) {
    let load = Load::new(What::Add, report.amount(20_000), IN_FLIGHT);
    let load = Load { keys: load.asks as u64, ..load };
    let through = || {
        let directory = directory();
        let options = without_sessions().write_through();
        let grid = grid(options, Threads::Current).store(store(&directory));
        let found = on_this_thread(async || rate(Ours::start(grid).await, load).await);
        Found::from(found.value * 1000.0)
    };
    let writes = report.amount(2_000);
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(through)),
        ("one sync each", Box::new(|| one_sync_each(writes).expect("there is room on the disk"))),
    ];
    let work = format!("write-through to sled, {IN_FLIGHT} in flight");
    let rounds = report.measure(work, "K asks/s", sides);
    report.compare(&rounds, "ours", "one sync each", Some(5.0));
}

fn one_sync_each(writes: usize) -> anyhow::Result<Found> {
    let directory = tempfile::tempdir()?;
    let database = crate::drain::open_sled(directory.path())?;
    let mut random = Random::new(0);
    let began_at = Instant::now();
    for _ in 0..writes {
        database.tree.insert(random.next().to_be_bytes(), vec![0; ROW_BYTES])?;
        database.sync()?;
    }
    Ok(Found::from(writes as f64 / began_at.elapsed().as_micros() as f64 * 1000.0))
}
