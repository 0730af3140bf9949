//! How many asks of each partition may be under way.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::engine::id::PartitionId;

/// Places for asks, by partition: taken before an ask is queued, given back when it is answered.
pub(crate) struct Admissions {
    places: Vec<Semaphore>,
    per_partition: u32,
    /// By partition: whether all its places were taken for good.
    taken: Vec<AtomicBool>,
}

impl Admissions {
    pub(crate) fn new(partitions: u16, per_partition: u32) -> Admissions {
        let places = (0..partitions).map(|_| Semaphore::new(per_partition as usize)).collect();
        let taken = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        Admissions { places, per_partition, taken }
    }

    pub(crate) fn release(&self, partition: PartitionId, count: u32) {
        if count > 0 {
            self.of(partition).add_permits(count as usize);
        }
    }

    /// Whether no ask of the partition is under way, and none waits for a place.
    pub(crate) fn is_idle(&self, partition: PartitionId) -> bool {
        self.of(partition).available_permits() == self.per_partition as usize
    }

    /// Waits until no ask of the partition is under way, and lets no other in. May be called again,
    /// and be cancelled.
    pub(crate) async fn take_all(&self, partition: PartitionId) {
        let taken = &self.taken[usize::from(partition.0)];
        if taken.load(Ordering::Acquire) {
            return;
        }
        if let Ok(all) = self.of(partition).acquire_many(self.per_partition).await {
            all.forget();
            taken.store(true, Ordering::Release);
        }
    }

    pub(crate) fn close(&self) {
        self.places.iter().for_each(Semaphore::close);
    }

    pub(super) fn of(&self, partition: PartitionId) -> &Semaphore {
        &self.places[usize::from(partition.0)]
    }
}
