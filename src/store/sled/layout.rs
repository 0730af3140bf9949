//! How the store lies in sled's tree.
//!
//! | key | value |
//! | --- | --- |
//! | `V` | number of this layout |
//! | `G` | the grid's row, MessagePack |
//! | `C` | number of the last commit, and of entries after it, this one included |
//! | `F` partition | epoch of the fence |
//! | `R` partition type key | a row |
//! | `D` partition type key | a dead letter |
//! | `r` or `d` partition type key version number | a chunk of a row or dead letter |
//!
//! Numbers are big-endian. A type name is written with each `00` as `00 FF` and `00 00` after it,
//! so that keys sort by type, then by key. Every value begins with a CRC-32 of its key and the
//! rest. A row or dead letter is its version, then `0` and its bytes, or, above [`INLINE_MAX`], `1`
//! and how many chunks of that size hold them.

use bytes::Bytes;

use super::super::{Error, RowKey};
use crate::engine::id::{PartitionId, Version};

/// Number of this layout.
pub(super) const LAYOUT: u32 = 1;

/// Bytes that are kept in one value. A leaf of sled's tree holds up to 20 values, and one of more
/// than 128 KiB goes into a file of its own (a blob), which sled never syncs and often leaks: so 20
/// of these must fit. (Keys of hundreds of bytes still make blobs; they are synced, too.)
pub(super) const INLINE_MAX: usize = 4 << 10;

pub(super) const LAYOUT_KEY: &[u8] = b"V";
pub(super) const GRID_KEY: &[u8] = b"G";
pub(super) const COMMIT_KEY: &[u8] = b"C";
const FENCE: u8 = b'F';

/// Two kinds of things are kept by entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Rows,
    DeadLetters,
}

impl Table {
    /// What every key of the table begins with.
    pub(super) fn tag(self) -> [u8; 1] {
        match self {
            Table::Rows => [b'R'],
            Table::DeadLetters => [b'D'],
        }
    }

    fn chunk_tag(self) -> u8 {
        match self {
            Table::Rows => b'r',
            Table::DeadLetters => b'd',
        }
    }

    /// What every key of a partition begins with.
    pub(super) fn prefix(self, partition: PartitionId) -> Vec<u8> {
        let mut prefix = self.tag().to_vec();
        prefix.extend_from_slice(&partition.0.to_be_bytes());
        prefix
    }

    pub(super) fn key(self, partition: PartitionId, row: &RowKey) -> Vec<u8> {
        let mut key = self.prefix(partition);
        for byte in row.entity_type.bytes() {
            key.push(byte);
            if byte == 0 {
                key.push(0xff);
            }
        }
        key.extend_from_slice(&[0, 0]);
        key.extend_from_slice(&row.key);
        key
    }

    pub(super) fn chunk_key(self, key: &[u8], version: Version, number: u32) -> Vec<u8> {
        let mut chunk = key.to_vec();
        chunk[0] = self.chunk_tag();
        chunk.extend_from_slice(&version_bytes(version));
        chunk.extend_from_slice(&number.to_be_bytes());
        chunk
    }
}

pub(super) fn fence_key(partition: PartitionId) -> [u8; 3] {
    let [high, low] = partition.0.to_be_bytes();
    [FENCE, high, low]
}

/// What every commit says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Commit {
    /// Its number, from 1.
    pub(super) number: u64,
    /// How many entries the tree has after it.
    pub(super) entries: u64,
}

impl Commit {
    pub(super) fn write(self) -> Vec<u8> {
        let (number, entries) = (self.number.to_be_bytes(), self.entries.to_be_bytes());
        seal(COMMIT_KEY, &[&number, &entries])
    }

    pub(super) fn read(value: &[u8]) -> Result<Commit, Error> {
        let commit = unseal(COMMIT_KEY, value)?.split_first_chunk().and_then(|(number, rest)| {
            let number = u64::from_be_bytes(*number);
            Some(Commit { number, entries: u64::from_be_bytes(rest.try_into().ok()?) })
        });
        commit.ok_or_else(|| corrupt(COMMIT_KEY, "a commit is two numbers"))
    }
}

