//! Everything at or under the persisted watermark is in the store, and there after every crash; and
//! what a queue says is stored or parked, is.

use std::collections::{BTreeMap, VecDeque};

use super::{Check, Promises, Seen};
use crate::engine::id::{PartitionId, Seq, Version};
use crate::engine::instant::Instant;
use crate::engine::sim::deed::Deed;
use crate::engine::sim::store::{RowKey, Store};

#[derive(Default)]
pub(super) struct Watermark {
    promises: Promises,
    /// By partition, what was committed in this life above the watermark, ascending.
    committed: BTreeMap<PartitionId, VecDeque<(RowKey, Version)>>,
    persisted: BTreeMap<PartitionId, Seq>,
}

impl Watermark {
    fn deed(&mut self, partition: PartitionId, deed: &Deed, store: &Store) -> Result<(), String> {
        match deed {
            Deed::Committed { key, version, .. } => {
                self.committed.entry(partition).or_default().push_back((*key, *version));
            }
            Deed::Persisted { seq } => {
                let before = self.persisted.insert(partition, *seq).unwrap_or_default();
                if *seq <= before {
                    return Err(format!("{seq:?} after {before:?}"));
                }
                let committed = self.committed.entry(partition).or_default();
                while let Some((key, version)) =
                    committed.pop_front_if(|(_, version)| version.position.seq <= *seq)
                {
                    self.promises.make(key, version, store)?;
                }
            }
            Deed::Stored { key, version } if store.durable(*key) < *version => {
                return Err(format!("{key:?} is not stored at {version}"));
            }
            Deed::Parked { key, version } if store.letter(*key) != Some(*version) => {
                return Err(format!("{key:?} is not parked at {version}"));
            }
            _ => (),
        }
        Ok(())
    }
}

impl Check for Watermark {
    fn name(&self) -> &'static str {
        "persisted is durable"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, store: &Store) -> Result<(), String> {
        match seen {
            Seen::Deed(partition, deed) => self.deed(*partition, deed, store),
            Seen::Recovered { partition, memory, .. } => {
                self.committed.remove(partition);
                self.persisted.remove(partition);
                self.promises.check(*partition, memory, store)
            }
            _ => Ok(()),
        }
    }
}
