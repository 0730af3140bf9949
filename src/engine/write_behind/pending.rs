//! What the store does not hold yet: the newest version of each changed entity, in the order in
//! which it is due, and how far the stream is durable without a gap.

use std::collections::{BTreeMap, BTreeSet};

use super::by_entity::ByEntity;
use super::{Entry, Parking};
use crate::engine::id::{EntityId, Seq, Version};
use crate::engine::instant::Instant;
use crate::engine::invariant::{Violation, invariant};
use crate::engine::replica::primary::Change;

/// One entity that the store does not hold in its newest version.
#[derive(Debug)]
struct Pending {
    newest: Version,
    /// Size of the newest version.
    bytes: u64,
    /// The oldest change that is not durable; the watermark stays below it.
    oldest: Seq,
    /// The version that was last tried as a record, and how often it was.
    tried: (Version, u32),
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// In `waiting`. The first change since the last take decides when it is due; a later one may
    /// only make it earlier.
    Waiting { due_at: Instant },
    /// In the outstanding batch.
    Taken { newer: Option<Newer> },
    /// In a group that is tried again, as a dead letter or as a record.
    Again { parking: Option<Parking> },
    /// In `parking`: refused, and to be written as a dead letter. The newest version is the one
    /// that was refused.
    Parking { retry_at: Instant, parking: Parking },
}

/// The first change since the entity was taken.
#[derive(Clone, Copy, Debug)]
struct Newer {
    /// Its number among all changes of the set.
    number: u64,
    seq: Seq,
    at: Instant,
    due_at: Instant,
}

/// All pending entities of a partition.
#[derive(Debug, Default)]
pub(super) struct PendingSet {
    entities: ByEntity<Pending>,
    bytes: u64,
    /// Every pending entity by its oldest change that is not durable, with when that was made.
    undurable: BTreeMap<(Seq, EntityId), Instant>,
    waiting: BTreeSet<(Instant, EntityId)>,
    parking: BTreeSet<(Instant, EntityId)>,
    /// The newest change that was offered.
    highest: Seq,
    /// How many changes were offered.
    changes: u64,
    /// When everything was last made due at once, and how many changes there were then.
    hurried: (u64, Instant),
}

impl PendingSet {
    pub(super) fn records(&self) -> usize {
        self.entities.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn contains(&self, entity: EntityId) -> bool {
        self.entities.get(entity).is_some()
    }

    /// Size of the newest version of a pending entity.
    pub(super) fn bytes_of(&self, entity: EntityId) -> u64 {
        self.entities.get(entity).map_or(0, |pending| pending.bytes)
    }

    /// When the oldest change that is not durable was made. Sequence numbers grow with time.
    pub(super) fn oldest_at(&self) -> Option<Instant> {
        self.undurable.first_key_value().map(|(_, at)| *at)
    }

    /// Everything at or under it is durable.
    pub(super) fn durable(&self) -> Seq {
        let first = self.undurable.first_key_value();
        first.map_or(self.highest, |((oldest, _), _)| Seq(oldest.0.saturating_sub(1)))
    }

    /// Whether any entity waits for its time, and the earliest such time.
    pub(super) fn first_due_at(&self) -> Option<Instant> {
        self.waiting.first().map(|(due_at, _)| *due_at)
    }

    /// When the next dead letter may be written.
    pub(super) fn first_parking_at(&self) -> Option<Instant> {
        self.parking.first().map(|(retry_at, _)| *retry_at)
    }

    /// The entity that is due first, if it is due now.
    pub(super) fn due(&self, now: Instant) -> Option<EntityId> {
        self.waiting.first().filter(|(due_at, _)| *due_at <= now).map(|(_, entity)| *entity)
    }

    /// The entity whose dead letter is to be written first, if it may be now.
    pub(super) fn parking(&self, now: Instant) -> Option<EntityId> {
        self.parking.first().filter(|(retry_at, _)| *retry_at <= now).map(|(_, entity)| *entity)
    }

    /// The stream has come to `seq`; what it holds besides changes needs no storing.
    pub(super) fn pass(&mut self, seq: Seq) {
        self.highest = self.highest.max(seq);
    }

    /// Takes in a committed change.
    pub(super) fn change(&mut self, now: Instant, change: Change) -> Result<(), Violation> {
        let Change { entity, version, bytes, delay } = change;
        let seq = version.position.seq;
        let known = self.entities.get_mut(entity);
        let newest = known.as_ref().map(|pending| pending.newest);
        invariant!(
            VersionsOnlyGrow,
            seq >= self.highest && newest < Some(version),
            "{entity:?} at {version} after {newest:?}, {:?}",
            self.highest
        );
        self.highest = seq;
        self.changes += 1;
        let number = self.changes;
        let due_at = now + delay;
        let Some(pending) = known else {
            let stage = Stage::Waiting { due_at };
            let tried = (version, 0);
            let pending = Pending { newest: version, bytes, oldest: seq, tried, stage };
            self.entities.insert(entity, pending);
            self.bytes += bytes;
            self.undurable.insert((seq, entity), now);
            self.waiting.insert((due_at, entity));
            return Ok(());
        };
        self.bytes = self.bytes - pending.bytes + bytes;
        pending.newest = version;
        pending.bytes = bytes;
        match &mut pending.stage {
            Stage::Waiting { due_at: earlier } => {
                if due_at < *earlier {
                    self.waiting.remove(&(*earlier, entity));
                    self.waiting.insert((due_at, entity));
                    *earlier = due_at;
                }
            }
            Stage::Taken { newer: Some(newer) } => newer.due_at = newer.due_at.min(due_at),
            Stage::Taken { newer } => *newer = Some(Newer { number, seq, at: now, due_at }),
            // What was to be parked is no longer the newest: that one is tried first.
            Stage::Again { parking } => *parking = None,
            Stage::Parking { .. } => self.wait(entity, due_at),
        }
        Ok(())
    }

    /// Makes everything that waits due at once, and what has changed since it was taken as soon as
    /// it waits. Each entity is moved at most once until it is taken.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.hurried = (self.changes, now);
        while let Some((_, entity)) = self.waiting.last().copied().filter(|(at, _)| *at > now) {
            self.wait(entity, now);
        }
    }

