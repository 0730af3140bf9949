//! Which entities of one type in one partition stay in memory, and until when.
//!
//! Two things may end an entity's stay. It *expires*: it is removed, as a handler would remove it.
//! Or it *leaves*: the store has it, and the next ask brings it back. Times are partition time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::{EntityOptions, Eviction};
use crate::engine::eviction::Eviction as Policy;
use crate::engine::instant::Timestamp;
use crate::metrics::{Reason, TypeCounts};

/// Candidates that one call looks at: an ask never pays for looking through a partition.
const TRIES: usize = 64;

/// What the entities of one type take in the memory of this node.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    entities: AtomicU64,
    bytes: AtomicU64,
}

pub(super) struct Residency {
    ttl: Option<Duration>,
    idle: Option<Duration>,
    passivate_after: Option<Duration>,
    bounds: Option<Bounds>,
    /// By slot; empty where nothing depends on time.
    times: Vec<Times>,
    /// When to look at a slot again: at or before its time comes.
    queue: BTreeSet<(Timestamp, u32)>,
    /// To leave as soon as nothing holds them, and why.
    leaving: BTreeMap<u32, Reason>,
    /// Where among these to go on.
    leaving_from: u32,
    /// Whether memory holds everything that the store holds.
    is_complete: bool,
    pub(super) counts: Arc<TypeCounts>,
}

struct Bounds {
    policy: Policy,
    eviction: Eviction,
    usage: Arc<Usage>,
    partitions: u64,
    /// What this partition has added to `usage`.
    noted: (u64, u64),
}

/// What is to be done with an entity that was to be looked at.
pub(super) enum Due {
    Expired(u32, Reason),
    /// It has been asked meanwhile, or is to leave.
    Later,
}

#[derive(Clone, Copy)]
struct Times {
    expires_at: Timestamp,
    accessed_at: Timestamp,
    /// There is nothing to expire.
    is_over: bool,
    /// Its place in the queue.
    queued_at: Option<Timestamp>,
}

impl Residency {
    pub(super) fn new(options: EntityOptions, usage: Arc<Usage>, partitions: u16) -> Residency {
        let bounds = options.eviction.map(|eviction| Bounds {
            policy: Policy::new(),
            eviction,
            usage,
            partitions: u64::from(partitions),
            noted: (0, 0),
        });
        Residency {
            ttl: options.expire_after_write,
            idle: options.expire_after_access,
            passivate_after: options.passivate_after,
            bounds,
            times: Vec::new(),
            queue: BTreeSet::new(),
            leaving: BTreeMap::new(),
            leaving_from: 0,
            is_complete: true,
            counts: Arc::default(),
        }
    }

    /// Whether an entity that is not here may be in the store.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether a remembered miss would leave memory again by itself.
    pub(super) fn lets_misses_go(&self) -> bool {
        self.bounds.is_some() || self.passivate_after.is_some()
    }

    /// Whether any is to leave as soon as nothing holds it.
    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Whether it must hear of every access.
    pub(super) fn is_watching(&self) -> bool {
        self.bounds.is_some() || self.has_times()
    }

    fn has_times(&self) -> bool {
        self.ttl.is_some() || self.idle.is_some() || self.passivate_after.is_some()
    }

    /// When a change made at `time` expires, where that is not put off by asking.
    pub(super) fn expires_at(&self, time: Timestamp) -> Option<Timestamp> {
        self.ttl.map(|ttl| time + ttl)
    }

    /// An entity has come into memory.
    pub(super) fn arrived(&mut self, slot: u32, hash: u64, bytes: usize, now: Timestamp) {
        self.stays(slot, hash, bytes);
        if self.has_times() {
            let at = slot as usize;
            let fresh = Times {
                expires_at: Timestamp::FAR,
                accessed_at: now,
                is_over: false,
                queued_at: None,
            };
            if self.times.len() <= at {
                self.times.resize(at + 1, fresh);
            }
            self.times[at] = fresh;
            self.queue(slot);
        }
    }

