//! In the store, the versions of a row only go up, no version ever means two things, and nothing
//! comes in from an epoch that is over.

use std::collections::BTreeMap;

use super::{Check, Seen};
use crate::engine::id::{Epoch, PartitionId, RequestId, Version};
use crate::engine::instant::Instant;
use crate::engine::sim::store::{Content, Row, RowKey, Store};

#[derive(Default)]
pub(super) struct Versions {
    epochs: BTreeMap<PartitionId, Epoch>,
    newest: BTreeMap<RowKey, (Version, Vec<RequestId>)>,
}

impl Versions {
    fn written(&mut self, row: &Row, by: Epoch) -> Result<(), String> {
        let Row { key, version, content } = row;
        let epoch = self.epochs.get(&key.partition).copied().unwrap_or_default();
        if by < epoch || version.position.epoch != by {
            return Err(format!("{key:?} at {version} comes in from {by:?}, now is {epoch:?}"));
        }
        let ledger = match content {
            Some(Content::Counter { ledger, .. }) => ledger.clone(),
            Some(Content::Session(_)) | None => Vec::new(),
        };
        let (newest, known) = self.newest.entry(*key).or_default();
        if version < newest {
            return Err(format!("{key:?} goes back from {newest} to {version}"));
        }
        if version == newest && *known != ledger {
            return Err(format!("{key:?} at {version} is both {known:?} and {ledger:?}"));
        }
        (*newest, *known) = (*version, ledger);
        Ok(())
    }
}

impl Check for Versions {
    fn name(&self) -> &'static str {
        "versions only go up"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Written { row, by } => self.written(row, *by),
            Seen::Recovered { partition, epoch, .. } => {
                let before = self.epochs.insert(*partition, *epoch);
                if before >= Some(*epoch) {
                    return Err(format!("{partition} starts again in {epoch:?}, after {before:?}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
