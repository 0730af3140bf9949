//! Reminders of entities: set, cancelled, fired.

use std::sync::Arc;

use super::super::handling::{self, At};
use super::super::post::Sleeper;
use super::mail::{Source, reason};
use super::{Entities, Execution, Undone};
use crate::engine::alarms::{Missed, Rhythm};
use crate::engine::instant::Timestamp;
use crate::entity::Entity;
use crate::entity::deeds::Reminder;
use crate::key::{self, Key};
use crate::wire::record::Record;

/// What became of an entity's reminder.
pub(crate) enum Fired {
    /// Its handler has run, and so many firings before it were missed.
    Done { failed: bool, missed: u64 },
    /// It was not its time, or only missed firings were passed over.
    Passed { missed: u64 },
    /// The entity must be loaded first.
    Away,
    /// There is no room for what its handler sends.
    NoRoom,
    /// Its handler could not do it.
    Undone(String),
    /// This build has no such handler, or cannot read what is there.
    Unreadable(String),
}

impl<E: Entity> Entities<E> {
    /// Fires the entity's earliest reminder, if it is due. With `gives_up`, that firing is consumed
    /// without its handler.
    pub(super) fn fire(
        &mut self,
        key_bytes: &[u8],
        is_loaded: bool,
        gives_up: bool,
        execution: &mut Execution,
    ) -> Fired {
        let Ok(key) = key::decode_whole::<E::Key>(key_bytes) else {
            return Fired::Passed { missed: 0 };
        };
        let Some(slot) = self.access(&key, execution) else {
            let is_away = !self.residency.is_complete() && !is_loaded;
            return if is_away { Fired::Away } else { Fired::Passed { missed: 0 } };
        };
        let reminders = self.slots[slot].mail().reminders.iter();
        let due = reminders.filter(|reminder| reminder.due_at <= execution.time);
        let mut due: Vec<Reminder> = due.cloned().collect();
        due.sort_by_key(|reminder| reminder.due_at);
        let mut fired = Fired::Passed { missed: 0 };
        for reminder in due {
            fired = self.fire_one(slot, &key, &reminder, gives_up, execution);
            // One that this build cannot read holds up no other.
            if !matches!(fired, Fired::Unreadable(_)) {
                break;
            }
        }
        fired
    }

    fn fire_one(
        &mut self,
        slot: u32,
        key: &E::Key,
        reminder: &Reminder,
        gives_up: bool,
        execution: &mut Execution,
    ) -> Fired {
        let turn = reminder.rhythm().turn(execution.time);
        if !turn.fires || gives_up {
            self.turn(slot, &reminder.name, turn.next, execution);
            self.stamp(slot, self.delay, false, execution);
            return Fired::Passed { missed: turn.missed };
        }
        let Reminder { name, message, body, .. } = reminder;
        let Some(accepted) = E::accepted().iter().find(|it| *it.name == **message) else {
            return Fired::Unreadable(format!("`{}` takes no message `{message}`", E::NAME));
        };
        let at = At { key, slot: Some(slot), request: None };
        let source = Source::Reminder { name, next: turn.next };
        match handling::run_encoded(at, accepted, body, &source, self, execution) {
            Ok(failed) => Fired::Done { failed, missed: turn.missed },
            // Another build may be able to: it is the program that is wrong, and not the firing.
            Err(Undone::Undecodable(reason)) => Fired::Unreadable(reason),
            Err(Undone::NoRoom(_)) => Fired::NoRoom,
            Err(undone) => Fired::Undone(reason(undone)),
        }
    }

    /// The reminder has fired: it is due again then, or gone.
    pub(super) fn turn(
        &mut self,
        slot: u32,
        name: &str,
        next: Option<Timestamp>,
        execution: &mut Execution,
    ) {
        self.with_mail(slot, |mail| match next {
            None => mail.reminders.retain(|reminder| &*reminder.name != name),
            Some(next) => {
                if let Some(it) = mail.reminders.iter_mut().find(|it| &*it.name == name) {
                    it.due_at = next;
                }
            }
        });
        self.set_alarm(slot, execution);
    }