    /// It was chosen to leave, and stays.
    pub(super) fn stays(&mut self, slot: u32, hash: u64, bytes: usize) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.insert(slot, hash, clamp(bytes));
            bounds.note();
            self.counts.bytes.set(bounds.policy.bytes());
        }
    }

    /// It was asked for.
    pub(super) fn touched(&mut self, slot: u32, now: Timestamp) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.touch(slot);
        }
        if let Some(times) = self.times.get_mut(slot as usize) {
            times.accessed_at = times.accessed_at.max(now);
            if self.leaving.get(&slot) == Some(&Reason::Passivated) {
                self.leaving.remove(&slot);
                self.queue(slot);
            }
        }
    }

    /// It was written.
    pub(super) fn written(&mut self, slot: u32, bytes: usize, now: Timestamp) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.resize(slot, clamp(bytes));
            bounds.note();
            self.counts.bytes.set(bounds.policy.bytes());
        }
        if let Some(times) = self.times.get_mut(slot as usize) {
            times.expires_at = self.ttl.map_or(Timestamp::FAR, |ttl| now + ttl);
            times.is_over = false;
            self.queue(slot);
        }
    }

    /// It takes more memory now, or less.
    pub(super) fn resized(&mut self, slot: u32, bytes: usize) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.resize(slot, clamp(bytes));
            bounds.note();
            self.counts.bytes.set(bounds.policy.bytes());
        }
    }

    /// What is known of it comes from the store, which says when it expires.
    pub(super) fn restored(&mut self, slot: u32, bytes: usize, expires_at: Option<Timestamp>) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.resize(slot, clamp(bytes));
            bounds.note();
        }
        if let Some(times) = self.times.get_mut(slot as usize) {
            times.expires_at = expires_at.unwrap_or(Timestamp::FAR);
            self.queue(slot);
        }
    }

    /// The partition begins to serve.
    pub(super) fn started(&mut self, now: Timestamp) {
        for times in &mut self.times {
            times.accessed_at = now;
        }
    }

    /// It is no longer in memory.
    pub(super) fn left(&mut self, slot: u32) {
        self.chosen(slot);
        self.leaving.remove(&slot);
        if let Some(times) = self.times.get_mut(slot as usize)
            && let Some(queued_at) = times.queued_at.take()
        {
            self.queue.remove(&(queued_at, slot));
        }
    }

    /// A handler has asked that it leave.
    pub(super) fn passivate(&mut self, slot: u32) {
        self.leaving.insert(slot, Reason::Asked);
    }

    /// Memory no longer holds everything that the store holds.
    pub(super) fn evicted(&mut self) {
        self.is_complete = false;
    }

    /// Why the entity has expired, if it has.
    pub(super) fn has_expired(&self, slot: u32, now: Timestamp) -> Option<Reason> {
        let times = self.times.get(slot as usize)?;
        if times.is_over {
            return None;
        }
        if times.expires_at <= now {
            return Some(Reason::Ttl);
        }
        self.idle.filter(|idle| times.accessed_at + *idle <= now).map(|_| Reason::Idle)
    }

    /// Nothing is there any more that could expire.
    pub(super) fn expired(&mut self, slot: u32) {
        if let Some(times) = self.times.get_mut(slot as usize) {
            times.expires_at = Timestamp::FAR;
            times.is_over = true;
        }
    }

    /// When something is to be done at the earliest.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Looks at the next entity that is to be looked at by now, if there is one. If its time to
    /// leave has come, that is noted.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Due> {
        let (at, slot) = self.queue.first().copied().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&(at, slot));
        self.times[slot as usize].queued_at = None;
        if let Some(reason) = self.has_expired(slot, now) {
            return Some(Due::Expired(slot, reason));
        }
        let accessed_at = self.times[slot as usize].accessed_at;
        let is_idle = self.passivate_after.is_some_and(|after| accessed_at + after <= now);
        if is_idle {
            self.leaving.entry(slot).or_insert(Reason::Passivated);
        }
        self.requeue(slot, is_idle);
        Some(Due::Later)
    }

    /// What was due is to be looked at again then.
    pub(super) fn look_again(&mut self, slot: u32, at: Timestamp) {
        self.times[slot as usize].queued_at = Some(at);
        self.queue.insert((at, slot));
    }

    /// Which entity is to leave now, and why. `is_held` says which may not.
    pub(super) fn next_to_leave(
        &mut self,
        mut is_held: impl FnMut(u32) -> bool,
    ) -> Option<(u32, Reason)> {
        if let Some(leaving) = self.next_leaving(&mut is_held) {
            return Some(leaving);
        }
        let bounds = self.bounds.as_mut()?;
        let reason = bounds.over()?;
        match bounds.policy.victim(is_held) {
            Some(slot) => Some((slot, reason)),
            None => {
                self.counts.blocked.add(1);
                None
            }
        }
    }

    /// Whether more is in memory than should be.
    pub(super) fn is_over(&self) -> bool {
        self.bounds.as_ref().is_some_and(|bounds| bounds.over().is_some())
    }

    fn next_leaving(&mut self, mut is_held: impl FnMut(u32) -> bool) -> Option<(u32, Reason)> {
        if self.leaving.is_empty() {
            return None;
        }
        let from = self.leaving_from;
        let (later, earlier) = (self.leaving.range(from..), self.leaving.range(..from));
        let mut tried = None;
        let found = later.chain(earlier).take(TRIES).find(|(slot, _)| {
            tried = Some(**slot);
            !is_held(**slot)
        });
        self.leaving_from = tried.map_or(0, |slot| slot + 1);
        found.map(|(slot, reason)| (*slot, *reason))
    }

    /// It is chosen to leave: it counts no longer. [`stays`](Self::stays) takes that back.
    pub(super) fn chosen(&mut self, slot: u32) {
        if let Some(bounds) = &mut self.bounds {
            bounds.policy.remove(slot);
            bounds.note();
            self.counts.bytes.set(bounds.policy.bytes());
        }
        self.leaving.remove(&slot);
    }

    fn queue(&mut self, slot: u32) {
        self.requeue(slot, false);
    }

    /// Puts the slot into the queue for the time that is to be looked at next, unless it stands
    /// there for an earlier one.
    fn requeue(&mut self, slot: u32, is_leaving: bool) {
        let times = self.times[slot as usize];
        let accessed_at = times.accessed_at;
        let idle = self.idle.filter(|_| !times.is_over).map(|idle| accessed_at + idle);
        let leaves = self.passivate_after.filter(|_| !is_leaving).map(|after| accessed_at + after);
        let expires = Some(times.expires_at).filter(|at| *at < Timestamp::FAR);
        let Some(at) = [idle, leaves, expires].into_iter().flatten().min() else { return };
        match times.queued_at {
            Some(queued_at) if queued_at <= at => return,
            Some(queued_at) => {
                self.queue.remove(&(queued_at, slot));
            }
            None => (),
        }
        self.queue.insert((at, slot));
        self.times[slot as usize].queued_at = Some(at);
    }
}

