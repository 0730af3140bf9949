//! What one commit changes, and how many entries the tree has afterwards.

use std::collections::BTreeMap;

use ::sled::{Batch, Tree};

/// Entries to put and to remove; of two of one key the later one counts.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    pub(super) fn insert(&mut self, key: &[u8], value: Vec<u8>) {
        self.0.insert(key.to_vec(), Some(value));
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0.insert(key.to_vec(), None);
    }

    /// Size of what is to be put.
    pub(super) fn bytes(&self) -> u64 {
        let sizes =
            self.0.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        sizes.map(|size| size as u64).sum()
    }

    /// How many entries a tree of `entries` has afterwards.
    pub(super) fn entries_after(&self, tree: &Tree, entries: u64) -> ::sled::Result<u64> {
        let mut after = entries;
        for (key, value) in &self.0 {
            match (tree.contains_key(key)?, value) {
                (false, Some(_)) => after += 1,
                (true, None) => after = after.saturating_sub(1),
                (true, Some(_)) | (false, None) => {}
            }
        }
        Ok(after)
    }

    pub(super) fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in self.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}
