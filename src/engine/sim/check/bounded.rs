//! No handler that writes runs while the queue is at a bound; so what is pending is bounded.

use std::collections::BTreeMap;

use super::{Check, Seen};
use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;
use crate::engine::sim::deed::Deed;
use crate::engine::sim::plan::Plan;
use crate::engine::sim::store::Store;
use crate::engine::write_behind::Config;

pub(super) struct Bounded {
    bounds: Config,
    is_full: BTreeMap<PartitionId, bool>,
}

impl Bounded {
    pub(super) fn new(plan: &Plan) -> Bounded {
        Bounded { bounds: plan.queue, is_full: BTreeMap::new() }
    }
}

impl Check for Bounded {
    fn name(&self) -> &'static str {
        "pending is bounded"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Pending { partition, records, bytes } => {
                let Config { pending_records_max, pending_bytes_max, .. } = self.bounds;
                let is_full = *records >= pending_records_max || *bytes >= pending_bytes_max;
                self.is_full.insert(*partition, is_full);
                Ok(())
            }
            Seen::Deed(partition, Deed::Ran) if self.is_full.get(partition) == Some(&true) => {
                Err(format!("a handler of {partition} runs at the bound"))
            }
            _ => Ok(()),
        }
    }
}
