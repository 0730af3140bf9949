//! A sender and a receiver alone, between them a network that loses, repeats and reorders, while
//! the rows change.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::log::{Entry, Log};
use super::{Chunk, Chunks, Cursor, Place, Receiving, Sending};
use crate::engine::breakage::{self, Breakage, is_broken};
use crate::engine::id::{Epoch, Position};
use crate::engine::instant::Instant;
use crate::engine::simulation::random::Random;

const EPOCH: Epoch = Epoch(1);

type Rows = BTreeMap<u32, u64>;

/// A row is this now, or gone.
type Change = (u32, Option<u64>);

enum Message {
    Chunk(Chunk<Change, Rows>),
    Taken(super::Reached),
    Whole(Position),
}

/// How the network is, and how the rows change.
#[derive(Clone, Copy, Debug)]
struct Weather {
    loss_percent: u64,
    twice_percent: u64,
    /// The longest and the shortest way, in milliseconds.
    delay: (u64, u64),
    /// Changes in a hundred milliseconds.
    changes: u64,
    keys: u64,
    kept_max: usize,
}

struct Pair {
    random: Random,
    weather: Weather,
    chunks: Chunks,
    now: Instant,
    log: Log<Change>,
    /// The primary's rows, as of each position.
    states: BTreeMap<Position, Rows>,
    sending: Sending,
    /// When rows were last sent.
    rows_at: Option<Instant>,
    beginnings: u64,
    receiving: Option<Receiving>,
    staged: Rows,
    whole: Option<(Position, Rows)>,
    network: Vec<(Instant, Message)>,
}

fn apply(rows: &mut Rows, (key, value): Change) {
    match value {
        Some(value) => drop(rows.insert(key, value)),
        None => drop(rows.remove(&key)),
    }
}

fn is_under(key: u32, upto: Cursor) -> bool {
    Cursor::After(Place(u128::from(key))) <= upto
}

impl Pair {
    fn new(seed: u64, weather: Weather, chunks: Chunks) -> Pair {
        let mut log = Log::after(Position::default());
        log.begin(EPOCH);
        let now = Instant::default();
        let mut pair = Pair {
            random: Random::new(seed),
            weather,
            chunks,
            now,
            states: BTreeMap::from([(log.last(), Rows::new())]),
            sending: Sending::new(log.folded(), now),
            log,
            rows_at: None,
            beginnings: 0,
            receiving: None,
            staged: Rows::new(),
            whole: None,
            network: Vec::new(),
        };
        for key in 0..weather.keys {
            pair.change((key as u32, Some(0)));
        }
        pair.sending = Sending::new(pair.log.folded(), now);
        pair
    }

    fn rows(&self) -> &Rows {
        self.states.last_key_value().expect("there is a first").1
    }

    fn change(&mut self, change: Change) {
        let position = self.log.next(EPOCH);
        let mut rows = self.rows().clone();
        apply(&mut rows, change);
        self.states.insert(position, rows);
        assert!(self.log.append(Entry { position, record: change }));
        self.log.fold(position);
        self.log.trim(self.chunks.kept(self.weather.kept_max, true));
    }

    fn change_any(&mut self) {
        let key = self.random.between(0, self.weather.keys) as u32;
        let value = self.random.next();
        self.change((key, (!value.is_multiple_of(3)).then_some(value)));
    }

    fn send(&mut self, message: impl Fn() -> Message) {
        let Weather { loss_percent, twice_percent, delay: (most, least), .. } = self.weather;
        let copies = match () {
            () if self.random.percent(loss_percent) => 0,
            () if self.random.percent(twice_percent) => 2,
            () => 1,
        };
        for _ in 0..copies {
            let at = self.now + self.random.millis(least, most);
            self.network.push((at, message()));
        }
    }

    /// What the primary sends.
    fn drive(&mut self) {
        if !self.sending.step(Duration::from_millis(60), self.now) {
            return;
        }
        loop {
            let rows = self.rows().clone();
            let walk = |after: Cursor, max: usize| {
                let mut left = rows.iter().filter(|(key, _)| !is_under(**key, after));
                let taken: Rows =
                    left.by_ref().take(max).map(|(key, value)| (*key, *value)).collect();
                let last = taken.last_key_value().map(|(key, _)| Place(u128::from(*key)));
                let upto = match left.next() {
                    None => Cursor::End,
                    Some(_) => last.map_or(after, Cursor::After),
                };
                (taken, upto)
            };
            let Some(chunk) = self.sending.cut(&self.log, &self.chunks, walk) else { return };
            assert!(chunk.rows.len() <= self.chunks.rows_max);
            assert!(self.sending.under_way.len() <= self.chunks.window);
            if chunk.reached.upto != chunk.after.upto {
                let is_early = |at| self.now.saturating_since(at) < self.chunks.pace;
                assert!(!self.rows_at.is_some_and(is_early), "not paced");
                self.rows_at = Some(self.now);
            }
            self.beginnings += u64::from(chunk.is_first());
            self.send(|| Message::Chunk(chunk.clone()));
        }
    }

    fn deliver(&mut self) {
        let due: Vec<usize> =
            (0..self.network.len()).filter(|at| self.network[*at].0 <= self.now).collect();
        for at in due.into_iter().rev() {
            match self.network.remove(at).1 {
                Message::Taken(reached) => self.sending.taken(reached),
                Message::Whole(at) if self.log.tail(at, 0).is_none() => {
                    // It is whole, and the log does not have what follows.
                    if at >= self.sending.since() {
                        (self.whole, self.rows_at) = (None, None);
                        self.sending = Sending::new(self.log.folded(), self.now);
                    }
                }
                Message::Whole(_) => (),
                Message::Chunk(chunk) => self.take(chunk),
            }
        }
    }

