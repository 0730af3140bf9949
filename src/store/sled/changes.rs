//! What one commit changes, and how many entries the tree has afterwards.

use std::collections::BTreeMap;

use ::sled::{Batch, Tree};

/// Entries to put and to remove; of two of one key the later one counts.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Vec<u8>, Change>);

#[derive(Debug)]
struct Change {
    /// What to put; none removes.
    value: Option<Vec<u8>>,
    /// Whether the tree has the key before the commit, where that was looked up anyway.
    was_there: Option<bool>,
}

impl Changes {
    pub(super) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, Change { value: Some(value), was_there: None });
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, Change { value: None, was_there: None });
    }

    /// As [`insert`](Self::insert) or [`remove`](Self::remove), where the key was looked up.
    pub(super) fn replace(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, was_there: bool) {
        self.0.insert(key, Change { value, was_there: Some(was_there) });
    }

    /// Whether anything is to be done with the key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.0.contains_key(key)
    }

    /// Size of what is to be put.
    pub(super) fn bytes(&self) -> u64 {
        let size = |change: &Change| change.value.as_ref().map_or(0, Vec::len);
        self.0.iter().map(|(key, change)| (key.len() + size(change)) as u64).sum()
    }

    /// How many entries a tree of `entries` has afterwards.
    pub(super) fn entries_after(&self, tree: &Tree, entries: u64) -> ::sled::Result<u64> {
        let mut after = entries;
        for (key, Change { value, was_there }) in &self.0 {
            let was_there = match was_there {
                Some(known) => *known,
                None => tree.contains_key(key)?,
            };
            match (was_there, value) {
                (false, Some(_)) => after += 1,
                (true, None) => after = after.saturating_sub(1),
                (true, Some(_)) | (false, None) => {}
            }
        }
        Ok(after)
    }

    pub(super) fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (key, Change { value, .. }) in self.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}
