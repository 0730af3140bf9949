//! A unit's reminders: those that are due are fired.

use super::super::entities::Fired;
use super::super::post::{Leaving, Right, Sleeper};
use super::super::undone::{Undone, quietly};
use super::Unit;
use crate::engine::instant::Instant;
use crate::store::RowKey;

use std::sync::Arc;
use std::time::Duration;

/// Reminders that fire before asks have their turn.
const FIRE_AT_ONCE: usize = 100;

/// When a reminder is tried again that sends what there is no room for.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

impl Unit {
    /// When a reminder is to be fired at the earliest. Never while its change could not be stored.
    pub(super) fn reminder_at(&self) -> Option<Instant> {
        let at = self.execution.post.alarms().next_at()?;
        self.may_look().then(|| self.time.when(at))
    }

    /// Whether reminders may fire whose entities may have to be loaded. When the store has answered
    /// for some, others have their turn.
    fn may_look(&self) -> bool {
        self.may_fire() && !self.loading.is_long()
    }

    fn may_fire(&self) -> bool {
        let post = &self.execution.post;
        let is_leaving = post.leaving > Leaving::Not;
        post.is_open && !is_leaving && !self.primary.is_fenced() && self.has_room()
    }

    /// Fires what is due.
    pub(super) fn fire_reminders(&mut self) {
        if self.reminder_at().is_none_or(|at| at > self.now) {
            return;
        }
        self.begin();
        for _ in 0..FIRE_AT_ONCE {
            let Some(sleeper) = self.execution.post.alarms().due(self.execution.time) else {
                break;
            };
            if !self.may_look() {
                break;
            }
            self.fire(&sleeper, false);
        }
        self.finish_batch();
    }

    /// The entity was loaded, if anything is there of it.
    pub(super) fn sleeper_loaded(&mut self, kind: usize, key: &RowKey) {
        let sleeper = (kind as u16, Arc::from(&*key.key));
        self.execution.post.alarms_mut().wake(&sleeper, None);
        self.begin();
        let is_due = self.execution.post.alarms().is_due(&sleeper, self.execution.time);
        if is_due && self.may_fire() {
            self.fire(&sleeper, true);
        }
    }

    /// The entity cannot be read: it is looked at again later.
    pub(super) fn sleeper_unreadable(&mut self, key: &RowKey) {
        let Some(kind) = self.execution.registry.index_named(&key.entity_type) else { return };
        let sleeper = (kind as u16, Arc::from(&*key.key));
        let later = self.time.at(self.now) + self.execution.limits().retry_max;
        self.execution.post.alarms_mut().wake(&sleeper, Some(later));
    }

    fn fire(&mut self, sleeper: &Sleeper, is_loaded: bool) {
        let kind = usize::from(sleeper.0);
        let row_key = RowKey {
            entity_type: self.execution.registry.kinds[kind].name.into(),
            key: bytes::Bytes::copy_from_slice(&sleeper.1),
        };
        if !is_loaded && self.loading.has(&row_key) {
            self.wait_for(sleeper, row_key);
            return;
        }
        let fired = self.try_fire(sleeper, is_loaded, false);
        match fired {
            Fired::Done { failed, missed } => {
                self.metrics.reminder(if failed { "refused" } else { "fired" }, 1);
                self.metrics.reminder("missed", missed);
                self.forget_stale(sleeper);
            }
            Fired::Passed { missed } => {
                self.metrics.reminder("missed", missed);
                self.forget_stale(sleeper);
            }
            Fired::Away => self.wait_for(sleeper, row_key),
            Fired::NoRoom => {
                let later = self.execution.time + NO_ROOM_RETRY;
                self.execution.post.alarms_mut().retry(sleeper, later);
            }
            Fired::Undone(reason) => self.firing_failed(sleeper, &reason),
            Fired::Unreadable(reason) => self.firing_waits(sleeper, &reason),
        }
    }

    fn try_fire(&mut self, sleeper: &Sleeper, is_loaded: bool, gives_up: bool) -> Fired {
        let kind = usize::from(sleeper.0);
        let (entities, execution) = (&mut self.entities[kind], &mut self.execution);
        execution.post.right = Right::IfRoom;
        let fired = quietly(|| entities.fire(&sleeper.1, is_loaded, gives_up, execution));
        self.execution.post.right = Right::Free;
        let panics = std::mem::take(&mut self.execution.panics);
        if panics > 0 {
            self.metrics.panicked(sleeper.0, panics);
        }
        fired.unwrap_or_else(|undone| {
            let Undone::Panicked(message) = undone else { unreachable!("it ran quietly") };
            Fired::Undone(message)
        })
    }

    fn wait_for(&mut self, sleeper: &Sleeper, key: RowKey) {
        self.execution.post.alarms_mut().wait(sleeper);
        self.loading.want(key);
    }

    /// An alarm that is due after its turn is of an entity that has no such reminder any more.
    fn forget_stale(&mut self, sleeper: &Sleeper) {
        let kind = usize::from(sleeper.0);
        let next = self.entities[kind].next_reminder_of(&sleeper.1);
        self.execution.post.alarms_mut().set(sleeper, next);
    }

    /// Tries again later, for ever: a build that can do it may come.
    fn firing_waits(&mut self, sleeper: &Sleeper, reason: &str) {
        self.metrics.reminder("undone", 1);
        let (partition, entity_type) = (self.partition, self.type_name(sleeper));
        tracing::error!(%partition, entity_type, reason, "reminder cannot be read, and waits");
        let later = self.execution.time + self.execution.limits().retry_max;
        self.execution.post.alarms_mut().retry(sleeper, later);
    }

    fn type_name(&self, sleeper: &Sleeper) -> &'static str {
        self.execution.registry.kinds[usize::from(sleeper.0)].name
    }

    /// Tries again later, and in the end goes on without.
    fn firing_failed(&mut self, sleeper: &Sleeper, reason: &str) {
        self.metrics.reminder("undone", 1);
        let now = self.execution.time;
        let Some(failures) = self.execution.post.alarms_mut().failed(sleeper, now) else { return };
        let (partition, entity_type) = (self.partition, self.type_name(sleeper));
        tracing::error!(%partition, entity_type, reason, failures, "reminder is given up");
        self.metrics.reminder("given_up", 1);
        self.try_fire(sleeper, true, true);
        self.forget_stale(sleeper);
    }
}
