//! The receiving half: what is applied next, and what its senders are told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Claim, Frame, FrameId, Number, Outbox, Outgoing, Receipt};
use crate::engine::id::{Epoch, PartitionId, Seq};

/// What one partition receives.
#[derive(Debug)]
pub(crate) struct Inbox<P> {
    reign: Epoch,
    senders: BTreeMap<PartitionId, Sender<P>>,
    /// Senders of which a frame waits.
    pending: BTreeSet<PartitionId>,
    /// Senders whose next message waits for room.
    aside: BTreeSet<PartitionId>,
    /// The one of them that was tried again last.
    resumed: PartitionId,
    /// Senders whose number in the store is to be written anew.
    behind: BTreeSet<PartitionId>,
    /// Something was applied whose sender waits for room.
    is_urgent: bool,
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
    /// It has no room for more.
    is_short: bool,
    /// Comes with the first message of the frame.
    claim: Option<Claim>,
    /// What the handler of that message wanted to send, and had no room for.
    aside: Option<Box<[Outgoing]>>,
    applied: Number,
    persisted: Number,
    /// What the partition's own row in the store says.
    stored: Number,
    done: Option<FrameId>,
    failed: Option<(Number, String)>,
}

impl<P> Sender<P> {
    /// The message that is to be applied next.
    fn first(&self) -> Option<Number> {
        self.frame.front().map(|(number, _)| *number)
    }
}

impl<P> Default for Sender<P> {
    fn default() -> Sender<P> {
        Sender {
            newest: FrameId::default(),
            frame: VecDeque::new(),
            is_short: false,
            claim: None,
            aside: None,
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
            aside: BTreeSet::new(),
            resumed: PartitionId(0),
            behind: BTreeSet::new(),
            is_urgent: false,
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
        sender.is_short = frame.is_short;
        let before = sender.first();
        sender.frame.clear();
        sender.claim = None;
        if frame.reign == self.reign {
            let (applied, first) = (sender.applied, frame.messages.first().map(|(it, _)| *it));
            sender.frame.extend(frame.messages.into_iter().filter(|(it, _)| *it > applied));
            sender.claim = frame.claim.filter(|_| sender.first() == first);
        }
        if sender.first() != before {
            sender.aside = None;
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
            (sender.claim, sender.aside) = (None, None);
            self.unmarked.insert(from);
            self.is_urgent |= sender.is_short;
        }
        self.look_at(from);
    }

    /// The claim that came with the message that is to be applied next.
    #[must_use]
    pub(crate) fn claim(&self, from: PartitionId) -> Option<Claim> {
        self.senders.get(&from)?.claim
    }

    /// That message was undone: there is no room for what its handler wants to send. It waits, with
    /// those behind it, until there is ([`resume`](Self::resume)).
    pub(crate) fn put_aside(&mut self, from: PartitionId, outgoing: Box<[Outgoing]>) {
        let Some(sender) = self.senders.get_mut(&from) else { return };
        sender.aside = Some(outgoing);
        self.look_at(from);
    }

    /// Tries one of them again for which there is room now. Returns its sender.
    pub(crate) fn resume<Q: Clone>(&mut self, outbox: &Outbox<Q>) -> Option<PartitionId> {
        let has_room = |from: &PartitionId| {
            let Some(sender) = self.senders.get(from) else { return false };
            let outgoing = sender.aside.as_deref().unwrap_or_default();
            outbox.admits(outgoing, sender.claim)
        };
        let after = (std::ops::Bound::Excluded(self.resumed), std::ops::Bound::Unbounded);
        let mut others = self.aside.range(after).chain(self.aside.range(..=self.resumed));
        let from = others.find(|from| has_room(from)).copied()?;
        self.resumed = from;
        if let Some(sender) = self.senders.get_mut(&from) {
            sender.aside = None;
        }
        self.look_at(from);
        Some(from)
    }

    /// That message could not be applied: whoever sent it decides what becomes of it and of those
    /// behind it.
    pub(crate) fn failed(&mut self, from: PartitionId, reason: String) {
        let Some(sender) = self.senders.get_mut(&from) else { return };
        if let Some((number, _)) = sender.frame.pop_front() {
            sender.failed = Some((number, reason));
            sender.frame.clear();
            (sender.claim, sender.aside) = (None, None);
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

    /// Whether something was applied since the last call whose sender waits for room: the sooner
    /// it is durable, the better.
    pub(crate) fn take_urgency(&mut self) -> bool {
        std::mem::take(&mut self.is_urgent)
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
                is_aside: sender.aside.is_some(),
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
        self.pending.remove(&from);
        self.aside.remove(&from);
        if sender.frame.is_empty() {
            sender.done = Some(sender.newest);
            self.untold.insert(from);
        } else if sender.aside.is_some() {
            self.aside.insert(from);
            self.untold.insert(from);
        } else {
            self.pending.insert(from);
        }
    }
}