/// The row key in a key of a table.
pub(super) fn row_key(key: &[u8]) -> Result<RowKey, Error> {
    let mut rest = key.get(3..).unwrap_or_default().iter().copied();
    let mut name = Vec::new();
    loop {
        match (rest.next(), name.len()) {
            (Some(0), _) => match rest.next() {
                Some(0) => break,
                Some(0xff) => name.push(0),
                _ => return Err(corrupt(key, "the type's name is not escaped")),
            },
            (Some(byte), _) => name.push(byte),
            (None, _) => return Err(corrupt(key, "the type's name does not end")),
        }
    }
    let entity_type =
        String::from_utf8(name).map_err(|_| corrupt(key, "the type's name is no UTF-8"))?;
    Ok(RowKey { entity_type: entity_type.into(), key: rest.collect() })
}

/// A value with its checksum in front.
pub(super) fn seal(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut value = vec![0; 4];
    parts.iter().for_each(|part| value.extend_from_slice(part));
    let crc = checksum(key, &value[4..]);
    value[..4].copy_from_slice(&crc.to_be_bytes());
    value
}

/// The value without its checksum, which is checked.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Error> {
    let (crc, rest) = value.split_first_chunk().ok_or_else(|| corrupt(key, "it is too short"))?;
    if u32::from_be_bytes(*crc) != checksum(key, rest) {
        return Err(corrupt(key, "its checksum is wrong"));
    }
    Ok(rest)
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

/// The head of a row or dead letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) version: Version,
    pub(super) content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Inline(&'a [u8]),
    Chunks(u32),
}

const INLINE: u8 = 0;
const CHUNKS: u8 = 1;
const VERSION_BYTES: usize = 20;

impl<'a> Head<'a> {
    pub(super) fn read(key: &[u8], value: &'a [u8]) -> Result<Head<'a>, Error> {
        let rest = unseal(key, value)?;
        let (version, rest) = rest
            .split_first_chunk::<VERSION_BYTES>()
            .ok_or_else(|| corrupt(key, "it has no version"))?;
        let content = match rest {
            [INLINE, bytes @ ..] => Content::Inline(bytes),
            [CHUNKS, a, b, c, d] => Content::Chunks(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return Err(corrupt(key, "its content is of an unknown form")),
        };
        Ok(Head { version: read_version(version), content })
    }

    pub(super) fn write(&self, key: &[u8]) -> Vec<u8> {
        let version = version_bytes(self.version);
        match self.content {
            Content::Inline(bytes) => seal(key, &[&version, &[INLINE], bytes]),
            Content::Chunks(count) => seal(key, &[&version, &[CHUNKS], &count.to_be_bytes()]),
        }
    }
}

fn version_bytes(version: Version) -> [u8; VERSION_BYTES] {
    let mut bytes = [0; VERSION_BYTES];
    bytes[..8].copy_from_slice(&version.position.epoch.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&version.position.seq.0.to_be_bytes());
    bytes[16..].copy_from_slice(&version.index.to_be_bytes());
    bytes
}

fn read_version(bytes: &[u8; VERSION_BYTES]) -> Version {
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    Version::new(number(0..8), number(8..16), number(16..20) as u32)
}

/// What a dead letter says beside its row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) attempts: u32,
    pub(super) parked_at_micros: u64,
    pub(super) reason: String,
    pub(super) record: Option<Bytes>,
}

impl Letter {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.attempts.to_be_bytes());
        bytes.extend_from_slice(&self.parked_at_micros.to_be_bytes());
        bytes.extend_from_slice(&(self.reason.len() as u32).to_be_bytes());
        bytes.extend_from_slice(self.reason.as_bytes());
        if let Some(record) = &self.record {
            bytes.push(1);
            bytes.extend_from_slice(record);
        } else {
            bytes.push(0);
        }
        bytes
    }

    pub(super) fn read(key: &[u8], bytes: &[u8]) -> Result<Letter, Error> {
        let letter = || {
            let (attempts, rest) = bytes.split_first_chunk()?;
            let (parked_at, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (reason, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            let record = match rest {
                [0] => None,
                [1, record @ ..] => Some(Bytes::copy_from_slice(record)),
                _ => return None,
            };
            Some(Letter {
                attempts: u32::from_be_bytes(*attempts),
                parked_at_micros: u64::from_be_bytes(*parked_at),
                reason: String::from_utf8(reason.to_vec()).ok()?,
                record,
            })
        };
        letter().ok_or_else(|| corrupt(key, "the dead letter is not whole"))
    }
}

pub(super) fn corrupt(key: &[u8], why: &str) -> Error {
    Error::Corrupt { what: format!("value of key {}: {why}", key.escape_ascii()) }
}
