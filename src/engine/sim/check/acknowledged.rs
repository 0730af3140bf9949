//! What was acknowledged of a write-through counter, or seen of it, or of a durable session, is in
//! the store by then, and there after every crash.

use super::{Check, Promises, Seen};
use crate::engine::id::{PartitionId, Version};
use crate::engine::instant::Instant;
use crate::engine::sim::deed::{Deed, Reply};
use crate::engine::sim::plan::Plan;
use crate::engine::sim::store::{Named, RowKey, Store};

pub(super) struct Acknowledged {
    plan: Plan,
    promises: Promises,
}

impl Acknowledged {
    pub(super) fn new(plan: &Plan) -> Acknowledged {
        Acknowledged { plan: plan.clone(), promises: Promises::default() }
    }

    fn deed(&mut self, partition: PartitionId, deed: &Deed, store: &Store) -> Result<(), String> {
        let (of, version): (Named, Version) = match deed {
            Deed::Answered { ask, reply, saw } => {
                if *reply == Reply::Busy || !self.plan.is_write_through(ask.counter) {
                    return Ok(());
                }
                (Named::Counter(ask.counter), *saw)
            }
            Deed::Opened { session, opening, .. } if opening.durable => {
                // Later versions of its row only say of its floor, and may lag.
                let opened = Version { position: opening.opening, index: 0 };
                (Named::Session(*session), opened)
            }
            _ => return Ok(()),
        };
        self.promises.make(RowKey { partition, of }, version, store)
    }
}

impl Check for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged write-through is durable"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, store: &Store) -> Result<(), String> {
        match seen {
            Seen::Deed(partition, deed) => self.deed(*partition, deed, store),
            Seen::Recovered { partition, memory, .. } => {
                self.promises.check(*partition, memory, store)
            }
            _ => Ok(()),
        }
    }
}
