//! The one source of time of a grid. Handed to the builder; manual in tests.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use pin_project_lite::pin_project;

use crate::engine::instant::{Instant, Timestamp};

/// Where a grid takes its time from.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// tokio's clock: the machine's monotonic one, or the paused one of a test runtime.
    System {
        origin: tokio::time::Instant,
    },
    Manual(ManualClock),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Source::System { origin: tokio::time::Instant::now() })
    }

    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            Source::System { origin } => Instant::default() + origin.elapsed(),
            Source::Manual(manual) => manual.state().now,
        }
    }

    /// The wall clock; may go back.
    pub(crate) fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                Timestamp::default() + since.unwrap_or_default()
            }
            Source::Manual(manual) => manual.now(),
        }
    }

    pub(crate) fn sleep_until(&self, at: Instant) -> Sleep {
        match &self.0 {
            Source::System { origin } => {
                let at = *origin + at.saturating_since(Instant::default());
                Sleep::System { sleep: tokio::time::sleep_until(at) }
            }
            Source::Manual(manual) => {
                Sleep::Manual { sleep: ManualSleep { clock: manual.clone(), at, registered: None } }
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Clock {
        Clock(Source::Manual(clock))
    }
}

/// A clock that stands still until it is told to move.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<ManualState>>);

struct ManualState {
    started_at: Timestamp,
    now: Instant,
    next_sleeper: u64,
    sleepers: BTreeMap<(Instant, u64), Waker>,
}

impl ManualClock {
    /// A clock whose wall time starts at `started_at`.
    #[must_use]
    pub fn new(started_at: Timestamp) -> ManualClock {
        ManualClock(Arc::new(Mutex::new(ManualState {
            started_at,
            now: Instant::default(),
            next_sleeper: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    /// Moves the clock on, and wakes whoever slept until then or earlier.
    pub fn advance(&self, by: Duration) {
        let at = self.state().now + by;
        self.advance_to(at);
    }

    /// The wall time that it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let state = self.state();
        state.started_at + state.now.saturating_since(Instant::default())
    }

    /// Moves the clock on to `at`, unless it is there or further.
    pub(crate) fn advance_to(&self, at: Instant) {
        let due = {
            let mut state = self.state();
            state.now = state.now.max(at);
            let not_yet = (state.now + Duration::from_nanos(1), 0);
            let later = state.sleepers.split_off(&not_yet);
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// What it shows, as engines see it.
    #[cfg(feature = "testkit")]
    pub(crate) fn instant(&self) -> Instant {
        self.state().now
    }

    /// When the first is to be woken of those who sleep.
    #[cfg(feature = "testkit")]
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.state().sleepers.keys().next().map(|(at, _)| *at)
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        // Nothing in here panics half-way, so a poisoned lock still guards a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.state().now).finish_non_exhaustive()
    }
}

pin_project! {
    /// Ready at its instant.
    #[project = SleepProjection]
    pub(crate) enum Sleep {
        System { #[pin] sleep: tokio::time::Sleep },
        Manual { #[pin] sleep: ManualSleep },
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            SleepProjection::System { sleep } => sleep.poll(cx),
            SleepProjection::Manual { sleep } => sleep.poll(cx),
        }
    }
}

pub(crate) struct ManualSleep {
    clock: ManualClock,
    at: Instant,
    registered: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.state();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let id = *self.registered.get_or_insert_with(|| {
            state.next_sleeper += 1;
            state.next_sleeper
        });
        state.sleepers.insert((self.at, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(id) = self.registered {
            self.clock.state().sleepers.remove(&(self.at, id));
        }
    }
}
