//! A source that can replay: row n is request n of one durable session. It notes, where a crash
//! does not reach, up to which row everything is persisted, and goes on from there. What it sent
//! before a crash may still come after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::client::{PATIENCE, home, message_hash};
use super::deed::{Ask, Asker, Message, Reply};
use super::plan::Plan;
use super::schedule::{Happening, Schedule};
use crate::engine::execution::Numbered;
use crate::engine::id::{PartitionId, Position, RequestId, SessionId};

pub(super) const SOURCE: SessionId = SessionId(7);

const OPEN_MAX: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Source {
    /// Every row at or under it is persisted. Survives a crash, as nothing else here.
    checkpoint: u64,
    next: u64,
    openings: BTreeMap<PartitionId, Position>,
    open: BTreeMap<u64, Ask>,
    done: BTreeSet<u64>,
    persisting: Option<Persisting>,
}

struct Persisting {
    upto: u64,
    waits_for: BTreeSet<PartitionId>,
}

impl Source {
    pub(super) fn new() -> Source {
        Source {
            checkpoint: 0,
            next: 1,
            openings: BTreeMap::new(),
            open: BTreeMap::new(),
            done: BTreeSet::new(),
            persisting: None,
        }
    }

    pub(super) fn restart(&mut self) {
        *self = Source { checkpoint: self.checkpoint, next: self.checkpoint + 1, ..Source::new() };
    }

    pub(super) fn is_done(&self, plan: &Plan) -> bool {
        self.checkpoint == plan.source_rows
    }

    pub(super) fn think(&mut self, plan: &Plan, schedule: &mut Schedule) {
        if self.is_done(plan) {
            return;
        }
        schedule.after(PAUSE, Happening::Think(Asker::Source));
        let all: Vec<_> = (0..plan.partitions).map(PartitionId).collect();
        let mut is_open = true;
        for partition in all.iter().filter(|partition| !self.openings.contains_key(partition)) {
            is_open = false;
            let (asker, session, partition) = (Asker::Source, SOURCE, *partition);
            schedule.send(Happening::Open { asker, partition, session });
        }
        if !is_open {
            return;
        }
        let last = plan.source_rows.min(self.checkpoint + plan.window_max);
        while self.open.len() < OPEN_MAX && self.next <= last {
            let ask = self.row(plan, self.next, schedule);
            self.next += 1;
            self.open.insert(ask.id, ask);
            self.send(ask, schedule);
        }
        self.persist(plan, &all, schedule);
    }

    fn persist(&mut self, plan: &Plan, all: &[PartitionId], schedule: &mut Schedule) {
        let mut upto = self.checkpoint;
        while self.done.contains(&(upto + 1)) {
            upto += 1;
        }
        let is_worth_it = upto >= self.checkpoint + plan.window_max / 2 || upto == plan.source_rows;
        if self.persisting.is_none() && is_worth_it {
            self.persisting = Some(Persisting { upto, waits_for: all.iter().copied().collect() });
            for partition in all {
                schedule.after(Duration::ZERO, Happening::Persist(*partition));
            }
        }
    }

    fn row(&self, plan: &Plan, row: u64, schedule: &Schedule) -> Ask {
        let counter = u32::try_from(row % u64::from(plan.counters)).expect("counters are few");
        let numbered = Numbered {
            request: RequestId { session: SOURCE, number: row },
            opening: self.openings.get(&home(plan, counter)).copied().unwrap_or_default(),
            floor: self.checkpoint,
            message: message_hash(Message::Add),
        };
        Ask {
            asker: Asker::Source,
            id: row,
            counter,
            message: Message::Add,
            numbered: Some(numbered),
            deadline: schedule.now + PATIENCE,
        }
    }

    fn send(&self, ask: Ask, schedule: &mut Schedule) {
        schedule.send(Happening::Ask(ask));
        schedule.after(PATIENCE, Happening::Timeout { asker: Asker::Source, id: ask.id });
    }

    pub(super) fn timeout(&mut self, plan: &Plan, row: u64, schedule: &mut Schedule) {
        if self.open.contains_key(&row) {
            let ask = self.row(plan, row, schedule);
            self.send(ask, schedule);
        }
    }

    pub(super) fn opened(&mut self, partition: PartitionId, opening: Position) {
        self.openings.insert(partition, opening);
    }

    pub(super) fn heard(&mut self, row: u64, reply: Reply) {
        if reply != Reply::Busy && self.open.remove(&row).is_some() {
            self.done.insert(row);
        }
    }

    pub(super) fn persisted(&mut self, partition: PartitionId) {
        let Some(persisting) = &mut self.persisting else { return };
        persisting.waits_for.remove(&partition);
        if persisting.waits_for.is_empty() {
            self.checkpoint = persisting.upto;
            self.persisting = None;
        }
    }
}
