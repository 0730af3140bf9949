//! Where processing units run. The only file that makes threads.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::thread;

use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// Where the processing units of a grid run.
///
/// Partition `p` of `n` threads runs on thread `p mod n`, for the grid's whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// All in the caller's [`LocalSet`], in which the grid must be started and kept running: one
    /// thread for everything, as in tests and simulations.
    Current,
    /// So many threads of the grid's own, and one more for the store.
    PerCore(NonZeroUsize),
}

impl Threads {
    /// A thread for each core that this process may use.
    #[must_use]
    pub fn per_core() -> Threads {
        Threads::PerCore(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// How many threads run processing units.
    pub(crate) fn count(self) -> usize {
        match self {
            Threads::Current => 1,
            Threads::PerCore(count) => count.get(),
        }
    }

    /// Runs the future that `work` makes, on a thread called `name` or in the caller's `LocalSet`.
    pub(crate) fn spawn<W>(self, name: &str, work: W) -> std::io::Result<Running>
    where
        W: FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send + 'static,
    {
        let (ended, end) = oneshot::channel();
        let thread = match self {
            Threads::Current => {
                tokio::task::spawn_local(async move {
                    work().await;
                    let _ = ended.send(()); // nobody need wait
                });
                None
            }
            Threads::PerCore(_) => {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                let run = move || {
                    // Actors are spawned on the thread's own task set; an actix `Arbiter` would do
                    // the same, but needs a running actix `System`, which a library cannot demand.
                    LocalSet::new().block_on(&runtime, async move { work().await });
                    drop(runtime);
                    let _ = ended.send(()); // nobody need wait
                };
                Some(thread::Builder::new().name(name.to_owned()).spawn(run)?)
            }
        };
        Ok(Running { end, thread })
    }
}

impl Default for Threads {
    fn default() -> Threads {
        Threads::per_core()
    }
}

/// Something that runs until it is told to stop.
pub(crate) struct Running {
    end: oneshot::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    /// Waits until it has ended. Returns false if it did so by a panic.
    pub(crate) async fn ended(&mut self) -> bool {
        let ended = (&mut self.end).await.is_ok();
        // Its last act was to say so: this does not block.
        self.thread.take().is_none_or(|thread| thread.join().is_ok()) && ended
    }
}