    /// Takes an entity into a batch, in its newest version.
    pub(super) fn take(&mut self, entity: EntityId) -> Option<Entry> {
        let stage = self.restage(entity, Stage::Taken { newer: None })?;
        let pending = self.entities.get_mut(entity)?;
        let version = pending.newest;
        let parking = match stage {
            Stage::Parking { parking, .. } => Some(parking),
            Stage::Again { parking } => parking,
            Stage::Waiting { .. } | Stage::Taken { .. } => None,
        };
        if parking.is_none() {
            let (tried, attempts) = pending.tried;
            let earlier = if tried == version { attempts } else { 0 };
            pending.tried = (version, earlier.saturating_add(1));
        }
        Some(Entry { entity, version, parking })
    }

    /// The version that was taken is durable. If it is still the newest, nothing is pending.
    pub(super) fn stored(&mut self, entity: EntityId) {
        let Some(pending) = self.entities.get_mut(entity) else {
            return;
        };
        self.undurable.remove(&(pending.oldest, entity));
        if let Stage::Taken { newer: Some(newer) } = pending.stage {
            pending.oldest = newer.seq;
            self.undurable.insert((newer.seq, entity), newer.at);
            self.wait_for(entity, newer);
        } else {
            self.bytes -= pending.bytes;
            self.entities.remove(entity);
        }
    }

    /// What was taken is to be tried again in its group.
    pub(super) fn again(&mut self, entry: Entry) {
        let parking = entry.parking.filter(|_| !self.has_newer(entry.entity));
        self.restage(entry.entity, Stage::Again { parking });
    }

    /// What was taken is refused and to be parked at `retry_at`.
    pub(super) fn park(&mut self, entity: EntityId, retry_at: Instant, parking: Parking) {
        self.restage(entity, Stage::Parking { retry_at, parking });
        self.parking.insert((retry_at, entity));
    }

    /// If the entity has changed since it was taken, it waits for its new time, whatever became of
    /// what was taken: the newer version goes first. Returns whether it was so.
    pub(super) fn prefer_newer(&mut self, entity: EntityId) -> bool {
        let newer = self.entities.get(entity).and_then(|pending| match pending.stage {
            Stage::Taken { newer } => newer,
            _ => None,
        });
        if let Some(newer) = newer {
            self.wait_for(entity, newer);
        }
        newer.is_some()
    }

    /// How often the newest version was tried as a record.
    pub(super) fn attempts(&self, entity: EntityId) -> u32 {
        self.entities.get(entity).map_or(0, |pending| pending.tried.1)
    }

    fn has_newer(&self, entity: EntityId) -> bool {
        let stage = self.entities.get(entity).map(|pending| &pending.stage);
        matches!(stage, Some(Stage::Taken { newer: Some(_) }))
    }

    fn wait_for(&mut self, entity: EntityId, newer: Newer) {
        let (changes, hurried_at) = self.hurried;
        let is_hurried = newer.number <= changes;
        self.wait(entity, if is_hurried { newer.due_at.min(hurried_at) } else { newer.due_at });
    }

    fn wait(&mut self, entity: EntityId, due_at: Instant) {
        self.restage(entity, Stage::Waiting { due_at });
        self.waiting.insert((due_at, entity));
    }

    /// Puts a pending entity into another stage, out of the order that the old one named.
    fn restage(&mut self, entity: EntityId, stage: Stage) -> Option<Stage> {
        let pending = self.entities.get_mut(entity)?;
        match &pending.stage {
            Stage::Waiting { due_at } => self.waiting.remove(&(*due_at, entity)),
            Stage::Parking { retry_at, .. } => self.parking.remove(&(*retry_at, entity)),
            Stage::Taken { .. } | Stage::Again { .. } => false,
        };
        Some(std::mem::replace(&mut pending.stage, stage))
    }

    /// Recomputes everything that is derived. `taken` and `again` are the entities of the
    /// outstanding batch and of the groups, as the engine knows them.
    pub(super) fn check(
        &self,
        taken: &BTreeSet<EntityId>,
        again: &BTreeSet<EntityId>,
    ) -> Result<(), Violation> {
        let bytes: u64 = self.entities.iter().map(|(_, pending)| pending.bytes).sum();
        invariant!(PendingAccounted, bytes == self.bytes, "{bytes} bytes, not {}", self.bytes);
        let orders = [self.waiting.len(), self.parking.len(), taken.len(), again.len()];
        for (entity, pending) in self.entities.iter() {
            let is_ordered = match &pending.stage {
                Stage::Waiting { due_at } => self.waiting.contains(&(*due_at, entity)),
                Stage::Parking { retry_at, .. } => self.parking.contains(&(*retry_at, entity)),
                Stage::Taken { .. } => taken.contains(&entity),
                Stage::Again { .. } => again.contains(&entity),
            };
            invariant!(
                PendingOrdered,
                is_ordered && self.undurable.contains_key(&(pending.oldest, entity)),
                "{entity:?} is {pending:?}"
            );
        }
        let all = self.entities.len();
        invariant!(
            PendingOrdered,
            self.undurable.len() == all && orders.iter().sum::<usize>() == all,
            "{all} entities, {} in the stream, {orders:?}",
            self.undurable.len()
        );
        Ok(())
    }
}
