//! Hit rate on Zipf 0.9 over a million keys with room for a tenth, against moka on the same trace.

use std::time::Instant;

use fastness::{EntityOptions, Eviction, Grid, MemoryStore, Threads};
use tokio::task::LocalSet;

use crate::local::{Counter, Keys};
use crate::report::Report;

const EXPONENT: f64 = 0.9;

/// Keys by Zipf's law, by the inverse of the cumulated frequencies. Which key is how frequent is
/// mixed, so that frequent keys are no neighbours.
struct Zipf {
    cumulated: Vec<f64>,
    random: Keys,
}

impl Zipf {
    fn new(keys: usize) -> Zipf {
        let mut sum = 0.0;
        let frequency = |rank: usize| {
            sum += (rank as f64).powf(-EXPONENT);
            sum
        };
        Zipf { cumulated: (1..=keys).map(frequency).collect(), random: Keys::new(7) }
    }

    fn next(&mut self) -> u64 {
        let sum = self.cumulated[self.cumulated.len() - 1];
        let uniform = self.random.next_random() as f64 / (1u64 << 31) as f64;
        let rank = self.cumulated.partition_point(|known| *known < uniform * sum);
        (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let (keys, asks) = (report.amount(1_000_000), report.amount(4_000_000));
    let room = keys as u64 / 10;
    let mut zipf = Zipf::new(keys);
    let trace: Vec<u64> = (0..asks).map(|_| zipf.next()).collect();
    let (warm_up, measured) = trace.split_at(asks / 2);

    let cache: moka::sync::Cache<u64, u64> = moka::sync::Cache::new(room);
    let ask = |key: &u64| {
        let is_hit = cache.get(key).is_some();
        if !is_hit {
            cache.insert(*key, 1);
        }
        is_hit
    };
    warm_up.iter().for_each(|key| {
        ask(key);
    });
    let hits = measured.iter().filter(|key| ask(key)).count();
    let theirs = hits as f64 / measured.len() as f64 * 100.0;
    report.note("hit rate, Zipf 0.9, room for 10 %", "moka", "%", theirs);

    let (ours, rate) = ours(room, keys, warm_up, measured)?;
    report.note("hit rate, Zipf 0.9, room for 10 %", "ours", "%", ours);
    report.note("hit rate, Zipf 0.9, room for 10 %", "ours less moka", "points", ours - theirs);
    report.note("asks, loads included", "ours", "M asks/s", rate);
    Ok(())
}

/// Through the grid: what was found in memory, as its metrics have it.
fn ours(room: u64, keys: usize, warm_up: &[u64], asks: &[u64]) -> anyhow::Result<(f64, f64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let options =
            EntityOptions::new().at_most_once().evict(Eviction::new().entities_per_node(room));
        let grid = Grid::builder().entity::<Counter>(options).store(MemoryStore::new());
        let grid = grid.threads(Threads::Current).start().await?;
        // Every key is in the store, in another order than it is asked for.
        for rank in (0..keys as u64).rev() {
            let key = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            grid.entity::<Counter>(key).increment().await?;
        }
        grid.persisted().await?;
        for key in warm_up {
            grid.entity::<Counter>(*key).value().await?;
        }
        let before = (found(&grid, "hit"), found(&grid, "store_hit"));
        let started_at = Instant::now();
        for key in asks {
            grid.entity::<Counter>(*key).value().await?;
        }
        let rate = asks.len() as f64 / started_at.elapsed().as_micros() as f64;
        let (hits, store_hits) =
            (found(&grid, "hit") - before.0, found(&grid, "store_hit") - before.1);
        anyhow::ensure!(hits + store_hits == asks.len() as f64, "{hits} and {store_hits}");
        grid.leave().await?;
        Ok((hits / asks.len() as f64 * 100.0, rate))
    })
}

fn found(grid: &Grid, result: &str) -> f64 {
    let series =
        format!("fastness_entity_lookups_total{{entity=\"counter\",result=\"{result}\"}} ");
    let text = grid.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.and_then(|value| value.parse().ok()).expect("the series is there")
}
