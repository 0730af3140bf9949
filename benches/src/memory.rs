//! Bytes per entity: `u64` key, 100 bytes of state, no store.

use std::collections::HashMap;
use std::time::Duration;

use fastness::prelude::*;
use fastness::{EntityOptions, Grid, ManualClock, Threads, Timestamp};
use foldhash::fast::FixedState;
use serde_big_array::BigArray;
use tokio::task::LocalSet;

use crate::counting::held_by;
use crate::report::Report;

#[derive(Entity, Clone, Serialize, Deserialize)]
#[entity(key = u64)]
struct Blob {
    #[serde(with = "BigArray")]
    bytes: [u8; 100],
}

impl Default for Blob {
    fn default() -> Blob {
        Blob { bytes: [0; 100] }
    }
}

#[handlers]
impl Blob {
    fn fill(&mut self, byte: u8) {
        self.bytes = [byte; 100];
    }
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let entities = report.amount(1_000_000);
    let per = |bytes: usize, entities: usize| bytes as f64 / entities as f64;
    let (_, bytes) = held_by(|| {
        let entries = (0..entities as u64).map(|key| (key, [1u8; 100]));
        let mut table: HashMap<u64, [u8; 100], FixedState> = HashMap::default();
        table.extend(entries);
        table
    });
    report.note("memory", "HashMap", "B/entity", per(bytes, entities));
    for (side, options) in [
        ("ours", EntityOptions::new().at_most_once()),
        ("ours, sessions dropped", EntityOptions::new()),
    ] {
        report.note("memory", side, "B/entity", per(ours(entities, options), entities));
    }
    let actors = report.amount(20_000);
    report.note("memory", "an actix actor each", "B/entity", per(on_actix(actors), actors));
    report.note("memory", "a kameo actor each", "B/entity", per(on_kameo(actors), actors));
    report.note("memory", "a ractor actor each", "B/entity", per(on_ractor(actors), actors));
    Ok(())
}

fn on_a_runtime<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime is made"), async { work().await })
}

/// After a million asks, and after the session that they were asked in is over.
fn ours(entities: usize, options: EntityOptions) -> usize {
    on_a_runtime(async || {
        let clock = ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000));
        let (_grid, bytes) = {
            let build = async || {
                let grid = Grid::builder().entity::<Blob>(options).threads(Threads::Current);
                let grid = grid.clock(clock.clone()).start().await.expect("the grid starts");
                for key in 0..entities as u64 {
                    grid.entity::<Blob>(key).fill(1).await.expect("the grid serves");
                }
                // Sessions are idle now, and what was kept for them is swept, part by part.
                clock.advance(Duration::from_secs(3601));
                for _ in 0..20 {
                    clock.advance(Duration::from_secs(11));
                    for _ in 0..2000 {
                        tokio::task::yield_now().await;
                    }
                }
                grid
            };
            crate::counting::held_by_async(build).await
        };
        bytes
    })
}

fn on_actix(actors: usize) -> usize {
    use actix::prelude::*;
    struct Holding([u8; 100]);
    impl Actor for Holding {
        type Context = Context<Self>;
    }
    on_a_runtime(async || {
        let (actors, bytes) =
            held_by(|| (0..actors).map(|_| Holding([1; 100]).start()).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        drop(actors);
        let _ = Holding([0; 100]).0;
        bytes
    })
}

fn on_kameo(actors: usize) -> usize {
    use kameo::prelude::*;
    #[derive(Actor)]
    struct Holding(#[allow(dead_code)] [u8; 100]);
    on_a_runtime(async || {
        let build = async || {
            let spawned: Vec<_> = (0..actors).map(|_| Holding::spawn(Holding([1; 100]))).collect();
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            spawned
        };
        crate::counting::held_by_async(build).await.1
    })
}

fn on_ractor(actors: usize) -> usize {
    use ractor::{Actor, ActorProcessingErr, ActorRef};
    struct Holding;
    struct Nothing;
    impl Actor for Holding {
        type Msg = Nothing;
        type State = [u8; 100];
        type Arguments = ();

        async fn pre_start(
            &self,
            _: ActorRef<Nothing>,
            (): (),
        ) -> Result<[u8; 100], ActorProcessingErr> {
            Ok([1; 100])
        }
    }
    on_a_runtime(async || {
        let build = async || {
            let mut spawned = Vec::new();
            for _ in 0..actors {
                spawned.push(Actor::spawn(None, Holding, ()).await.expect("it starts"));
            }
            spawned
        };
        crate::counting::held_by_async(build).await.1
    })
}
