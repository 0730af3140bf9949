//! What happens when: virtual time, and a network that delays, loses and repeats.

use std::collections::BTreeMap;
use std::time::Duration;

use super::deed::{Ask, Asker, Reply};
use super::plan::NetFaults;
use super::store::Batch;
use crate::engine::id::{PartitionId, Position, SessionId};
use crate::engine::instant::Instant;
use crate::engine::simulation::random::Random;

#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A try of an ask reaches its partition.
    Ask(Ask),
    Open {
        asker: Asker,
        partition: PartitionId,
        session: SessionId,
    },
    Persist(PartitionId),
    /// A reply reaches its asker.
    Heard {
        asker: Asker,
        id: u64,
        reply: Reply,
    },
    HeardOpened {
        asker: Asker,
        partition: PartitionId,
        opening: Position,
    },
    HeardPersisted(PartitionId),
    /// Time for the asker's next ask.
    Think(Asker),
    /// Time to ask again, if no reply was heard.
    Timeout {
        asker: Asker,
        id: u64,
    },
    CommitEnds,
    /// Batches of a node that has crashed reach the store.
    LateBatches(Vec<Batch>),
    Restart,
    Heal,
}

pub(super) struct Schedule {
    pub(super) now: Instant,
    pub(super) random: Random,
    net: NetFaults,
    /// By time, then in the order of their making. With the life of the node that they end with.
    entries: BTreeMap<(Instant, u64), (Option<u32>, Happening)>,
    made: u64,
    /// How often the node has started.
    life: u32,
}

impl Schedule {
    pub(super) fn new(net: NetFaults, random: Random) -> Schedule {
        let now = Instant::from_nanos(0);
        Schedule { now, random, net, entries: BTreeMap::new(), made: 0, life: 0 }
    }

    /// Something of this life of the node.
    pub(super) fn after(&mut self, wait: Duration, happening: Happening) {
        self.insert(wait, Some(self.life), happening);
    }

    /// Something that outlives the node.
    pub(super) fn anyway_after(&mut self, wait: Duration, happening: Happening) {
        self.insert(wait, None, happening);
    }

    fn insert(&mut self, wait: Duration, life: Option<u32>, happening: Happening) {
        self.made += 1;
        self.entries.insert((self.now + wait, self.made), (life, happening));
    }

    /// Over the network: it may come late, twice or not at all.
    pub(super) fn send(&mut self, happening: Happening) {
        // The source is a process of its own: its tries may meet the node's next life.
        let from_source = |ask: &Ask| ask.asker == Asker::Source;
        let is_outside = matches!(&happening, Happening::Ask(ask) if from_source(ask));
        let life = if is_outside { None } else { Some(self.life) };
        if self.random.percent(self.net.twice_percent) {
            let longest = self.random.pick(&[4 * self.net.delay_max, 1_000]);
            let wait = self.random.millis(0, longest);
            self.insert(wait, life, happening.clone());
        }
        if !self.random.percent(self.net.lost_percent) {
            let wait = self.random.millis(0, self.net.delay_max);
            self.insert(wait, life, happening);
        }
    }

    pub(super) fn heal(&mut self) {
        self.net.lost_percent = 0;
        self.net.twice_percent = 0;
    }

    /// The node has crashed: its asks, answers and clients end with it. Returns the next life.
    pub(super) fn end_life(&mut self) -> u32 {
        self.entries.retain(|_, (life, _)| life.is_none());
        self.life += 1;
        self.life
    }

    pub(super) fn first_at(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that happens now.
    pub(super) fn pop_due(&mut self) -> Option<Happening> {
        let first = self.entries.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        Some(first.remove().1)
    }
}
