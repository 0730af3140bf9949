//! A store that all nodes share: slow, down, or reached late by writers that are none any more.

use std::collections::BTreeMap;

use super::object::{Entity, Key};
use crate::engine::id::{Epoch, PartitionId, Version};
use crate::engine::write_behind::{BatchId, Failure, Outcome};

/// What a primary wants written.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub id: BatchId,
    pub rows: Vec<(Key, Entity)>,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub id: BatchId,
    pub result: Result<Vec<Outcome>, Failure>,
}

#[derive(Default)]
pub(super) struct Store {
    pub rows: BTreeMap<(PartitionId, Key), Entity>,
    fences: BTreeMap<PartitionId, Epoch>,
    pub is_down: bool,
}

impl Store {
    /// All rows of a batch or none; each only if it is newer than what is there.
    pub(super) fn write(&mut self, batch: Batch) -> Stored {
        let Batch { partition, epoch, id, rows } = batch;
        let fence = self.fences.entry(partition).or_default();
        let result = if self.is_down {
            Err(Failure::Unavailable { reason: "it is down".to_owned() })
        } else if *fence > epoch {
            Err(Failure::Fenced { by: *fence })
        } else {
            *fence = epoch;
            Ok(rows.into_iter().map(|(key, row)| self.put((partition, key), row)).collect())
        };
        Stored { partition, epoch, id, result }
    }

    fn put(&mut self, at: (PartitionId, Key), row: Entity) -> Outcome {
        match self.rows.get(&at).map(|known| known.changed_at) {
            Some(found) if found > row.changed_at => {
                Outcome::Superseded { found: Version { position: found, index: 0 } }
            }
            _ => {
                self.rows.insert(at, row);
                Outcome::Stored
            }
        }
    }
}
