//! The same counters as actors of other frameworks, and by hand. Every table has the same hasher.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use tokio::sync::{mpsc, oneshot};

/// The counters of one actor.
#[derive(Default)]
pub(crate) struct Counters(HashMap<u64, u64, FixedState>);

impl Counters {
    pub(crate) fn add(&mut self, key: u64) -> u64 {
        let value = self.0.entry(key).or_default();
        *value += 1;
        *value
    }

    pub(crate) fn get(&self, key: u64) -> u64 {
        self.0.get(&key).copied().unwrap_or(0)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

pub(crate) mod on_actix {
    use actix::prelude::*;

    #[derive(Default)]
    pub(crate) struct Counting(super::Counters);

    impl Actor for Counting {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "u64")]
    pub(crate) struct Add(pub(crate) u64);

    #[derive(Message)]
    #[rtype(result = "u64")]
    pub(crate) struct Get(pub(crate) u64);

    #[derive(Message)]
    #[rtype(result = "u64")]
    pub(crate) struct Sum;

    impl Handler<Add> for Counting {
        type Result = u64;

        fn handle(&mut self, Add(key): Add, _: &mut Context<Self>) -> u64 {
            self.0.add(key)
        }
    }

    impl Handler<Get> for Counting {
        type Result = u64;

        fn handle(&mut self, Get(key): Get, _: &mut Context<Self>) -> u64 {
            self.0.get(key)
        }
    }

    impl Handler<Sum> for Counting {
        type Result = u64;

        fn handle(&mut self, _: Sum, _: &mut Context<Self>) -> u64 {
            self.0.sum()
        }
    }
}

pub(crate) mod on_kameo {
    use kameo::prelude::*;

    #[derive(Actor, Default)]
    pub(crate) struct Counting(super::Counters);

    pub(crate) struct Add(pub(crate) u64);
    pub(crate) struct Sum;

    impl Message<Add> for Counting {
        type Reply = u64;

        async fn handle(&mut self, Add(key): Add, _: &mut Context<Self, u64>) -> u64 {
            self.0.add(key)
        }
    }

    impl Message<Sum> for Counting {
        type Reply = u64;

        async fn handle(&mut self, _: Sum, _: &mut Context<Self, u64>) -> u64 {
            self.0.sum()
        }
    }
}

pub(crate) mod on_ractor {
    use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

    pub(crate) struct Counting;

    pub(crate) enum Ask {
        Add(u64, RpcReplyPort<u64>),
        Sum(RpcReplyPort<u64>),
    }

    impl Actor for Counting {
        type Msg = Ask;
        type State = super::Counters;
        type Arguments = ();

        async fn pre_start(
            &self,
            _: ActorRef<Ask>,
            (): (),
        ) -> Result<super::Counters, ActorProcessingErr> {
            Ok(super::Counters::default())
        }

        async fn handle(
            &self,
            _: ActorRef<Ask>,
            ask: Ask,
            counters: &mut super::Counters,
        ) -> Result<(), ActorProcessingErr> {
            // Whoever asked is waiting.
            let _ = match ask {
                Ask::Add(key, reply) => reply.send(counters.add(key)),
                Ask::Sum(reply) => reply.send(counters.sum()),
            };
            Ok(())
        }
    }
}

/// What a task with a channel is asked.
pub(crate) enum ByHand {
    Add(u64, oneshot::Sender<u64>),
    Sum(oneshot::Sender<u64>),
}

pub(crate) async fn serve_by_hand(mut asks: mpsc::Receiver<ByHand>) {
    let (mut counters, mut taken) = (Counters::default(), Vec::new());
    while asks.recv_many(&mut taken, 512).await > 0 {
        for ask in taken.drain(..) {
            let _ = match ask {
                ByHand::Add(key, reply) => reply.send(counters.add(key)),
                ByHand::Sum(reply) => reply.send(counters.sum()),
            };
        }
    }
}
