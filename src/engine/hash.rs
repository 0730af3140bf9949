//! Which partition a key belongs to. Frozen: the answer decides where rows are found for ever.

use xxhash_rust::xxh3::xxh3_64;

use super::id::PartitionId;

/// Names the rule below in the grid's row.
pub(crate) const NAME: &str = "xxh3-64 mod";

/// Partition of an entity whose encoded key is `key`, in a grid of `partitions` partitions:
/// xxh3-64 with seed 0 of the key's bytes, modulo the count. The entity type takes no part, so
/// that entities of different types and the same key share a partition.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u16) -> PartitionId {
    let slot = xxh3_64(key) % u64::from(partitions);
    PartitionId(u16::try_from(slot).expect("the remainder is less than a u16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_hashes_never_change() {
        // Reference values of the xxHash project's own test program (`xxhsum -H3`).
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_64(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(xxh3_64(b"abc"), 0x78af_5f94_892f_3950);
    }

    #[test]
    fn golden_partitions_never_change() {
        assert_eq!(partition_of(b"", 256), PartitionId(0xc2));
        assert_eq!(partition_of(b"a", 256), PartitionId(0x1f));
        assert_eq!(partition_of(b"abc", 256), PartitionId(0x50));
        assert_eq!(partition_of(b"abc", 1), PartitionId(0));
        assert_eq!(partition_of(b"abc", 1000), PartitionId(104));
    }
}
