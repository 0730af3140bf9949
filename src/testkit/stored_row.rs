//! A row as a store holds it, to be looked at.

use std::fmt;

use bytes::Bytes;

use super::lines::to_hex;
use crate::engine::hash;
use crate::engine::id::{PartitionId, Version};
use crate::entity::{Entity, StoredState};
use crate::error::DecodeError;
use crate::key::{self, IntoKey, Key};
use crate::store::{Row, RowKey};
use crate::wire::record::{self, Change};

/// What names the row of an entity in a store: for rules of [`Faults`](super::Faults), as in
/// `faults.refuse_records(move |row| row.key == alice)`.
#[must_use]
pub fn row_key<E: Entity>(key: impl IntoKey<E::Key>) -> RowKey {
    let mut bytes = Vec::new();
    key.into_key().encode(&mut bytes);
    RowKey { entity_type: E::NAME.into(), key: bytes.into() }
}

/// A row as a store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRow {
    partition: PartitionId,
    row: Row,
}

impl StoredRow {
    pub(super) fn new(partition: PartitionId, row: Row) -> StoredRow {
        StoredRow { partition, row }
    }

    /// A row as a golden file has it.
    ///
    /// # Errors
    /// When the record is damaged, or of another entity.
    pub(super) fn read(
        partition: PartitionId,
        key: RowKey,
        record: Vec<u8>,
    ) -> Result<StoredRow, DecodeError> {
        let version = {
            let found = record::decode(&record)?;
            if (found.entity_type, found.key) != (&*key.entity_type, &*key.key) {
                return Err(DecodeError::new("the record is of another entity than its line says"));
            }
            found.version
        };
        let row = Row { key, version, record: Some(Bytes::from(record)) };
        Ok(StoredRow { partition, row })
    }

    /// Whether a grid of so many partitions would have it where it is.
    pub(super) fn is_placed(&self, partitions: u16) -> bool {
        let is_session = self.entity_type().starts_with("fastness.");
        match is_session {
            true => self.partition.0 < partitions, // each partition has its own
            false => self.partition == hash::partition_of(&self.row.key.key, partitions),
        }
    }

    pub(super) fn into_row(self) -> Row {
        self.row
    }

    /// The partition that it is in.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Wire name of its entity type.
    #[must_use]
    pub fn entity_type(&self) -> &str {
        &self.row.key.entity_type
    }

    /// Which entity it is of, as the store names it.
    #[must_use]
    pub fn row_key(&self) -> &RowKey {
        &self.row.key
    }

    /// Which change it holds.
    #[must_use]
    pub fn version(&self) -> Version {
        self.row.version
    }

    /// The whole record, as bytes.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        self.row.record.as_deref().unwrap_or_default()
    }

    /// The entity's key.
    ///
    /// # Errors
    /// When it is not of that type.
    pub fn key<E: Entity>(&self) -> Result<E::Key, DecodeError> {
        self.check::<E>()?;
        key::decode_whole(&self.row.key.key)
    }

    /// Version of the schema that the state was written with; `None` if the entity was removed.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn schema(&self) -> Result<Option<u32>, DecodeError> {
        match record::decode(self.record())?.change {
            Change::State(schema, _) => Ok(Some(schema)),
            Change::Removed | Change::Changes(_) => Ok(None),
        }
    }

    /// The state, migrated where it is of an older version; `None` if the entity was removed and
    /// the row is there for its answers only.
    ///
    /// # Errors
    /// When it is not of that type, or cannot be read by this build.
    pub fn state<E: Entity>(&self) -> Result<Option<E>, DecodeError> {
        self.check::<E>()?;
        match record::decode(self.record())?.change {
            Change::State(schema, bytes) => {
                StoredState::new(schema, bytes.0).into_entity().map(Some)
            }
            Change::Removed | Change::Changes(_) => Ok(None),
        }
    }

    fn check<E: Entity>(&self) -> Result<(), DecodeError> {
        if self.entity_type() == E::NAME {
            return Ok(());
        }
        let found = self.entity_type();
        Err(DecodeError::new(format!("the row is of a `{found}`, not of a `{}`", E::NAME)))
    }
}

impl fmt::Debug for StoredRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { key, version, .. } = &self.row;
        write!(f, "{} {key:?} {version} {}", self.partition, to_hex(self.record()))
    }
}
