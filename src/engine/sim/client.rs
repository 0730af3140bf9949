//! A client with a session on each partition, numbered asks, and retries until it hears.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::deed::{Ask, Asker, Message, Reply};
use super::plan::Plan;
use super::schedule::{Happening, Schedule};
use crate::engine::execution::Numbered;
use crate::engine::hash::partition_of;
use crate::engine::id::{PartitionId, Position, RequestId, SessionId};

/// Asks under way at once.
const OPEN_MAX: usize = 3;

/// How long an asker waits before it asks again.
pub(super) const PATIENCE: Duration = Duration::from_millis(150);

pub(super) struct Client {
    asker: Asker,
    index: u64,
    life: u64,
    asks_left: u32,
    sessions: BTreeMap<PartitionId, ClientSession>,
    /// Asks without an answer, by id.
    open: BTreeMap<u64, Ask>,
    next_id: u64,
}

struct ClientSession {
    opening: Option<Position>,
    next: u64,
    open: BTreeSet<u64>,
}

impl ClientSession {
    fn floor(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next) - 1
    }
}

pub(super) fn home(plan: &Plan, counter: u32) -> PartitionId {
    partition_of(&counter.to_be_bytes(), plan.partitions)
}

pub(super) fn message_hash(message: Message) -> u32 {
    match message {
        Message::Add => 1,
        Message::Fail => 2,
        Message::Read => 3,
    }
}

impl Client {
    pub(super) fn new(index: usize, plan: &Plan) -> Client {
        Client {
            asker: Asker::Client(index),
            index: index as u64,
            life: 0,
            asks_left: plan.client_asks,
            sessions: BTreeMap::new(),
            open: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// The node has crashed, and the client with it: a new one takes its place.
    pub(super) fn restart(&mut self, life: u32) {
        self.life = u64::from(life);
        self.sessions.clear();
        self.open.clear();
    }

    pub(super) fn is_done(&self) -> bool {
        self.asks_left == 0 && self.open.is_empty()
    }

    pub(super) fn think(&mut self, plan: &Plan, schedule: &mut Schedule) {
        if self.asks_left == 0 {
            return;
        }
        if self.open.len() < OPEN_MAX {
            self.ask(plan, schedule);
        }
        let pause = schedule.random.millis(1, plan.think_max);
        schedule.after(pause, Happening::Think(self.asker));
    }

    fn ask(&mut self, plan: &Plan, schedule: &mut Schedule) {
        let counter = schedule.random.next() % u64::from(plan.counters);
        let counter = u32::try_from(counter).expect("counters are few");
        let message = match schedule.random.between(1, 10) {
            1 => Message::Fail,
            2..=4 => Message::Read,
            _ => Message::Add,
        };
        let numbered = match message {
            Message::Read => None,
            Message::Add | Message::Fail => {
                let Some(numbered) = self.number(plan, counter, message, schedule) else { return };
                Some(numbered)
            }
        };
        let (asker, id) = (self.asker, self.next_id);
        let deadline = schedule.now + PATIENCE;
        self.next_id += 1;
        self.asks_left -= 1;
        let ask = Ask { asker, id, counter, message, numbered, deadline };
        self.open.insert(id, ask);
        self.send(ask, schedule);
    }

    /// A number for an ask, or the asks that come first.
    fn number(
        &mut self,
        plan: &Plan,
        counter: u32,
        message: Message,
        schedule: &mut Schedule,
    ) -> Option<Numbered> {
        let partition = home(plan, counter);
        let id = (u128::from(self.life) << 32) | (u128::from(self.index) << 16);
        let id = SessionId(id | u128::from(partition.0) | 1 << 64);
        let fresh = ClientSession { opening: None, next: 1, open: BTreeSet::new() };
        let session = self.sessions.entry(partition).or_insert(fresh);
        let Some(opening) = session.opening else {
            schedule.send(Happening::Open { asker: self.asker, partition, session: id });
            return None;
        };
        if session.next - session.floor() > plan.window_max {
            return None;
        }
        let number = session.next;
        session.next += 1;
        session.open.insert(number);
        let request = RequestId { session: id, number };
        let floor = session.floor();
        Some(Numbered { request, opening, floor, message: message_hash(message) })
    }

    fn send(&self, ask: Ask, schedule: &mut Schedule) {
        schedule.send(Happening::Ask(ask));
        schedule.after(PATIENCE, Happening::Timeout { asker: self.asker, id: ask.id });
    }

    pub(super) fn timeout(&mut self, plan: &Plan, id: u64, schedule: &mut Schedule) {
        let Some(ask) = self.open.get_mut(&id) else { return };
        ask.deadline = schedule.now + PATIENCE;
        if let Some(numbered) = &mut ask.numbered
            && let Some(session) = self.sessions.get(&home(plan, ask.counter))
        {
            numbered.floor = session.floor();
        }
        let ask = *ask;
        self.send(ask, schedule);
    }

    pub(super) fn opened(&mut self, partition: PartitionId, opening: Position) {
        if let Some(session) = self.sessions.get_mut(&partition) {
            session.opening = Some(opening);
        }
    }

    pub(super) fn heard(&mut self, plan: &Plan, id: u64, reply: Reply) {
        if reply == Reply::Busy {
            return; // asks again when its patience is over
        }
        let Some(ask) = self.open.remove(&id) else { return };
        let Some(numbered) = ask.numbered else { return };
        let Some(session) = self.sessions.get_mut(&home(plan, ask.counter)) else { return };
        session.open.remove(&numbered.request.number);
        if reply == Reply::Expired && session.opening == Some(numbered.opening) {
            session.opening = None;
        }
    }
}
