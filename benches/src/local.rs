//! Asks within one process: increment one of 100,000 counters and return it.

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fastness::prelude::*;
use fastness::{EntityOptions, Grid, GridBuilder, SledStore, Threads};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::peers::{ByHand, Counters, on_actix, on_kameo, on_ractor, serve_by_hand};
use crate::report::{Report, Side};

pub(crate) const KEYS: u64 = 100_000;

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Counter {
    value: u64,
}

#[handlers]
impl Counter {
    pub(crate) fn increment(&mut self) -> u64 {
        self.value += 1;
        self.value
    }

    #[read]
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// The keys that one caller asks, one after another.
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn new(caller: u64) -> Keys {
        Keys(caller.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A random number (Knuth's MMIX generator, its upper half).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn next(&mut self) -> u64 {
        self.next_random() % KEYS
    }
}

/// Runs `asks` asks of so many callers at a time; returns asks per microsecond.
pub(crate) async fn drive<A, F>(asks: usize, in_flight: usize, ask: A) -> f64
where
    A: Fn(u64) -> F + Clone + 'static,
    F: Future<Output = u64>,
{
    let started_at = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|caller| {
            let ask = ask.clone();
            spawn_local(async move {
                let mut keys = Keys::new(caller as u64);
                for _ in 0..asks / in_flight {
                    ask(keys.next()).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
    (asks / in_flight * in_flight) as f64 / started_at.elapsed().as_micros() as f64
}

pub(crate) fn on_this_thread<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime is made"), async { work().await })
}

/// Starts `serve` on a thread of its own, which lives as long as what it returns is used.
pub(crate) fn on_another_thread<T: Send + 'static, F>(
    serve: impl FnOnce() -> F + Send + 'static,
) -> T
where
    F: Future<Output = T>,
{
    let (made, making) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        on_this_thread(async || {
            let _ = made.send(serve().await);
            tokio::time::sleep(Duration::from_secs(3600)).await;
        });
    });
    making.recv().expect("the thread has made it")
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

pub(crate) fn counters(options: EntityOptions, threads: Threads) -> GridBuilder {
    Grid::builder().entity::<Counter>(options).threads(threads)
}

pub(crate) async fn warm(grid: &Grid) {
    for key in 0..KEYS {
        grid.entity::<Counter>(key).increment().await.expect("the grid serves");
    }
}

pub(crate) async fn sum(grid: &Grid) -> u64 {
    let mut sum = 0;
    for key in 0..KEYS {
        sum += grid.entity::<Counter>(key).value().await.expect("the grid serves");
    }
    sum
}

/// Ours: warm, then driven; what was counted is what was asked.
fn ours(builder: GridBuilder, asks: usize, in_flight: usize, reads: bool) -> f64 {
    on_this_thread(async || {
        let grid = builder.start().await.expect("the grid starts");
        warm(&grid).await;
        let asked = grid.clone();
        let rate = if reads {
            let ask = move |key| {
                let ask = asked.entity::<Counter>(key).value();
                async move { ask.await.expect("the grid serves") }
            };
            drive(asks, in_flight, ask).await
        } else {
            let ask = move |key| {
                let ask = asked.entity::<Counter>(key).increment();
                async move { ask.await.expect("the grid serves") }
            };
            drive(asks, in_flight, ask).await
        };
        let added = if reads { 0 } else { asks / in_flight * in_flight };
        assert_eq!(sum(&grid).await, KEYS + added as u64);
        grid.leave().await.expect("the grid ends");
        rate
    })
}

async fn drive_actix(
    actors: Vec<actix::Addr<on_actix::Counting>>,
    asks: usize,
    in_flight: usize,
    reads: bool,
) -> f64 {
    let of = move |actors: &[actix::Addr<on_actix::Counting>], key: u64| {
        actors[(key % actors.len() as u64) as usize].clone()
    };
    for key in 0..KEYS {
        of(&actors, key).send(on_actix::Add(key)).await.expect("the actor lives");
    }
    let asked = std::rc::Rc::new(actors.clone());
    let rate = if reads {
        let ask = move |key| {
            let ask = asked[(key % asked.len() as u64) as usize].send(on_actix::Get(key));
            async move { ask.await.expect("the actor lives") }
        };
        drive(asks, in_flight, ask).await
    } else {
        let ask = move |key| {
            let ask = asked[(key % asked.len() as u64) as usize].send(on_actix::Add(key));
            async move { ask.await.expect("the actor lives") }
        };
        drive(asks, in_flight, ask).await
    };
    let mut sum = 0;
    for actor in actors {
        sum += actor.send(on_actix::Sum).await.expect("the actor lives");
    }
    let added = if reads { 0 } else { asks / in_flight * in_flight };
    assert_eq!(sum, KEYS + added as u64);
    rate
}

fn actix(actors: usize, other: bool, asks: usize, in_flight: usize, reads: bool) -> f64 {
    use actix::Actor;
    let start = move || (0..actors).map(|_| on_actix::Counting::default().start()).collect();
    if other {
        let actors = on_another_thread(move || async move { start() });
        on_this_thread(async || drive_actix(actors, asks, in_flight, reads).await)
    } else {
        on_this_thread(async || drive_actix(start(), asks, in_flight, reads).await)
    }
}

fn kameo(other: bool, asks: usize, in_flight: usize) -> f64 {
    use kameo::prelude::*;
    let start = || async { on_kameo::Counting::spawn(on_kameo::Counting::default()) };
    let drive = async |actor: ActorRef<on_kameo::Counting>| {
        let asked = actor.clone();
        let ask = move |key| {
            let asked = asked.clone();
            async move { asked.ask(on_kameo::Add(key)).await.expect("the actor lives") }
        };
        let rate = drive(asks, in_flight, ask).await;
        let sum = actor.ask(on_kameo::Sum).await.expect("the actor lives");
        assert_eq!(sum, (asks / in_flight * in_flight) as u64);
        rate
    };
    if other {
        let actor = on_another_thread(start);
        on_this_thread(async || drive(actor).await)
    } else {
        on_this_thread(async || drive(start().await).await)
    }
}

fn ractor(other: bool, asks: usize, in_flight: usize) -> f64 {
    use on_ractor::{Ask, Counting};
    use ractor::{Actor, ActorRef, rpc::CallResult};
    let start = || async { Actor::spawn(None, Counting, ()).await.expect("it starts").0 };
    async fn call(
        actor: &ActorRef<Ask>,
        ask: impl FnOnce(ractor::RpcReplyPort<u64>) -> Ask,
    ) -> u64 {
        match actor.call(ask, None).await {
            Ok(CallResult::Success(value)) => value,
            _ => panic!("the actor lives"),
        }
    }
    let drive = async |actor: ActorRef<Ask>| {
        let asked = actor.clone();
        let ask = move |key| {
            let asked = asked.clone();
            async move { call(&asked, |reply| Ask::Add(key, reply)).await }
        };
        let rate = drive(asks, in_flight, ask).await;
        assert_eq!(call(&actor, Ask::Sum).await, (asks / in_flight * in_flight) as u64);
        actor.stop(None);
        rate
    };
    if other {
        let actor = on_another_thread(start);
        on_this_thread(async || drive(actor).await)
    } else {
        on_this_thread(async || drive(start().await).await)
    }
}

fn by_hand(other: bool, asks: usize, in_flight: usize) -> f64 {
    let start = || async {
        let (asks, queue) = mpsc::channel(4096);
        spawn_local(serve_by_hand(queue));
        asks
    };
    async fn call(
        asks: &mpsc::Sender<ByHand>,
        ask: impl FnOnce(oneshot::Sender<u64>) -> ByHand,
    ) -> u64 {
        let (reply, answer) = oneshot::channel();
        if asks.send(ask(reply)).await.is_err() {
            panic!("the task lives");
        }
        answer.await.expect("the task lives")
    }
    let drive = async |queue: mpsc::Sender<ByHand>| {
        let asked = queue.clone();
        let ask = move |key| {
            let asked = asked.clone();
            async move { call(&asked, |reply| ByHand::Add(key, reply)).await }
        };
        let rate = drive(asks, in_flight, ask).await;
        assert_eq!(call(&queue, ByHand::Sum).await, (asks / in_flight * in_flight) as u64);
        rate
    };
    if other {
        let queue = on_another_thread(start);
        on_this_thread(async || drive(queue).await)
    } else {
        on_this_thread(async || drive(start().await).await)
    }
}

fn plain(asks: usize) -> f64 {
    let (mut counters, mut keys) = (Counters::default(), Keys::new(0));
    (0..KEYS).for_each(|key| {
        counters.add(key);
    });
    let started_at = Instant::now();
    (0..asks).for_each(|_| {
        std::hint::black_box(counters.add(keys.next()));
    });
    let rate = asks as f64 / started_at.elapsed().as_micros() as f64;
    assert_eq!(counters.sum(), KEYS + asks as u64);
    rate
}

pub(crate) fn without_sessions() -> EntityOptions {
    EntityOptions::new().at_most_once()
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for in_flight in [1, 64, 1024] {
        same_thread(report, in_flight);
    }
    for in_flight in [1, 64, 1024] {
        other_thread(report, in_flight);
    }
    crate::two::two_and_two(report);
    behind_to_sled(report)?;
    through_to_sled(report)
}

fn same_thread(report: &mut Report, in_flight: usize) {
    let asks = report.amount(if in_flight == 1 { 300_000 } else { 1_000_000 });
    let here = |options| counters(options, Threads::Current);
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| ours(here(without_sessions()), asks, in_flight, false))),
        (
            "ours with sessions",
            Box::new(|| ours(here(EntityOptions::new()), asks, in_flight, false)),
        ),
        ("ours reading", Box::new(|| ours(here(without_sessions()), asks, in_flight, true))),
        ("actix 1", Box::new(|| actix(1, false, asks, in_flight, false))),
        ("actix 256", Box::new(|| actix(256, false, asks, in_flight, false))),
        ("actix 256 reading", Box::new(|| actix(256, false, asks, in_flight, true))),
        ("kameo 1", Box::new(|| kameo(false, asks, in_flight))),
        ("ractor 1", Box::new(|| ractor(false, asks, in_flight))),
        ("mpsc and oneshot", Box::new(|| by_hand(false, asks, in_flight))),
        ("plain call", Box::new(|| plain(asks))),
    ];
    let rounds = report.measure(format!("same thread, {in_flight} in flight"), "M asks/s", sides);
    let aim = |aim| (in_flight > 1).then_some(aim);
    report.compare(&rounds, "ours", "actix 256", aim(1.0));
    report.compare(&rounds, "ours", "actix 1", aim(0.5));
    report.compare(&rounds, "ours", "kameo 1", aim(1.0));
    report.compare(&rounds, "ours", "ractor 1", aim(1.0));
    report.compare(&rounds, "ours", "mpsc and oneshot", None);
    report.compare(&rounds, "ours with sessions", "actix 256", None);
    report.compare(&rounds, "ours reading", "actix 256 reading", aim(0.8));
}

