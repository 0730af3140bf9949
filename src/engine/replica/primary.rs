//! The primary's side of one partition: numbers the batches of changes, knows what is committed,
//! and holds every answer until what its handler saw can no longer be taken back.
//!
//! A change is committed when every copy in the ack set holds it. The primary's own copy is one of
//! them; a grid with one copy has no other. An answer waits for the commit of the version that its
//! handler saw, and, where the entity type asks for it, for that version to be in the store: of a
//! read, too, so that nobody ever sees what a crash can take back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::engine::id::{EntityId, Epoch, NodeId, Position, Seq, Version};

/// One entity's change, as the last operation of a batch left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The entity that changed.
    pub entity: EntityId,
    /// Its new version; the position is that of the batch ([`Primary::next_position`]).
    pub version: Version,
    /// Size of its encoded state, as far as it is known.
    pub bytes: u64,
    /// How long the store may lag behind; zero for write-through.
    pub delay: Duration,
}

/// An entity that leaves memory; its newest version is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// The entity.
    pub entity: EntityId,
    /// The version that it leaves in: if it has changed meanwhile, it stays.
    pub version: Version,
}

/// A held answer, by the number that the shell gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub u32);

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which answer.
    pub ticket: Ticket,
    /// The entity that its handler saw.
    pub entity: EntityId,
    /// The version that the handler saw or made.
    pub saw: Version,
    /// Whether that version must be in the store, too.
    pub stored: bool,
}

/// What a primary is told.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A batch of handlers has run. At most one change of each entity, and every change carries
    /// the next position. A batch in which nothing changes or leaves takes no position.
    Executed {
        /// What they changed.
        changes: &'a [Change],
        /// What leaves memory after that: a part of the record, so that every copy evicts alike.
        leaving: &'a [Leaving],
        /// What they want to say, in the order in which they ran.
        answers: &'a [Answer],
    },
    /// This version of the entity, and with it every older one, is durable in the store.
    Stored {
        /// The entity.
        entity: EntityId,
        /// The stored version.
        version: Version,
    },
    /// A later epoch owns the partition: nothing more is answered or committed here.
    Fenced,
}

/// What a primary wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Offer a committed change to the write-behind queue.
    Committed(Change),
    /// Every copy knows that the entity leaves memory: forget it, if it has not changed since.
    Evict(Leaving),
    /// Give the answer to its caller.
    Release(Ticket),
    /// Tell the caller that nobody knows; the answer may not be given.
    Abandon(Ticket),
}

/// The primary of one partition in one epoch.
#[derive(Debug)]
pub(crate) struct Primary {
    epoch: Epoch,
    last: Seq,
    /// The ack set: how far each copy that a commit waits for has acknowledged. Never empty.
    acked: BTreeMap<NodeId, Seq>,
    me: NodeId,
    committed: Seq,
    /// Changes above the commit point, ascending.
    uncommitted: VecDeque<Change>,
    /// Evictions above the commit point, ascending.
    leaving: VecDeque<(Seq, Leaving)>,
    /// Answers that wait for a commit, ascending by what they wait for.
    awaiting_commit: VecDeque<(Seq, Answer)>,
    /// Write-through entities whose newest committed version the store does not hold yet.
    unstored: BTreeMap<EntityId, Unstored>,
    fenced: bool,
}

#[derive(Debug)]
struct Unstored {
    newest: Version,
    /// Answers that wait for the store, ascending by version.
    answers: VecDeque<(Version, Ticket)>,
}

impl Primary {
    /// The primary on node `me` in `epoch`, with its own copy as the only one in sync. It starts
    /// with everything that was recovered committed and, if there is a store, stored.
    #[must_use]
    pub(crate) fn new(epoch: Epoch, me: NodeId) -> Primary {
        Primary {
            epoch,
            last: Seq(0),
            acked: BTreeMap::from([(me.clone(), Seq(0))]),
            me,
            committed: Seq(0),
            uncommitted: VecDeque::new(),
            leaving: VecDeque::new(),
            awaiting_commit: VecDeque::new(),
            unstored: BTreeMap::new(),
            fenced: false,
        }
    }

