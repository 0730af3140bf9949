//! An opened database: held to what it must hold, and synced.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ::sled::{Db, Tree};

use super::super::Error;
use super::database::{expect_room, sled_error};
use super::layout::{COMMIT_KEY, Commit, LAYOUT, LAYOUT_KEY, Table, seal, unseal};
use super::unavailable;
use super::witness::Witness;

/// How often sled's own flusher runs; sled's default.
const FLUSHER_MILLIS: u64 = 500;

/// Memory for sled's page cache. Rows are read once, at the start; after that it serves the
/// comparison of versions.
const CACHE_BYTES: u64 = 64 << 20;

/// How often, and with which pause, an opening is tried again while the last user's handle of
/// sled's own lock is still being closed by the system.
const UNLOCK_TRIES: u32 = 100;
const UNLOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Opened {
    _db: Db,
    pub(super) tree: Tree,
    /// sled's file, to sync it.
    file: File,
    blobs: PathBuf,
    /// Those of sled's blobs that are known to be on the disk.
    synced_blobs: BTreeSet<OsString>,
    pub(super) commit: Commit,
    pub(super) witness: Witness,
    /// While no dead letter was ever here, none is looked for with each row.
    pub(super) may_have_letters: bool,
}

impl Opened {
    pub(super) fn new(directory: &Path) -> Result<Opened, Error> {
        expect_room(directory, 0)?;
        let path = directory.join("sled");
        let db = open_unlocked(&path)?;
        let file = File::options().read(true).write(true).open(path.join("db"));
        let file = file.map_err(|error| unavailable("open sled's file to sync it", &error))?;
        let tree = db.open_tree(b"fastness").map_err(|error| sled_error("open tree", error))?;
        let stored = tree.get(COMMIT_KEY).map_err(|error| sled_error("read", error))?;
        let commit = stored.as_deref().map(Commit::read).transpose()?.unwrap_or_default();
        // Before anything is written: an empty database may be what is left of a damaged one.
        let witness = Witness::open(directory, commit)?;
        let (blobs, synced_blobs) = (path.join("blobs"), BTreeSet::new());
        let may_have_letters = false;
        let mut open =
            Opened { _db: db, tree, file, blobs, synced_blobs, commit, witness, may_have_letters };
        open.check_layout()?;
        let entries = open.count().map_err(|error| sled_error("read", error))?;
        open.may_have_letters = open.has_letters().map_err(|error| sled_error("read", error))?;
        if stored.is_some() && entries != commit.entries {
            let what = format!("sled has {entries} of {} entries", commit.entries);
            return Err(Error::Corrupt { what });
        }
        open.commit.entries = entries;
        // What was recovered may be in the system's cache only, left there by a process that was
        // killed before it had synced: nobody may believe it before it is on the disk.
        open.sync().map_err(|error| unavailable("sync", &error))?;
        Ok(open)
    }

    /// Entries that are there: sled leaves out what it lost with a damaged part of its file.
    fn count(&self) -> ::sled::Result<u64> {
        self.tree.iter().keys().try_fold(0, |count, key| key.map(|_| count + 1))
    }

    fn has_letters(&self) -> ::sled::Result<bool> {
        self.tree.scan_prefix(Table::DeadLetters.tag()).next().transpose().map(|it| it.is_some())
    }

    fn check_layout(&mut self) -> Result<(), Error> {
        let stored = self.tree.get(LAYOUT_KEY).map_err(|error| sled_error("read", error))?;
        let Some(value) = stored else {
            if !self.tree.is_empty() {
                return Err(Error::Corrupt { what: "the number of its layout is gone".to_owned() });
            }
            let value = seal(LAYOUT_KEY, &[&LAYOUT.to_be_bytes()]);
            self.tree.insert(LAYOUT_KEY, value).map_err(|error| sled_error("write", error))?;
            return self.sync().map_err(|error| unavailable("sync", &error));
        };
        let found = unseal(LAYOUT_KEY, &value)?;
        if found != LAYOUT.to_be_bytes() {
            let found = found.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            return Err(Error::UnknownLayout { found, known: LAYOUT });
        }
        Ok(())
    }

    /// Makes everything durable that sled was given.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.tree.flush().map_err(io::Error::other)?;
        self.sync_files()?;
        self.witness.sync()
    }

    /// Makes everything durable that sled has flushed. Its own `flush` is no `fsync` on Linux.
    pub(super) fn sync_files(&mut self) -> io::Result<()> {
        // Blobs first: the file refers to them. There are hardly ever any, for chunks are small.
        let mut blobs = BTreeSet::new();
        for blob in fs::read_dir(&self.blobs)? {
            blobs.insert(blob?.file_name());
        }
        let mut is_any_new = false;
        for blob in blobs.difference(&self.synced_blobs) {
            match File::open(self.blobs.join(blob)).and_then(|file| file.sync_all()) {
                Ok(()) => is_any_new = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // collected meanwhile
                Err(error) => return Err(error),
            }
        }
        if is_any_new {
            File::open(&self.blobs)?.sync_all()?;
        }
        self.synced_blobs = blobs;
        self.file.sync_data()
    }
}

fn open_unlocked(path: &Path) -> Result<Db, Error> {
    let config = ::sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        // Every commit is flushed and synced here. sled's own flusher runs all the same, because
        // only it gives the space of what was overwritten back.
        .flush_every_ms(Some(FLUSHER_MILLIS));
    for _ in 0..UNLOCK_TRIES {
        match config.open() {
            // Nobody else is in this directory, for its lock is ours: an earlier handle of this
            // very process is still on its way out.
            Err(::sled::Error::Io(error)) if error.to_string().contains("lock") => {
                thread::sleep(UNLOCK_PAUSE);
            }
            Ok(db) => return Ok(db),
            Err(error) => return Err(sled_error("open", error)),
        }
    }
    Err(Error::Locked { location: path.display().to_string() })
}
