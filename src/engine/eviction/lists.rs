//! Slots in three lists, each in the order of use. The links are in an array by slot: nothing is
//! allocated for a move.

const NONE: u32 = u32::MAX;

/// In which list a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Window,
    Probation,
    Protected,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    /// The next one that was used later, and earlier.
    newer: u32,
    older: u32,
    bytes: u32,
    /// `None` if the slot is in no list.
    segment: Option<Segment>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

#[derive(Debug)]
pub(super) struct Lists {
    nodes: Vec<Node>,
    lists: [List; 3],
    len: usize,
    bytes: u64,
}

impl Default for Lists {
    fn default() -> Lists {
        let empty = List { first: NONE, last: NONE, len: 0 };
        Lists { nodes: Vec::new(), lists: [empty; 3], len: 0, bytes: 0 }
    }
}

impl Lists {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len_of(&self, segment: Segment) -> usize {
        self.lists[segment as usize].len
    }

    /// The one that was not used for longest.
    pub(super) fn last(&self, segment: Segment) -> Option<u32> {
        Some(self.lists[segment as usize].last).filter(|slot| *slot != NONE)
    }

    /// Where a slot stands, and its key's hash.
    pub(super) fn find(&self, slot: u32) -> Option<(Segment, u64)> {
        let node = self.nodes.get(slot as usize)?;
        Some((node.segment?, node.hash))
    }

    /// Puts a slot, which is in no list, into the window.
    pub(super) fn insert(&mut self, slot: u32, hash: u64, bytes: u32) {
        self.remove(slot);
        let at = slot as usize;
        if self.nodes.len() <= at {
            let none = Node { hash: 0, newer: NONE, older: NONE, bytes: 0, segment: None };
            self.nodes.resize(at + 1, none);
        }
        self.nodes[at].hash = hash;
        self.nodes[at].bytes = bytes;
        self.len += 1;
        self.bytes += u64::from(bytes);
        self.link(slot, Segment::Window);
    }

    pub(super) fn resize(&mut self, slot: u32, bytes: u32) {
        if let Some(node) = self.nodes.get_mut(slot as usize).filter(|node| node.segment.is_some())
        {
            self.bytes = self.bytes - u64::from(node.bytes) + u64::from(bytes);
            node.bytes = bytes;
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if self.find(slot).is_some() {
            self.unlink(slot);
            self.len -= 1;
            self.bytes -= u64::from(self.nodes[slot as usize].bytes);
        }
    }

    /// Makes a slot, which is in a list, the newest of another or of the same.
    pub(super) fn move_to_front(&mut self, slot: u32, segment: Segment) {
        self.unlink(slot);
        self.link(slot, segment);
    }

    fn link(&mut self, slot: u32, segment: Segment) {
        let list = &mut self.lists[segment as usize];
        let older = std::mem::replace(&mut list.first, slot);
        list.len += 1;
        if older == NONE {
            list.last = slot;
        } else {
            self.nodes[older as usize].newer = slot;
        }
        let node = &mut self.nodes[slot as usize];
        (node.newer, node.older, node.segment) = (NONE, older, Some(segment));
    }

    fn unlink(&mut self, slot: u32) {
        let Node { newer, older, segment, .. } = self.nodes[slot as usize];
        let Some(segment) = segment else { return };
        let list = &mut self.lists[segment as usize];
        list.len -= 1;
        match newer {
            NONE => list.first = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => list.last = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        self.nodes[slot as usize].segment = None;
    }

    /// Every list from its newest to its oldest, walked both ways.
    #[cfg(test)]
    pub(super) fn walk(&self, segment: Segment) -> Vec<(u32, u32)> {
        let (mut found, mut at, mut newer) = (Vec::new(), self.lists[segment as usize].first, NONE);
        while at != NONE {
            let node = &self.nodes[at as usize];
            assert_eq!((node.newer, node.segment), (newer, Some(segment)));
            found.push((at, node.bytes));
            (newer, at) = (at, node.older);
        }
        assert_eq!(self.lists[segment as usize].last, newer);
        found
    }
}

const _: () = assert!(size_of::<Node>() == 24, "memory of each entity");
