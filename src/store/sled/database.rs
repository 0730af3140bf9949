//! What the store's thread does: opens the database, reads and writes it, and knows when it may not
//! be trusted any more.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ::sled::IVec;
use bytes::Bytes;

use super::super::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, PartitionBatch, RecordOutcome, Row, RowKey,
};
use super::changes::Changes;
use super::layout::{
    COMMIT_KEY, Commit, Content, GRID_KEY, Head, INLINE_MAX, Letter, Table, corrupt, fence_key,
    row_key, seal, unseal,
};
use super::opened::Opened;
use super::unavailable;
use crate::codec;
use crate::engine::id::{Epoch, PartitionId, Version};
use crate::engine::instant::Timestamp;

/// Room that must be left on the disk: for sled's segments (512 KiB) and its snapshots, and for
/// each byte of a commit, which sled may write again with the page that it is in.
const ROOM_MIN: u64 = 8 << 20;
const ROOM_FACTOR: u64 = 4;

pub(super) struct Database {
    directory: PathBuf,
    /// Held as long as the directory is in use.
    lock: Option<File>,
    state: State,
}

enum State {
    Open(Opened),
    /// A call has failed, and sled does not recover from that: it is opened anew by the next call.
    Distrusted,
    /// Syncing has failed, so nobody knows what the disk holds, and the next sync may well report
    /// success for what it has thrown away.
    Failed(String),
    Closed,
}

/// What is in the way of a new version of a value.
enum Way {
    /// Nothing newer.
    Free {
        was_there: bool,
    },
    Barred {
        found: Version,
    },
}

impl Database {
    pub(super) fn open(directory: &Path) -> Result<Database, Error> {
        fs::create_dir_all(directory)
            .map_err(|error| unavailable(&format!("make {}", directory.display()), &error))?;
        let lock = lock(directory)?;
        expect_not_failed(directory)?;
        let database = Database {
            directory: directory.to_owned(),
            lock: Some(lock),
            state: State::Open(Opened::new(directory)?),
        };
        sync_directory(directory)?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(database)
    }

    pub(super) fn claim(&mut self, row: &GridRow) -> Result<GridRow, Error> {
        if let Some(value) = self.get(GRID_KEY)? {
            return codec::decode(unseal(GRID_KEY, &value)?)
                .map_err(|error| corrupt(GRID_KEY, &error.to_string()));
        }
        let mut bytes = Vec::new();
        codec::encode_into(row, &mut bytes)
            .map_err(|error| Error::Refused { reason: error.to_string() })?;
        let mut changes = Changes::default();
        changes.insert(GRID_KEY.to_vec(), seal(GRID_KEY, &[&bytes]));
        self.commit(changes)?;
        Ok(row.clone())
    }

    pub(super) fn raise_fences(
        &mut self,
        fences: &[(PartitionId, Epoch)],
    ) -> Result<Vec<Epoch>, Error> {
        let (mut changes, mut found) = (Changes::default(), Vec::with_capacity(fences.len()));
        for (partition, epoch) in fences {
            let fence = self.fence(*partition)?;
            found.push(fence);
            if *epoch > fence {
                let key = fence_key(*partition);
                changes.insert(key.to_vec(), seal(&key, &[&epoch.0.to_be_bytes()]));
            }
        }
        self.commit(changes)?;
        Ok(found)
    }

    pub(super) fn scan(
        &mut self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let entries = self.entries(Table::Rows, partition, after, rows_max)?;
        let row = |(key, value): (IVec, IVec)| {
            let (version, record) = self.read(Table::Rows, &key, &value)?;
            Ok(Row { key: row_key(&key)?, version, record: Some(record) })
        };
        entries.into_iter().map(row).collect()
    }

    pub(super) fn dead_letters(
        &mut self,
        partition: PartitionId,
    ) -> Result<Vec<DeadLetter>, Error> {
        let entries = self.entries(Table::DeadLetters, partition, None, usize::MAX)?;
        entries.into_iter().map(|(key, value)| self.letter(&key, &value)).collect()
    }

    pub(super) fn load(&mut self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        keys.iter().map(|(partition, key)| self.load_one(*partition, key)).collect()
    }

