//! The load that every side is put under, in the same way: so many callers at a time, each of which
//! asks one ask after another.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::report::Found;

/// How many counters there are, unless a comparison says otherwise.
pub(crate) const KEYS: u64 = 100_000;

/// Callers at a time outside what is measured: before it, so that every side has its counters, and
/// after it, when they are summed.
const SWEEPERS: u64 = 64;

/// Counters that can be asked, by their keys.
pub(crate) trait Counts: Clone + 'static {
    /// Adds one and returns the sum.
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static;

    /// Returns the sum.
    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static;

    /// Nobody asks any more.
    async fn end(self) {}
}

/// When callers have begun, when they were done, and for how long their thread ran meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    began_at: Instant,
    done_at: Instant,
    /// What others have taken of the machine is not in it.
    ran: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Add,
    Get,
}

/// What the callers of one thread do.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) what: What,
    /// In all; a remainder by `in_flight` is left out.
    pub(crate) asks: usize,
    pub(crate) in_flight: usize,
    /// How many counters there are.
    pub(crate) keys: u64,
}

impl Load {
    pub(crate) fn new(what: What, asks: usize, in_flight: usize) -> Load {
        Load { what, asks, in_flight, keys: KEYS }
    }

    fn asked(&self) -> usize {
        self.asks / self.in_flight * self.in_flight
    }
}

/// Which of the counters a thread's callers ask: every `of`-th, from `first`.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) first: u64,
    pub(crate) of: u64,
}

impl Share {
    pub(crate) const WHOLE: Share = Share { first: 0, of: 1 };

    fn key(self, number: u64) -> u64 {
        number * self.of + self.first
    }
}

/// Random numbers (Knuth's MMIX generator, its upper half).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than 2^31.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Puts counters under the load. Each exists before, and afterwards they are summed: no side counts
/// less than it is asked to. `together` is awaited in between, so that the callers of several
/// threads begin and end together.
///
/// # Panics
/// When the sum is another one.
pub(crate) async fn put_under<C: Counts>(
    counts: &C,
    load: Load,
    share: Share,
    together: impl AsyncFn(),
) -> Times {
    sweep(counts, load, share, What::Add).await;
    let before = sweep(counts, load, share, What::Get).await;
    together().await;
    let times = drive(counts, load, share).await;
    together().await;
    let added = if load.what == What::Add { load.asked() as u64 } else { 0 };
    assert_eq!(sweep(counts, load, share, What::Get).await, before + added, "counted");
    times
}

/// How fast counters of this thread answer: by the clock, and by the time that the thread ran.
pub(crate) async fn rate_here<C: Counts>(counts: C, load: Load) -> Found {
    let times = put_under(&counts, load, Share::WHOLE, async || ()).await;
    counts.end().await;
    times.found(load)
}

/// How fast counters of another thread answer.
pub(crate) async fn rate<C: Counts>(counts: C, load: Load) -> Found {
    let times = put_under(&counts, load, Share::WHOLE, async || ()).await;
    counts.end().await;
    Found::from(per_microsecond(load, times.done_at - times.began_at))
}

/// How fast counters of other threads answer two threads' callers, each of which asks half of them.
pub(crate) fn rate_of_two<C: Counts>(connect: impl Fn() -> C + Sync, load: Load) -> Found {
    let barrier = std::sync::Barrier::new(2);
    let call = |first| {
        on_this_thread(async || {
            let together = async || {
                barrier.wait();
            };
            put_under(&connect(), load, Share { first, of: 2 }, together).await
        })
    };
    let [one, other] = std::thread::scope(|scope| {
        let other = scope.spawn(|| call(1));
        let one = call(0);
        [one, other.join().expect("no caller panics")]
    });
    let took = one.done_at.max(other.done_at) - one.began_at.min(other.began_at);
    Found::from(2.0 * per_microsecond(load, took))
}

impl Times {
    /// What one thread has come to that does all the work.
    pub(crate) fn found(self, load: Load) -> Found {
        let by_cpu = load.asked() as f64 / self.ran.as_nanos() as f64 * 1000.0;
        Found { value: per_microsecond(load, self.done_at - self.began_at), by_cpu: Some(by_cpu) }
    }
}

fn per_microsecond(load: Load, took: Duration) -> f64 {
    load.asked() as f64 / took.as_micros() as f64
}

/// How long this thread has run until now.
fn has_run() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it counts from nought")
}

async fn drive<C: Counts>(counts: &C, load: Load, share: Share) -> Times {
    let (began_at, had_run) = (Instant::now(), has_run());
    let call = |caller: usize| {
        let counts = counts.clone();
        spawn_local(async move {
            let (mut random, keys) = (Random::new(caller as u64), load.keys / share.of);
            for _ in 0..load.asks / load.in_flight {
                let key = share.key(random.next() % keys);
                match load.what {
                    What::Add => counts.add(key).await,
                    What::Get => counts.get(key).await,
                };
            }
        })
    };
    let callers: Vec<_> = (0..load.in_flight).map(call).collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
    Times { began_at, done_at: Instant::now(), ran: has_run() - had_run }
}

/// Asks each counter of the share once; returns the sum of what they say.
async fn sweep<C: Counts>(counts: &C, load: Load, share: Share, what: What) -> u64 {
    let call = |caller: u64| {
        let counts = counts.clone();
        spawn_local(async move {
            let mut sum = 0;
            for number in (caller..load.keys / share.of).step_by(SWEEPERS as usize) {
                let key = share.key(number);
                sum += match what {
                    What::Add => counts.add(key).await,
                    What::Get => counts.get(key).await,
                };
            }
            sum
        })
    };
    let callers: Vec<_> = (0..SWEEPERS).map(call).collect();
    let mut sum = 0;
    for caller in callers {
        sum += caller.await.expect("no caller panics");
    }
    sum
}

pub(crate) fn on_this_thread<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime is made"), async { work().await })
}

/// What was made on a thread of its own, which ends when this is dropped.
pub(crate) struct Elsewhere<T> {
    pub(crate) made: T,
    _end: oneshot::Sender<()>,
}

pub(crate) fn on_another_thread<T: Send + 'static>(
    make: impl AsyncFnOnce() -> T + Send + 'static,
) -> Elsewhere<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let (_end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        on_this_thread(async || {
            let _ = send.send(make().await); // it is waited for
            let _ = ended.await; // its sender is dropped
        });
    });
    Elsewhere { made: receive.recv().expect("the thread makes it"), _end }
}
