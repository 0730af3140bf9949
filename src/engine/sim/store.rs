//! A store as a model: what is durable, what it works on, and how it fails.

use std::collections::{BTreeMap, VecDeque};

use super::Bug;
use super::plan::StoreFaults;
use crate::engine::execution::{Answers, Session};
use crate::engine::id::{Epoch, PartitionId, RequestId, SessionId, Version};
use crate::engine::simulation::random::Random;
use crate::engine::write_behind::{BatchId, Event, Failure, Outcome};

/// Which row. Sorted by partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    pub(super) partition: PartitionId,
    pub(super) of: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    Counter(u32),
    Session(SessionId),
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Counter {
        /// Every request that took effect, in order.
        ledger: Vec<RequestId>,
        answers: Answers,
    },
    Session(Session),
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: RowKey,
    pub(super) version: Version,
    /// `None` deletes the row.
    pub(super) content: Option<Content>,
}

/// What one partition wants written.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) id: BatchId,
    pub(super) records: Vec<Row>,
    pub(super) letters: Vec<Row>,
}

pub(super) struct Store {
    faults: StoreFaults,
    bug: Option<Bug>,
    rows: BTreeMap<RowKey, Row>,
    letters: BTreeMap<RowKey, Row>,
    /// Of deleted rows, for the checks alone: a real store forgets them.
    deleted: BTreeMap<RowKey, Version>,
    fences: BTreeMap<PartitionId, Epoch>,
    /// Batches that wait for the commit under way.
    queue: VecDeque<Batch>,
    writing: Vec<Batch>,
    is_healed: bool,
    /// What was written since the last look, by which epoch, for the checks.
    written: Vec<(Row, Epoch)>,
}

impl Store {
    pub(super) fn new(faults: StoreFaults, bug: Option<Bug>) -> Store {
        Store {
            faults,
            bug,
            rows: BTreeMap::new(),
            letters: BTreeMap::new(),
            deleted: BTreeMap::new(),
            fences: BTreeMap::new(),
            queue: VecDeque::new(),
            writing: Vec::new(),
            is_healed: false,
            written: Vec::new(),
        }
    }

    /// Only what it refuses for good is refused from now on.
    pub(super) fn heal(&mut self) {
        self.is_healed = true;
    }

    /// The newest version of which it would bring back everything after a loss of power.
    pub(super) fn durable(&self, key: RowKey) -> Version {
        let of = |rows: &BTreeMap<RowKey, Row>| rows.get(&key).map(|row| row.version);
        let deleted = self.deleted.get(&key).copied();
        of(&self.rows).max(of(&self.letters)).max(deleted).unwrap_or_default()
    }

    /// The version in which a row was deleted, if nothing came after it.
    pub(super) fn deletion(&self, key: RowKey) -> Version {
        self.deleted.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn letter(&self, key: RowKey) -> Option<Version> {
        self.letters.get(&key).map(|row| row.version)
    }

    pub(super) fn take_written(&mut self) -> Vec<(Row, Epoch)> {
        std::mem::take(&mut self.written)
    }

    /// Raises a partition's fence above everything before, and returns it.
    pub(super) fn raise_fence(&mut self, partition: PartitionId) -> Epoch {
        let fence = self.fences.entry(partition).or_default();
        if self.bug != Some(Bug::EpochNotRaised) || *fence == Epoch(0) {
            *fence = fence.next();
        }
        *fence
    }

    /// All rows of a partition, then all its dead letters.
    pub(super) fn scan(&self, partition: PartitionId) -> impl Iterator<Item = &Row> {
        let letters = self.letters.values().filter(|_| self.bug != Some(Bug::LettersNotRead));
        let all = self.rows.values().chain(letters);
        all.filter(move |row| row.key.partition == partition)
    }

    /// Takes a batch in. Returns whether a commit begins with it.
    pub(super) fn submit(&mut self, batch: Batch) -> bool {
        self.queue.push_back(batch);
        self.begin()
    }

    /// Begins a commit of all that has come in, unless one is under way.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.writing.is_empty() && !self.queue.is_empty();
        if begins {
            self.writing.extend(self.queue.drain(..));
        }
        begins
    }

