//! stub
use std::collections::BTreeMap;
#[derive(Debug)]
pub(crate) struct Eviction {
    m: BTreeMap<u32, u32>,
    order: std::collections::VecDeque<u32>,
}
impl Eviction {
    pub(crate) fn new() -> Eviction {
        Eviction { m: BTreeMap::new(), order: Default::default() }
    }
    pub(crate) fn insert(&mut self, slot: u32, _hash: u64, bytes: u32) {
        self.m.insert(slot, bytes);
        self.order.push_back(slot);
    }
    pub(crate) fn touch(&mut self, slot: u32) {
        self.order.retain(|s| *s != slot);
        self.order.push_back(slot);
    }
    pub(crate) fn resize(&mut self, slot: u32, bytes: u32) {
        if let Some(b) = self.m.get_mut(&slot) {
            *b = bytes;
        }
    }
    pub(crate) fn remove(&mut self, slot: u32) {
        self.m.remove(&slot);
        self.order.retain(|s| *s != slot);
    }
    pub(crate) fn len(&self) -> usize {
        self.m.len()
    }
    pub(crate) fn bytes(&self) -> u64 {
        self.m.values().map(|b| u64::from(*b)).sum()
    }
    pub(crate) fn victim(&mut self, mut is_pinned: impl FnMut(u32) -> bool) -> Option<u32> {
        self.order.iter().copied().find(|s| !is_pinned(*s))
    }
}