    fn load_one(&mut self, partition: PartitionId, key: &RowKey) -> Result<Loaded, Error> {
        let (mut loaded, at) = (Loaded::default(), Table::Rows.key(partition, key));
        if let Some(value) = self.get(&at)? {
            let (version, record) = self.read(Table::Rows, &at, &value)?;
            loaded.row = Some(Row { key: key.clone(), version, record: Some(record) });
        }
        if self.opened()?.may_have_letters {
            let at = Table::DeadLetters.key(partition, key);
            if let Some(value) = self.get(&at)? {
                loaded.dead_letter = Some(self.letter(&at, &value)?);
            }
        }
        Ok(loaded)
    }

    fn letter(&mut self, key: &[u8], value: &[u8]) -> Result<DeadLetter, Error> {
        let (version, bytes) = self.read(Table::DeadLetters, key, value)?;
        let Letter { attempts, parked_at_micros, reason, record } = Letter::read(key, &bytes)?;
        let row = Row { key: row_key(key)?, version, record };
        let parked_at = Timestamp::from_micros(parked_at_micros);
        Ok(DeadLetter { row, reason, attempts, parked_at })
    }

    pub(super) fn write(&mut self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        let (mut changes, mut outcomes) = (Changes::default(), Vec::with_capacity(batches.len()));
        for of_partition in batches {
            let fence = self.fence(of_partition.partition)?;
            if of_partition.epoch < fence {
                outcomes.push(BatchOutcome::Fenced { by: fence });
                continue;
            }
            let mut written = Vec::new();
            for row in &of_partition.records {
                written.push(self.write_row(of_partition.partition, row, &mut changes)?);
            }
            for letter in &of_partition.dead_letters {
                written.push(self.write_letter(of_partition.partition, letter, &mut changes)?);
            }
            outcomes.push(BatchOutcome::Written(written));
        }
        self.commit(changes)?;
        Ok(outcomes)
    }

    pub(super) fn close(&mut self) -> Result<(), Error> {
        let synced = match &mut self.state {
            State::Open(open) => open.sync().map_err(|error| unavailable("sync", &error)),
            State::Distrusted | State::Closed => Ok(()),
            State::Failed(reason) => Err(Error::Unavailable { reason: reason.clone() }),
        };
        self.state = State::Closed;
        self.lock = None;
        synced
    }

    /// From now on nothing that sled has in memory is believed.
    pub(super) fn distrust(&mut self, why: &str) {
        if let State::Open(_) = self.state {
            tracing::warn!(why, "open the store's database anew");
            let failed = std::mem::replace(&mut self.state, State::Distrusted);
            // sled flushes what it has in memory when it goes, and after some failures waits for
            // that without end. Until it is gone, its lock makes every call fail.
            let thread = thread::Builder::new().name("fastness-sled-failed".to_owned());
            if let Err(error) = thread.spawn(move || drop(failed)) {
                tracing::warn!(%error, "make a thread");
            }
        }
    }

    fn write_row(
        &mut self,
        partition: PartitionId,
        row: &Row,
        changes: &mut Changes,
    ) -> Result<RecordOutcome, Error> {
        if row.key.entity_type.len() > 255 {
            return Ok(refused("the entity type's name is longer than 255 bytes"));
        }
        let key = Table::Rows.key(partition, &row.key);
        let was_there = match self.make_way(Table::Rows, &key, row.version, changes)? {
            Way::Barred { found } => return Ok(RecordOutcome::Superseded { found }),
            Way::Free { was_there } => was_there,
        };
        match &row.record {
            Some(record) => put(Table::Rows, key, row.version, record, was_there, changes),
            None => changes.replace(key, None, was_there),
        }
        if self.opened()?.may_have_letters {
            // Its dead letter is over, unless that is the newer one.
            let key = Table::DeadLetters.key(partition, &row.key);
            let way = self.make_way(Table::DeadLetters, &key, row.version, changes)?;
            if let Way::Free { was_there } = way
                && (was_there || changes.has(&key))
            {
                changes.replace(key, None, was_there);
            }
        }
        Ok(RecordOutcome::Stored)
    }

