//! When each entity of a partition is to be reminded next, in memory or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::instant::Timestamp;

/// An entity, by the number of its type and its encoded key: it may not be in memory.
pub(crate) type Sleeper = (u16, Arc<[u8]>);

/// The earliest reminder of each entity that has one.
#[derive(Default)]
pub(crate) struct Alarms {
    of: BTreeMap<Sleeper, Alarm>,
    queue: BTreeSet<(Timestamp, Sleeper)>,
}

#[derive(Clone, Copy)]
struct Alarm {
    at: Timestamp,
    /// How often its handler failed in a row.
    failures: u32,
    /// Its entity is being loaded; it is not in the queue.
    is_waiting: bool,
}

impl Alarms {
    /// The entity is to be reminded then, or not any more.
    pub(crate) fn set(&mut self, sleeper: &Sleeper, at: Option<Timestamp>) {
        self.put(sleeper, at.map(|at| Alarm { at, failures: 0, is_waiting: false }));
    }

    /// The entity was found to have a reminder then. What is known of it already, holds.
    pub(crate) fn find(&mut self, sleeper: &Sleeper, at: Timestamp) {
        if !self.of.contains_key(sleeper) {
            self.set(sleeper, Some(at));
        }
    }

    fn put(&mut self, sleeper: &Sleeper, alarm: Option<Alarm>) {
        let before = match alarm {
            Some(alarm) => self.of.insert(sleeper.clone(), alarm),
            None => self.of.remove(sleeper),
        };
        if let Some(before) = before {
            self.queue.remove(&(before.at, sleeper.clone()));
        }
        if let Some(alarm) = alarm.filter(|alarm| !alarm.is_waiting) {
            self.queue.insert((alarm.at, sleeper.clone()));
        }
    }

    /// When the first entity is to be reminded.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The first entity that is to be reminded by now.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Sleeper> {
        self.queue.first().filter(|(at, _)| *at <= now).map(|(_, sleeper)| sleeper.clone())
    }

    /// Whether the entity is to be reminded by now.
    pub(crate) fn is_due(&self, sleeper: &Sleeper, now: Timestamp) -> bool {
        self.of.get(sleeper).is_some_and(|alarm| alarm.at <= now)
    }

    /// The entity is being loaded.
    pub(crate) fn wait(&mut self, sleeper: &Sleeper) {
        if let Some(alarm) = self.of.get(sleeper).copied() {
            self.put(sleeper, Some(Alarm { is_waiting: true, ..alarm }));
        }
    }

    /// The entity was loaded, or will not be before `at`.
    pub(crate) fn wake(&mut self, sleeper: &Sleeper, at: Option<Timestamp>) {
        if let Some(alarm) = self.of.get(sleeper).copied().filter(|alarm| alarm.is_waiting) {
            let at = at.unwrap_or(alarm.at);
            self.put(sleeper, Some(Alarm { at, is_waiting: false, ..alarm }));
        }
    }

    /// How often the entity's handler has failed in a row, this time included.
    pub(crate) fn count_failure(&mut self, sleeper: &Sleeper) -> u32 {
        self.of.get_mut(sleeper).map_or(0, |alarm| {
            alarm.failures = alarm.failures.saturating_add(1);
            alarm.failures
        })
    }

    /// It is tried again then.
    pub(crate) fn retry(&mut self, sleeper: &Sleeper, at: Timestamp) {
        if let Some(alarm) = self.of.get(sleeper).copied() {
            self.put(sleeper, Some(Alarm { at, ..alarm }));
        }
    }
}
