//! How large the window is: it climbs the hill of the hit rate.
//!
//! A small window suits entities that come back for ever, a large one those that come back soon
//! and then never. Only trying tells which there are. So now and then the window is made twice or
//! half as large for one sample of asks, and stays so if the hit rate says that it should: for a
//! larger one it must be better by more than chance, for a smaller one it must not be worse by
//! more than that. What has failed is tried again, each time after a longer while, and soon again
//! when the hit rate jumps, because then the load has changed. After Einziger, Eytan, Friedman,
//! Manes, "Adaptive Software Cache Management", Middleware 2018, whose steps are small, constant
//! and believed: partitions are small, and most of what changes their hit rate is chance.

/// Rates are in parts of this.
const WHOLE: i64 = 1 << 16;

/// The sizes of the window, in percent of the population.
const PERCENT: [usize; 5] = [1, 3, 9, 27, 80];

/// A change of the hit rate that says that the load has changed: 5 %.
const JUMP: i64 = WHOLE / 20;

/// The asks of a sample: for each entity of the population, and at least.
const SAMPLE: u64 = 10;
const SAMPLE_MIN: u64 = 4096;

/// The longest pause between two tries, in samples.
const PAUSE_MAX: u32 = 32;

#[derive(Debug)]
pub(super) struct Climb {
    size: usize,
    /// Where it came from, while this size is only tried.
    tried_from: Option<usize>,
    is_upward: bool,
    /// Of the last sample that was not a failed try.
    rate: i64,
    /// The change of the rate while nothing was tried: a cache that fills, or a sketch that learns,
    /// hits more with each sample, and a larger window must not take the credit for it.
    trend: i64,
    /// Samples until the next try, and the pause after the next failure.
    wait: u32,
    pause: u32,
    hits: u64,
    asks: u64,
    has_evicted: bool,
}

impl Climb {
    pub(super) fn new() -> Climb {
        Climb {
            size: 0,
            tried_from: None,
            is_upward: true,
            rate: 0,
            trend: 0,
            wait: 1,
            pause: 1,
            hits: 0,
            asks: 0,
            has_evicted: false,
        }
    }

    /// The window's share of the population, in percent.
    pub(super) fn percent(&self) -> usize {
        PERCENT[self.size]
    }

    /// Something is being evicted: from now on the window's size makes a difference.
    pub(super) fn note_eviction(&mut self) {
        self.has_evicted = true;
    }

    /// Counts an ask, in a population of so many entities.
    pub(super) fn count(&mut self, is_hit: bool, population: usize) {
        self.asks += 1;
        self.hits += u64::from(is_hit);
        if self.asks < (SAMPLE * population as u64).max(SAMPLE_MIN) {
            return;
        }
        let rate = (self.hits * WHOLE as u64 / self.asks) as i64;
        // One standard deviation of the difference of two samples, at most.
        let chance = WHOLE * 7 / 10 / self.asks.isqrt() as i64;
        if self.has_evicted {
            self.judge(rate, chance);
        }
        (self.hits, self.asks, self.has_evicted) = (0, 0, false);
    }

    fn judge(&mut self, rate: i64, chance: i64) {
        let change = rate - self.rate;
        if let Some(from) = self.tried_from.take() {
            let is_good = match self.is_upward {
                true => change > chance + self.trend.max(0),
                false => change >= -chance,
            };
            if is_good {
                (self.wait, self.pause) = (0, 1);
                self.trend /= 2;
            } else {
                self.size = from;
                self.is_upward = !self.is_upward;
                self.wait = self.pause;
                self.pause = (2 * self.pause).min(PAUSE_MAX);
                return;
            }
        } else {
            self.trend = change;
            if change.abs() >= JUMP {
                (self.wait, self.pause) = (1, 1);
            }
        }
        self.rate = rate;
        match self.wait {
            0 => self.try_next(),
            _ => self.wait -= 1,
        }
    }

    fn try_next(&mut self) {
        self.is_upward = match self.size {
            0 => true,
            size if size == PERCENT.len() - 1 => false,
            _ => self.is_upward,
        };
        self.tried_from = Some(self.size);
        match self.is_upward {
            true => self.size += 1,
            false => self.size -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample of a population of a thousand, with so many hits in each thousand asks.
    fn sample(climb: &mut Climb, hits: usize) {
        climb.note_eviction();
        for ask in 0..10_000 {
            climb.count(ask % 1000 < hits, 1000);
        }
    }

    /// The sizes of the window, in percent, while the hits depend on the sample and the size.
    fn sizes(samples: usize, hits: impl Fn(usize, usize) -> usize) -> Vec<usize> {
        let mut climb = Climb::new();
        let size_after = |at| {
            let percent = climb.percent();
            sample(&mut climb, hits(at, percent));
            percent
        };
        (0..samples).map(size_after).collect()
    }

    #[test]
    fn it_goes_up_as_far_as_the_hits_do_and_tries_on_ever_more_rarely() {
        let found = sizes(14, |_, percent| 600 - 10 * percent.abs_diff(9).min(20));
        assert_eq!(found, [1, 1, 3, 9, 27, 9, 9, 3, 9, 9, 9, 27, 9, 9]);
    }

    #[test]
    fn it_goes_down_again_where_that_costs_nothing() {
        let found = sizes(14, |at, percent| if at < 4 { 500 + 10 * percent } else { 600 });
        assert_eq!(found[..4], [1, 1, 3, 9]);
        assert_eq!(found[13], 1, "{found:?}");
    }

    #[test]
    fn neither_chance_nor_warming_up_is_taken_for_its_merit() {
        let chance = sizes(100, |at, _| 600 + at * 7 % 4);
        let warming_up = sizes(30, |at, _| 900 - 600 / (at + 1));
        for found in [chance, warming_up] {
            assert!(found.iter().all(|percent| *percent <= 3), "{found:?}");
            let tries = found.iter().filter(|percent| **percent == 3).count();
            assert!(tries <= 7, "{tries} tries: {found:?}");
        }
    }

    #[test]
    fn a_jump_of_the_hit_rate_ends_the_pause() {
        let found = sizes(60, |at, _| if at < 40 { 600 } else { 300 });
        let tries = |from: usize, to: usize| found[from..to].contains(&3);
        assert!(!tries(36, 40) && tries(41, 44), "{found:?}");
    }

    #[test]
    fn while_nothing_is_evicted_nothing_is_tried() {
        let mut climb = Climb::new();
        (0..100_000).for_each(|ask| climb.count(ask % 2 == 0, 1000));
        assert_eq!(climb.percent(), 1);
    }
}
