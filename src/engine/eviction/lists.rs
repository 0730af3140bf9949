//! The lists of a policy: each slot that is in memory is in exactly one, ordered by last use.
//!
//! They are threaded through one array, indexed by slot, so that every move costs the same and
//! nothing is allocated for it.

/// No slot: a slab has no index so high.
const NONE: u32 = u32::MAX;

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Not in memory.
    Away,
    /// Just come, not yet compared with those who stay.
    Window,
    /// Stays, and goes next.
    Probation,
    /// Was asked for while on probation.
    Protected,
}

impl Place {
    /// All lists.
    pub(super) const LISTED: [Place; 3] = [Place::Window, Place::Probation, Place::Protected];

    /// Which of the lists; none for what is away.
    fn list(self) -> Option<usize> {
        match self {
            Place::Away => None,
            Place::Window => Some(0),
            Place::Probation => Some(1),
            Place::Protected => Some(2),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Link {
    colder: u32,
    warmer: u32,
    hash: u32,
    bytes: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    coldest: u32,
    warmest: u32,
    len: usize,
}

#[derive(Debug)]
pub(super) struct Lists {
    links: Vec<Link>,
    /// Beside the links, where it would cost them three more bytes each.
    places: Vec<Place>,
    lists: [List; 3],
}

impl Lists {
    pub(super) fn new() -> Lists {
        let empty = List { coldest: NONE, warmest: NONE, len: 0 };
        Lists { links: Vec::new(), places: Vec::new(), lists: [empty; 3] }
    }

    pub(super) fn place(&self, slot: u32) -> Place {
        self.places.get(slot as usize).copied().unwrap_or(Place::Away)
    }

    pub(super) fn len(&self, place: Place) -> usize {
        place.list().map_or(0, |list| self.lists[list].len)
    }

    /// The one that was used longest ago.
    pub(super) fn coldest(&self, place: Place) -> Option<u32> {
        let list = place.list()?;
        Some(self.lists[list].coldest).filter(|slot| *slot != NONE)
    }

    pub(super) fn hash(&self, slot: u32) -> u32 {
        self.links[slot as usize].hash
    }

    pub(super) fn bytes(&self, slot: u32) -> u32 {
        self.links[slot as usize].bytes
    }

    pub(super) fn set_bytes(&mut self, slot: u32, bytes: u32) {
        self.links[slot as usize].bytes = bytes;
    }

    /// A slot that is away comes in at the warm end of `place`.
    pub(super) fn insert(&mut self, slot: u32, hash: u32, bytes: u32, place: Place) {
        let at = slot as usize;
        if at >= self.links.len() {
            let empty = Link { colder: NONE, warmer: NONE, hash: 0, bytes: 0 };
            grow(&mut self.links, at + 1, empty);
            grow(&mut self.places, at + 1, Place::Away);
        }
        self.links[at] = Link { colder: NONE, warmer: NONE, hash, bytes };
        self.push(slot, place);
    }

    /// Takes it out of its list and puts it at the warm end of `place`.
    pub(super) fn warm(&mut self, slot: u32, place: Place) {
        self.unlink(slot);
        self.push(slot, place);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
    }

    /// From the coldest to the warmest, the same in both directions.
    #[cfg(test)]
    pub(super) fn walk(&self, place: Place) -> Vec<u32> {
        use std::iter::successors;

        let list = self.lists[place.list().expect("it is a list")];
        let some = |slot: u32| Some(slot).filter(|slot| *slot != NONE);
        let warmer = |slot: &u32| some(self.links[*slot as usize].warmer);
        let colder = |slot: &u32| some(self.links[*slot as usize].colder);
        let upward: Vec<u32> = successors(some(list.coldest), warmer).collect();
        let mut downward: Vec<u32> = successors(some(list.warmest), colder).collect();
        downward.reverse();
        assert_eq!(upward, downward);
        upward
    }

    fn push(&mut self, slot: u32, place: Place) {
        self.places[slot as usize] = place;
        let Some(list) = place.list() else { return };
        let list = &mut self.lists[list];
        let colder = std::mem::replace(&mut list.warmest, slot);
        list.len += 1;
        match colder {
            NONE => list.coldest = slot,
            colder => self.links[colder as usize].warmer = slot,
        }
        let link = &mut self.links[slot as usize];
        link.colder = colder;
        link.warmer = NONE;
    }

    fn unlink(&mut self, slot: u32) {
        let place = std::mem::replace(&mut self.places[slot as usize], Place::Away);
        let Some(list) = place.list() else { return };
        let list = &mut self.lists[list];
        let Link { colder, warmer, .. } = self.links[slot as usize];
        list.len -= 1;
        match colder {
            NONE => list.coldest = warmer,
            colder => self.links[colder as usize].warmer = warmer,
        }
        match warmer {
            NONE => list.warmest = colder,
            warmer => self.links[warmer as usize].colder = colder,
        }
    }
}

/// Makes it so long, with an eighth to spare: a `Vec` left to itself would spare as much again.
fn grow<T: Clone>(vec: &mut Vec<T>, len: usize, empty: T) {
    if len > vec.capacity() {
        vec.reserve_exact(len + len / 8 + 8 - vec.len());
    }
    vec.resize(len, empty);
}
