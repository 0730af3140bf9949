//! How many asks of each partition may be under way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, Semaphore};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::id::PartitionId;

/// The bit of a message to an entity type. Some share one.
pub(crate) fn crowd_of(kind: u16, name: &str) -> u64 {
    1 << (xxh3_64_with_seed(name.as_bytes(), kind.into()) % 64)
}

/// Places for asks, by partition: taken before an ask is queued, given back when it is answered.
pub(crate) struct Admissions {
    places: Vec<Semaphore>,
    per_partition: u32,
    /// By partition: whether all its places were taken for good.
    taken: Vec<AtomicBool>,
    /// By partition: which writes are not let in, as bits ([`crowd_of`]).
    crowds: Vec<AtomicU64>,
    /// Some of these are let in again.
    eased: Notify,
}

impl Admissions {
    pub(crate) fn new(partitions: u16, per_partition: u32) -> Admissions {
        let places = (0..partitions).map(|_| Semaphore::new(per_partition as usize)).collect();
        let taken = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        let crowds = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Admissions { places, per_partition, taken, crowds, eased: Notify::new() }
    }

    /// Lets no such writes in: too many wait for room for what they send.
    pub(crate) fn set_crowd(&self, partition: PartitionId, writes: u64) {
        let crowd = &self.crowds[usize::from(partition.0)];
        let before = crowd.load(Ordering::Relaxed); // nobody else changes it
        if before != writes {
            crowd.store(writes, Ordering::Release);
            if before & !writes != 0 {
                self.eased.notify_waiters();
            }
        }
    }

    pub(crate) fn is_crowded(&self, (kind, partition): (u16, PartitionId), name: &str) -> bool {
        let crowd = self.crowds[usize::from(partition.0)].load(Ordering::Acquire);
        crowd != 0 && crowd & crowd_of(kind, name) != 0
    }

    /// Waits until that is over.
    pub(crate) async fn eased(&self, at: (u16, PartitionId), name: &str) {
        loop {
            let eased = self.eased.notified(); // made before it is looked at
            if !self.is_crowded(at, name) {
                return;
            }
            eased.await;
        }
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
        self.crowds.iter().for_each(|crowd| crowd.store(0, Ordering::Release));
        self.eased.notify_waiters();
    }

    pub(super) fn of(&self, partition: PartitionId) -> &Semaphore {
        &self.places[usize::from(partition.0)]
    }
}
