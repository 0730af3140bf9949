//! Random events against a store that fails, refuses, supersedes and answers late, beside a model
//! that recomputes everything from the whole history.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::id::Version;
use crate::engine::replica::primary::Change;

const CONFIG: Config = Config {
    batch_records_max: 3,
    batch_bytes_max: 60,
    pending_records_max: 12,
    pending_bytes_max: 200,
    pending_age_max: Duration::from_secs(10),
    retry_min: Duration::from_millis(10),
    retry_max: Duration::from_millis(500),
};

#[derive(Clone, Debug)]
enum Op {
    Change {
        slot: u32,
        bytes: u64,
        delay_millis: u64,
        same_batch: bool,
    },
    Advance {
        millis: u64,
    },
    /// To the next deadline.
    Wake,
    Flush,
    /// The store does the batch; poison is refused, with its name or without.
    Answer {
        names_culprit: bool,
    },
    /// The store does the batch and holds a newer version of its first record.
    Supersede,
    /// The store refuses dead letters, too.
    RefuseAll,
    /// Nobody knows whether the store has done the batch.
    Fail,
    /// An answer to a batch that was given up.
    AnswerOld,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let delay = prop_oneof![Just(0u64), Just(100), Just(1_000)];
    let change = (0..8u32, 0..80u64, delay, any::<bool>()).prop_map(
        |(slot, bytes, delay_millis, same_batch)| Op::Change {
            slot,
            bytes,
            delay_millis,
            same_batch,
        },
    );
    let op = prop_oneof![
        8 => change,
        3 => (0..400u64).prop_map(|millis| Op::Advance { millis }),
        3 => Just(Op::Wake),
        1 => Just(Op::Flush),
        5 => any::<bool>().prop_map(|names_culprit| Op::Answer { names_culprit }),
        1 => Just(Op::Supersede),
        1 => Just(Op::RefuseAll),
        2 => Just(Op::Fail),
        1 => Just(Op::AnswerOld),
    ];
    prop::collection::vec(op, 1..120)
}

