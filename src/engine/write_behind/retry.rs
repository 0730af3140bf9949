//! When to try again: exponential back-off with jitter, for ever.

use std::time::Duration;

/// Gives the waits. Seeded: the same seed gives the same waits.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Backoff {
        Backoff { min, max: max.max(min), random: seed }
    }

    /// How long to wait after the `failures`th failure in a row: a time between half and the whole
    /// of `min` doubled with each failure, at most `max`. The jitter keeps partitions that failed
    /// together from coming back together.
    pub(super) fn after(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.min.saturating_mul(1 << doublings).min(self.max);
        let half = whole / 2;
        let nanos = u64::try_from((whole - half).as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(self.next_random() % nanos.saturating_add(1).max(1))
    }

    /// The splitmix64 generator.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_up_to_the_longest_and_none_is_shorter_than_half() {
        let mut backoff = Backoff::new(MIN, MAX, 1);
        for failures in 1..100u32 {
            let whole = MIN.saturating_mul(1 << (failures - 1).min(10)).min(MAX);
            let after = backoff.after(failures);
            assert!(whole / 2 <= after && after <= whole, "{failures}: {after:?} of {whole:?}");
        }
    }

    #[test]
    fn jitter_depends_on_the_seed_alone() {
        let waits = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, seed);
            (1..20).map(|failures| backoff.after(failures)).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn a_wait_of_nothing_is_possible() {
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO, 1).after(9), Duration::ZERO);
    }
}
