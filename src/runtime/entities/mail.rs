//! Messages of entities: what they send, and what comes to them.

use std::sync::Arc;
use std::time::Duration;

use super::super::handling::{self, At};
use super::super::undone::NO_ROOM;
use super::{Entities, Execution, Undone};
use crate::engine::id::{PartitionId, Version};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::{Number, Outgoing};
use crate::entity::Entity;
use crate::entity::deeds::{Deeds, Parcel};
use crate::key;
use crate::wire::mail::{Mail, Parked, Sent};

/// How long the store may lag behind what is only to be forgotten.
const FORGET_DELAY: Duration = Duration::from_secs(1);

/// A message that has come to an entity.
pub(crate) struct Arrival<'a> {
    pub(crate) from: PartitionId,
    pub(crate) number: Number,
    pub(crate) parcel: &'a Parcel,
    /// The store was asked for the entity: if it is not here, it is nowhere.
    pub(crate) is_loaded: bool,
}

/// What became of it.
pub(crate) enum Arrived {
    /// It took effect, or its handler has refused it.
    Applied { failed: bool },
    /// It had before.
    Duplicate,
    /// The entity must be loaded first.
    Away,
    /// There is no room for what its handler sends.
    NoRoom(Box<[Outgoing]>),
    /// Its handler could not do it.
    Undone(String),
}

/// Where an encoded message comes from, as its entity has to remember it.
pub(crate) enum Source<'a> {
    Message(&'a Arrival<'a>),
    /// The entity's own reminder, and when it is due again.
    Reminder {
        name: &'a str,
        next: Option<Timestamp>,
    },
}

impl<E: Entity> Entities<E> {
    pub(super) fn arrive(&mut self, arrival: Arrival<'_>, execution: &mut Execution) -> Arrived {
        let Parcel { key, message, body, .. } = arrival.parcel;
        let key = match key::decode_whole::<E::Key>(key) {
            Ok(key) => key,
            Err(error) => return Arrived::Undone(format!("key of a `{}`: {error}", E::NAME)),
        };
        let slot = self.access(&key, execution);
        if slot.is_none() && !self.is_all_here() && !arrival.is_loaded {
            return Arrived::Away;
        }
        let Arrival { from, number, .. } = arrival;
        if slot.is_some_and(|slot| self.slots[slot].mail().has_applied(from, number)) {
            return Arrived::Duplicate;
        }
        // Only now: one that was applied is never parked, whatever has become of its handler.
        let Some(accepted) = E::accepted().iter().find(|it| *it.name == **message) else {
            return Arrived::Undone(format!("`{}` takes no message `{message}`", E::NAME));
        };
        let at = At { key: &key, slot, request: None };
        let source = Source::Message(&arrival);
        match handling::run_encoded(at, accepted, body, &source, self, execution) {
            Ok(failed) => Arrived::Applied { failed },
            Err(Undone::NoRoom(outgoing)) => Arrived::NoRoom(outgoing),
            Err(undone) => Arrived::Undone(reason(undone)),
        }
    }

    /// Does what a handler has done beyond its entity's state. The change is noted after that.
    pub(crate) fn perform(&mut self, slot: u32, deeds: Deeds, execution: &mut Execution) {
        let (id, position) = (self.id(slot), execution.position);
        execution.post.admitted(&deeds.sent);
        let keep = |parcel| {
            let parcel = Arc::new(parcel);
            let number = execution.post.send(position, id, &parcel);
            Sent { number, parcel, parked: None }
        };
        let sent: Vec<Sent> = deeds.sent.into_iter().map(keep).collect();
        if !sent.is_empty() {
            self.with_mail(slot, |mail| sent.into_iter().for_each(|sent| mail.send(sent)));
        }
        self.remind(slot, deeds.reminders, execution);
    }

    /// Remembers that an encoded message was done. Returns whether that must be stored although its
    /// handler failed.
    pub(crate) fn consume(
        &mut self,
        slot: u32,
        source: &Source<'_>,
        failed: bool,
        execution: &mut Execution,
    ) -> bool {
        match source {
            // Without a store nothing outlives the partition's own number.
            // What it has refused it must refuse after a crash, too, though its state be another.
            Source::Message(arrival) if execution.has_store => {
                self.with_mail(slot, |mail| mail.apply(arrival.from, arrival.number));
                return failed;
            }
            Source::Message(_) => (),
            Source::Reminder { name, next } => {
                self.turn(slot, name, *next, execution);
                return true;
            }
        }
        false
    }

    /// These, ascending, need not be kept any more.
    pub(super) fn forget_sent(&mut self, slot: u32, numbers: &[Number], execution: &mut Execution) {
        if self.slots.get(slot).is_none() {
            return;
        }
        self.with_mail(slot, |mail| mail.forget(numbers));
        self.stamp(slot, FORGET_DELAY, false, execution);
    }

    pub(super) fn park_sent(
        &mut self,
        slot: u32,
        number: Number,
        parked: Parked,
        execution: &mut Execution,
    ) -> Version {
        self.with_mail(slot, |mail| mail.park(number, parked));
        self.stamp(slot, Duration::ZERO, false, execution);
        self.version(slot)
    }

    pub(super) fn settle_parked(
        &mut self,
        slot: u32,
        number: Number,
        again: bool,
        execution: &mut Execution,
    ) -> Option<Version> {
        self.slots.get(slot)?;
        let mut settled = None;
        self.with_mail(slot, |mail| settled = mail.take(number));
        let Sent { parcel, .. } = settled?;
        if again {
            let (id, position) = (self.id(slot), execution.position);
            let number = execution.post.send(position, id, &parcel);
            self.with_mail(slot, |mail| mail.send(Sent { number, parcel, parked: None }));
        }
        self.stamp(slot, Duration::ZERO, false, execution);
        Some(self.version(slot))
    }

    fn is_all_here(&self) -> bool {
        self.residency.is_complete()
    }

    /// Changes what an entity has of messages.
    pub(super) fn with_mail(&mut self, slot: u32, change: impl FnOnce(&mut Mail)) {
        let extra = self.slots[slot].extra();
        let kept = extra.keeps();
        let mail = extra.mail.get_or_insert_default();
        change(mail);
        if mail.is_empty() {
            extra.mail = None;
        }
        self.answering += usize::from(extra.keeps());
        self.answering -= usize::from(kept);
    }
}

/// Why a handler was undone, for a person.
pub(super) fn reason(undone: Undone) -> String {
    match undone {
        Undone::Panicked(message) => format!("panicked: {message}"),
        Undone::TooLarge { what, bytes, max_bytes } => {
            format!("{what} too large: {bytes} of at most {max_bytes}")
        }
        Undone::Undecodable(reason) => reason,
        Undone::NoRoom(_) => NO_ROOM.to_owned(),
    }
}