impl Bounds {
    /// The bound that is exceeded, if one is. Of a bound for the node, a partition that holds more
    /// than its share gives up what is over: so the share of a busy partition may be larger, as
    /// long as another leaves room.
    fn over(&self) -> Option<Reason> {
        let Eviction { entities_per_node, bytes_per_node, .. } = self.eviction;
        let (entities, bytes) = (self.policy.len() as u64, self.policy.bytes());
        let used = (&self.usage.entities, &self.usage.bytes);
        let is_over = |own: u64, per_partition: u64, used: &AtomicU64, per_node: u64| {
            own > per_partition
                || (used.load(Ordering::Relaxed) > per_node && own > per_node / self.partitions)
        };
        if is_over(entities, self.eviction.entities_per_partition, used.0, entities_per_node) {
            return Some(Reason::Entities);
        }
        is_over(bytes, self.eviction.bytes_per_partition, used.1, bytes_per_node)
            .then_some(Reason::Bytes)
    }

    /// Brings the node's usage up to date.
    fn note(&mut self) {
        let now = (self.policy.len() as u64, self.policy.bytes());
        // Wrapping, so that the difference may be negative.
        self.usage.entities.fetch_add(now.0.wrapping_sub(self.noted.0), Ordering::Relaxed);
        self.usage.bytes.fetch_add(now.1.wrapping_sub(self.noted.1), Ordering::Relaxed);
        self.noted = now;
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        self.usage.entities.fetch_sub(self.noted.0, Ordering::Relaxed);
        self.usage.bytes.fetch_sub(self.noted.1, Ordering::Relaxed);
    }
}

fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
