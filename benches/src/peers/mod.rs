//! The same counters as actors of other frameworks, and by hand.
//!
//! Each with the hasher that a grid has, references that are shared and not cloned for each ask,
//! and queues in which all callers have room.

pub(crate) mod on_actix;
pub(crate) mod on_kameo;
pub(crate) mod on_ractor;
pub(crate) mod with_a_channel;

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Room in the queue of an actor: more than the most callers at a time, so that none has to wait
/// for a place. Some frameworks have room for 16 or 64 unless told otherwise.
const QUEUE: usize = 4096;

/// The counters of one actor.
#[derive(Default)]
pub(crate) struct Counters(HashMap<u64, u64, RandomState>);

impl Counters {
    pub(crate) fn add(&mut self, key: u64) -> u64 {
        let value = self.0.entry(key).or_default();
        *value += 1;
        *value
    }

    pub(crate) fn get(&self, key: u64) -> u64 {
        self.0.get(&key).copied().unwrap_or(0)
    }
}

/// Which of so many actors has a counter. One caller of two asks every second key, and shall ask
/// them all.
fn home(key: u64, actors: usize) -> usize {
    (key / 2) as usize % actors
}
