//! Things by a level, the highest first; among equals, one that a seed picks.
//!
//! That the pick is spread matters: were equals taken in turn, the same few nodes would always hold
//! copies together, and the loss of one would burden these alone.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    by_level: BTreeMap<i64, Vec<usize>>,
    /// By thing: its level, and its place there.
    places: BTreeMap<usize, (i64, usize)>,
}

impl Levels {
    pub(super) fn set(&mut self, thing: usize, level: i64) {
        if self.places.get(&thing).is_some_and(|(known, _)| *known == level) {
            return;
        }
        self.remove(thing);
        let things = self.by_level.entry(level).or_default();
        self.places.insert(thing, (level, things.len()));
        things.push(thing);
    }

    fn remove(&mut self, thing: usize) {
        let Some((level, at)) = self.places.remove(&thing) else { return };
        let Some(things) = self.by_level.get_mut(&level) else { return };
        things.swap_remove(at);
        if let Some(moved) = things.get(at) {
            self.places.insert(*moved, (level, at));
        }
        if things.is_empty() {
            self.by_level.remove(&level);
        }
    }

    pub(super) fn top(&self) -> Option<i64> {
        self.by_level.keys().next_back().copied()
    }

    /// One of the highest of those that may be taken.
    pub(super) fn pick(&self, seed: u64, may_take: impl Fn(usize) -> bool) -> Option<usize> {
        self.by_level.values().rev().find_map(|things| {
            let from = (seed % things.len() as u64) as usize;
            let (after, before) = things.split_at(from);
            before.iter().chain(after).copied().find(|thing| may_take(*thing))
        })
    }
}

/// A number that looks like chance, the same for the same two.
pub(super) fn mixed(one: usize, other: usize) -> u64 {
    let mut mixed = (one as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ other as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_that_may_be_taken_is_picked() {
        let mut levels = Levels::default();
        for (thing, level) in [(0, 1), (1, 3), (2, 3), (3, 2), (1, 2)] {
            levels.set(thing, level);
        }
        assert_eq!((levels.top(), levels.pick(7, |_| true)), (Some(3), Some(2)));
        let picked: Vec<usize> =
            (0..4).filter_map(|seed| levels.pick(seed, |thing| thing != 2)).collect();
        assert!(picked.iter().all(|thing| [1, 3].contains(thing)) && picked.contains(&1));
        assert!(picked.contains(&3));
        assert_eq!(levels.pick(0, |_| false), None);
    }
}
