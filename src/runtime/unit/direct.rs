//! Asks of callers on the unit's own thread: run at once, answered at once.
//!
//! Where nothing else is to be waited for, an ask needs no exchange: its caller is here, and hears
//! the answer when this returns. Its number is closed then, so that no answer need be kept either.

use super::super::entities::Entities;
use super::super::exchange::{Reply, Target};
use super::super::handling::{self, At};
use super::Unit;
use crate::engine::execution::Numbered;
use crate::engine::instant::Instant;
use crate::entity::{Entity, MessageTo, Mode};
use crate::error::AskError;
use crate::metrics::Lookup;

const OF_THE_TYPE: &str = "the kind's entities are of the ask's type";

impl Unit {
    /// Whether an ask can be run at once, or has to wait for something.
    pub(crate) fn is_ready<E: Entity, M: MessageTo<E>>(
        &mut self,
        now: Instant,
        target: &Target<E::Key>,
    ) -> bool {
        self.now = now;
        let may_write = !M::Mode::WRITES || self.has_room();
        let has_waiting = !self.waiting.is_empty() || !self.blocked.is_empty();
        let may_send = !self.execution.post.is_short(target.kind);
        if self.primary.is_fenced() || has_waiting || !may_write || !may_send {
            return false;
        }
        let has_store = self.execution.has_store;
        let entities = self.entities_of::<E>(target.kind);
        // Its answer would wait for the store, or its entity for being loaded.
        let waits = has_store && entities.is_write_through();
        !waits && (entities.has_all() || entities.look_up(&target.key) != Lookup::StoreHit)
    }

    /// Runs an ask that is ready.
    pub(crate) fn run_direct<E: Entity, M: MessageTo<E>>(
        &mut self,
        target: &Target<E::Key>,
        numbered: Option<&Numbered>,
        message: M,
    ) -> Reply<M> {
        self.begin();
        let (entities, execution) =
            (self.entities[usize::from(target.kind)].as_any(), &mut self.execution);
        let entities: &mut Entities<E> = entities.downcast_mut().expect(OF_THE_TYPE);
        if let Some(numbered) = numbered {
            // Notes the floor. That a session is not open (any more) matters only to a retry, and
            // there will be none.
            let _ = execution.sessions.admit(numbered, execution.time);
        }
        entities.count_look_up(&target.key);
        let request = numbered.map(|numbered| numbered.request);
        let slot = entities.access(&target.key, execution);
        let at = At { key: &target.key, slot, request };
        let answer = if M::Mode::WRITES {
            handling::write(at, message, None, entities, execution).0
        } else {
            handling::read(at, message, entities, execution)
        };
        let panics = std::mem::take(&mut execution.panics);
        if panics > 0 {
            self.metrics.panicked(target.kind, panics);
        }
        self.finish_batch();
        debug_assert!(self.primary.is_all_committed(), "with one copy, nothing waits for another");
        let outcome = answer.as_ref().map_or_else(AskError::outcome, |_| "ok");
        self.metrics.answered_at_once(target.kind, outcome);
        answer
    }

    fn entities_of<E: Entity>(&mut self, kind: u16) -> &mut Entities<E> {
        let entities = self.entities[usize::from(kind)].as_any();
        entities.downcast_mut().expect(OF_THE_TYPE)
    }
}
