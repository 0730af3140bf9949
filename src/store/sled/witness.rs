//! How many commits sled's file must have: its witness, in a file beside it.
//!
//! sled takes a damaged part of its log for a torn end and forgets everything after it, without a
//! word. So every commit carries its number, which is then also written here; a database that
//! knows of fewer commits has lost some. The number is written after the commit's sync and itself
//! synced only when the store is opened and closed: after a loss of power it may be too low, and
//! a damage of just the newest commits then looks like that loss. It is never too high.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::Error;
use super::layout::Commit;
use super::unavailable;

#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

impl Witness {
    /// Opens the witness in the store's directory, and holds the database to it.
    pub(super) fn open(directory: &Path, in_database: Commit) -> Result<Witness, Error> {
        let path = directory.join("commits");
        let failed = |error| unavailable(&format!("use {}", path.display()), &error);
        let options = File::options().create(true).truncate(false).read(true).write(true).clone();
        let file = options.open(&path).map_err(failed)?;
        let mut value = vec![0; 64];
        let length = file.read_at(&mut value, 0).map_err(failed)?;
        // An empty one was made, and its process ended before it wrote.
        let known = if length == 0 { Commit::default() } else { Commit::read(&value[..length])? };
        if in_database.number < known.number {
            let (found, known) = (in_database.number, known.number);
            let what = format!("sled has {found} of {known} commits, its file is damaged");
            return Err(Error::Corrupt { what });
        }
        let witness = Witness { file };
        witness.write(in_database).and_then(|()| witness.sync()).map_err(failed)?;
        Ok(witness)
    }

    /// Notes a commit that is durable.
    pub(super) fn note(&self, commit: Commit) {
        if let Err(error) = self.write(commit) {
            // It knows less than it could; what it says stays true.
            tracing::warn!(%error, "note the number of commits beside the database");
        }
    }

    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, commit: Commit) -> std::io::Result<()> {
        self.file.write_all_at(&commit.write(), 0)
    }
}
