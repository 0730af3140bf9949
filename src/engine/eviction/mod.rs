//! Which entities stay in memory: W-TinyLFU over slots.
//!
//! What comes in stands in a small *window* in order of use, so that a burst of asks for something
//! new is served from memory. What the window pushes out must be asked for more often than what it
//! would displace: a sketch remembers, roughly, how often each key was asked for of late, also
//! while it was away. What stays is *on probation* until it is asked for again, and then
//! *protected*. (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission
//! Policy", ACM Transactions on Storage 13(4), 2017.)
//!
//! There is no capacity: the caller asks for a victim when it has too much, of whatever it counts.
//! A slot costs 24 bytes here, and its share of the sketch at most 16.

mod lists;
mod sketch;

#[cfg(test)]
mod tests;

use lists::{Lists, Segment};
use sketch::Sketch;

/// One in so many entities stands in the window.
const WINDOW_SHARE: usize = 100;

/// So many in a hundred of the others are protected.
const PROTECTED_PERCENT: usize = 80;

/// Slots that a call looks at in each list: nobody waits for a walk through a partition.
const TRIES: usize = 64;

/// A key that is asked for at least so often, and loses all the same, is let in now and then: if
/// somebody has found keys that collide in the sketch, the victim would stay for ever.
const WARM: u8 = 6;
const LET_IN_EVERY: u32 = 128;

/// The order in which the entities of one type in one partition leave memory.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    lists: Lists,
    sketch: Sketch,
    /// What the window pushed out last, and has still to prove its worth.
    candidate: Option<u32>,
    /// Warm candidates that lost.
    losses: u32,
}

impl Eviction {
    #[must_use]
    pub(crate) fn new() -> Eviction {
        Eviction::default()
    }

    /// Entities in memory.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Their bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.lists.bytes()
    }

    /// A slot comes into memory, because it was asked for. `hash` is its key's, always the same:
    /// so it is remembered while it is away.
    pub(crate) fn insert(&mut self, slot: u32, hash: u64, bytes: u32) {
        self.lists.insert(slot, hash, bytes);
        self.sketch.grow(self.lists.len());
        self.sketch.count(hash);
        while self.lists.len_of(Segment::Window) > self.window_target()
            && let Some(oldest) = self.lists.last(Segment::Window)
        {
            self.lists.move_to_front(oldest, Segment::Probation);
            self.candidate = Some(oldest);
        }
    }

    /// It is asked for.
    pub(crate) fn touch(&mut self, slot: u32) {
        let Some((segment, hash)) = self.lists.find(slot) else { return };
        self.sketch.count(hash);
        if segment == Segment::Window {
            self.lists.move_to_front(slot, Segment::Window);
            return;
        }
        self.lists.move_to_front(slot, Segment::Protected);
        if self.candidate == Some(slot) {
            self.candidate = None;
        }
        while self.lists.len_of(Segment::Protected) > self.protected_target()
            && let Some(oldest) = self.lists.last(Segment::Protected)
        {
            self.lists.move_to_front(oldest, Segment::Probation);
        }
    }

    /// It has another size now.
    pub(crate) fn resize(&mut self, slot: u32, bytes: u32) {
        self.lists.resize(slot, bytes);
    }

    /// It is no longer in memory, whatever the reason. Nothing happens if it was not.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.lists.remove(slot);
        if self.candidate == Some(slot) {
            self.candidate = None;
        }
    }

    /// Which to let go first of those that may go; takes nothing out. `None` if all that it looked
    /// at are pinned: those are put off, so that the next call looks at others.
    pub(crate) fn victim(&mut self, mut is_pinned: impl FnMut(u32) -> bool) -> Option<u32> {
        let main = self
            .oldest(Segment::Probation, &mut is_pinned)
            .or_else(|| self.oldest(Segment::Protected, &mut is_pinned));
        let candidate = self.candidate.take().filter(|slot| !is_pinned(*slot));
        match (candidate, main) {
            (Some(candidate), Some(victim)) if candidate != victim => {
                Some(if self.admits(candidate, victim) { victim } else { candidate })
            }
            (candidate, main) => {
                candidate.or(main).or_else(|| self.oldest(Segment::Window, &mut is_pinned))
            }
        }
    }

    /// Whether the candidate is worth more than what it would displace.
    fn admits(&mut self, candidate: u32, victim: u32) -> bool {
        let frequency = |slot| self.lists.find(slot).map_or(0, |(_, hash)| self.sketch.of(hash));
        let (new, old) = (frequency(candidate), frequency(victim));
        if new > old {
            return true;
        }
        self.losses += u32::from(new >= WARM);
        if self.losses < LET_IN_EVERY {
            return false;
        }
        self.losses = 0;
        true
    }

    fn oldest(&mut self, segment: Segment, is_pinned: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        for _ in 0..TRIES.min(self.lists.len_of(segment)) {
            let slot = self.lists.last(segment)?;
            if !is_pinned(slot) {
                return Some(slot);
            }
            self.lists.move_to_front(slot, segment);
        }
        None
    }

    fn window_target(&self) -> usize {
        (self.lists.len() / WINDOW_SHARE).max(1)
    }

    fn protected_target(&self) -> usize {
        (self.lists.len() - self.window_target()) * PROTECTED_PERCENT / 100
    }
}
