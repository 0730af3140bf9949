//! What comes back from the store was committed once, whole, and never lost in between: the store
//! is not ahead of memory, and no row is torn or from a life that others do not remember.

use std::collections::BTreeMap;

use super::{Check, Memory, Seen};
use crate::engine::id::{PartitionId, RequestId, Version};
use crate::engine::instant::Instant;
use crate::engine::sim::deed::Deed;
use crate::engine::sim::store::{RowKey, Store};

#[derive(Default)]
pub(super) struct Lineage {
    /// The versions of each row that led to the present one, and the ledger of each.
    versions: BTreeMap<RowKey, BTreeMap<Version, Vec<RequestId>>>,
}

impl Lineage {
    fn recovered(&mut self, partition: PartitionId, memory: &Memory<'_>) -> Result<(), String> {
        for (key, versions) in &mut self.versions {
            if key.partition != partition {
                continue;
            }
            let (version, ledger) = memory.get(key).copied().unwrap_or_default();
            let known = versions.get(&version).map(Vec::as_slice);
            if version != Version::default() && known != Some(ledger) {
                return Err(format!("{key:?} comes back at {version} with {ledger:?}: {known:?}"));
            }
            versions.retain(|known, _| *known <= version);
        }
        match memory.iter().find(|(key, _)| !self.versions.contains_key(key)) {
            Some((key, (version, _))) => Err(format!("{key:?} at {version} was never committed")),
            None => Ok(()),
        }
    }
}

impl Check for Lineage {
    fn name(&self) -> &'static str {
        "recovered was committed"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Deed(_, Deed::Committed { key, version, ledger }) => {
                self.versions.entry(*key).or_default().insert(*version, ledger.clone());
                Ok(())
            }
            Seen::Recovered { partition, memory, .. } => self.recovered(*partition, memory),
            _ => Ok(()),
        }
    }
}
