//! The promises, one checker per file. Each sees everything that can be seen from outside, and the
//! store, and keeps books of its own.

mod acknowledged;
mod bounded;
mod exactly_once;
mod lag;
mod lineage;
mod linearizable;
mod versions;
mod watermark;

use std::collections::BTreeMap;

use super::deed::{Ask, Deed};
use super::plan::Plan;
use super::store::{Row, RowKey, Store};
use crate::engine::id::{Epoch, PartitionId, RequestId, Version};
use crate::engine::instant::Instant;

/// What a partition has in memory: version and ledger of each row.
pub(super) type Memory<'a> = BTreeMap<RowKey, (Version, &'a [RequestId])>;

/// Something that can be seen.
pub(super) enum Seen<'a> {
    /// A try of an ask has reached its partition.
    Asked(&'a Ask),
    /// A batch of asks is about to be taken in.
    Pending {
        partition: PartitionId,
        records: usize,
        bytes: u64,
    },
    Deed(PartitionId, &'a Deed),
    /// The store has written a row or a dead letter.
    Written {
        row: &'a Row,
        by: Epoch,
    },
    /// A partition was read back from the store.
    Recovered {
        partition: PartitionId,
        epoch: Epoch,
        memory: &'a Memory<'a>,
    },
    /// Everything was asked and answered, written, lost and read back.
    Over,
}

/// A property, watched.
pub(super) trait Check {
    fn name(&self) -> &'static str;

    /// # Errors
    /// What breaks the property, for a person.
    fn see(&mut self, now: Instant, seen: &Seen<'_>, store: &Store) -> Result<(), String>;
}

pub(super) fn all(plan: &Plan) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(acknowledged::Acknowledged::new(plan)),
        Box::new(watermark::Watermark::default()),
        Box::new(exactly_once::ExactlyOnce::new(plan)),
        Box::new(lineage::Lineage::default()),
        Box::new(linearizable::Linearizable::default()),
        Box::new(bounded::Bounded::new(plan)),
        Box::new(versions::Versions::default()),
        Box::new(lag::Lag::new(plan)),
    ]
}

/// What must be there after a crash: of each row at least this version.
#[derive(Default)]
struct Promises {
    versions: BTreeMap<RowKey, Version>,
}

impl Promises {
    /// From here on `key` may not fall behind `version`, and does not.
    fn make(&mut self, key: RowKey, version: Version, store: &Store) -> Result<(), String> {
        let promised = self.versions.entry(key).or_default();
        *promised = version.max(*promised);
        let durable = store.durable(key);
        if durable < version {
            return Err(format!("{key:?} is promised at {version}, the store holds {durable}"));
        }
        Ok(())
    }

    fn check(
        &self,
        partition: PartitionId,
        memory: &Memory<'_>,
        store: &Store,
    ) -> Result<(), String> {
        for (key, promised) in self.versions.iter().filter(|(key, _)| key.partition == partition) {
            let recovered = memory.get(key).map(|(version, _)| *version);
            let recovered = recovered.unwrap_or_default().max(store.deletion(*key));
            if recovered < *promised {
                return Err(format!("{key:?} was promised at {promised}, came back {recovered}"));
            }
        }
        Ok(())
    }
}
