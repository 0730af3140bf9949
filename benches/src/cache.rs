//! Hit rate on Zipf 0.9 over a million keys with room for a tenth, against moka on the same trace;
//! and how fast hits are.

use std::time::Instant;

use anyhow::ensure;
use fastness::{Eviction, MemoryStore, Threads};

use crate::load::{Counts, Random, on_this_thread};
use crate::ours::{Ours, grid, without_sessions};
use crate::report::{Aim, Report};

const WORK: &str = "hit rate, Zipf 0.9, room for 10 %";
const EXPONENT: f64 = 0.9;

/// Percentage points that moka may be ahead.
const POINTS_MAX: f64 = 2.0;

/// Callers at a time while entities are stored.
const CALLERS: u64 = 64;

/// Keys by Zipf's law, by the inverse of the cumulated frequencies.
struct Zipf {
    cumulated: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(keys: usize) -> Zipf {
        let mut sum = 0.0;
        let frequency = |rank: usize| {
            sum += (rank as f64).powf(-EXPONENT);
            sum
        };
        Zipf { cumulated: (1..=keys).map(frequency).collect(), random: Random::new(7) }
    }

    /// The rank of the next key, from 0.
    fn next(&mut self) -> u64 {
        let sum = self.cumulated[self.cumulated.len() - 1];
        let uniform = self.random.next() as f64 / (1u64 << 31) as f64;
        self.cumulated.partition_point(|known| *known < uniform * sum) as u64
    }

    /// The share of asks that the most frequent keys make, in percent: what a cache of so many
    /// could reach at the most if it knew them from the beginning.
    fn best_possible(&self, room: usize) -> f64 {
        self.cumulated[room - 1] / self.cumulated[self.cumulated.len() - 1] * 100.0
    }
}

/// The key of a rank: mixed, so that frequent keys are no neighbours.
fn key_of(rank: u64) -> u64 {
    rank.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let (keys, asks) = (report.amount(1_000_000), report.amount(4_000_000));
    let room = keys / 10;
    let mut zipf = Zipf::new(keys);
    let trace: Vec<u64> = (0..asks).map(|_| key_of(zipf.next())).collect();
    let (warm_up, measured) = trace.split_at(asks / 2);
    // After it, for the speed of hits: keys that are in both caches whatever they have evicted.
    let frequent: Vec<u64> = (0..room as u64 / 100).map(key_of).collect();

    let cache: moka::sync::Cache<u64, u64> = moka::sync::Cache::new(room as u64);
    for key in warm_up {
        ask_moka(&cache, *key);
    }
    let hits = measured.iter().filter(|key| ask_moka(&cache, **key)).count();
    let theirs = hits as f64 / measured.len() as f64 * 100.0;
    on_this_thread(async || {
        let ours = ours(room as u64, keys as u64).await?;
        for key in warm_up {
            ours.get(*key).await;
        }
        let before = Lookups::of(&ours);
        let began_at = Instant::now();
        for key in measured {
            ours.get(*key).await;
        }
        let rate = measured.len() as f64 / began_at.elapsed().as_micros() as f64;
        let Lookups { hits, loads } = Lookups::of(&ours).since(before);
        ensure!(hits + loads == measured.len() as f64, "{hits} hits and {loads} loads");
        let hit_rate = hits / measured.len() as f64 * 100.0;
        report.note(WORK, "best possible", "%", zipf.best_possible(room));
        report.note(WORK, "moka", "%", theirs);
        report.note(WORK, "ours", "%", hit_rate);
        let aim = Aim::AtLeast(-POINTS_MAX);
        report.hold(WORK, "ours less moka", "points", hit_rate - theirs, aim);
        report.note("asks of the trace, loads included", "ours", "M asks/s", rate);
        hits_alone(report, &cache, &ours, &frequent).await?;
        ours.end().await;
        Ok(())
    })
}

fn ask_moka(cache: &moka::sync::Cache<u64, u64>, key: u64) -> bool {
    let is_hit = cache.get(&key).is_some();
    if !is_hit {
        cache.insert(key, 1);
    }
    is_hit
}

/// A grid with so much room, and every key in its store.
async fn ours(room: u64, keys: u64) -> anyhow::Result<Ours> {
    let options = without_sessions().evict(Eviction::new().entities_per_node(room));
    let ours = Ours::start(grid(options, Threads::Current).store(MemoryStore::new())).await;
    let call = |caller| {
        let ours = ours.clone();
        tokio::task::spawn_local(async move {
            // The least frequent first: what is in memory in the end was not asked for most.
            for rank in (caller..keys).step_by(CALLERS as usize) {
                ours.add(key_of(keys - 1 - rank)).await;
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(call).collect();
    for caller in callers {
        caller.await?;
    }
    ours.0.persisted().await?;
    Ok(ours)
}

/// Asks for keys that are in memory, one after another.
async fn hits_alone(
    report: &mut Report,
    cache: &moka::sync::Cache<u64, u64>,
    ours: &Ours,
    keys: &[u64],
) -> anyhow::Result<()> {
    let (asks, rounds) = (report.amount(2_000_000), report.rounds());
    let (mut of_ours, mut of_moka) = (Vec::new(), Vec::new());
    for key in keys {
        ask_moka(cache, *key);
        ours.get(*key).await;
    }
    let before = Lookups::of(ours);
    for _ in 0..rounds {
        let began_at = Instant::now();
        for key in keys.iter().cycle().take(asks) {
            ours.get(*key).await;
        }
        of_ours.push(asks as f64 / began_at.elapsed().as_micros() as f64);
        let began_at = Instant::now();
        for key in keys.iter().cycle().take(asks) {
            std::hint::black_box(cache.get(key));
        }
        of_moka.push(asks as f64 / began_at.elapsed().as_micros() as f64);
    }
    let found = Lookups::of(ours).since(before);
    ensure!(found.loads == 0.0, "{} of these were loaded", found.loads);
    report.line("hits", "ours", "M asks/s", &of_ours);
    report.line("hits", "moka", "M asks/s", &of_moka);
    Ok(())
}

/// Where asks have found their entities, as the grid's metrics have it.
struct Lookups {
    hits: f64,
    loads: f64,
}

impl Lookups {
    fn of(ours: &Ours) -> Lookups {
        let text = ours.0.metrics();
        let found = |result: &str| {
            let series =
                format!("fastness_entity_lookups_total{{entity=\"counter\",result=\"{result}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.and_then(|value| value.parse().ok()).expect("the series is there")
        };
        Lookups { hits: found("hit"), loads: found("store_hit") }
    }

    fn since(self, before: Lookups) -> Lookups {
        Lookups { hits: self.hits - before.hits, loads: self.loads - before.loads }
    }
}
