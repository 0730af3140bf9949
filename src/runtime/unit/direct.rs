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

impl Unit {
    /// Runs an ask, or gives it back if it has to wait for something.
    pub(crate) fn run_direct<E: Entity, M: MessageTo<E>>(
        &mut self,
        now: Instant,
        target: &Target<E::Key>,
        numbered: Option<&Numbered>,
        message: M,
    ) -> Result<Reply<M>, M> {
        self.now = now;
        let may_write = !M::Mode::WRITES || self.has_room();
        if self.primary.is_fenced() || !self.waiting.is_empty() || !may_write {
            return Err(message);
        }
        self.begin();
        let kind = usize::from(target.kind);
        let (entities, execution) = (&mut self.entities[kind], &mut self.execution);
        let entities: &mut Entities<E> =
            entities.as_any().downcast_mut().expect("the kind's entities are of the ask's type");
        // Its answer would wait for the store, or its entity for being loaded.
        let waits = execution.has_store && entities.is_write_through();
        if waits || entities.look_up_if_away(&target.key) == Lookup::StoreHit {
            return Err(message);
        }
        if let Some(numbered) = numbered {
            // Notes the floor. That a session is not open (any more) matters only to a retry, and
            // there will be none.
            let _ = execution.sessions.admit(numbered, execution.time);
        }
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
        self.metrics.answered(target.kind, outcome, std::time::Duration::ZERO);
        Ok(answer)
    }
}
