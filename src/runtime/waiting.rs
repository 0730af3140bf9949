//! Asks that wait until the store has caught up, in the order in which they came.
//!
//! Bounded by the admission of asks to the partition: whoever waits here holds a place.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::instant::Instant;

use super::exchange::AnyAsk;

#[derive(Default)]
pub(crate) struct Waiting {
    asks: VecDeque<(Arc<dyn AnyAsk>, u64)>,
    /// How many wait for an entity, by type and hash of the key: two entities of one hash only
    /// wait for each other.
    entities: BTreeMap<(u16, u64), u32>,
    /// At or before the earliest deadline of all.
    next_deadline: Option<Instant>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    pub(crate) fn push(&mut self, ask: Arc<dyn AnyAsk>, key_hash: u64) {
        self.note(&*ask, key_hash);
        self.asks.push_back((ask, key_hash));
    }

    /// An ask that came before all that wait for its entity.
    pub(crate) fn push_first(&mut self, ask: Arc<dyn AnyAsk>, key_hash: u64) {
        self.note(&*ask, key_hash);
        self.asks.push_front((ask, key_hash));
    }

    fn note(&mut self, ask: &dyn AnyAsk, key_hash: u64) {
        *self.entities.entry((ask.target_kind(), key_hash)).or_default() += 1;
        let earlier = self.next_deadline.map_or(ask.deadline(), |next| next.min(ask.deadline()));
        self.next_deadline = Some(earlier);
    }

    pub(crate) fn has(&self, kind: u16, key_hash: u64) -> bool {
        self.entities.contains_key(&(kind, key_hash))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    pub(crate) fn take_all(&mut self) -> VecDeque<Arc<dyn AnyAsk>> {
        self.entities.clear();
        self.next_deadline = None;
        std::mem::take(&mut self.asks).into_iter().map(|(ask, _)| ask).collect()
    }

    /// Removes the asks whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Arc<dyn AnyAsk>> {
        if self.next_deadline.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        for (ask, key_hash) in std::mem::take(self).asks {
            if ask.deadline() <= now {
                expired.push(ask);
            } else {
                self.push(ask, key_hash);
            }
        }
        expired
    }
}
