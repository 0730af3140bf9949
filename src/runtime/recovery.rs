//! Reads one partition back from the store.
//!
//! The rule is the grid's one recovery rule for its smallest case, one node and its own store:
//! fence first, with an epoch above everything found, so that no version ever repeats; then take,
//! of each entity, the newest of row and dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::execution::{SessionLimits, Sessions};
use crate::engine::id::{EntityId, Epoch, PartitionId};
use crate::engine::instant::{Instant, Timestamp};
use crate::error::DecodeError;
use crate::store::{DeadLetter, Row, RowKey, Store};
use crate::wire::record;

use super::error::StartError;
use super::inbox_rows::{INBOX_TYPE, INBOXES};
use super::post::{self, Post};
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
pub(crate) fn empty(
    registry: &Registry,
    partitions: u16,
    now: Instant,
    wall: Timestamp,
) -> Recovered {
    Recovered {
        entities: registry.make_all(partitions),
        session_rows: SessionRows::default(),
        sessions: Sessions::new(session_limits(registry)),
        parked: BTreeMap::new(),
        removed: BTreeSet::new(),
        post: Post::new(post::config(&registry.limits), partitions, registry.kinds.len()),
        time: PartitionTime::new(now, wall, Timestamp::default()),
    }
}

/// Reads a partition, one of so many, whose fence is at `epoch`. Returns what was found, and the
/// epoch to go on with: a higher one where a row (of an external writer) was not below `epoch`.
pub(crate) async fn recover(
    store: &dyn Store,
    (partition, partitions): (PartitionId, u16),
    epoch: Epoch,
    registry: &Registry,
    (now, wall): (Instant, Timestamp),
) -> Result<(Recovered, Epoch), StartError> {
    let mut restoring = Restoring {
        partition,
        registry,
        wall,
        newest: Epoch::default(),
        time: Timestamp::default(),
        recovered: empty(registry, partitions, now, wall),
        unknown: BTreeMap::new(),
        owing: BTreeMap::new(),
        sending: BTreeSet::new(),
    };
    // What is only a part of the whole, once entities begin to leave memory again: which may leave
    // depends on the sessions that are open, and no parked write may.
    for letter in store.dead_letters(partition).await? {
        restoring.restore_letter(&letter)?;
    }
    let sessions = RowKey { entity_type: SESSION_TYPE.into(), key: Bytes::new() };
    let mut scan = Scan { store, partition, after: Some(sessions), is_over: false };
    while let Some(rows) = scan.next().await? {
        for row in &rows {
            if &*row.key.entity_type != SESSION_TYPE {
                scan.is_over = true;
                break;
            }
            restoring.restore(row)?;
        }
    }
    let mut scan = Scan { store, partition, after: None, is_over: false };
    while let Some(rows) = scan.next().await? {
        for row in &rows {
            restoring.restore(row)?;
        }
        restoring.shed();
    }
    if let Some((name, rows)) = restoring.unknown.pop_first() {
        return Err(StartError::UnknownEntityType { name, rows });
    }
    if let Some((name, rows)) = restoring.owing.pop_first() {
        return Err(StartError::RetiredTooEarly { name, rows });
    }
    let Restoring { mut recovered, newest, time, sending, .. } = restoring;
    for id in sending {
        let Recovered { entities, post, .. } = &mut recovered;
        let sent = entities[usize::from(id.kind)].sent(id.slot);
        sent.iter().for_each(|sent| post.restore(id, sent));
    }
    recovered.time = PartitionTime::new(now, wall, time);
    recovered.begin(now);
    if newest < epoch {
        return Ok((recovered, epoch));
    }
    store.raise_fences(&[(partition, newest.next())]).await?;
    Ok((recovered, newest.next()))
}

/// Reads a partition's rows, so many at once.
struct Scan<'a> {
    store: &'a dyn Store,
    partition: PartitionId,
    after: Option<RowKey>,
    is_over: bool,
}

impl Scan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StartError> {
        if self.is_over {
            return Ok(None);
        }
        let rows = self.store.scan(self.partition, self.after.as_ref(), ROWS_AT_ONCE).await?;
        self.is_over = rows.len() < ROWS_AT_ONCE;
        self.after = rows.last().map(|last| last.key.clone());
        Ok(Some(rows))
    }
}

