//! Counters of a task that is asked through a channel, and answers through another one.

use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use super::{Counters, QUEUE, home};
use crate::load::Counts;

/// Asks that the task takes at once.
const AT_ONCE: usize = 512;

pub(crate) enum Ask {
    Add(u64, oneshot::Sender<u64>),
    Get(u64, oneshot::Sender<u64>),
}

/// A task on this thread.
pub(crate) fn start() -> mpsc::Sender<Ask> {
    let (asks, queue) = mpsc::channel(QUEUE);
    spawn_local(serve(queue));
    asks
}

async fn serve(mut asks: mpsc::Receiver<Ask>) {
    let (mut counters, mut taken) = (Counters::default(), Vec::new());
    while asks.recv_many(&mut taken, AT_ONCE).await > 0 {
        for ask in taken.drain(..) {
            // Whoever asked is waiting.
            let _ = match ask {
                Ask::Add(key, reply) => reply.send(counters.add(key)),
                Ask::Get(key, reply) => reply.send(counters.get(key)),
            };
        }
    }
}

#[derive(Clone)]
pub(crate) struct WithAChannel(Rc<[mpsc::Sender<Ask>]>);

impl WithAChannel {
    pub(crate) fn new(tasks: &[mpsc::Sender<Ask>]) -> WithAChannel {
        WithAChannel(tasks.into())
    }

    fn call(
        &self,
        key: u64,
        ask: fn(u64, oneshot::Sender<u64>) -> Ask,
    ) -> impl Future<Output = u64> + 'static {
        let counts = self.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            let queue = &counts.0[home(key, counts.0.len())];
            assert!(queue.send(ask(key, reply)).await.is_ok(), "the task lives");
            answer.await.expect("the task lives")
        }
    }
}

impl Counts for WithAChannel {
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
        self.call(key, Ask::Add)
    }

    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
        self.call(key, Ask::Get)
    }
}