    /// The epoch of this reign.
    #[must_use]
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the next batch with a change will be.
    #[must_use]
    pub(crate) fn next_position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.last.next() }
    }

    /// Everything at or under it is held by every copy in the ack set.
    #[must_use]
    pub(crate) fn committed(&self) -> Seq {
        self.committed
    }

    /// Whether every copy holds everything.
    #[must_use]
    pub(crate) fn is_all_committed(&self) -> bool {
        self.committed == self.last
    }

    /// Whether a later epoch has taken over.
    #[must_use]
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Takes in an event and appends what is to be done, in order.
    pub(crate) fn step(&mut self, event: Event<'_>, effects: &mut Vec<Effect>) {
        match event {
            Event::Executed { changes, leaving, answers } => {
                self.executed(changes, leaving, answers, effects);
            }
            Event::Stored { entity, version } => self.stored(entity, version, effects),
            Event::Fenced => self.fence(effects),
        }
        debug_assert!(self.uncommitted.iter().all(|c| c.version.position.seq > self.committed));
        debug_assert!(self.committed <= self.last);
    }

    fn executed(
        &mut self,
        changes: &[Change],
        leaving: &[Leaving],
        answers: &[Answer],
        effects: &mut Vec<Effect>,
    ) {
        if self.fenced {
            effects.extend(answers.iter().map(|answer| Effect::Abandon(answer.ticket)));
            return;
        }
        if !changes.is_empty() || !leaving.is_empty() {
            let position = self.next_position();
            debug_assert!(changes.iter().all(|change| change.version.position == position));
            self.last = position.seq;
            if self.is_alone() && self.unstored.is_empty() && leaving.is_empty() {
                // Held by all as soon as it is numbered, and nothing waits before it.
                self.acknowledge_own();
                if changes.iter().all(|change| !change.delay.is_zero()) {
                    effects.extend(changes.iter().copied().map(Effect::Committed));
                    effects.extend(answers.iter().map(|answer| Effect::Release(answer.ticket)));
                    return;
                }
            }
            self.uncommitted.extend(changes);
            self.leaving.extend(leaving.iter().map(|leaving| (position.seq, *leaving)));
        }
        for answer in answers {
            // What was seen in an older epoch was recovered, and so is committed.
            let seq = match answer.saw.position {
                position if position.epoch == self.epoch => position.seq,
                _ => Seq(0),
            };
            // A read of an old version may not overtake in the queue, only wait longer than it
            // must: the queue stays ordered, and releases in the order of execution.
            let behind = self.awaiting_commit.back().map_or(Seq(0), |(last, _)| *last);
            self.awaiting_commit.push_back((seq.max(behind), *answer));
        }
        // The own copy holds a batch as soon as it is numbered.
        self.acknowledge_own();
        self.release_committed(effects);
    }

    /// Whether nobody else must hold what is committed, and nothing waits to be.
    fn is_alone(&self) -> bool {
        self.acked.len() == 1 && self.uncommitted.is_empty() && self.awaiting_commit.is_empty()
    }

    fn acknowledge_own(&mut self) {
        if let Some(acked) = self.acked.get_mut(&self.me) {
            *acked = self.last;
        }
        let held_by_all = self.acked.values().min().copied();
        self.committed = self.committed.max(held_by_all.unwrap_or(Seq(0)));
    }

    fn release_committed(&mut self, effects: &mut Vec<Effect>) {
        let committed = self.committed;
        while let Some(change) =
            self.uncommitted.pop_front_if(|change| change.version.position.seq <= committed)
        {
            if let Some(unstored) = self.unstored.get_mut(&change.entity) {
                unstored.newest = change.version; // whatever its own delay: answers may see it
            } else if change.delay.is_zero() {
                let unstored = Unstored { newest: change.version, answers: VecDeque::new() };
                self.unstored.insert(change.entity, unstored);
            }
            effects.push(Effect::Committed(change));
        }
        while let Some((_, leaving)) = self.leaving.pop_front_if(|(seq, _)| *seq <= committed) {
            effects.push(Effect::Evict(leaving));
        }
        while let Some((_, answer)) =
            self.awaiting_commit.pop_front_if(|(seq, _)| *seq <= committed)
        {
            match self.unstored.get_mut(&answer.entity).filter(|_| answer.stored) {
                Some(unstored) => unstored.answers.push_back((answer.saw, answer.ticket)),
                None => effects.push(Effect::Release(answer.ticket)),
            }
        }
    }

    fn stored(&mut self, entity: EntityId, version: Version, effects: &mut Vec<Effect>) {
        let Some(unstored) = self.unstored.get_mut(&entity) else {
            return; // a write-behind entity: nobody waits for it
        };
        while let Some((_, ticket)) = unstored.answers.pop_front_if(|(saw, _)| *saw <= version) {
            effects.push(Effect::Release(ticket));
        }
        if unstored.newest <= version {
            debug_assert!(unstored.answers.is_empty(), "an answer saw what is newer than newest");
            self.unstored.remove(&entity);
        }
    }

    fn fence(&mut self, effects: &mut Vec<Effect>) {
        self.fenced = true;
        self.uncommitted.clear();
        self.leaving.clear();
        let waiting = self.awaiting_commit.drain(..).map(|(_, answer)| answer.ticket);
        effects.extend(waiting.map(Effect::Abandon));
        for (_, unstored) in std::mem::take(&mut self.unstored) {
            effects.extend(unstored.answers.into_iter().map(|(_, ticket)| Effect::Abandon(ticket)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITY: EntityId = EntityId { kind: 0, slot: 1 };

    fn primary() -> Primary {
        Primary::new(Epoch(3), NodeId::new("a"))
    }

    fn change(primary: &Primary, delay: Duration) -> Change {
        let version = Version { position: primary.next_position(), index: 0 };
        Change { entity: ENTITY, version, bytes: 8, delay }
    }

    fn answer(ticket: u32, saw: Version, stored: bool) -> Answer {
        Answer { ticket: Ticket(ticket), entity: ENTITY, saw, stored }
    }

    fn execute(primary: &mut Primary, changes: &[Change], answers: &[Answer]) -> Vec<Effect> {
        let mut effects = Vec::new();
        primary.step(Event::Executed { changes, leaving: &[], answers }, &mut effects);
        effects
    }

    #[test]
    fn one_copy_commits_and_releases_at_once_and_in_order() {
        let mut primary = primary();
        let change = change(&primary, Duration::from_secs(1));
        let answers = [answer(1, change.version, false), answer(2, Version::default(), false)];
        assert_eq!(
            execute(&mut primary, &[change], &answers),
            [Effect::Committed(change), Effect::Release(Ticket(1)), Effect::Release(Ticket(2)),]
        );
        assert_eq!(primary.committed(), Seq(1));
        assert_eq!(primary.next_position(), Position { epoch: Epoch(3), seq: Seq(2) });
    }

    #[test]
    fn a_batch_without_changes_takes_no_position() {
        let mut primary = primary();
        execute(&mut primary, &[], &[answer(1, Version::default(), true)]);
        assert_eq!(primary.next_position().seq, Seq(1));
    }

    #[test]
    fn an_eviction_is_a_record_of_its_own() {
        let mut primary = primary();
        let change = change(&primary, Duration::from_secs(1));
        execute(&mut primary, &[change], &[]);
        let leaving = Leaving { entity: ENTITY, version: change.version };
        let mut effects = Vec::new();
        let event = Event::Executed { changes: &[], leaving: &[leaving], answers: &[] };
        primary.step(event, &mut effects);
        assert_eq!(effects, [Effect::Evict(leaving)]);
        assert_eq!((primary.committed(), primary.next_position().seq), (Seq(2), Seq(3)));
    }

    #[test]
    fn write_through_answers_wait_for_the_version_that_they_saw() {
        let mut primary = primary();
        let first = change(&primary, Duration::ZERO);
        let effects = execute(&mut primary, &[first], &[answer(1, first.version, true)]);
        assert_eq!(effects, [Effect::Committed(first)]);
        let second = change(&primary, Duration::ZERO);
        let effects = execute(&mut primary, &[second], &[answer(2, second.version, true)]);
        assert_eq!(effects, [Effect::Committed(second)]);
        // A read that saw the second waits with it.
        assert_eq!(execute(&mut primary, &[], &[answer(3, second.version, true)]), []);

        let mut effects = Vec::new();
        primary.step(Event::Stored { entity: ENTITY, version: first.version }, &mut effects);
        assert_eq!(effects, [Effect::Release(Ticket(1))]);
        effects.clear();
        primary.step(Event::Stored { entity: ENTITY, version: second.version }, &mut effects);
        assert_eq!(effects, [Effect::Release(Ticket(2)), Effect::Release(Ticket(3))]);
        // Now that all is stored, a read is answered at once.
        let effects = execute(&mut primary, &[], &[answer(4, second.version, true)]);
        assert_eq!(effects, [Effect::Release(Ticket(4))]);
    }

    #[test]
    fn a_change_with_a_delay_does_not_end_the_wait_for_the_store() {
        let mut primary = primary();
        let first = change(&primary, Duration::ZERO);
        execute(&mut primary, &[first], &[]);
        let second = change(&primary, Duration::from_secs(1));
        execute(&mut primary, &[second], &[answer(1, second.version, true)]);
        let mut effects = Vec::new();
        primary.step(Event::Stored { entity: ENTITY, version: first.version }, &mut effects);
        assert_eq!(effects, []);
        primary.step(Event::Stored { entity: ENTITY, version: second.version }, &mut effects);
        assert_eq!(effects, [Effect::Release(Ticket(1))]);
    }

    #[test]
    fn a_fenced_primary_answers_nothing_more() {
        let mut primary = primary();
        let change = change(&primary, Duration::ZERO);
        execute(&mut primary, &[change], &[answer(1, change.version, true)]);
        let mut effects = Vec::new();
        primary.step(Event::Fenced, &mut effects);
        assert_eq!(effects, [Effect::Abandon(Ticket(1))]);
        let effects = execute(&mut primary, &[], &[answer(2, Version::default(), false)]);
        assert_eq!(effects, [Effect::Abandon(Ticket(2))]);
    }
}