    /// Sets and cancels reminders as a handler wished.
    pub(super) fn remind(
        &mut self,
        slot: u32,
        wishes: Vec<(Box<str>, Option<Reminder>)>,
        execution: &mut Execution,
    ) {
        if wishes.is_empty() || self.slots[slot].is_absent() {
            return; // it was removed, and its reminders with it
        }
        let before = self.next_reminder(slot);
        self.with_mail(slot, |mail| {
            for (name, wish) in wishes {
                let at = mail.reminders.binary_search_by(|it| it.name.cmp(&name));
                match (at, wish) {
                    (Ok(at), Some(reminder)) => mail.reminders[at] = reminder,
                    (Err(at), Some(reminder)) => mail.reminders.insert(at, reminder),
                    (Ok(at), None) => drop(mail.reminders.remove(at)),
                    (Err(_), None) => (),
                }
            }
        });
        // The first of them may have failed, and wait for being tried again.
        if self.next_reminder(slot) != before {
            self.set_alarm(slot, execution);
        }
    }

    /// The reminders of the entity's row, which takes the place of what is in memory. Those whose
    /// time had come when the entity last changed have fired, or were cancelled, and fire no more.
    pub(super) fn reminders_of_row(&self, slot: u32, record: Option<&Record<'_>>) -> Vec<Reminder> {
        let of_row = record.map_or(&[][..], |record| &record.mail.reminders);
        let present = &self.slots[slot].mail().reminders;
        let changed_at =
            self.slots[slot].extra.as_ref().map_or_else(Default::default, |it| it.time);
        of_row.iter().filter_map(|reminder| rest_of(reminder, present, changed_at)).collect()
    }

    /// When the entity is to be reminded next.
    pub(super) fn next_reminder(&self, slot: u32) -> Option<Timestamp> {
        self.slots.get(slot)?.mail().reminders.iter().map(|reminder| reminder.due_at).min()
    }

    pub(super) fn set_alarm(&mut self, slot: u32, execution: &mut Execution) {
        let mut key = Vec::new();
        self.slots[slot].key.encode(&mut key);
        let sleeper: Sleeper = (self.kind, Arc::from(key));
        execution.post.alarms_mut().set(&sleeper, self.next_reminder(slot));
    }
}

/// What is left of a row's reminder, if these have come after it.
fn rest_of(reminder: &Reminder, present: &[Reminder], changed_at: Timestamp) -> Option<Reminder> {
    if reminder.due_at > changed_at {
        return Some(reminder.clone());
    }
    if let Some(after_it) = present.iter().find(|present| present.name == reminder.name) {
        return Some(after_it.clone());
    }
    let next = Rhythm { missed: Missed::Once, ..reminder.rhythm() }.turn(changed_at).next?;
    Some(Reminder { due_at: next, ..reminder.clone() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_has_fired_does_not_come_back_with_its_row() {
        let at = Timestamp::from_micros;
        let reminder = |due: u64, every: Option<u64>| Reminder {
            name: "r".into(),
            due_at: at(due),
            every: every.map(Duration::from_micros),
            missed: Missed::Each(9),
            message: "m".into(),
            body: [].into(),
        };
        let rest = |row: &Reminder, present: &[Reminder], changed_at| {
            rest_of(row, present, at(changed_at)).map(|it| it.due_at.as_micros())
        };
        let (once, again) = (reminder(100, None), reminder(100, Some(10)));
        assert_eq!(rest(&once, &[], 99), Some(100), "cancelled, and the row knows nothing of that");
        assert_eq!(rest(&once, &[reminder(200, None)], 99), Some(100), "put off, likewise");
        assert_eq!(rest(&once, &[], 100), None, "fired");
        assert_eq!(rest(&once, &[reminder(200, None)], 100), Some(200), "fired, and set again");
        assert_eq!(rest(&again, &[reminder(110, Some(10))], 135), Some(110), "three are behind");
        assert_eq!(rest(&again, &[], 135), Some(140));
    }
}