    fn write_letter(
        &mut self,
        partition: PartitionId,
        letter: &DeadLetter,
        changes: &mut Changes,
    ) -> Result<RecordOutcome, Error> {
        let key = Table::DeadLetters.key(partition, &letter.row.key);
        let version = letter.row.version;
        let was_there = match self.make_way(Table::DeadLetters, &key, version, changes)? {
            Way::Barred { found } => return Ok(RecordOutcome::Superseded { found }),
            Way::Free { was_there } => was_there,
        };
        self.opened()?.may_have_letters = true;
        let bytes = Letter {
            attempts: letter.attempts,
            parked_at_micros: letter.parked_at.as_micros(),
            reason: letter.reason.clone(),
            record: letter.row.record.clone(),
        };
        put(Table::DeadLetters, key, version, &bytes.write(), was_there, changes);
        Ok(RecordOutcome::Stored)
    }

    /// Makes way for `version` of a value, unless a newer one is there.
    fn make_way(
        &mut self,
        table: Table,
        key: &[u8],
        version: Version,
        changes: &mut Changes,
    ) -> Result<Way, Error> {
        let Some(value) = self.get(key)? else { return Ok(Way::Free { was_there: false }) };
        let head = Head::read(key, &value)?;
        if head.version > version {
            return Ok(Way::Barred { found: head.version });
        }
        if let Content::Chunks(count) = head.content {
            // Removed first: what is put under the same keys afterwards stays.
            (0..count).for_each(|n| changes.remove(table.chunk_key(key, head.version, n)));
        }
        Ok(Way::Free { was_there: true })
    }

    fn read(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(Version, Bytes), Error> {
        let head = Head::read(key, value)?;
        let count = match head.content {
            Content::Inline(bytes) => return Ok((head.version, Bytes::copy_from_slice(bytes))),
            Content::Chunks(count) => count,
        };
        let mut bytes = Vec::new();
        for number in 0..count {
            let chunk_key = table.chunk_key(key, head.version, number);
            let chunk = self.get(&chunk_key)?;
            let chunk = chunk.ok_or_else(|| corrupt(key, "one of its chunks is missing"))?;
            bytes.extend_from_slice(unseal(&chunk_key, &chunk)?);
        }
        Ok((head.version, bytes.into()))
    }

    fn entries(
        &mut self,
        table: Table,
        partition: PartitionId,
        after: Option<&RowKey>,
        entries_max: usize,
    ) -> Result<Vec<(IVec, IVec)>, Error> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let prefix = table.prefix(partition);
        let from = match after {
            Some(row) => Excluded(table.key(partition, row)),
            None => Included(prefix.clone()),
        };
        let tree = &self.opened()?.tree;
        let of_partition = tree
            .range::<Vec<u8>, _>((from, Unbounded))
            .take_while(|entry| entry.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)));
        let entries: Result<_, _> = of_partition.take(entries_max).collect();
        entries.map_err(|error| self.failed("scan", error))
    }

    fn fence(&mut self, partition: PartitionId) -> Result<Epoch, Error> {
        let key = fence_key(partition);
        let Some(value) = self.get(&key)? else { return Ok(Epoch::default()) };
        let epoch = unseal(&key, &value)?.try_into();
        let epoch = epoch.map_err(|_| corrupt(&key, "a fence is 8 bytes"))?;
        Ok(Epoch(u64::from_be_bytes(epoch)))
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<IVec>, Error> {
        let value = self.opened()?.tree.get(key);
        value.map_err(|error| self.failed("read", error))
    }

    /// Makes the changes, durably.
    fn commit(&mut self, mut changes: Changes) -> Result<(), Error> {
        expect_room(&self.directory, changes.bytes())?;
        let open = self.opened()?;
        let mut commit = Commit { number: open.commit.number + 1, ..open.commit };
        changes.insert(COMMIT_KEY.to_vec(), commit.write()); // it counts itself
        let applied = changes.entries_after(&open.tree, commit.entries).and_then(|entries| {
            commit.entries = entries;
            changes.insert(COMMIT_KEY.to_vec(), commit.write());
            open.tree.apply_batch(changes.into_batch())?;
            open.tree.flush()
        });
        match applied {
            Ok(_) => (),
            // Only what a full disk has refused is known not to be there: of any other error nobody
            // knows what the disk holds, and the next sync may well report success.
            Err(::sled::Error::Io(error)) if !is_full(&error) => return Err(self.fail(&error)),
            Err(error) => return Err(self.failed("write", error)),
        }
        if let State::Open(open) = &mut self.state
            && let Err(error) = open.sync_files()
        {
            return Err(self.fail(&error));
        }
        if let State::Open(open) = &mut self.state {
            open.commit = commit;
            open.witness.note(commit);
        }
        Ok(())
    }

    /// Nothing of the directory is believed any more by this process.
    fn fail(&mut self, error: &io::Error) -> Error {
        let reason = format!("write or sync failed, start the process anew: {error}");
        tracing::error!(reason, "store has failed");
        note_failed(&self.directory);
        self.distrust("write or sync failed");
        self.state = State::Failed(reason.clone());
        Error::Unavailable { reason }
    }

    fn failed(&mut self, doing: &str, error: ::sled::Error) -> Error {
        self.distrust(doing);
        sled_error(doing, error)
    }

    fn opened(&mut self) -> Result<&mut Opened, Error> {
        if let State::Distrusted = self.state {
            let opened = Opened::new(&self.directory).map_err(|error| match error {
                // Not by another grid: the directory's own lock is held.
                Error::Locked { .. } => {
                    Error::Unavailable { reason: "sled still holds its file".to_owned() }
                }
                error => error,
            });
            self.state = State::Open(opened?);
        }
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Failed(reason) => Err(Error::Unavailable { reason: reason.clone() }),
            State::Closed | State::Distrusted => Err(Error::Closed),
        }
    }
}

