//! One batch of handlers of one partition, while it runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::config::Limits;
use crate::engine::execution::Sessions;
use crate::engine::id::{EntityId, Position, Version};
use crate::engine::instant::Timestamp;
use crate::engine::replica::primary::{Answer, Change, Leaving, Ticket};
use crate::entity::deeds::{Deeds, Parcel};

use super::exchange::AnyAsk;
use super::held::Held;
use super::post::{Post, Right};
use super::registry::Registry;
use super::undone::{Undone, check_size};

/// Bytes that a row has beside its state: key, version, names. An estimate, for the bounds.
const ROW_OVERHEAD_BYTES: u64 = 128;

/// What a batch has come to so far. Kept from batch to batch, for its buffers.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
    /// What leaves memory.
    pub(crate) leaving: Vec<Leaving>,
    pub(crate) answers: Vec<Answer>,
    /// For each operation, which of the changes it is part of.
    operations: Vec<u32>,
}

impl Batch {
    /// Notes that an entity, so far in `version`, has changed at the batch's position. Several
    /// changes in one batch are one, the last.
    pub(crate) fn note(
        &mut self,
        entity: EntityId,
        version: Version,
        state_bytes: usize,
        (delay, position): (Duration, Position),
    ) -> Version {
        let Batch { changes, operations, .. } = self;
        let index = u32::try_from(operations.len()).expect("asks are bounded far below 2^32");
        let newer = Version { position, index };
        let bytes = state_bytes as u64 + ROW_OVERHEAD_BYTES;
        let change = Change { entity, version: newer, bytes, delay };
        if version.position == position {
            let at = operations[version.index as usize];
            // One of them may have to be stored at once.
            let delay = delay.min(changes[at as usize].delay);
            changes[at as usize] = Change { delay, ..change };
            operations.push(at);
        } else {
            operations.push(changes.len() as u32);
            changes.push(change);
        }
        newer
    }

    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.leaving.clear();
        self.answers.clear();
        self.operations.clear();
    }
}

/// What handlers of one partition work on, beside the entities.
pub(crate) struct Execution {
    /// Where the batch under way will be.
    pub(crate) position: Position,
    /// Partition time of the batch under way.
    pub(crate) time: Timestamp,
    pub(crate) has_store: bool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sessions: Sessions,
    pub(crate) batch: Batch,
    pub(crate) held: Slab<Held>,
    pub(crate) post: Box<Post>,
    /// Removed entities that something is still known of.
    pub(crate) removed: BTreeSet<EntityId>,
    /// Handlers that panicked, and asks that nobody waited for any more; taken by the unit.
    pub(crate) panics: u64,
    pub(crate) given_up: u32,
}

impl Execution {
    pub(crate) fn new(
        registry: Arc<Registry>,
        has_store: bool,
        sessions: Sessions,
        removed: BTreeSet<EntityId>,
        post: Post,
    ) -> Execution {
        Execution {
            position: Position::default(),
            time: Timestamp::default(),
            has_store,
            registry,
            sessions,
            batch: Batch::default(),
            held: Slab::new(),
            post: Box::new(post),
            removed,
            panics: 0,
            given_up: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.registry.limits
    }

    /// Notes that an entity, so far in `version`, has changed. Several changes in one batch are
    /// one, the last.
    pub(crate) fn note(
        &mut self,
        entity: EntityId,
        version: Version,
        state_bytes: usize,
        delay: Duration,
    ) -> Version {
        self.batch.note(entity, version, state_bytes, (delay, self.position))
    }

    /// Whether what a handler wants to do beyond its entity's state can be done.
    pub(crate) fn check(&self, deeds: &Deeds) -> Result<(), Undone> {
        if let Some(failure) = &deeds.failure {
            return Err(Undone::Panicked(failure.clone()));
        }
        let limits = self.limits();
        check_size("messages", deeds.sent.len(), limits.outbox_messages_max)?;
        for reminder in deeds.reminders.iter().filter_map(|(_, reminder)| reminder.as_ref()) {
            check_size("message", reminder.body.len(), limits.message_bytes_max)?;
            check_size("name", reminder.name.len(), limits.key_bytes_max)?;
        }
        let bytes: u64 = deeds.sent.iter().map(Parcel::bytes).sum();
        check_size("messages", bytes as usize, limits.outbox_bytes_max as usize)?;
        for parcel in &deeds.sent {
            check_size("key", parcel.key.len(), limits.key_bytes_max)?;
            check_size("message", parcel.body.len(), limits.message_bytes_max)?;
            if self.registry.index_named(&parcel.entity_type).is_none() {
                let name = &parcel.entity_type;
                let text = format!("message to `{name}`, which is no entity type of this grid");
                return Err(Undone::Panicked(text));
            }
        }
        if self.post.right == Right::Free || deeds.sent.is_empty() || self.post.outbox.has_room() {
            return Ok(());
        }
        let outgoing = self.post.outgoing(&deeds.sent);
        if self.post.may_send(&outgoing) { Ok(()) } else { Err(Undone::NoRoom(outgoing)) }
    }

    /// Holds what the handler under way has sent until the change that it is part of, to this
    /// version, is safe: in the store, where there is one.
    pub(crate) fn hold_fresh(&mut self, entity: EntityId, saw: Version) {
        if self.post.is_fresh() {
            let fresh = self.post.take_fresh();
            self.hold(Held::Messages(fresh), entity, saw, true);
        }
    }

    /// Holds an answer until what it depends on is safe.
    pub(crate) fn answer(
        &mut self,
        ask: Arc<dyn AnyAsk>,
        entity: EntityId,
        saw: Version,
        write_through: bool,
    ) {
        self.hold(Held::Ask(ask), entity, saw, write_through);
    }

    pub(crate) fn hold(&mut self, held: Held, entity: EntityId, saw: Version, stored: bool) {
        let ticket = self.held.insert(held);
        let ticket = Ticket(u32::try_from(ticket).expect("asks are bounded far below 2^32"));
        let stored = stored && self.has_store;
        self.batch.answers.push(Answer { ticket, entity, saw, stored });
    }
}
