//! A partition's sessions as rows: they are stored beside the entities, through the same queue.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use slab::Slab;

use crate::codec;
use crate::engine::execution::{Answers, Session, Sessions};
use crate::engine::id::{EntityId, Epoch, Position, Seq, SessionId, Version};
use crate::engine::instant::Timestamp;
use crate::error::DecodeError;
use crate::store::{Row, RowKey};
use crate::wire::mail::Mail;
use crate::wire::record::{self, Bin, Change, Parts};

use super::execution::Execution;

/// Stands for sessions where an entity's type is named by number.
pub(crate) const SESSIONS: u16 = u16::MAX;

/// Wire name of session rows. The macros refuse entity types whose names begin like this.
pub(crate) const SESSION_TYPE: &str = "fastness.session";

const SCHEMA: u32 = 1;

#[derive(Default)]
pub(crate) struct SessionRows {
    slots: Slab<Slot>,
    by_session: BTreeMap<SessionId, u32>,
    orphans: Vec<SessionId>,
}

struct Slot {
    session: SessionId,
    version: Version,
    time: Timestamp,
    /// The floor in its newest row.
    written_floor: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    opening: (u64, u64),
    floor: u64,
    durable: bool,
    used_at: Timestamp,
}

impl SessionRows {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Notes in the batch that a session was opened, closed or dropped.
    pub(crate) fn note(&mut self, session: SessionId, delay: Duration, execution: &mut Execution) {
        let slot = self.insert(session);
        let known = &mut self.slots[slot as usize];
        let id = EntityId { kind: SESSIONS, slot };
        known.version = execution.note(id, known.version, 64, delay);
        known.time = execution.time;
    }

    /// Notes a session's row in the batch once more.
    pub(crate) fn write_again(&mut self, slot: u32, execution: &mut Execution) -> Version {
        let session = self.slots[slot as usize].session;
        self.note(session, Duration::ZERO, execution);
        self.slots[slot as usize].version
    }

    pub(crate) fn seen(&self, session: SessionId) -> (EntityId, Version) {
        match self.by_session.get(&session) {
            Some(slot) => {
                let id = EntityId { kind: SESSIONS, slot: *slot };
                (id, self.slots[*slot as usize].version)
            }
            None => (EntityId { kind: SESSIONS, slot: u32::MAX }, Version::default()),
        }
    }

    pub(crate) fn version(&self, slot: u32) -> Version {
        self.slots[slot as usize].version
    }

    /// The session's newest change as a row; a closed session is a deletion.
    pub(crate) fn row(&mut self, slot: u32, sessions: &Sessions) -> Row {
        let slot = &mut self.slots[slot as usize];
        let key = Bytes::copy_from_slice(&slot.session.0.to_be_bytes());
        let record = sessions.session(slot.session).map(|session| {
            let state = State {
                opening: (session.opening.epoch.0, session.opening.seq.0),
                floor: session.floor,
                durable: session.durable,
                used_at: session.used_at,
            };
            slot.written_floor = session.floor;
            let mut bytes = Vec::new();
            codec::encode_into(&state, &mut bytes).expect("numbers have an encoding");
            let change = Change::State(SCHEMA, Bin(&bytes));
            let encoded = record::encode(Parts {
                entity_type: SESSION_TYPE,
                key: &key,
                version: slot.version,
                time: slot.time,
                change: &change,
                answers: &Answers::new(),
                mail: &Mail::default(),
                expires_at: None,
            });
            encoded.into()
        });
        let key = RowKey { entity_type: SESSION_TYPE.into(), key };
        Row { key, version: slot.version, record }
    }

    /// Takes in what the store holds of a session, unless something newer is there. No record is
    /// its end. A session that is not durable was of a process that is gone: nobody has its id any
    /// more, and it is to be closed.
    pub(crate) fn restore(
        &mut self,
        row: &Row,
        record: Option<&record::Record<'_>>,
        sessions: &mut Sessions,
    ) -> Result<EntityId, DecodeError> {
        let id = <[u8; 16]>::try_from(&*row.key.key)
            .map_err(|_| DecodeError::new("the key of a session row is not 16 bytes"))?;
        let session = SessionId(u128::from_be_bytes(id));
        let slot = self.insert(session);
        let id = EntityId { kind: SESSIONS, slot };
        let known = &mut self.slots[slot as usize];
        if row.version <= known.version {
            return Ok(id);
        }
        known.version = row.version;
        let Some(record) = record else {
            sessions.close(session);
            return Ok(id);
        };
        known.time = record.time;
        let Change::State(SCHEMA, bytes) = record.change else {
            return Err(DecodeError::new("a session row of a kind that is not known here"));
        };
        let state: State = codec::decode(bytes.0)?;
        let opening = Position { epoch: Epoch(state.opening.0), seq: Seq(state.opening.1) };
        let State { floor, durable, used_at, .. } = state;
        let stored_floor = floor;
        if durable {
            sessions.restore(session, Session { opening, floor, stored_floor, durable, used_at });
        } else {
            self.orphans.push(session);
        }
        Ok(id)
    }

    /// Sessions that ended with the process that opened them, and whose rows are still there.
    pub(crate) fn take_orphans(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.orphans)
    }

    pub(crate) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// The store has a session's newest row: its floor counts, and a closed one is forgotten.
    pub(crate) fn stored(&mut self, slot: u32, version: Version, sessions: &mut Sessions) {
        let Some(known) = self.slots.get(slot as usize) else { return };
        if known.version > version {
            return;
        }
        sessions.floor_stored(known.session, known.written_floor);
        if sessions.session(known.session).is_none() {
            self.by_session.remove(&known.session);
            self.slots.remove(slot as usize);
        }
    }

    pub(crate) fn describe(&self, slot: u32) -> String {
        self.slots.get(slot as usize).map_or_else(String::new, |slot| format!("{:?}", slot.session))
    }

    fn insert(&mut self, session: SessionId) -> u32 {
        *self.by_session.entry(session).or_insert_with(|| {
            let (version, time) = (Version::default(), Timestamp::default());
            let slot = self.slots.insert(Slot { session, version, time, written_floor: 0 });
            u32::try_from(slot).expect("sessions are bounded far below 2^32")
        })
    }
}
