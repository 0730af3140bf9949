//! Where the stores under test are.

#[cfg(feature = "sled")]
use std::path::PathBuf;

use async_trait::async_trait;
#[cfg(feature = "sled")]
use fastness::store::SledStore;
use fastness::store::conformance::Place;
use fastness::store::{MemoryStore, Store};

#[derive(Default)]
pub(crate) struct InMemory(Option<MemoryStore>);

#[async_trait]
impl Place for InMemory {
    async fn open(&mut self) -> Box<dyn Store> {
        let store = self.0.as_ref().map_or_else(MemoryStore::new, MemoryStore::reopen);
        self.0 = Some(store.clone());
        Box::new(store)
    }
}

/// A directory of its own, which goes with it.
#[cfg(feature = "sled")]
pub(crate) struct InDirectory(tempfile::TempDir);

#[cfg(feature = "sled")]
impl InDirectory {
    pub(crate) fn new() -> InDirectory {
        InDirectory(tempfile::tempdir().expect("there is room for a directory"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

#[cfg(feature = "sled")]
#[async_trait]
impl Place for InDirectory {
    async fn open(&mut self) -> Box<dyn Store> {
        Box::new(SledStore::open(self.path()).expect("the directory is a sound store's"))
    }
}
