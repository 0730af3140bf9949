//! How often a key was asked for lately: a count-min sketch that forgets.
//!
//! Four rows of 4-bit counters, sixteen counters to a word. A key has one counter in each row; the
//! least of them is its frequency, never too low (up to [`FREQUENCY_MAX`]) and seldom too high.
//! All counters are halved when as many accesses as ten times the population have been counted, so
//! that what was popular once makes room. Cormode, Muthukrishnan 2005; Einziger, Friedman, Manes
//! 2017, section 3.

use std::array;

/// Where the counters stop.
pub(super) const FREQUENCY_MAX: u8 = 15;

/// After how many accesses for each entity of the population the counters are halved.
const SAMPLE: u64 = 10;

/// The smallest table, in words: with fewer, small populations have too short a memory.
const WORDS_MIN: usize = 32;

/// Odd, and far from each other: each makes another hash of a hash (multiplicative hashing,
/// Dietzfelbinger et al. 1997).
const ROWS: [u64; 4] =
    [0xc3a5_c85c_97cb_3127, 0xb492_b66f_be98_f273, 0x9ae1_6a3b_2f90_404f, 0xcbf2_9ce4_8422_2325];

/// Every counter of a word without its highest bit: what is left of it, halved.
const HALVES: u64 = 0x7777_7777_7777_7777;

/// Where four bits of the table are.
#[derive(Clone, Copy)]
struct Counter {
    word: usize,
    shift: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    /// A power of two, or none yet.
    words: Vec<u64>,
    /// Accesses since the halving before, halved with the counters.
    accesses: u64,
}

impl Sketch {
    /// Makes room for `population` entities. When the table doubles, each half is a copy of the
    /// old: an index is the low bits of a hash, so each key finds its count in the half where one
    /// more bit leads it.
    pub(super) fn grow(&mut self, population: usize) {
        if self.words.is_empty() {
            self.words.resize(WORDS_MIN, 0);
        }
        // One word for one to two entities.
        while self.words.len() * 2 <= population {
            self.words.extend_from_within(..);
        }
    }

    /// Counts an access to the key with this hash, in a population of so many entities. There must
    /// be room: `grow` comes first.
    pub(super) fn count(&mut self, hash: u32, population: usize) {
        let least = self.frequency(hash);
        // Only the least counters grow: the others count other keys, too.
        for counter in self.counters(hash) {
            if least < FREQUENCY_MAX && self.read(counter) == least {
                self.words[counter.word] += 1 << counter.shift;
            }
        }
        self.accesses += 1;
        // At least the table's own size, so that halving costs each access only a little, even if
        // the population has shrunk.
        if self.accesses >= SAMPLE * population.max(self.words.len()) as u64 {
            self.halve();
        }
    }

    /// How often the key was asked for lately.
    pub(super) fn frequency(&self, hash: u32) -> u8 {
        let counts = self.counters(hash).map(|counter| self.read(counter));
        counts.into_iter().min().unwrap_or(0)
    }

    fn halve(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & HALVES;
        }
        self.accesses /= 2;
    }

    fn read(&self, counter: Counter) -> u8 {
        (self.words[counter.word] >> counter.shift) as u8 & FREQUENCY_MAX
    }

    /// The key's counter in each row. Four counters of each word belong to each row.
    fn counters(&self, hash: u32) -> [Counter; 4] {
        array::from_fn(|row| {
            let mixed = u64::from(hash).wrapping_mul(ROWS[row]);
            let among = (mixed >> 30) as u32 & 3;
            Counter {
                word: (mixed >> 32) as usize & (self.words.len() - 1),
                shift: 4 * (4 * row as u32 + among),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::simulation::random::Random;

    fn counted(sketch: &mut Sketch, population: usize, hash: u32, times: u8) {
        (0..times).for_each(|_| sketch.count(hash, population));
    }

    #[test]
    fn counts_are_never_too_low_and_seldom_too_high() {
        let (mut sketch, mut random, mut exact) =
            (Sketch::default(), Random::new(1), BTreeMap::new());
        sketch.grow(1000);
        for _ in 0..SAMPLE * 1000 - 1 {
            // The square makes small numbers likelier.
            let key = random.between(0, 60) * random.between(0, 60);
            let hash = Random::new(key).next() as u32;
            sketch.count(hash, 1000);
            *exact.entry(hash).or_insert(0u32) += 1;
        }
        let too_high = exact.iter().filter(|(hash, count)| {
            let expected = (**count).min(FREQUENCY_MAX.into());
            let found = u32::from(sketch.frequency(**hash));
            assert!(found >= expected, "{found} is under {expected}");
            found > expected
        });
        let too_high = too_high.count();
        assert!(too_high * 10 < exact.len(), "{too_high} of {} are too high", exact.len());
    }

    #[test]
    fn growing_keeps_the_counts() {
        let mut sketch = Sketch::default();
        sketch.grow(1);
        counted(&mut sketch, 1000, 17, 9);
        counted(&mut sketch, 1000, 0xdead_beef, 3);
        sketch.grow(100_000);
        assert_eq!(sketch.words.len(), 65_536);
        assert_eq!((sketch.frequency(17), sketch.frequency(0xdead_beef)), (9, 3));
    }

    #[test]
    fn counts_are_halved_after_ten_times_the_population_and_never_overflow() {
        let mut sketch = Sketch::default();
        sketch.grow(40);
        counted(&mut sketch, 40, 5, 200);
        counted(&mut sketch, 40, 7, 199);
        assert_eq!((sketch.frequency(5), sketch.frequency(7)), (15, 15));
        sketch.count(7, 40);
        assert_eq!((sketch.frequency(5), sketch.frequency(7)), (7, 7));
        // A population smaller than the table does not make it forget faster.
        counted(&mut sketch, 1, 5, 119);
        assert_eq!(sketch.frequency(5), 15);
        counted(&mut sketch, 1, 5, 1);
        assert_eq!(sketch.frequency(5), 7);
    }
}
