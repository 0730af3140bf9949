//! How often each key was asked for of late, roughly: a count-min sketch of four-bit counters that
//! are halved now and then (Cormode and Muthukrishnan 2005; the ageing is TinyLFU's).

/// Counters in a word.
const COUNTERS: u32 = 16;

/// Where a key is counted; what it was counted is the least of these.
const ROWS: u64 = 4;

/// Counts per entity between two halvings.
const PERIOD: u64 = 10;

#[derive(Debug)]
pub(super) struct Sketch {
    /// A power of two of words.
    words: Vec<u64>,
    /// Counts since the last halving, less what the halving left.
    counted: u64,
    /// Counts until the next one.
    period: u64,
}

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch { words: vec![0; 16], counted: 0, period: 16 * PERIOD }
    }
}

impl Sketch {
    /// Makes room for the keys that are asked for where so many entities are in memory.
    pub(super) fn grow(&mut self, entities: usize) {
        while self.words.len() < entities {
            // A key's place is its hash by the number of words: it stays where it was, or moves by
            // as many places as there were.
            self.words.extend_from_within(..);
        }
        self.period = self.period.max(entities as u64 * PERIOD);
    }

    pub(super) fn count(&mut self, hash: u64) {
        let mut has_grown = false;
        for row in 0..ROWS {
            let (word, shift) = self.place(hash, row);
            let word = &mut self.words[word];
            if (*word >> shift) & 15 < 15 {
                *word += 1 << shift;
                has_grown = true;
            }
        }
        self.counted += u64::from(has_grown);
        if self.counted >= self.period {
            self.counted /= 2;
            for word in &mut self.words {
                *word = (*word >> 1) & 0x7777_7777_7777_7777;
            }
        }
    }

    /// About how often it was counted, at most 15.
    pub(super) fn of(&self, hash: u64) -> u8 {
        let counter = |row| {
            let (word, shift) = self.place(hash, row);
            ((self.words[word] >> shift) & 15) as u8
        };
        (0..ROWS).map(counter).min().unwrap_or(0)
    }

    fn place(&self, hash: u64, row: u64) -> (usize, u32) {
        // One multiplication for each row, by odd numbers that have nothing to do with each other
        // (of the splitmix64 generator); the middle bits of the product are the best mixed.
        const MIX: [u64; ROWS as usize] = [
            0x9e37_79b9_7f4a_7c15,
            0xbf58_476d_1ce4_e5b9,
            0x94d0_49bb_1331_11eb,
            0xd6e8_feb8_6659_fd93,
        ];
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(MIX[row as usize]);
        let word = (mixed >> 24) as usize & (self.words.len() - 1);
        let counter = (mixed >> 60) as u32 % COUNTERS;
        (word, counter * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes())
    }

    #[test]
    fn what_is_counted_often_is_told_from_what_is_not() {
        let mut sketch = Sketch::default();
        sketch.grow(1000);
        for round in 0..8 {
            for key in 0..100 {
                sketch.count(hash(key));
            }
            sketch.count(hash(1000 + round));
        }
        assert!((0..100).all(|key| sketch.of(hash(key)) >= 8));
        let rare = (1000..1008).filter(|key| sketch.of(hash(*key)) <= 2).count();
        assert!(rare >= 7, "{rare} of 8");
    }

    #[test]
    fn growing_forgets_nothing_and_time_does() {
        let mut sketch = Sketch::default();
        for _ in 0..10 {
            sketch.count(hash(7));
        }
        sketch.grow(5000);
        assert_eq!(sketch.of(hash(7)), 10);
        for key in 100..100 + 5000 * PERIOD {
            sketch.count(hash(key));
        }
        assert!(sketch.of(hash(7)) < 10, "{}", sketch.of(hash(7)));
    }
}
