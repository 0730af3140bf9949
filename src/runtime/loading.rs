//! Asks that wait for their entities to come back from the store, each entity's in the order in
//! which they came.
//!
//! Bounded by the admission of asks to the partition: whoever waits here holds a place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;
use crate::store::RowKey;

use super::exchange::AnyAsk;

/// Entities that are asked of the store at once because asks wait for them.
const LOADS_AT_ONCE: usize = 1000;

/// The same for messages and reminders: few, so that asks do not wait long behind them.
const LOADS_OF_MESSAGES: usize = 200;

/// Entities that a partition wants from the store.
pub(crate) struct Load {
    pub(crate) keys: Vec<(PartitionId, RowKey)>,
}

pub(crate) struct Loading {
    retry_min: Duration,
    retry_max: Duration,
    entities: BTreeMap<RowKey, Waiters>,
    /// Those of them that messages wait for, or reminders.
    for_messages: BTreeSet<RowKey>,
    /// To be asked of the store, in this order: what asks wait for, and what only messages and
    /// reminders wait for.
    wanted: VecDeque<RowKey>,
    wanted_later: VecDeque<RowKey>,
    /// The store was asked, and has not answered.
    is_outstanding: bool,
    /// The store failed so often in a row, and is not asked before then.
    failures: u32,
    retry_at: Option<Instant>,
    /// At or before the earliest deadline of all asks.
    next_deadline: Option<Instant>,
}

type Waiters = VecDeque<Arc<dyn AnyAsk>>;

impl Loading {
    pub(crate) fn new(retry_min: Duration, retry_max: Duration) -> Loading {
        Loading {
            retry_min,
            retry_max,
            entities: BTreeMap::new(),
            for_messages: BTreeSet::new(),
            wanted: VecDeque::new(),
            wanted_later: VecDeque::new(),
            is_outstanding: false,
            failures: 0,
            retry_at: None,
            next_deadline: None,
        }
    }

    pub(crate) fn has(&self, key: &RowKey) -> bool {
        self.entities.contains_key(key)
    }

    pub(crate) fn has_any(&self) -> bool {
        !self.entities.is_empty()
    }

    /// A message waits for its entity, or a reminder.
    pub(crate) fn want(&mut self, key: RowKey) {
        if !self.entities.contains_key(&key) {
            self.wanted_later.push_back(key.clone());
            self.entities.insert(key.clone(), Waiters::new());
        }
        self.for_messages.insert(key);
    }

    /// Whether so many are waited for like this that no more reminders should be.
    pub(crate) fn is_long(&self) -> bool {
        self.for_messages.len() >= LOADS_OF_MESSAGES
    }

    /// Whether that is so.
    pub(crate) fn is_wanted(&self, key: &RowKey) -> bool {
        self.for_messages.contains(key)
    }

    /// An ask waits for its entity.
    pub(crate) fn push(&mut self, key: RowKey, ask: Arc<dyn AnyAsk>) {
        let earlier = self.next_deadline.map_or(ask.deadline(), |next| next.min(ask.deadline()));
        self.next_deadline = Some(earlier);
        let waiters = self.entities.entry(key.clone()).or_default();
        if waiters.is_empty() {
            self.wanted.push_back(key); // also if a message waits for it: that may take longer
        }
        waiters.push_back(ask);
    }

    /// What the store is to be asked now.
    pub(crate) fn next_load(&mut self, partition: PartitionId, now: Instant) -> Option<Load> {
        if self.is_outstanding || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        self.retry_at = None;
        let mut keys = BTreeSet::new();
        let queues =
            [(&mut self.wanted, LOADS_AT_ONCE), (&mut self.wanted_later, LOADS_OF_MESSAGES)];
        for (wanted, most) in queues {
            let most = keys.len() + most;
            while keys.len() < most
                && let Some(key) = wanted.pop_front()
            {
                // Whoever wanted it may have given up, or it was asked for already.
                if self.entities.contains_key(&key) {
                    keys.insert(key);
                }
            }
        }
        self.is_outstanding = !keys.is_empty();
        let keys = keys.into_iter().map(|key| (partition, key)).collect();
        self.is_outstanding.then_some(Load { keys })
    }

    /// The store has answered. If it could not, `failed` are asked for again later.
    pub(crate) fn answered(&mut self, failed: Vec<RowKey>, now: Instant) {
        self.is_outstanding = false;
        if failed.is_empty() {
            self.failures = 0;
            return;
        }
        let after = self.retry_min.saturating_mul(1 << self.failures.min(16)).min(self.retry_max);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + after);
        for key in failed.into_iter().rev() {
            let has_asks = self.entities.get(&key).is_some_and(|waiters| !waiters.is_empty());
            let wanted = if has_asks { &mut self.wanted } else { &mut self.wanted_later };
            wanted.push_front(key);
        }
    }

    /// Those that waited for an entity.
    pub(crate) fn take(&mut self, key: &RowKey) -> Waiters {
        let waiters = self.entities.remove(key).unwrap_or_default();
        self.for_messages.remove(key);
        if self.entities.is_empty() {
            self.next_deadline = None;
        }
        waiters
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let retry_at = self.retry_at.filter(|_| !self.entities.is_empty());
        [self.next_deadline, retry_at].into_iter().flatten().min()
    }

    pub(crate) fn take_all(&mut self) -> Vec<Arc<dyn AnyAsk>> {
        self.wanted.clear();
        self.wanted_later.clear();
        self.next_deadline = None;
        self.for_messages.clear();
        std::mem::take(&mut self.entities).into_values().flatten().collect()
    }

    /// Removes the asks whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Arc<dyn AnyAsk>> {
        if self.next_deadline.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next = None;
        let for_messages = &self.for_messages;
        self.entities.retain(|key, waiters| {
            waiters.retain(|ask| {
                let is_over = ask.deadline() <= now;
                if is_over {
                    expired.push(Arc::clone(ask));
                } else {
                    next = Some(next.map_or(ask.deadline(), |at: Instant| at.min(ask.deadline())));
                }
                !is_over
            });
            !waiters.is_empty() || for_messages.contains(key)
        });
        self.next_deadline = next;
        expired
    }
}