impl Recovered {
    /// All is read: the partition is about to serve.
    fn begin(&mut self, now: Instant) {
        let Recovered { entities, session_rows, parked, post, time, .. } = self;
        for entities in &mut *entities {
            entities.started(time.at(now));
        }
        // A letter may be older than the row, if somebody else has written that.
        parked.retain(|id, letter| {
            let newest = match id.kind {
                SESSIONS => session_rows.version(id.slot),
                INBOXES => post.rows.version(id.slot),
                kind => entities[usize::from(kind)].version(id.slot),
            };
            newest <= letter.row.version
        });
    }
}

struct Restoring<'a> {
    partition: PartitionId,
    registry: &'a Registry,
    /// When everything that is read counts as asked for, until all is read.
    wall: Timestamp,
    newest: Epoch,
    time: Timestamp,
    recovered: Recovered,
    unknown: BTreeMap<String, u64>,
    /// Retired types with rows whose messages have not arrived.
    owing: BTreeMap<String, u64>,
    /// Entities that have sent messages; these stay.
    sending: BTreeSet<EntityId>,
}

impl Restoring<'_> {
    /// Takes in a row, or the row of a dead letter, which may be a deletion.
    fn restore(&mut self, row: &Row) -> Result<Option<EntityId>, StartError> {
        let corrupt = |error| StartError::CorruptRow {
            partition: self.partition,
            row: format!("{:?}", row.key),
            reason: format!("{error}"),
        };
        let record = row.record.as_deref().map(|bytes| read_record(row, bytes));
        let record = record.transpose().map_err(corrupt)?;
        self.newest = self.newest.max(row.version.position.epoch);
        self.time = self.time.max(record.as_ref().map_or(Timestamp::default(), |r| r.time));
        let name = &*row.key.entity_type;
        if name == SESSION_TYPE {
            let Recovered { session_rows, sessions, .. } = &mut self.recovered;
            let id = session_rows.restore(row, record.as_ref(), sessions).map_err(corrupt)?;
            return Ok(Some(id));
        }
        if name == INBOX_TYPE {
            let (rows, inbox) = self.recovered.post.restoring();
            return rows.restore(row, record.as_ref(), inbox).map(Some).map_err(corrupt);
        }
        let Some(kind) = self.registry.index_named(name) else {
            if !self.registry.retired.contains(name) {
                *self.unknown.entry(name.to_owned()).or_default() += 1;
            } else if record.is_some_and(|record| !record.mail.sent().is_empty()) {
                *self.owing.entry(name.to_owned()).or_default() += 1;
            }
            return Ok(None);
        };
        let is_removed = record.as_ref().is_none_or(|r| r.change == record::Change::Removed);
        let id = self.recovered.entities[kind].restore(row, record, self.wall).map_err(corrupt)?;
        if !self.recovered.entities[kind].sent(id.slot).is_empty() {
            self.sending.insert(id);
        }
        let next = self.recovered.entities[kind].next_reminder(id.slot);
        if next.is_some() || self.recovered.post.is_used() {
            // Where there is none: an older row may have said otherwise.
            self.recovered.post.alarms_mut().set(&(kind as u16, Arc::from(&*row.key.key)), next);
        }
        if is_removed {
            self.recovered.removed.insert(id);
        } else {
            self.recovered.removed.remove(&id);
        }
        Ok(Some(id))
    }

    /// Lets go what memory has no room for.
    fn shed(&mut self) {
        let Recovered { entities, sessions, parked, removed, .. } = &mut self.recovered;
        for entities in entities {
            let mut is_held = |id: EntityId| parked.contains_key(&id) || removed.contains(&id);
            while let Some(leaving) = entities.next_to_leave(sessions, &mut is_held) {
                entities.evict(leaving);
            }
        }
    }

    fn restore_letter(&mut self, letter: &DeadLetter) -> Result<(), StartError> {
        if let Some(id) = self.restore(&letter.row)? {
            self.recovered.parked.insert(id, without_record(letter));
        }
        Ok(())
    }
}

/// Reads a row's record, which must be what the row says it is.
pub(super) fn read_record<'a>(
    row: &Row,
    bytes: &'a [u8],
) -> Result<record::Record<'a>, DecodeError> {
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
