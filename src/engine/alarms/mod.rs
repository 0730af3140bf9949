//! Reminders: when each sleeping entity of a partition is to be woken, in memory or not, and what
//! a reminder that is due comes to.
//!
//! The entities have their reminders in their rows; here is the earliest of each. An entity whose
//! reminder is due is fired ([`Rhythm::turn`] says whether, and when it is due again), or waits
//! for being loaded, or is tried again later.

mod rhythm;

#[cfg(test)]
mod property;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::instant::Timestamp;

pub use rhythm::Missed;
pub(crate) use rhythm::Rhythm;

/// How often and when what failed is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// How often a firing is tried before it is given up.
    pub(crate) attempts_max: u32,
    /// Wait after the first failure; doubles with each.
    pub(crate) retry_min: Duration,
    /// Longest wait.
    pub(crate) retry_max: Duration,
}

/// The earliest reminder of each entity that has one. `S` names an entity.
#[derive(Debug)]
pub(crate) struct Alarms<S> {
    config: Config,
    of: BTreeMap<S, Alarm>,
    queue: BTreeSet<(Timestamp, S)>,
}

#[derive(Clone, Copy, Debug)]
struct Alarm {
    at: Timestamp,
    /// How often its handler failed in a row.
    failures: u32,
    /// Its entity is being loaded; it is not in the queue.
    is_waiting: bool,
}

impl<S: Ord + Clone> Alarms<S> {
    pub(crate) fn new(config: Config) -> Alarms<S> {
        Alarms { config, of: BTreeMap::new(), queue: BTreeSet::new() }
    }

    /// The entity is to be reminded then, or not any more.
    pub(crate) fn set(&mut self, sleeper: &S, at: Option<Timestamp>) {
        self.put(sleeper, at.map(|at| Alarm { at, failures: 0, is_waiting: false }));
    }

    /// The entity was found to have a reminder then. What is known of it already, holds.
    pub(crate) fn find(&mut self, sleeper: &S, at: Timestamp) {
        if !self.of.contains_key(sleeper) {
            self.set(sleeper, Some(at));
        }
    }

    fn put(&mut self, sleeper: &S, alarm: Option<Alarm>) {
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
    pub(crate) fn due(&self, now: Timestamp) -> Option<S> {
        self.queue.first().filter(|(at, _)| *at <= now).map(|(_, sleeper)| sleeper.clone())
    }

    /// Whether the entity is to be reminded by now.
    pub(crate) fn is_due(&self, sleeper: &S, now: Timestamp) -> bool {
        self.of.get(sleeper).is_some_and(|alarm| alarm.at <= now)
    }

    /// The entity is being loaded.
    pub(crate) fn wait(&mut self, sleeper: &S) {
        if let Some(alarm) = self.of.get(sleeper).copied() {
            self.put(sleeper, Some(Alarm { is_waiting: true, ..alarm }));
        }
    }

    /// The entity was loaded, or will not be before `at`.
    pub(crate) fn wake(&mut self, sleeper: &S, at: Option<Timestamp>) {
        if let Some(alarm) = self.of.get(sleeper).copied().filter(|alarm| alarm.is_waiting) {
            let at = at.unwrap_or(alarm.at);
            self.put(sleeper, Some(Alarm { at, is_waiting: false, ..alarm }));
        }
    }

    /// The entity's handler has failed at `now`. Returns how often in a row if that is too often:
    /// then its firing is to be given up. Otherwise it is tried again.
    pub(crate) fn failed(&mut self, sleeper: &S, now: Timestamp) -> Option<u32> {
        let alarm = self.of.get_mut(sleeper)?;
        alarm.failures = alarm.failures.saturating_add(1);
        let failures = alarm.failures;
        if failures >= self.config.attempts_max {
            return Some(failures);
        }
        let after = self.config.retry_min.saturating_mul(1 << (failures - 1).min(16));
        self.retry(sleeper, now + after.min(self.config.retry_max));
        None
    }

    /// It is tried again then.
    pub(crate) fn retry(&mut self, sleeper: &S, at: Timestamp) {
        if let Some(alarm) = self.of.get(sleeper).copied() {
            self.put(sleeper, Some(Alarm { at, ..alarm }));
        }
    }
}
