//! Counters as actix actors.

use std::rc::Rc;

use actix::prelude::*;

use super::{Counters, QUEUE, home};
use crate::load::Counts;

#[derive(Default)]
pub(crate) struct Counting(Counters);

impl Actor for Counting {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(QUEUE);
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Get(u64);

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

/// So many actors on this thread, in a task set as an `Arbiter` has one.
pub(crate) fn start(actors: usize) -> Vec<Addr<Counting>> {
    (0..actors).map(|_| Counting::default().start()).collect()
}

#[derive(Clone)]
pub(crate) struct OnActix(Rc<[Addr<Counting>]>);

impl OnActix {
    pub(crate) fn new(actors: &[Addr<Counting>]) -> OnActix {
        OnActix(actors.into())
    }

    fn actor(&self, key: u64) -> &Addr<Counting> {
        &self.0[home(key, self.0.len())]
    }
}

impl Counts for OnActix {
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let added = self.actor(key).send(Add(key));
        async move { added.await.expect("the actor lives") }
    }

    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let got = self.actor(key).send(Get(key));
        async move { got.await.expect("the actor lives") }
    }
}
