//! Versions in 16 bytes: the epochs of one partition's entities are few, and named by number.

use std::collections::BTreeMap;

use crate::engine::id::{Epoch, Position, Seq, Version};

/// A [`Version`], readable by the [`Epochs`] that made it.
#[derive(Clone, Copy)]
pub(super) struct Packed {
    seq: Seq,
    /// Number of the epoch.
    epoch: u32,
    index: u32,
}

/// The epochs that the entities of one type in one partition are of. Each start of a grid adds one
/// at most, so their number stays far below what fits.
pub(super) struct Epochs {
    by_number: Vec<Epoch>,
    numbers: BTreeMap<Epoch, u32>,
}

impl Packed {
    /// The version of what was never written.
    pub(super) const NONE: Packed = Packed { seq: Seq(0), epoch: 0, index: 0 };

    pub(super) fn is_none(self) -> bool {
        self.epoch == 0
    }
}

impl Epochs {
    pub(super) fn new() -> Epochs {
        Epochs { by_number: vec![Epoch(0)], numbers: BTreeMap::from([(Epoch(0), 0)]) }
    }

    pub(super) fn pack(&mut self, version: Version) -> Packed {
        let Position { epoch, seq } = version.position;
        let epoch = match self.by_number.last() {
            // Nearly always: what is written is of the present epoch, which came last.
            Some(last) if *last == epoch => self.by_number.len() as u32 - 1,
            _ => self.number(epoch),
        };
        Packed { seq, epoch, index: version.index }
    }

    pub(super) fn unpack(&self, packed: Packed) -> Version {
        let epoch = self.by_number[packed.epoch as usize];
        Version { position: Position { epoch, seq: packed.seq }, index: packed.index }
    }

    fn number(&mut self, epoch: Epoch) -> u32 {
        *self.numbers.entry(epoch).or_insert_with(|| {
            self.by_number.push(epoch);
            u32::try_from(self.by_number.len() - 1).expect("fewer than 2^32 starts of a grid")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_comes_back_as_it_was() {
        let mut epochs = Epochs::new();
        let versions = [(7, 1, 0), (u64::MAX, 2, 3), (7, u64::MAX, u32::MAX), (0, 0, 0), (9, 9, 9)]
            .map(|(epoch, seq, index)| Version::new(epoch, seq, index));
        let packed = versions.map(|version| epochs.pack(version));
        assert_eq!(packed.map(|packed| epochs.unpack(packed)), versions);
        assert_eq!(epochs.unpack(Packed::NONE), Version::default());
        assert_eq!(size_of::<Packed>(), 16);
    }
}
