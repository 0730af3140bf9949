//! Counters as ractor actors.

use std::rc::Rc;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{Counters, home};
use crate::load::Counts;

struct Counting;

pub(crate) enum Ask {
    Add(u64, RpcReplyPort<u64>),
    Get(u64, RpcReplyPort<u64>),
}

impl Actor for Counting {
    type Msg = Ask;
    type State = Counters;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<Counters, ActorProcessingErr> {
        Ok(Counters::default())
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        ask: Ask,
        counters: &mut Counters,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked is waiting.
        let _ = match ask {
            Ask::Add(key, reply) => reply.send(counters.add(key)),
            Ask::Get(key, reply) => reply.send(counters.get(key)),
        };
        Ok(())
    }
}

/// An actor on this thread's runtime. Its queue has no bound.
pub(crate) async fn start() -> ActorRef<Ask> {
    Actor::spawn(None, Counting, ()).await.expect("it starts").0
}

#[derive(Clone)]
pub(crate) struct OnRactor(Rc<[ActorRef<Ask>]>);

impl OnRactor {
    pub(crate) fn new(actors: &[ActorRef<Ask>]) -> OnRactor {
        OnRactor(actors.into())
    }

    fn call(
        &self,
        key: u64,
        ask: fn(u64, RpcReplyPort<u64>) -> Ask,
    ) -> impl Future<Output = u64> + 'static {
        let counts = self.clone();
        async move {
            let actor = &counts.0[home(key, counts.0.len())];
            match actor.call(|reply| ask(key, reply), None).await {
                Ok(CallResult::Success(value)) => value,
                _ => panic!("the actor lives"),
            }
        }
    }
}

impl Counts for OnRactor {
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
        self.call(key, Ask::Add)
    }

    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
        self.call(key, Ask::Get)
    }

    async fn end(self) {
        self.0.iter().for_each(|actor| actor.stop(None));
    }
}
