//! One thread for everything, and the moment at which it has nothing left to do.
//!
//! tokio says when it is about to wait for something outside of its thread. If the store has no
//! call under way then, all that could happen at this time of the clock has happened.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::task::LocalSet;

use super::faulty_store::FaultyStore;

/// Says when its thread is idle. Clones are the same.
#[derive(Clone)]
pub(super) struct Idle {
    state: Arc<Mutex<State>>,
    store: Option<FaultyStore>,
    /// Whether the test may wait for what happens outside of its thread.
    may_wait: bool,
}

#[derive(Default)]
struct State {
    /// How often the thread was idle.
    times: u64,
    waiting: Vec<Waker>,
    /// Wakes the test as a whole.
    root: Option<Waker>,
    /// Nobody moves the clock, and nothing else would end the wait.
    is_stuck: bool,
}

impl Idle {
    pub(super) fn new(store: Option<FaultyStore>, may_wait: bool) -> Idle {
        Idle { state: Arc::default(), store, may_wait }
    }

    /// Runs a test to its end, on this thread.
    pub(super) fn block_on<T>(&self, test: impl Future<Output = T>) -> T {
        let idle = self.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || idle.note())
            .build()
            .expect("a runtime of one thread needs no more than the process has");
        LocalSet::new().block_on(&runtime, self.watch(test))
    }

    /// Waits until nothing is left to do in this thread but to wait.
    pub(super) async fn wait(&self) {
        let before = self.state().times;
        poll_fn(|cx| {
            let mut state = self.state();
            if state.times > before {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// The thread is about to wait.
    fn note(&self) {
        if self.store.as_ref().is_some_and(FaultyStore::is_working) {
            return; // it comes here again when the store has answered
        }
        let mut state = self.state();
        state.times += 1;
        if state.waiting.is_empty() && !self.may_wait {
            state.is_stuck = true;
            state.root.iter().for_each(Waker::wake_by_ref);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Polls the test, and ends it where it would wait for ever.
    async fn watch<T>(&self, test: impl Future<Output = T>) -> T {
        let mut test = pin!(test);
        poll_fn(|cx| {
            let is_stuck = {
                let mut state = self.state();
                state.root = Some(cx.waker().clone());
                state.is_stuck
            };
            assert!(
                !is_stuck,
                "the test waits for what does not come while the clock stands still: await it \
                 with `grid.complete(..)`, or move the clock with `advance`; if it waits for \
                 another thread or for real time, say `may_wait_outside()` to the builder"
            );
            test.as_mut().poll(cx)
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
