//! A map by entity, for what is looked up with every change.
//!
//! Slots are dense numbers, given again when they are free, so they are places in a vector: one
//! step where a tree takes several, and no order that chance decides. It keeps 8 bytes for each
//! slot that was ever in it; an entity takes many times that.

use std::collections::BTreeMap;

use crate::engine::id::EntityId;

#[derive(Debug)]
pub(super) struct ByEntity<T> {
    kinds: BTreeMap<u16, Vec<Option<Box<T>>>>,
    len: usize,
}

impl<T> Default for ByEntity<T> {
    fn default() -> ByEntity<T> {
        ByEntity { kinds: BTreeMap::new(), len: 0 }
    }
}

impl<T> ByEntity<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, EntityId { kind, slot }: EntityId) -> Option<&T> {
        self.kinds.get(&kind)?.get(slot as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, EntityId { kind, slot }: EntityId) -> Option<&mut T> {
        self.kinds.get_mut(&kind)?.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, EntityId { kind, slot }: EntityId, value: T) {
        let slots = self.kinds.entry(kind).or_default();
        let slot = slot as usize;
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        self.len += usize::from(slots[slot].is_none());
        slots[slot] = Some(Box::new(value));
    }

    pub(super) fn remove(&mut self, EntityId { kind, slot }: EntityId) {
        let place = self.kinds.get_mut(&kind).and_then(|slots| slots.get_mut(slot as usize));
        self.len -= usize::from(place.and_then(Option::take).is_some());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EntityId, &T)> {
        self.kinds.iter().flat_map(|(&kind, slots)| {
            slots.iter().enumerate().filter_map(move |(slot, value)| {
                Some((EntityId { kind, slot: slot as u32 }, value.as_deref()?))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_and_not_removed() {
        let id = |kind, slot| EntityId { kind, slot };
        let mut map = ByEntity::default();
        map.insert(id(1, 5), "a");
        map.insert(id(0, 9), "b");
        map.insert(id(1, 5), "c");
        map.remove(id(1, 4));
        map.remove(id(2, 0));
        assert_eq!((map.len(), map.get(id(1, 5)), map.get(id(1, 6))), (2, Some(&"c"), None));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(id(0, 9), &"b"), (id(1, 5), &"c")]);
        map.remove(id(1, 5));
        assert_eq!((map.len(), map.get_mut(id(1, 5))), (1, None));
    }
}