fn other_thread(report: &mut Report, in_flight: usize) {
    let asks = report.amount(if in_flight == 1 { 30_000 } else { 500_000 });
    let there = |options| counters(options, Threads::PerCore(one()));
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| ours(there(without_sessions()), asks, in_flight, false))),
        (
            "ours with sessions",
            Box::new(|| ours(there(EntityOptions::new()), asks, in_flight, false)),
        ),
        ("ours reading", Box::new(|| ours(there(without_sessions()), asks, in_flight, true))),
        ("actix 1", Box::new(|| actix(1, true, asks, in_flight, false))),
        ("actix 256", Box::new(|| actix(256, true, asks, in_flight, false))),
        ("actix 256 reading", Box::new(|| actix(256, true, asks, in_flight, true))),
        ("kameo 1", Box::new(|| kameo(true, asks, in_flight))),
        ("ractor 1", Box::new(|| ractor(true, asks, in_flight))),
        ("mpsc and oneshot", Box::new(|| by_hand(true, asks, in_flight))),
    ];
    let rounds = report.measure(format!("other thread, {in_flight} in flight"), "M asks/s", sides);
    let aim = |aim| (in_flight > 1).then_some(aim);
    report.compare(&rounds, "ours", "actix 256", aim(1.0));
    report.compare(&rounds, "ours", "mpsc and oneshot", aim(0.8));
    report.compare(&rounds, "ours", "kameo 1", None);
    report.compare(&rounds, "ours", "ractor 1", None);
    report.compare(&rounds, "ours reading", "actix 256 reading", aim(0.8));
}

