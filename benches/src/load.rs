//! The load that every side is put under, in the same way: so many callers at a time, each of which
//! asks one ask after another.

use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

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
/// threads begin and end together. Returns when they have begun, and when they were done.
///
/// # Panics
/// When the sum is another one.
pub(crate) async fn put_under<C: Counts>(
    counts: &C,
    load: Load,
    share: Share,
    together: impl AsyncFn(),
) -> (Instant, Instant) {
    sweep(counts, load, share, What::Add).await;
    let before = sweep(counts, load, share, What::Get).await;
    together().await;
    let times = drive(counts, load, share).await;
    together().await;
    let added = if load.what == What::Add { load.asked() as u64 } else { 0 };
    assert_eq!(sweep(counts, load, share, What::Get).await, before + added, "counted");
    times
}

/// Asks per microsecond, of counters on their own or another thread, for one thread's callers.
pub(crate) async fn rate<C: Counts>(counts: C, load: Load) -> f64 {
    let times = put_under(&counts, load, Share::WHOLE, async || ()).await;
    counts.end().await;
    per_microsecond(load, times)
}

/// Asks per microsecond of two threads' callers, each of which asks half of the counters.
pub(crate) fn rate_of_two<C: Counts>(connect: impl Fn() -> C + Sync, load: Load) -> f64 {
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
    2.0 * per_microsecond(load, (one.0.min(other.0), one.1.max(other.1)))
}

/// Asks per microsecond, of when they began and when they were done.
pub(crate) fn per_microsecond(load: Load, (began_at, done_at): (Instant, Instant)) -> f64 {
    load.asked() as f64 / (done_at - began_at).as_micros() as f64
}

async fn drive<C: Counts>(counts: &C, load: Load, share: Share) -> (Instant, Instant) {
    let began_at = Instant::now();
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
    (began_at, Instant::now())
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
