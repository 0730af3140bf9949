//! Counters as kameo actors.

use std::rc::Rc;

use kameo::mailbox;
use kameo::prelude::*;

use super::{Counters, QUEUE, home};
use crate::load::Counts;

#[derive(Actor, Default)]
pub(crate) struct Counting(Counters);

struct Add(u64);
struct Get(u64);

impl Message<Add> for Counting {
    type Reply = u64;

    async fn handle(&mut self, Add(key): Add, _: &mut Context<Self, u64>) -> u64 {
        self.0.add(key)
    }
}

impl Message<Get> for Counting {
    type Reply = u64;

    async fn handle(&mut self, Get(key): Get, _: &mut Context<Self, u64>) -> u64 {
        self.0.get(key)
    }
}

/// An actor on this thread's runtime.
pub(crate) fn start() -> ActorRef<Counting> {
    Counting::spawn_with_mailbox(Counting::default(), mailbox::bounded(QUEUE))
}

#[derive(Clone)]
pub(crate) struct OnKameo(Rc<[ActorRef<Counting>]>);

impl OnKameo {
    pub(crate) fn new(actors: &[ActorRef<Counting>]) -> OnKameo {
        OnKameo(actors.into())
    }

    fn actor(&self, key: u64) -> &ActorRef<Counting> {
        &self.0[home(key, self.0.len())]
    }
}

impl Counts for OnKameo {
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let counts = self.clone();
        async move { counts.actor(key).ask(Add(key)).await.expect("the actor lives") }
    }

    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let counts = self.clone();
        async move { counts.actor(key).ask(Get(key)).await.expect("the actor lives") }
    }
}