    fn take(&mut self, chunk: Chunk<Change, Rows>) {
        if let Some((at, _)) = self.whole
            && chunk.reached.at <= at
        {
            return self.send(|| Message::Whole(at));
        }
        let Some(next) = Receiving::next(self.receiving, EPOCH, &chunk) else {
            let reached = self.receiving.map(|known| known.reached()).unwrap_or_default();
            return self.send(|| Message::Taken(reached));
        };
        if chunk.is_first() {
            self.staged.clear();
        }
        for entry in chunk.entries {
            apply(&mut self.staged, entry.record);
        }
        self.staged.extend(chunk.rows);
        self.receiving = Some(next);
        let super::Reached { at, upto } = next.reached();
        // What the module says that is so.
        let under = |rows: &Rows| -> Rows {
            rows.iter()
                .filter(|(key, _)| is_under(**key, upto))
                .map(|(key, row)| (*key, *row))
                .collect()
        };
        assert_eq!(under(&self.staged), under(&self.states[&at]), "at {at:?}, up to {upto:?}");
        if upto == Cursor::End {
            assert_eq!(self.staged, self.states[&at]);
            self.receiving = None;
            self.whole = Some((at, std::mem::take(&mut self.staged)));
            self.send(|| Message::Whole(at));
        } else {
            self.send(|| Message::Taken(next.reached()));
        }
    }

    fn run_for(&mut self, millis: u64) {
        for _ in 0..millis {
            if self.is_done() {
                return;
            }
            self.now = self.now + Duration::from_millis(1);
            let (hundreds, rest) = (self.weather.changes / 100, self.weather.changes % 100);
            let changes = hundreds + u64::from(self.random.percent(rest));
            (0..changes).for_each(|_| self.change_any());
            self.deliver();
            self.drive();
        }
    }

    /// Whether it has everything, or the log has the rest.
    fn is_done(&self) -> bool {
        self.whole.as_ref().is_some_and(|(at, _)| self.log.tail(*at, 0).is_some())
    }

    /// What the receiver has when it has taken in the rest.
    fn copy(&self) -> Option<Rows> {
        let (at, mut rows) = self.whole.clone()?;
        let rest = self.log.tail(at, usize::MAX)?;
        rest.into_iter().for_each(|entry| apply(&mut rows, entry.record));
        Some(rows)
    }
}

fn draw(seed: u64) -> Pair {
    let mut random = Random::new(seed ^ 0x736e_6170);
    let weather = Weather {
        loss_percent: random.between(0, 40),
        twice_percent: random.between(0, 40),
        delay: (random.pick(&[1, 20, 150]), 0),
        changes: random.pick(&[0, 5, 30, 100]),
        keys: random.between(0, 12),
        kept_max: random.pick(&[0, 4, 1000]) as usize,
    };
    let chunks = Chunks {
        rows_max: random.between(1, 4) as usize,
        window: random.between(1, 4) as usize,
        pace: random.millis(0, 10),
        tail_min: random.pick(&[4, 16, 64]) as usize,
    };
    Pair::new(seed, weather, chunks)
}

#[test]
fn in_the_end_the_receiver_has_what_the_sender_has() {
    let mut begun_anew = 0;
    for seed in 0..2000 {
        let mut pair = draw(seed);
        pair.run_for(2000);
        pair.weather.changes = 0;
        pair.run_for(60_000);
        assert_eq!(pair.copy().as_ref(), Some(pair.rows()), "by seed {seed}");
        begun_anew += pair.beginnings - 1;
    }
    assert!(begun_anew > 1000, "{begun_anew}");
}

/// The length of the walk does not matter: a thousand chunks, twenty round trips' records in each
/// second, and a log that has no more than two round trips'.
#[test]
fn a_steady_load_does_not_keep_a_snapshot_from_its_end() {
    let weather = Weather {
        loss_percent: 0,
        twice_percent: 0,
        delay: (5, 5),
        changes: 100,
        keys: 1000,
        kept_max: 0,
    };
    let pace = Duration::from_millis(1);
    let chunks = Chunks { rows_max: 1, window: 8, pace, tail_min: 24 };
    let run = || {
        let mut pair = Pair::new(1, weather, chunks);
        pair.run_for(10_000);
        (pair.is_done(), pair.beginnings)
    };
    assert_eq!(run(), (true, 1));
    let (is_done, beginnings) = breakage::with(Some(Breakage::TailNotKept), run);
    assert!(!is_done && beginnings > 100, "{beginnings}");
    assert!(!is_broken(Breakage::TailNotKept));
}

#[test]
fn each_rule_is_needed() {
    for rule in [Breakage::ChunksWithoutTail, Breakage::ChunkMissing] {
        let is_right = |seed| {
            let run = || {
                let mut pair = draw(seed);
                pair.run_for(2000);
            };
            breakage::with(Some(rule), || std::panic::catch_unwind(run).is_ok())
        };
        let wrong = (0..200).filter(|seed| !is_right(*seed)).count();
        breakage::with(None, || ());
        assert!(wrong > 0, "{rule:?}");
    }
}
