//! Where the stores under test are.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use fastness::store::conformance::Place;
use fastness::store::{Error, MemoryStore, SledStore, Store};

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
        Box::new(open_unlocked(&self.path()).expect("the directory is a sound store's"))
    }
}

/// Opens the store as soon as the handle before has let go of it: one that was dropped does so on
/// its own thread.
pub(crate) fn open_unlocked(directory: &Path) -> Result<SledStore, Error> {
    loop {
        match SledStore::open(directory) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}
