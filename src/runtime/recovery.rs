//! Reads one partition back from the store.
//!
//! The rule is the grid's one recovery rule for its smallest case, one node and its own store:
//! fence first, with an epoch above everything found, so that no version ever repeats; then take,
//! of each entity, the newest of row and dead letter.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::execution::{SessionLimits, Sessions};
use crate::engine::id::{EntityId, Epoch, PartitionId};
use crate::engine::instant::{Instant, Timestamp};
use crate::error::DecodeError;
use crate::store::{DeadLetter, Row, RowKey, Store};
use crate::wire::record;

use super::error::StartError;
use super::registry::Registry;
use super::session_rows::{SESSION_TYPE, SESSIONS, SessionRows};
use super::unit::{PartitionTime, Recovered, without_record};

/// Rows read at once.
const ROWS_AT_ONCE: usize = 1000;

/// Raises every partition's fence above what is found, and returns the new epochs by partition.
pub(crate) async fn raise_fences(
    store: &dyn Store,
    partitions: u16,
) -> Result<Vec<Epoch>, StartError> {
    let first = Epoch(0).next();
    let mut fences: Vec<_> = (0..partitions).map(|p| (PartitionId(p), first)).collect();
    let found = store.raise_fences(&fences).await?;
    for (fence, found) in fences.iter_mut().zip(&found) {
        fence.1 = found.next();
    }
    if fences.iter().any(|(_, epoch)| *epoch != first) {
        store.raise_fences(&fences).await?;
    }
    Ok(fences.into_iter().map(|(_, epoch)| epoch).collect())
}

/// A partition without a store starts empty.
pub(crate) fn empty(registry: &Registry, now: Instant, wall: Timestamp) -> Recovered {
    Recovered {
        entities: registry.make_all(),
        session_rows: SessionRows::default(),
        sessions: Sessions::new(session_limits(registry)),
        parked: BTreeMap::new(),
        removed: BTreeSet::new(),
        time: PartitionTime::new(now, wall, Timestamp::default()),
    }
}

/// Reads a partition whose fence is at `epoch`. Returns what was found, and the epoch to go on
/// with: a higher one where a row (of an external writer) was not below `epoch`.
pub(crate) async fn recover(
    store: &dyn Store,
    partition: PartitionId,
    epoch: Epoch,
    registry: &Registry,
    (now, wall): (Instant, Timestamp),
) -> Result<(Recovered, Epoch), StartError> {
    let mut restoring = Restoring {
        partition,
        registry,
        newest: Epoch::default(),
        time: Timestamp::default(),
        recovered: empty(registry, now, wall),
        unknown: BTreeMap::new(),
    };
    let mut after: Option<RowKey> = None;
    loop {
        let rows = store.scan(partition, after.as_ref(), ROWS_AT_ONCE).await?;
        for row in &rows {
            restoring.restore(row)?;
        }
        match rows.into_iter().nth(ROWS_AT_ONCE - 1) {
            Some(last) => after = Some(last.key),
            None => break,
        }
    }
    for letter in store.dead_letters(partition).await? {
        restoring.restore_letter(&letter)?;
    }
    if let Some((name, rows)) = restoring.unknown.pop_first() {
        return Err(StartError::UnknownEntityType { name, rows });
    }
    let Restoring { mut recovered, newest, time, .. } = restoring;
    recovered.time = PartitionTime::new(now, wall, time);
    if newest < epoch {
        return Ok((recovered, epoch));
    }
    store.raise_fences(&[(partition, newest.next())]).await?;
    Ok((recovered, newest.next()))
}

struct Restoring<'a> {
    partition: PartitionId,
    registry: &'a Registry,
    newest: Epoch,
    time: Timestamp,
    recovered: Recovered,
    unknown: BTreeMap<String, u64>,
}

impl Restoring<'_> {
    /// Takes in a row, or the row of a dead letter, which may be a deletion.
    fn restore(&mut self, row: &Row) -> Result<Option<EntityId>, StartError> {
        let corrupt = |error| StartError::CorruptRow {
            partition: self.partition,
            row: format!("{:?}", row.key),
            reason: format!("{error}"),
        };
        let record = row.record.as_deref().map(|bytes| decode(row, bytes));
        let record = record.transpose().map_err(corrupt)?;
        self.newest = self.newest.max(row.version.position.epoch);
        self.time = self.time.max(record.as_ref().map_or(Timestamp::default(), |r| r.time));
        let name = &*row.key.entity_type;
        if name == SESSION_TYPE {
            let Recovered { session_rows, sessions, .. } = &mut self.recovered;
            let id = session_rows.restore(row, record.as_ref(), sessions).map_err(corrupt)?;
            return Ok(Some(id));
        }
        let Some(kind) = self.registry.index_named(name) else {
            if !self.registry.retired.contains(name) {
                *self.unknown.entry(name.to_owned()).or_default() += 1;
            }
            return Ok(None);
        };
        let is_removed = record.as_ref().is_none_or(|r| r.change == record::Change::Removed);
        let id = self.recovered.entities[kind].restore(row, record).map_err(corrupt)?;
        if is_removed {
            self.recovered.removed.insert(id);
        } else {
            self.recovered.removed.remove(&id);
        }
        Ok(Some(id))
    }

    fn restore_letter(&mut self, letter: &DeadLetter) -> Result<(), StartError> {
        if let Some(id) = self.restore(&letter.row)? {
            self.recovered.parked.insert(id, without_record(letter));
        }
        Ok(())
    }
}

/// Reads a row's record, which must be what the row says it is.
fn decode<'a>(row: &Row, bytes: &'a [u8]) -> Result<record::Record<'a>, DecodeError> {
    let record = record::decode(bytes)?;
    let found = (record.entity_type, record.key, record.version);
    if found == (&*row.key.entity_type, &*row.key.key, row.version) {
        return Ok(record);
    }
    Err(DecodeError::new("the record is of another entity or version than its row"))
}

fn session_limits(registry: &Registry) -> SessionLimits {
    let limits = &registry.limits;
    SessionLimits {
        idle_after: limits.session_idle,
        window_max: limits.session_window_max,
        sessions_max: limits.sessions_per_partition_max,
    }
}

const _: () = assert!(SESSIONS == u16::MAX, "session rows are told apart by their kind");
