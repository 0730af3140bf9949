//! Filling one batch.

use super::pending::PendingSet;
use super::{Config, Entry};
use crate::engine::id::EntityId;

/// A batch that is being filled up to its bounds.
pub(super) struct Filling {
    pub(super) entries: Vec<Entry>,
    bytes: u64,
    records_max: usize,
    bytes_max: u64,
}

impl Filling {
    pub(super) fn new(config: &Config) -> Filling {
        Filling {
            entries: Vec::new(),
            bytes: 0,
            records_max: config.batch_records_max,
            bytes_max: config.batch_bytes_max,
        }
    }

    /// Takes the entity if there is room. The first one always fits.
    pub(super) fn add(&mut self, pending: &mut PendingSet, entity: EntityId) -> bool {
        let bytes = self.bytes.saturating_add(pending.bytes_of(entity));
        let fits = self.entries.is_empty()
            || (self.entries.len() < self.records_max && bytes <= self.bytes_max);
        if fits && let Some(entry) = pending.take(entity) {
            self.entries.push(entry);
            self.bytes = bytes;
        }
        fits
    }
}
