//! One entity in memory.

use std::mem;

use super::versions::Packed;
use super::{Before, Undone, quietly};
use crate::engine::execution::Answers;
use crate::engine::instant::Timestamp;
use crate::entity::{Entity, StoredState};
use crate::wire::mail::Mail;

/// What every entity has. Small: what only some have is in [`Extra`].
pub(super) struct Slot<E: Entity> {
    pub(super) key: E::Key,
    pub(super) version: Packed,
    pub(super) state: State<E>,
    pub(super) extra: Option<Box<Extra>>,
}

/// What an entity has where there is a store, or while somebody may ask for an answer again.
#[derive(Default)]
pub(super) struct Extra {
    /// The current state's encoding and the schema version that it is of, where something needs
    /// it; always there when the state is [`State::Encoded`].
    pub(super) encoded: Option<(u32, Vec<u8>)>,
    /// Partition time of the newest change.
    pub(super) time: Timestamp,
    pub(super) answers: Answers,
    /// Messages and reminders, where there are any.
    pub(super) mail: Option<Box<Mail>>,
}

impl Extra {
    /// Whether there is anything that must outlive the state, and is to be forgotten some day.
    pub(super) fn keeps(&self) -> bool {
        !self.answers.is_empty() || self.mail.as_ref().is_some_and(|mail| !mail.is_settled())
    }

    /// Whether the entity has sent what its partition has not forgotten.
    pub(super) fn has_sent(&self) -> bool {
        self.mail.as_ref().is_some_and(|mail| !mail.sent().is_empty())
    }
}

pub(super) enum State<E> {
    /// Never written, or removed.
    Absent,
    /// As it was stored; not needed since.
    Encoded,
    Live(E),
}

impl<E: Entity> Slot<E> {
    pub(super) fn new(key: E::Key) -> Slot<E> {
        Slot { key, version: Packed::NONE, state: State::Absent, extra: None }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    pub(super) fn answers(&self) -> &Answers {
        static NONE: Answers = Answers::new();
        self.extra.as_ref().map_or(&NONE, |extra| &extra.answers)
    }

    pub(super) fn mail(&self) -> &Mail {
        static NONE: Mail = Mail::NONE;
        let extra = self.extra.as_ref();
        extra.and_then(|extra| extra.mail.as_deref()).unwrap_or(&NONE)
    }

    /// As [`Extra::keeps`].
    pub(super) fn keeps(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.keeps())
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Leaves nothing but the answers and the messages.
    pub(super) fn remove(&mut self) {
        let removed = mem::replace(&mut self.state, State::Absent);
        if let Some(extra) = &mut self.extra {
            extra.encoded = None;
            if let Some(mail) = &mut extra.mail {
                mail.reminders.clear();
            }
            extra.mail.take_if(|mail| mail.is_empty());
        }
        let _ = quietly(move || drop(removed)); // user code
    }

    /// Gives up what nothing is in.
    pub(super) fn trim(&mut self) {
        let is_empty = |extra: &Extra| {
            extra.encoded.is_none() && extra.answers.is_empty() && extra.mail.is_none()
        };
        if self.extra.as_deref().is_some_and(is_empty) {
            self.extra = None;
        }
    }

    /// Size of the encoded state, where it is known.
    pub(super) fn encoded_len(&self) -> usize {
        let encoded = self.extra.as_ref().and_then(|extra| extra.encoded.as_ref());
        encoded.map_or(0, |(_, bytes)| bytes.len())
    }

    /// Makes the state live, if there is one.
    pub(super) fn live(&mut self) -> Result<Option<&mut E>, Undone> {
        if let State::Encoded = self.state {
            let encoded = self.extra.as_ref().and_then(|extra| extra.encoded.as_ref());
            let (schema, bytes) = encoded.expect("an encoded state has its bytes");
            let state = quietly(|| StoredState::new(*schema, bytes).into_entity())?;
            self.state = State::Live(state.map_err(|error| {
                Undone::Undecodable(format!("state of `{}` {:?}: {error}", E::NAME, self.key))
            })?);
        }
        match &mut self.state {
            State::Live(entity) => Ok(Some(entity)),
            State::Absent | State::Encoded => Ok(None),
        }
    }

    /// Makes the state live, and keeps what brings it back.
    pub(super) fn before(&mut self, is_cloneable: bool) -> Result<Before<E>, Undone> {
        match self.live()? {
            None => {
                self.state = State::Live(quietly(E::default)?);
                Ok(Before::Absent)
            }
            Some(entity) if is_cloneable => {
                let clone = quietly(|| entity.try_clone())?;
                Ok(clone.map_or(Before::Encoded, Before::Clone))
            }
            Some(_) => Ok(Before::Encoded),
        }
    }

    /// Size of what it has stored: the encoded state, messages and reminders.
    pub(super) fn stored_len(&self) -> usize {
        let mail = self.extra.as_ref().and_then(|extra| extra.mail.as_ref());
        self.encoded_len() + mail.map_or(0, |mail| mail.bytes())
    }

    pub(super) fn undo(&mut self, before: Before<E>) {
        let undone = mem::replace(
            &mut self.state,
            match before {
                Before::Absent => State::Absent,
                Before::Clone(entity) => State::Live(entity),
                Before::Encoded => State::Encoded,
            },
        );
        // Half-changed, it may well panic when it is dropped.
        let _ = quietly(move || drop(undone));
    }
}
