//! Which entities of one type stay in the memory of one partition: W-TinyLFU (Einziger, Friedman,
//! Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on Storage 2017)
//! over slots, with a window that finds its size.
//!
//! Who comes in is in the *window* at first, and leaves it for *main* at its cold end; there it is
//! on *probation* until it is asked for again, then *protected*. When something must go, the
//! coldest of the window is compared with the coldest on probation, and the one that was asked for
//! less often lately goes; if neither, the newcomer. The `sketch` counts also keys that are away.
//!
//! There is no capacity: the population is what the caller lets it be, and all bounds follow it.
//! Each call costs the same however many entities there are, save that the sketch is halved or
//! doubled now and then, which is a little for each. An entity costs 21 to 25 bytes (17 for its
//! place in the `lists`, 4 to 8 in the sketch) and an eighth of 17 to spare; a policy that is not
//! empty costs 256 bytes at least. The arrays stay as large as they were at the largest population.

mod climb;
mod lists;
mod sketch;

#[cfg(test)]
mod property;
#[cfg(test)]
mod traces;

use self::climb::Climb;
use self::lists::{Lists, Place};
use self::sketch::Sketch;

/// The most slots that one call looks at in each list, and moves from one list to the next.
const SLOTS_MAX: usize = 64;

/// The frequency from which a newcomer that has lost may be let in all the same.
const WARM: u8 = 6;

/// Of so many such losers one is let in: else a few keys that share all their counters with many
/// others could be made immovable.
const WARM_LOSERS: u32 = 128;

/// Which entities stay in memory. Slots are small numbers, those of a slab, and used again. One
/// that is not in memory has no place here: to touch, resize or remove it does nothing.
#[derive(Debug)]
pub(crate) struct Eviction {
    lists: Lists,
    sketch: Sketch,
    climb: Climb,
    bytes: u64,
    warm_losers: u32,
}

impl Eviction {
    pub(crate) fn new() -> Eviction {
        Eviction {
            lists: Lists::new(),
            sketch: Sketch::default(),
            climb: Climb::new(),
            bytes: 0,
            warm_losers: 0,
        }
    }

    /// A slot has come into memory, because it was asked for: that counts as one access. `hash` is
    /// of its key, and the same whenever the key comes back, so that its frequency is remembered
    /// while it is away.
    pub(crate) fn insert(&mut self, slot: u32, hash: u64, bytes: u32) {
        self.remove(slot);
        let target = self.window_target();
        self.cool(Place::Window, target);
        let hash = fold(hash);
        self.lists.insert(slot, hash, bytes, Place::Window);
        self.bytes += u64::from(bytes);
        self.sketch.grow(self.len());
        self.count(hash, false);
    }

    /// It was asked for.
    pub(crate) fn touch(&mut self, slot: u32) {
        match self.lists.place(slot) {
            Place::Away => return,
            Place::Window => self.lists.warm(slot, Place::Window),
            Place::Probation | Place::Protected => self.lists.warm(slot, Place::Protected),
        }
        let target = self.protected_target();
        self.cool(Place::Protected, target);
        self.count(self.lists.hash(slot), true);
    }

    /// Its size has changed.
    pub(crate) fn resize(&mut self, slot: u32, bytes: u32) {
        if self.lists.place(slot) != Place::Away {
            self.bytes = self.bytes - u64::from(self.lists.bytes(slot)) + u64::from(bytes);
            self.lists.set_bytes(slot, bytes);
        }
    }

    /// It has left memory, whatever the reason.
    pub(crate) fn remove(&mut self, slot: u32) {
        if self.lists.place(slot) != Place::Away {
            self.bytes -= u64::from(self.lists.bytes(slot));
            self.lists.remove(slot);
        }
    }

    /// How many are in memory.
    pub(crate) fn len(&self) -> usize {
        Place::LISTED.map(|place| self.lists.len(place)).iter().sum()
    }

    /// The sum of their sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which to evict next; it stays until it is removed. `None` if there is none, or all that were
    /// looked at are pinned: at most 64 of each list, and the next call looks at others.
    pub(crate) fn victim(&mut self, mut is_pinned: impl FnMut(u32) -> bool) -> Option<u32> {
        self.climb.note_eviction();
        let has_newcomer = self.lists.len(Place::Window) > self.window_target();
        let newcomer = has_newcomer.then(|| self.coldest(Place::Window, &mut is_pinned)).flatten();
        let resident = self
            .coldest(Place::Probation, &mut is_pinned)
            .or_else(|| self.coldest(Place::Protected, &mut is_pinned));
        match (newcomer, resident) {
            (Some(newcomer), Some(resident)) if self.is_admitted(newcomer, resident) => {
                Some(resident)
            }
            (Some(newcomer), _) => Some(newcomer),
            (None, Some(resident)) => Some(resident),
            (None, None) if has_newcomer => None,
            (None, None) => self.coldest(Place::Window, &mut is_pinned),
        }
    }

    /// The coldest that is not pinned. Those that are go to the warm end, so that the next call
    /// does not meet them again.
    fn coldest(&mut self, place: Place, is_pinned: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        for _ in 0..self.lists.len(place).min(SLOTS_MAX) {
            let coldest = self.lists.coldest(place)?;
            if !is_pinned(coldest) {
                return Some(coldest);
            }
            self.lists.warm(coldest, place);
        }
        None
    }

    /// Whether the newcomer may stay and the resident must go.
    fn is_admitted(&mut self, newcomer: u32, resident: u32) -> bool {
        let newcomer = self.sketch.frequency(self.lists.hash(newcomer));
        let resident = self.sketch.frequency(self.lists.hash(resident));
        if newcomer > resident || newcomer < WARM {
            return newcomer > resident;
        }
        self.warm_losers = (self.warm_losers + 1) % WARM_LOSERS;
        self.warm_losers == 0
    }

    /// Moves what is over the target on to probation, coldest first.
    fn cool(&mut self, place: Place, target: usize) {
        let over = self.lists.len(place).saturating_sub(target);
        for _ in 0..over.min(SLOTS_MAX) {
            let Some(coldest) = self.lists.coldest(place) else { return };
            self.lists.warm(coldest, Place::Probation);
        }
    }

    fn count(&mut self, hash: u32, is_hit: bool) {
        self.sketch.count(hash, self.len());
        self.climb.count(is_hit, self.len());
    }

    fn window_target(&self) -> usize {
        (self.len() * self.climb.percent() / 100).max(1)
    }

    /// Four fifths of main.
    fn protected_target(&self) -> usize {
        (self.len() - self.lists.len(Place::Window)) * 4 / 5
    }
}

/// Half of a hash is enough. It is mixed first, because keys of one partition have hashes with the
/// same remainder.
fn fold(hash: u64) -> u32 {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