fn sled(directory: &tempfile::TempDir) -> SledStore {
    SledStore::open(directory.path().join("store")).expect("there is room on the disk")
}

fn behind_to_sled(report: &mut Report) -> anyhow::Result<()> {
    let asks = report.amount(1_000_000);
    let threads = Threads::PerCore(one());
    let with_store = || {
        let directory = tempfile::tempdir().expect("there is room on the disk");
        ours(counters(without_sessions(), threads).store(sled(&directory)), asks, 64, false)
    };
    let sides: Vec<Side<'_>> = vec![
        ("with sled behind", Box::new(with_store)),
        (
            "without a store",
            Box::new(|| ours(counters(without_sessions(), threads), asks, 64, false)),
        ),
    ];
    let rounds = report.measure("writes, 64 in flight", "M asks/s", sides);
    report.compare(&rounds, "with sled behind", "without a store", Some(0.8));
    Ok(())
}

fn through_to_sled(report: &mut Report) -> anyhow::Result<()> {
    let asks = report.amount(20_000);
    let through = || {
        let directory = tempfile::tempdir().expect("there is room on the disk");
        let options = without_sessions().write_through();
        on_this_thread(async || {
            let grid = counters(options, Threads::PerCore(one())).store(sled(&directory));
            let grid = grid.start().await.expect("the grid starts");
            let asked = grid.clone();
            let ask = move |key| {
                let ask = asked.entity::<Counter>(key).increment();
                async move { ask.await.expect("the grid serves") }
            };
            let rate = drive(asks, 64, ask).await;
            grid.leave().await.expect("the grid ends");
            rate * 1000.0
        })
    };
    let by_hand = report.amount(2000);
    let one_sync_each = || one_sync_each(by_hand).expect("there is room on the disk");
    let sides: Vec<Side<'_>> =
        vec![("ours", Box::new(through)), ("one sync each", Box::new(one_sync_each))];
    let rounds = report.measure("write-through to sled, 64 in flight", "K asks/s", sides);
    report.compare(&rounds, "ours", "one sync each", Some(5.0));
    Ok(())
}

fn one_sync_each(writes: usize) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let database = sled::open(directory.path().join("sled"))?;
    let file = std::fs::File::open(directory.path().join("sled/db")).context("sled's file")?;
    let mut keys = Keys::new(0);
    let started_at = Instant::now();
    for number in 0..writes as u64 {
        database.insert(keys.next().to_be_bytes(), &number.to_be_bytes())?;
        database.flush()?;
        file.sync_data()?;
    }
    Ok(writes as f64 / started_at.elapsed().as_micros() as f64 * 1000.0)
}
