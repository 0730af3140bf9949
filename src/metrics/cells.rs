//! Where numbers are kept: atomics, so that anybody may read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer, or, where that is said, many.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    pub(crate) const fn new(value: u64) -> Cell {
        Cell(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// By the one writer.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// By the one writer: no locked instruction.
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get() + more);
    }

    /// By any of many writers.
    pub(super) fn add_shared(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

/// Most bounds that a histogram has.
pub(super) const BOUNDS_MAX: usize = 17;

/// How often what was measured lay under each of some bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// In parts of the unit.
    sum: Cell,
    parts: f64,
    /// One more than there are bounds; the rest is not used. In place: this is counted with every
    /// ask, and another pointer is another line of the cache.
    buckets: [Cell; BOUNDS_MAX + 1],
}

/// A histogram, or the sum of several, read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) bounds: &'static [f64],
    pub(super) buckets: Vec<u64>,
    pub(super) sum: f64,
}

impl Histogram {
    /// Of seconds, summed in billionths.
    pub(super) fn of_seconds(bounds: &'static [f64]) -> Histogram {
        Histogram::new(bounds, 1e9)
    }

    /// Of whole numbers.
    pub(super) fn of_counts(bounds: &'static [f64]) -> Histogram {
        Histogram::new(bounds, 1.0)
    }

    fn new(bounds: &'static [f64], parts: f64) -> Histogram {
        assert!(bounds.len() <= BOUNDS_MAX, "there is a bucket above the last bound");
        Histogram { bounds, sum: Cell::default(), parts, buckets: Default::default() }
    }

    /// By the one writer.
    pub(crate) fn record(&self, value: f64) {
        self.bucket(value).add(1);
        self.sum.add((value * self.parts) as u64);
    }

    /// Nought, by the one writer.
    pub(crate) fn record_nought(&self) {
        self.buckets[0].add(1);
    }

    /// By any of many writers.
    pub(crate) fn record_shared(&self, value: f64) {
        self.bucket(value).add_shared(1);
        self.sum.add_shared((value * self.parts) as u64);
    }

    fn bucket(&self, value: f64) -> &Cell {
        &self.buckets[self.bounds.partition_point(|bound| *bound < value)]
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            bounds: self.bounds,
            buckets: self.buckets[..=self.bounds.len()].iter().map(Cell::get).collect(),
            sum: self.sum.get() as f64 / self.parts,
        }
    }
}

impl Reading {
    pub(super) fn add(mut self, other: Reading) -> Reading {
        debug_assert_eq!(self.bounds, other.bounds, "only like is added to like");
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_under_the_first_bound_that_it_is_not_above() {
        let histogram = Histogram::of_seconds(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5, 100.0] {
            histogram.record(value);
        }
        let read = histogram.read().add(histogram.read());
        assert_eq!(read.buckets, [4, 4, 4]);
        assert!((read.sum - 2.0 * 107.5).abs() < 1e-6, "{}", read.sum);
    }

    #[test]
    fn the_sum_of_counts_has_room_for_years() {
        let histogram = Histogram::of_counts(&[1.0]);
        (0..10).for_each(|_| histogram.record(1e12));
        assert_eq!(histogram.read().sum, 1e13);
    }
}
