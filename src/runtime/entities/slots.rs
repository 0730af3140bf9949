//! Numbered places for values: as a slab, but in chunks.
//!
//! A slab in one vector doubles it when it is full: half of it may be empty, and the one ask that
//! makes it grow pays for moving a whole partition's entities. Chunks never move. What is looked up
//! on the way to a place is small (a pointer for each chunk), so that it stays in the cache.

use std::ops::{Index, IndexMut};

const CHUNK: usize = 64;

/// Ends the list of free places.
const NONE: u32 = u32::MAX;

pub(super) struct Slots<T> {
    chunks: Vec<Box<[Place<T>; CHUNK]>>,
    /// One more than the highest number that was ever given.
    end: u32,
    /// The first of the free places.
    free: u32,
    len: usize,
}

enum Place<T> {
    Taken(T),
    /// Free, and so is this one.
    Free(u32),
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Slots<T> {
        Slots { chunks: Vec::new(), end: 0, free: NONE, len: 0 }
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest number that was ever given.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let slot = if self.free == NONE { self.end } else { self.free };
        if slot == self.end {
            assert!(slot < NONE, "a partition holds fewer than 2^32 entities");
            if slot as usize / CHUNK == self.chunks.len() {
                self.chunks.push(free_chunk());
            }
            self.end += 1;
        }
        let place = self.place(slot).expect("there is a chunk for it");
        let Place::Free(next) = std::mem::replace(place, Place::Taken(value)) else {
            unreachable!("a free place is free")
        };
        self.free = next;
        slot
    }

    /// Takes the value out, and frees its place for another.
    ///
    /// # Panics
    /// If the place is free.
    pub(super) fn remove(&mut self, slot: u32) -> T {
        let next = self.free;
        match self.place(slot).map(|place| std::mem::replace(place, Place::Free(next))) {
            Some(Place::Taken(value)) => {
                self.free = slot;
                self.len -= 1;
                value
            }
            Some(Place::Free(_)) | None => unreachable!("only a taken place is freed"),
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        match self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.place(slot)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    fn place(&mut self, slot: u32) -> Option<&mut Place<T>> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)
    }
}

/// Made on the heap: a chunk may be large.
fn free_chunk<T>() -> Box<[Place<T>; CHUNK]> {
    let places: Box<[Place<T>]> = (0..CHUNK).map(|_| Place::Free(NONE)).collect();
    places.try_into().unwrap_or_else(|_| unreachable!("it is of a chunk's size"))
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("the place is taken")
    }
}

impl<T> IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("the place is taken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_place_is_given_again_and_nothing_moves() {
        let mut slots = Slots::new();
        let all: Vec<u32> = (0..200).map(|value| slots.insert(value)).collect();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert_eq!((slots.remove(70), slots.remove(3), slots.len()), (70, 3, 198));
        assert_eq!((slots.get(70), slots.get(3), slots.get(200)), (None, None, None));
        assert_eq!((slots.insert(300), slots.insert(700), slots.insert(200)), (3, 70, 200));
        assert_eq!((slots[3], slots[70], slots[69], slots.end()), (300, 700, 69, 201));
    }
}
