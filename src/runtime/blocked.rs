//! Asks whose handlers want to send what there is no room for, in the order in which they came.
//!
//! Whoever waits here gives its place at the partition back, so that asks which send nothing find
//! one, and takes it again when it goes on. Of those that have, there are no more than so many; and
//! if there are half as many, no more such asks are let in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::engine::instant::Instant;
use crate::engine::outbox::Outgoing;

use super::exchange::AnyAsk;

#[derive(Default)]
pub(crate) struct Blocked {
    asks: VecDeque<Entry>,
    /// How many wait for an entity, by type and hash of the key.
    entities: BTreeMap<(u16, u64), u32>,
    /// At or before the earliest deadline of all.
    next_deadline: Option<Instant>,
    /// How many have given their places back.
    outside: u32,
    /// How many have taken them again since the last call of `take_owed`.
    owed: u32,
}

struct Entry {
    ask: Arc<dyn AnyAsk>,
    key_hash: u64,
    /// It has given its place back.
    is_outside: bool,
    /// What it wanted to send. Nothing, if it only waits for one before it, of the same entity.
    outgoing: Box<[Outgoing]>,
}

impl Entry {
    fn entity(&self) -> (u16, u64) {
        (self.ask.target_kind(), self.key_hash)
    }
}

impl Blocked {
    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// How many have given their places back.
    pub(crate) fn outside(&self) -> u32 {
        self.outside
    }

    /// How many have taken their places again since the last call.
    pub(crate) fn take_owed(&mut self) -> u32 {
        std::mem::take(&mut self.owed)
    }

    pub(crate) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Whether one waits that came before, for the same entity.
    pub(crate) fn has(&self, kind: u16, key_hash: u64) -> bool {
        self.entities.contains_key(&(kind, key_hash))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// With `is_outside`, it has given its place back; with `is_first`, it came before all that
    /// wait.
    pub(crate) fn push(
        &mut self,
        ask: Arc<dyn AnyAsk>,
        key_hash: u64,
        outgoing: Box<[Outgoing]>,
        (is_outside, is_first): (bool, bool),
    ) {
        let earlier = self.next_deadline.map_or(ask.deadline(), |next| next.min(ask.deadline()));
        self.next_deadline = Some(earlier);
        self.outside += u32::from(is_outside);
        let entry = Entry { ask, key_hash, is_outside, outgoing };
        *self.entities.entry(entry.entity()).or_default() += 1;
        if is_first {
            self.asks.push_front(entry);
        } else {
            self.asks.push_back(entry);
        }
    }

    /// Takes out the first that may be tried again: what it wants to send fits, and no other waits
    /// before it for the same entity.
    pub(crate) fn take_ready(
        &mut self,
        fits: impl Fn(&[Outgoing]) -> bool,
    ) -> Option<Arc<dyn AnyAsk>> {
        let is_first = |at: usize, entity| {
            self.entities.get(&entity) == Some(&1)
                || self.asks.range(..at).all(|before| before.entity() != entity)
        };
        let mut entries = self.asks.iter().enumerate();
        let is_ready =
            |(at, entry): &(usize, &Entry)| fits(&entry.outgoing) && is_first(*at, entry.entity());
        let at = entries.find(is_ready)?.0;
        let entry = self.asks.remove(at)?;
        self.left(&entry);
        Some(entry.ask)
    }

    pub(crate) fn take_all(&mut self) -> Vec<Arc<dyn AnyAsk>> {
        let (outside, owed) = (self.outside, self.owed);
        let Blocked { asks, .. } = std::mem::take(self);
        self.owed = owed + outside;
        asks.into_iter().map(|entry| entry.ask).collect()
    }

    /// Removes the asks whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Arc<dyn AnyAsk>> {
        if self.next_deadline.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let owed = self.owed;
        for entry in std::mem::take(self).asks {
            if entry.ask.deadline() <= now {
                self.owed += u32::from(entry.is_outside);
                expired.push(entry.ask);
            } else {
                let Entry { ask, key_hash, outgoing, is_outside } = entry;
                self.push(ask, key_hash, outgoing, (is_outside, false));
            }
        }
        self.owed += owed;
        expired
    }

    fn left(&mut self, entry: &Entry) {
        self.outside -= u32::from(entry.is_outside);
        self.owed += u32::from(entry.is_outside);
        if let Some(waiting) = self.entities.get_mut(&entry.entity()) {
            *waiting -= 1;
            if *waiting == 0 {
                self.entities.remove(&entry.entity());
            }
        }
        if self.asks.is_empty() {
            self.next_deadline = None;
        }
    }
}
