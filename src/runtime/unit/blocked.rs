//! Asks of a unit that wait for room for what their handlers send.

use std::sync::Arc;

use super::super::exchange::AnyAsk;
use super::Unit;
use crate::engine::outbox::Outgoing;

impl Unit {
    /// The ask waits, and gives its place at the partition back. `is_first` says that it came
    /// before all that wait.
    pub(super) fn block(
        &mut self,
        ask: Arc<dyn AnyAsk>,
        outgoing: Box<[Outgoing]>,
        is_first: bool,
    ) {
        let (hash, crowd) = (self.key_hash(&*ask), ask.crowd());
        let outside_max = self.outside_max();
        let is_outside = self.blocked.outside() < outside_max;
        self.answered += u32::from(is_outside);
        self.blocked.push(ask, hash, outgoing, (is_outside, is_first));
        if self.blocked.outside() > outside_max / 2 {
            self.crowd |= crowd;
        }
    }

    /// Which writes are not to be let in for now.
    pub(crate) fn crowd(&mut self) -> u64 {
        if self.crowd != 0 && self.blocked.outside() <= self.outside_max() / 2 {
            self.crowd = 0;
        }
        self.crowd
    }

    /// How many asks may wait without a place.
    fn outside_max(&self) -> u32 {
        self.execution.limits().asks_per_partition_max.saturating_mul(2)
    }

    /// Runs what waited and has room now. Returns whether there was any.
    pub(super) fn retry_blocked(&mut self) -> bool {
        let mut has_run = false;
        if self.execution.post.is_silent() {
            return false;
        }
        while !self.blocked.is_empty() && self.has_room() && self.waiting.is_empty() {
            let outbox = &self.execution.post.outbox;
            let ready = self.blocked.take_ready(|outgoing| outbox.fits(outgoing));
            let Some(ask) = ready else { break };
            has_run = true;
            if let Some(ask) = self.find_entity(ask) {
                self.run(ask, true);
            }
        }
        self.finish_batch();
        has_run
    }
}