    /// Ends the commit under way, well or not. Returns what each partition is told.
    pub(super) fn end(&mut self, random: &mut Random) -> Vec<(PartitionId, Event)> {
        let batches = std::mem::take(&mut self.writing);
        let fails = !self.is_healed && random.percent(self.faults.fails_percent);
        let tears = !self.is_healed && random.percent(self.faults.tears_percent);
        if tears {
            self.write_some(&batches, random);
        }
        let answer = |batch: &Batch| (batch.partition, self.answer(batch, fails || tears, random));
        batches.iter().map(answer).collect()
    }

    fn answer(&mut self, batch: &Batch, fails: bool, random: &mut Random) -> Event {
        let id = batch.id;
        if fails {
            let failure = Failure::Unavailable { reason: "down".to_owned() };
            return Event::Failed { batch: id, failure };
        }
        if let Some(by) = self.fenced(batch) {
            return Event::Failed { batch: id, failure: Failure::Fenced { by } };
        }
        let has_poison = batch.records.iter().any(|row| self.is_poison(row));
        if has_poison && !self.faults.names_poison {
            let failure = Failure::Refused { reason: "poison".to_owned() };
            return Event::Failed { batch: id, failure };
        }
        let refused = || Outcome::Refused { reason: "poison".to_owned() };
        let mut outcomes = Vec::new();
        for row in &batch.records {
            outcomes.push(match self.is_poison(row) {
                true => refused(),
                false => self.put(row, batch.epoch),
            });
        }
        for row in &batch.letters {
            let refuses = !self.is_healed && random.percent(self.faults.letter_refused_percent);
            outcomes.push(if refuses { refused() } else { self.put_letter(row, batch.epoch) });
        }
        Event::Answered { batch: id, outcomes }
    }

    /// The node has crashed: any rows of the commit under way are written. Returns the batches that
    /// are still on their way, and come late.
    pub(super) fn tear(&mut self, random: &mut Random) -> Vec<Batch> {
        let batches = std::mem::take(&mut self.writing);
        self.queue.clear();
        self.write_some(&batches, random);
        if random.percent(50) { batches } else { Vec::new() }
    }

    /// Batches of a node that has crashed arrive.
    pub(super) fn late(&mut self, batches: &[Batch]) {
        for batch in batches {
            if self.fenced(batch).is_none() {
                for row in &batch.records {
                    self.put(row, batch.epoch);
                }
            }
        }
    }

    fn write_some(&mut self, batches: &[Batch], random: &mut Random) {
        let share = random.pick(&[0, 50, 100]);
        for batch in batches {
            if self.fenced(batch).is_some() {
                continue;
            }
            for row in &batch.records {
                if !self.is_poison(row) && random.percent(share) {
                    self.put(row, batch.epoch);
                }
            }
            for row in &batch.letters {
                if random.percent(share) {
                    self.put_letter(row, batch.epoch);
                }
            }
        }
    }

    fn fenced(&self, batch: &Batch) -> Option<Epoch> {
        let fence = self.fences.get(&batch.partition).copied();
        fence.filter(|fence| batch.epoch < *fence && self.bug != Some(Bug::FenceIgnored))
    }

    fn is_poison(&self, row: &Row) -> bool {
        let every = self.faults.poison_every;
        let counter = match row.key.of {
            Named::Counter(counter) => u64::from(counter),
            Named::Session(_) => 0,
        };
        every > 0 && (row.version.position.seq.0 + 7 * counter).is_multiple_of(every)
    }

    fn put(&mut self, row: &Row, epoch: Epoch) -> Outcome {
        if let Some(found) = self.newer(row) {
            return Outcome::Superseded { found };
        }
        if row.content.is_some() {
            self.rows.insert(row.key, row.clone());
        } else {
            self.rows.remove(&row.key);
            self.deleted.insert(row.key, row.version);
        }
        self.letters.remove(&row.key);
        self.written.push((row.clone(), epoch));
        Outcome::Stored
    }

    fn put_letter(&mut self, row: &Row, epoch: Epoch) -> Outcome {
        if let Some(found) = self.newer(row) {
            return Outcome::Superseded { found };
        }
        self.letters.insert(row.key, row.clone());
        self.written.push((row.clone(), epoch));
        Outcome::Stored
    }

    fn newer(&self, row: &Row) -> Option<Version> {
        let of = |rows: &BTreeMap<RowKey, Row>| rows.get(&row.key).map(|row| row.version);
        of(&self.rows).max(of(&self.letters)).filter(|found| *found > row.version)
    }
}