/// Puts a value for which way was made.
fn put(
    table: Table,
    key: Vec<u8>,
    version: Version,
    bytes: &[u8],
    was_there: bool,
    changes: &mut Changes,
) {
    let content = if bytes.len() <= INLINE_MAX {
        Content::Inline(bytes)
    } else {
        let mut count = 0;
        for chunk in bytes.chunks(INLINE_MAX) {
            let chunk_key = table.chunk_key(&key, version, count);
            let value = seal(&chunk_key, &[chunk]);
            changes.insert(chunk_key, value);
            count += 1;
        }
        Content::Chunks(count)
    };
    let value = Head { version, content }.write(&key);
    changes.replace(key, Some(value), was_there);
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| unavailable(&format!("open {}", path.display()), &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Locked { location: directory.display().to_string() })
        }
        Err(TryLockError::Error(error)) => {
            Err(unavailable(&format!("lock {}", path.display()), &error))
        }
    }
}

/// Directories that this process has failed to write to or to sync: what the system's cache says of
/// them may never have reached the disk. (Also after the handle is gone: until the process ends.)
static FAILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn note_failed(directory: &Path) {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).insert(directory);
}

fn expect_not_failed(directory: &Path) -> Result<(), Error> {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    if !FAILED.lock().unwrap_or_else(PoisonError::into_inner).contains(&directory) {
        return Ok(());
    }
    let reason = format!(
        "a write or sync to {} has failed in this process, start it anew",
        directory.display()
    );
    Err(Error::Unavailable { reason })
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// sled recovers badly from a full disk (it may wait for its last writes without end), so this
/// store does not fill one. Others still may.
pub(super) fn expect_room(directory: &Path, bytes: u64) -> Result<(), Error> {
    let room = fs2::available_space(directory)
        .map_err(|error| unavailable("ask for the room that is left", &error))?;
    let needed = ROOM_MIN.saturating_add(bytes.saturating_mul(ROOM_FACTOR));
    if room < needed {
        let reason = format!("the disk is full: {room} bytes are left, {needed} may be needed");
        return Err(Error::Unavailable { reason });
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> Result<(), Error> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| unavailable(&format!("sync {}", directory.display()), &error))
}

fn refused(reason: &str) -> RecordOutcome {
    RecordOutcome::Refused { reason: reason.to_owned() }
}

pub(super) fn sled_error(doing: &str, error: ::sled::Error) -> Error {
    match error {
        ::sled::Error::Corruption { .. } => Error::Corrupt { what: format!("{doing}: {error}") },
        // It reads only where it has written: what ends early was cut.
        ::sled::Error::Io(ref io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            Error::Corrupt { what: format!("{doing}: {error}") }
        }
        error => unavailable(doing, &error),
    }
}