fn config(cases: u32) -> ProptestConfig {
    // What fails is printed whole and becomes a named test; no files beside the sources.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Whether the store refuses this record for good.
fn is_poison(entry: &Entry) -> bool {
    entry.parking.is_none()
        && entry.entity.slot % 3 == 1
        && entry.version.position.seq.0.is_multiple_of(2)
}

/// What is known of one entity, by the model's own book-keeping.
#[derive(Default)]
struct Known {
    newest: Version,
    bytes: u64,
    /// The newest version of which the store said that it is durable.
    durable: Option<Version>,
    /// When the changes since the last take are due.
    due_at: Option<Instant>,
    /// Its last try failed without its being refused.
    is_again: bool,
    /// The version to be parked, if it is still the newest.
    parking: Option<Version>,
}

struct World {
    queue: WriteBehind,
    now: Instant,
    known: BTreeMap<EntityId, Known>,
    /// All changes, with the time of each.
    history: Vec<(EntityId, Version, Instant)>,
    last_version: Version,
    /// The batch that the store works on.
    writing: Option<(BatchId, Vec<Entry>)>,
    backing_off_until: Option<Instant>,
    last_persisted: Seq,
}

impl World {
    fn new() -> World {
        World {
            queue: WriteBehind::new(CONFIG, 3),
            now: Instant::from_nanos(0),
            known: BTreeMap::new(),
            history: Vec::new(),
            last_version: Version::new(1, 0, 0),
            writing: None,
            backing_off_until: None,
            last_persisted: Seq(0),
        }
    }

    fn run(&mut self, ops: &[Op]) {
        let mut may_join = false;
        for op in ops {
            self.perform(op, may_join);
            may_join = matches!(op, Op::Change { .. });
        }
    }

    fn perform(&mut self, op: &Op, may_join: bool) {
        match *op {
            Op::Change { slot, bytes, delay_millis, same_batch } => {
                let delay = Duration::from_millis(delay_millis);
                self.change(slot, bytes, delay, may_join && same_batch);
            }
            Op::Advance { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.step(Event::Tick);
            }
            Op::Wake => self.wake(),
            Op::Flush => {
                self.hurry();
                self.step(Event::Flush);
            }
            Op::Answer { names_culprit } => self.answer(names_culprit),
            Op::Supersede => {
                let found = Version::new(99, 0, 0);
                self.outcomes(|at, entry| match entry.parking {
                    None if at == 0 => Outcome::Superseded { found },
                    _ => Outcome::Stored,
                });
            }
            Op::RefuseAll => self.outcomes(|_, _| Outcome::Refused { reason: "all".to_owned() }),
            Op::Fail => self.fail(Failure::Unavailable { reason: "down".to_owned() }),
            Op::AnswerOld => {
                let batch = BatchId(self.queue.last_batch.0.saturating_sub(1));
                self.step(Event::Answered { batch, outcomes: vec![Outcome::Stored] });
            }
        }
    }

    fn change(&mut self, slot: u32, bytes: u64, delay: Duration, same_batch: bool) {
        let entity = EntityId { kind: 0, slot };
        let known = self.known.entry(entity).or_default();
        let mut version = Version::new(1, self.last_version.position.seq.0 + 1, 0);
        if same_batch && known.newest.position.seq != self.last_version.position.seq {
            version = Version { index: self.last_version.index + 1, ..self.last_version };
        }
        self.last_version = version;
        self.history.push((entity, version, self.now));
        known.newest = version;
        known.bytes = bytes;
        known.parking = None;
        let due_at = self.now + delay;
        known.due_at = Some(known.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
        self.step(Event::Changed(Change { entity, version, bytes, delay }));
    }

    fn wake(&mut self) {
        if let Some(deadline) = self.queue.next_deadline() {
            self.now = self.now.max(deadline);
        }
        self.step(Event::Tick);
    }

    fn answer(&mut self, names_culprit: bool) {
        let has_poison = self.writing.iter().any(|(_, entries)| entries.iter().any(is_poison));
        if has_poison && !names_culprit {
            self.fail(Failure::Refused { reason: "poison".to_owned() });
        } else {
            self.outcomes(|_, entry| match is_poison(entry) {
                true => Outcome::Refused { reason: "poison".to_owned() },
                false => Outcome::Stored,
            });
        }
    }

    fn outcomes(&mut self, outcome: impl Fn(usize, &Entry) -> Outcome) {
        let Some((batch, entries)) = self.writing.take() else {
            return;
        };
        let outcomes: Vec<_> =
            entries.iter().enumerate().map(|(at, entry)| outcome(at, entry)).collect();
        for (entry, outcome) in entries.iter().zip(&outcomes) {
            let known = self.known.get_mut(&entry.entity).unwrap();
            match outcome {
                Outcome::Stored => known.durable = Some(entry.version),
                _ if known.newest == entry.version => known.parking = Some(entry.version),
                _ => (),
            }
        }
        self.step(Event::Answered { batch, outcomes });
    }

    fn fail(&mut self, failure: Failure) {
        let Some((batch, entries)) = self.writing.take() else {
            return;
        };
        let is_culprit = matches!(failure, Failure::Refused { .. }) && entries.len() == 1;
        for entry in &entries {
            let known = self.known.get_mut(&entry.entity).unwrap();
            known.is_again = !is_culprit;
            if is_culprit && known.newest == entry.version {
                known.parking = Some(entry.version);
            }
        }
        self.step(Event::Failed { batch, failure });
    }

    fn step(&mut self, event: Event) {
        let is_change = matches!(event, Event::Changed(_));
        let is_failure = matches!(event, Event::Failed { .. });
        if self.is_pressed() {
            self.hurry();
        }
        let mut effects = Vec::new();
        self.queue.step(self.now, event, &mut effects);
        for effect in effects {
            self.effect(effect, is_failure);
        }
        self.check(is_change);
    }

    fn effect(&mut self, effect: Effect, is_failure: bool) {
        match effect {
            Effect::Write { batch, entries } => self.write(batch, entries),
            Effect::Stored { entity, version } | Effect::Parked { entity, version, .. } => {
                assert_eq!(self.known[&entity].durable, Some(version), "said too much");
            }
            Effect::Retrying { after, .. } if is_failure => {
                assert!(after >= CONFIG.retry_min / 2 && after <= CONFIG.retry_max);
                self.backing_off_until = Some(self.now + after);
            }
            Effect::Retrying { .. } => (), // one dead letter
            Effect::Persisted { seq } => {
                assert!(seq > self.last_persisted, "the watermark went back");
                self.last_persisted = seq;
            }
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, batch: BatchId, entries: Vec<Entry>) {
        assert!(self.writing.is_none(), "two batches at once");
        assert!(self.backing_off_until.is_none_or(|until| until <= self.now), "no back-off");
        self.backing_off_until = None;
        let bytes: u64 = entries.iter().map(|entry| self.known[&entry.entity].bytes).sum();
        assert!(!entries.is_empty());
        assert!(entries.len() == 1 || (entries.len() <= 3 && bytes <= 60), "{entries:?}");
        assert!(entries.is_sorted_by_key(|entry| entry.parking.is_some()));
        for entry in &entries {
            let known = self.known.get_mut(&entry.entity).unwrap();
            assert_eq!(entry.version, known.newest, "not the newest");
            assert_eq!(entry.parking.is_some(), known.parking == Some(entry.version));
            let is_early = known.due_at.is_some_and(|at| at > self.now);
            assert!(!is_early || known.is_again, "{entry:?} is written too early");
            known.due_at = None;
            known.is_again = false;
        }
        self.writing = Some((batch, entries));
    }

    fn pending(&self) -> impl Iterator<Item = &Known> {
        self.known.values().filter(|known| known.durable != Some(known.newest))
    }

    /// The oldest change that is not durable, from the whole history.
    fn oldest(&self) -> Option<(Version, Instant)> {
        let is_durable = |entity, version| self.known[entity].durable >= Some(version);
        let oldest = self.history.iter().find(|(entity, version, _)| !is_durable(entity, *version));
        oldest.map(|(_, version, at)| (*version, *at))
    }

    fn is_pressed(&self) -> bool {
        let bytes: u64 = self.pending().map(|known| known.bytes).sum();
        let age = self.oldest().map_or(Duration::ZERO, |(_, at)| self.now.saturating_since(at));
        self.pending().count() >= 6 || bytes >= 100 || age >= Duration::from_secs(5)
    }

    fn hurry(&mut self) {
        for due_at in self.known.values_mut().filter_map(|known| known.due_at.as_mut()) {
            *due_at = self.now.min(*due_at);
        }
    }

    fn check(&self, is_change: bool) {
        let highest = self.last_version.position.seq;
        let durable = self.oldest().map_or(highest, |(v, _)| Seq(v.position.seq.0 - 1));
        assert_eq!(self.queue.persisted(), durable);
        assert_eq!(self.queue.persisted(), self.last_persisted);
        assert_eq!(self.queue.oldest_at(), self.oldest().map(|(_, at)| at));
        assert_eq!(self.queue.pending_records(), self.pending().count());
        assert_eq!(self.queue.pending_bytes(), self.pending().map(|known| known.bytes).sum());
        let deadline = self.queue.next_deadline();
        if self.writing.is_some() {
            assert_eq!(deadline, None);
        } else if let Some(until) = self.backing_off_until {
            assert_eq!(deadline, Some(until));
        } else {
            let due_at = self.pending().filter_map(|known| known.due_at).min();
            assert!(is_change || deadline.is_none_or(|at| at > self.now), "work was left");
            assert!(due_at.is_none_or(|due_at| deadline <= Some(due_at)), "sleeps too long");
            assert_eq!(deadline.is_none(), self.pending().count() == 0);
        }
    }

    /// Lets the store work, still refusing poison, until nothing is pending. Returns how many
    /// batches that took.
    fn drain(&mut self) -> usize {
        let (mut batches, mut steps) = (0, 0);
        while self.queue.pending_records() > 0 {
            match self.writing {
                Some(_) => {
                    self.answer(batches % 2 == 0);
                    batches += 1;
                }
                None => self.wake(),
            }
            steps += 1;
            assert!(steps < 400, "no end: {:?}", self.queue);
        }
        batches
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn nothing_is_lost_and_every_rule_holds_at_every_step(ops in ops()) {
        let mut world = World::new();
        world.run(&ops);
        world.drain();
        for (entity, known) in &world.known {
            prop_assert_eq!(known.durable, Some(known.newest), "{:?} is lost", entity);
        }
        prop_assert_eq!(world.queue.persisted(), world.last_version.position.seq);
        prop_assert_eq!(world.queue.next_deadline(), None);
    }
}

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn the_same_events_and_seed_give_the_same_effects(ops in ops()) {
        let run = || {
            let mut world = World::new();
            world.run(&ops);
            format!("{:?}", world.queue)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn bisecting_ends_as_soon_as_halving_can(
        poison in prop::collection::btree_set(0..256u32, 0..5),
    ) {
        let config = Config {
            batch_records_max: 256,
            batch_bytes_max: u64::MAX,
            pending_records_max: 256,
            ..CONFIG
        };
        let mut queue = WriteBehind::new(config, 1);
        let mut effects = Vec::new();
        let now = Instant::from_nanos(0);
        for slot in 0..256 {
            let entity = EntityId { kind: 0, slot };
            let version = Version::new(1, 1, slot);
            let change = Change { entity, version, bytes: 1, delay: Duration::ZERO };
            queue.step(now, Event::Changed(change), &mut effects);
        }
        queue.step(now, Event::Tick, &mut effects);
        let (mut batches, mut parked) = (0, Vec::new());
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Write { batch, entries } => {
                        batches += 1;
                        let is_poison = |entry: &Entry| {
                            entry.parking.is_none() && poison.contains(&entry.entity.slot)
                        };
                        let event = if entries.iter().any(is_poison) {
                            let failure = Failure::Refused { reason: "poison".to_owned() };
                            Event::Failed { batch, failure }
                        } else {
                            let outcomes = vec![Outcome::Stored; entries.len()];
                            Event::Answered { batch, outcomes }
                        };
                        queue.step(now, event, &mut effects);
                    }
                    Effect::Parked { entity, .. } => parked.push(entity.slot),
                    _ => (),
                }
            }
        }
        parked.sort_unstable();
        prop_assert_eq!(&parked, &poison.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(queue.persisted(), Seq(1));
        // Each culprit costs two batches per halving at most; the dead letters one more.
        prop_assert!(batches <= 2 + 2 * 8 * poison.len(), "{batches} batches");
    }
}
