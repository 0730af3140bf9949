//! The receiving half: what is applied next, and what its senders are told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Frame, FrameId, Number, Receipt};
use crate::engine::id::{Epoch, PartitionId, Seq};

/// What one partition receives.
#[derive(Debug)]
pub(crate) struct Inbox<P> {
    reign: Epoch,
    senders: BTreeMap<PartitionId, Sender<P>>,
    /// Senders of which a frame waits.
    pending: BTreeSet<PartitionId>,
    /// Senders whose number in the store is to be written anew.
    behind: BTreeSet<PartitionId>,
    /// Senders that are to be told something.
    untold: BTreeSet<PartitionId>,
    /// Senders of which something was applied in the batch under way.
    unmarked: BTreeSet<PartitionId>,
    /// What was applied in which batch and is not durable, ascending by batch.
    marks: VecDeque<(Seq, PartitionId, Number)>,
}

#[derive(Debug)]
struct Sender<P> {
    newest: FrameId,
    frame: VecDeque<(Number, P)>,
    applied: Number,
    persisted: Number,
    /// What the partition's own row in the store says.
    stored: Number,
    done: Option<FrameId>,
    failed: Option<(Number, String)>,
}

impl<P> Default for Sender<P> {
    fn default() -> Sender<P> {
        Sender {
            newest: FrameId::default(),
            frame: VecDeque::new(),
            applied: Number::default(),
            persisted: Number::default(),
            stored: Number::default(),
            done: None,
            failed: None,
        }
    }
}

impl<P> Inbox<P> {
    /// An empty inbox of a partition in this reign.
    #[must_use]
    pub(crate) fn new(reign: Epoch) -> Inbox<P> {
        Inbox {
            reign,
            senders: BTreeMap::new(),
            pending: BTreeSet::new(),
            behind: BTreeSet::new(),
            untold: BTreeSet::new(),
            unmarked: BTreeSet::new(),
            marks: VecDeque::new(),
        }
    }

    /// The reign begins, before anything is received.
    pub(crate) fn begin(&mut self, reign: Epoch) {
        self.reign = reign;
    }

    /// Puts back the number that the store holds of a sender.
    pub(crate) fn restore(&mut self, from: PartitionId, number: Number) {
        let sender = self.senders.entry(from).or_default();
        sender.applied = number;
        sender.persisted = number;
        sender.stored = number;
    }

    /// Takes in a frame, which takes the place of what is left of an older one.
    pub(crate) fn receive(&mut self, from: PartitionId, frame: Frame<P>) {
        let sender = self.senders.entry(from).or_default();
        if frame.id <= sender.newest {
            return; // late, or once more
        }
        sender.newest = frame.id;
        sender.frame.clear();
        if frame.reign == self.reign {
            let applied = sender.applied;
            sender.frame.extend(frame.messages.into_iter().filter(|(it, _)| *it > applied));
        }
        self.look_at(from);
    }

    /// Senders of which a message is to be applied, ascending.
    pub(crate) fn pending(&self) -> impl Iterator<Item = PartitionId> {
        self.pending.iter().copied()
    }

    /// Whether anything is to be applied or told.
    #[must_use]
    pub(crate) fn is_stirred(&self) -> bool {
        !self.pending.is_empty() || !self.untold.is_empty()
    }

    /// The message of a sender that is to be applied next.
    #[must_use]
    pub(crate) fn next(&self, from: PartitionId) -> Option<&(Number, P)> {
        self.senders.get(&from)?.frame.front()
    }

    /// That message was applied, or had been before, in the batch under way.
    pub(crate) fn applied(&mut self, from: PartitionId) {
        let Some(sender) = self.senders.get_mut(&from) else { return };
        if let Some((number, _)) = sender.frame.pop_front() {
            sender.applied = number;
            self.unmarked.insert(from);
        }
        self.look_at(from);
    }

    /// That message could not be applied: whoever sent it decides what becomes of it and of those
    /// behind it.
    pub(crate) fn failed(&mut self, from: PartitionId, reason: String) {
        let Some(sender) = self.senders.get_mut(&from) else { return };
        if let Some((number, _)) = sender.frame.pop_front() {
            sender.failed = Some((number, reason));
            sender.frame.clear();
        }
        self.look_at(from);
    }

    /// What was applied since the last call is part of the stream up to `seq`.
    pub(crate) fn mark(&mut self, seq: Seq) {
        for from in std::mem::take(&mut self.unmarked) {
            if let Some(sender) = self.senders.get(&from) {
                self.marks.push_back((seq, from, sender.applied));
            }
        }
    }

    /// Everything in the stream up to `seq` is durable.
    pub(crate) fn persisted(&mut self, seq: Seq) {
        while let Some((_, from, number)) = self.marks.pop_front_if(|(at, ..)| *at <= seq) {
            if let Some(sender) = self.senders.get_mut(&from) {
                sender.persisted = number;
                self.untold.insert(from);
                if number > sender.stored {
                    self.behind.insert(from);
                }
            }
        }
    }

    /// What senders are to be told now.
    pub(crate) fn take_receipts(&mut self) -> Vec<(PartitionId, Receipt)> {
        let reign = self.reign;
        let tell = |from: PartitionId| {
            let sender = self.senders.get_mut(&from)?;
            let receipt = Receipt {
                reign,
                done: sender.done.take(),
                applied: sender.applied,
                persisted: sender.persisted,
                failed: sender.failed.take(),
            };
            Some((from, receipt))
        };
        std::mem::take(&mut self.untold).into_iter().filter_map(tell).collect()
    }

    /// Senders whose number in the store is to be written anew, ascending.
    pub(crate) fn behind(&self) -> Vec<PartitionId> {
        self.behind.iter().copied().collect()
    }

    /// Whether there are any.
    #[must_use]
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// What the partition's own row is to say of a sender: everything at or under it is durable.
    #[must_use]
    pub(crate) fn to_store(&self, from: PartitionId) -> Number {
        self.senders.get(&from).map_or(Number::default(), |sender| sender.persisted)
    }

    /// The store has that row.
    pub(crate) fn stored(&mut self, from: PartitionId, number: Number) {
        if let Some(sender) = self.senders.get_mut(&from) {
            sender.stored = sender.stored.max(number);
            if sender.stored >= sender.persisted {
                self.behind.remove(&from);
            }
        }
    }

    /// Whether the partition's own row says of a message that it was applied: then no entity need
    /// remember it.
    #[must_use]
    pub(crate) fn is_stored(&self, from: PartitionId, number: Number) -> bool {
        self.senders.get(&from).is_some_and(|sender| number <= sender.stored)
    }

    /// Notes whether the sender's frame is dealt with.
    fn look_at(&mut self, from: PartitionId) {
        let Some(sender) = self.senders.get_mut(&from) else { return };
        if sender.frame.is_empty() {
            sender.done = Some(sender.newest);
            self.pending.remove(&from);
            self.untold.insert(from);
        } else {
            self.pending.insert(from);
        }
    }
}
