//! Where the stores under test are.

use std::path::PathBuf;

use async_trait::async_trait;
use fastness::store::conformance::Place;
use fastness::store::{MemoryStore, SledStore, Store};

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
pub(crate) struct InDirectory(tempfile::TempDir);

impl InDirectory {
    pub(crate) fn new() -> InDirectory {
        InDirectory(tempfile::tempdir().expect("there is room for a directory"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

#[async_trait]
impl Place for InDirectory {
    async fn open(&mut self) -> Box<dyn Store> {
        Box::new(SledStore::open(self.path()).expect("the directory is a sound store's"))
    }
}
