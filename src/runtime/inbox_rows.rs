//! Which messages of each sending partition were applied, as rows beside the entities'.
//!
//! Such a row lags: it says what is durable in the entities' own rows, which may forget it then.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;

use crate::codec;
use crate::engine::execution::Answers;
use crate::engine::id::{EntityId, PartitionId, Version};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::{Inbox, Number};
use crate::error::DecodeError;
use crate::store::{Row, RowKey};
use crate::wire::mail::{Mail, NumberOut};
use crate::wire::record::{self, Bin, Change, Parts};

use super::execution::Batch;

/// Stands for these rows where an entity's type is named by number.
pub(crate) const INBOXES: u16 = u16::MAX - 1;

/// Wire name of these rows. The macros refuse entity types whose names begin like this.
pub(crate) const INBOX_TYPE: &str = "fastness.inbox";

const SCHEMA: u32 = 1;

#[derive(Default)]
pub(crate) struct InboxRows {
    slots: Slab<Slot>,
    by_sender: BTreeMap<PartitionId, u32>,
}

struct Slot {
    from: PartitionId,
    version: Version,
    time: Timestamp,
    /// The number in its newest row.
    written: Number,
}

impl InboxRows {
    /// Notes in the batch that the row is to be written.
    pub(crate) fn note(
        &mut self,
        from: PartitionId,
        delay: Duration,
        batch: &mut Batch,
        at: (crate::engine::id::Position, Timestamp),
    ) -> Version {
        let slot = self.insert(from);
        let known = &mut self.slots[slot as usize];
        known.version =
            batch.note(EntityId { kind: INBOXES, slot }, known.version, 64, (delay, at.0));
        known.time = at.1;
        known.version
    }

    pub(crate) fn sender(&self, slot: u32) -> PartitionId {
        self.slots[slot as usize].from
    }

    pub(crate) fn version(&self, slot: u32) -> Version {
        self.slots[slot as usize].version
    }

    pub(crate) fn row<P>(&mut self, slot: u32, inbox: &Inbox<P>) -> Row {
        let slot = &mut self.slots[slot as usize];
        slot.written = inbox.to_store(slot.from);
        let key = Bytes::copy_from_slice(&slot.from.0.to_be_bytes());
        let mut bytes = Vec::new();
        let number = NumberOut::from(slot.written);
        codec::encode_into(&number, &mut bytes).expect("numbers have an encoding");
        let record = record::encode(Parts {
            entity_type: INBOX_TYPE,
            key: &key,
            version: slot.version,
            time: slot.time,
            change: &Change::State(SCHEMA, Bin(&bytes)),
            answers: &Answers::new(),
            mail: &Mail::default(),
            expires_at: None,
        });
        let key = RowKey { entity_type: INBOX_TYPE.into(), key };
        Row { key, version: slot.version, record: Some(record.into()) }
    }

    /// Takes in what the store holds of a sender, unless something newer is there.
    pub(crate) fn restore<P>(
        &mut self,
        row: &Row,
        record: Option<&record::Record<'_>>,
        inbox: &mut Inbox<P>,
    ) -> Result<EntityId, DecodeError> {
        let from = <[u8; 2]>::try_from(&*row.key.key)
            .map_err(|_| DecodeError::new("the key of an inbox row is not 2 bytes"))?;
        let from = PartitionId(u16::from_be_bytes(from));
        let slot = self.insert(from);
        let id = EntityId { kind: INBOXES, slot };
        let known = &mut self.slots[slot as usize];
        if row.version <= known.version {
            return Ok(id);
        }
        known.version = row.version;
        let Some(record) = record else { return Ok(id) };
        known.time = record.time;
        let Change::State(SCHEMA, bytes) = record.change else {
            return Err(DecodeError::new("an inbox row of a form that is not known here"));
        };
        known.written = codec::decode::<NumberOut>(bytes.0)?.into();
        inbox.restore(from, known.written);
        Ok(id)
    }

    /// The store has a sender's newest row.
    pub(crate) fn stored<P>(&mut self, slot: u32, version: Version, inbox: &mut Inbox<P>) {
        if let Some(known) = self.slots.get(slot as usize).filter(|it| it.version <= version) {
            inbox.stored(known.from, known.written);
        }
    }

    pub(crate) fn describe(&self, slot: u32) -> String {
        self.slots.get(slot as usize).map_or_else(String::new, |slot| slot.from.to_string())
    }

    fn insert(&mut self, from: PartitionId) -> u32 {
        *self.by_sender.entry(from).or_insert_with(|| {
            let (version, time) = (Version::default(), Timestamp::default());
            let slot = self.slots.insert(Slot { from, version, time, written: Number::default() });
            u32::try_from(slot).expect("there are fewer partitions than 2^16")
        })
    }
}
