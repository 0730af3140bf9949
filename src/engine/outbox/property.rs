//! Two partitions, a network that loses, repeats and reorders, and stores that lag behind: beside a
//! model of what each entity must have heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Bounds, Config, Effect, Frame, Inbox, Number, Outbox, Receipt};
use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::instant::Instant;

const A: PartitionId = PartitionId(0);
const B: PartitionId = PartitionId(1);
const ENTITIES: u32 = 3;
const FRAME_MAX: usize = 3;
const ATTEMPTS: u32 = 2;

fn config() -> Config {
    Config {
        whole: Bounds { messages: 8, bytes: 1000 },
        per_receiver: Bounds { messages: 8, bytes: 1000 },
        parked_max: 2,
        frame_max: FRAME_MAX,
        attempts_max: ATTEMPTS,
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(4),
        resend_after: Duration::from_secs(5),
    }
}

/// Which entity it is for, which message it is, and whether its handler panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    entity: u32,
    id: u32,
    panics: bool,
}

/// An entity of the receiver, in memory or as its row.
#[derive(Clone, Debug, Default)]
struct Entity {
    heard: Vec<u32>,
    last: Number,
    seq: Seq,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { entity: u32, panics: bool },
    StoreA,
    StoreB { entity: u32 },
    StoreNumber,
    Deliver { at: usize, keep: bool },
    Answer { at: usize, keep: bool },
    Lose { at: usize },
    Apply,
    Pass { seconds: u64 },
    CrashA,
    CrashB,
    Replay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..ENTITIES, 0..10u8).prop_map(|(entity, it)| Step::Send { entity, panics: it < 3 }),
        3 => Just(Step::StoreA),
        2 => (0..ENTITIES).prop_map(|entity| Step::StoreB { entity }),
        1 => Just(Step::StoreNumber),
        6 => (0..8usize, prop::bool::weighted(0.2))
            .prop_map(|(at, keep)| Step::Deliver { at, keep }),
        6 => (0..8usize, prop::bool::weighted(0.2))
            .prop_map(|(at, keep)| Step::Answer { at, keep }),
        1 => (0..8usize).prop_map(|at| Step::Lose { at }),
        6 => Just(Step::Apply),
        3 => (1..6u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::CrashA),
        1 => Just(Step::CrashB),
        1 => Just(Step::Replay),
    ];
    prop::collection::vec(step, 1..200)
}

/// What the sender's store holds: each message, and whether it is parked.
type Kept = BTreeMap<Number, (Content, bool)>;

struct World {
    now: u64,
    outbox: Outbox<Content>,
    kept: Kept,
    /// The same, as it is stored.
    stored: Kept,
    parking: Vec<Number>,
    epoch_a: u64,
    seq_a: u64,
    sent: u32,
    inbox: Inbox<Content>,
    epoch_b: u64,
    seq_b: u64,
    entities: BTreeMap<u32, Entity>,
    rows: BTreeMap<u32, Entity>,
    number: Number,
    frames: Vec<Frame<Content>>,
    receipts: Vec<Receipt>,
    /// What may never panic any more.
    mended: bool,
    /// Order of what was durably sent, by entity: messages that were replayed count from then.
    order: Vec<Content>,
}

impl World {
    fn new() -> World {
        World {
            now: 0,
            outbox: Outbox::new(config(), Epoch(1)),
            kept: Kept::new(),
            stored: Kept::new(),
            parking: Vec::new(),
            epoch_a: 1,
            seq_a: 0,
            sent: 0,
            inbox: Inbox::new(Epoch(1)),
            epoch_b: 1,
            seq_b: 0,
            entities: BTreeMap::new(),
            rows: BTreeMap::new(),
            number: Number::default(),
            frames: Vec::new(),
            receipts: Vec::new(),
            mended: false,
            order: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now * 1_000_000_000)
    }

    fn next_number(&mut self) -> Number {
        self.seq_a += 1;
        Number { position: Position { epoch: Epoch(self.epoch_a), seq: Seq(self.seq_a) }, index: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { entity, panics } => {
                if self.outbox.has_room() {
                    let number = self.next_number();
                    self.sent += 1;
                    let content = Content { entity, id: self.sent, panics };
                    self.outbox.push(number, B, 10, content);
                    self.kept.insert(number, (content, false));
                }
            }
            Step::StoreA => self.store_a(),
            Step::StoreB { entity } => {
                if let Some(known) = self.entities.get(&entity) {
                    self.rows.insert(entity, known.clone());
                }
                self.tell_persisted();
            }
            Step::StoreNumber => {
                self.number = self.inbox.to_store(A);
                self.inbox.stored(A, self.number);
            }
            Step::Deliver { at, keep } => {
                if let Some(frame) = take(&mut self.frames, at, keep) {
                    self.inbox.receive(A, frame);
                    self.tell();
                }
            }
            Step::Answer { at, keep } => {
                if let Some(receipt) = take(&mut self.receipts, at, keep) {
                    let mut effects = Vec::new();
                    self.outbox.receipt(self.now(), B, receipt, &mut effects);
                    self.perform(effects);
                }
            }
            Step::Lose { at } => {
                take(&mut self.frames, at, false);
                take(&mut self.receipts, at, false);
            }
            Step::Apply => self.apply(),
            Step::Pass { seconds } => self.now += seconds,
            Step::CrashA => self.crash_a(),
            Step::CrashB => self.crash_b(),
            Step::Replay => self.replay(),
        }
        let mut effects = Vec::new();
        self.outbox.step(self.now(), &mut effects);
        let deadline = self.outbox.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now()), "it does not wake at once again");
        self.perform(effects);
        assert!(self.frames.iter().all(|frame| frame.messages.len() <= FRAME_MAX));
        // What was parked comes back by a replay, or by a crash before that was durable.
        let back = config().parked_max;
        assert!(self.outbox.len() <= config().whole.messages + back);
        assert!(self.outbox.parked_len() <= config().parked_max);
    }

    fn perform(&mut self, effects: Vec<Effect<Content>>) {
        for effect in effects {
            match effect {
                Effect::Send(to, frame) => {
                    assert_eq!(to, B);
                    for (number, _) in &frame.messages {
                        assert!(self.stored.contains_key(number), "{number:?} left too early");
                    }
                    self.frames.push(frame);
                }
                Effect::Forget(number) => {
                    let (content, _) = self.kept.remove(&number).unwrap();
                    let row = &self.rows[&content.entity];
                    assert!(row.heard.contains(&content.id), "{content:?} was forgotten too early");
                }
                Effect::Park { number, attempts, .. } => {
                    assert!(attempts >= ATTEMPTS);
                    self.kept.get_mut(&number).unwrap().1 = true;
                    self.parking.push(number);
                }
            }
        }
    }

    fn store_a(&mut self) {
        for (number, (content, _)) in &self.kept {
            if !self.stored.contains_key(number) {
                self.order.push(*content);
                self.outbox.release(*number);
            }
        }
        self.stored = self.kept.clone();
        for number in std::mem::take(&mut self.parking) {
            self.outbox.parked(number);
        }
    }

    fn replay(&mut self) {
        let is_parked = |number: &&Number| self.outbox.is_parked(**number);
        if let Some(number) = self.stored.keys().find(is_parked).copied() {
            self.outbox.discard(number);
            let (content, _) = self.kept.remove(&number).unwrap();
            let anew = self.next_number();
            let content = Content { panics: false, ..content };
            self.order.retain(|it| it.id != content.id);
            self.outbox.push(anew, B, 10, content);
            self.kept.insert(anew, (content, false));
            self.store_a(); // in one row, so at once
        }
    }

    fn apply(&mut self) {
        let Some((number, content)) = self.inbox.next(A).copied() else { return };
        let entity = self.entities.entry(content.entity).or_default();
        if number <= entity.last {
            self.inbox.applied(A);
            self.inbox.mark(Seq(self.seq_b));
        } else if content.panics && !self.mended {
            self.inbox.failed(A, "panic".to_owned());
        } else {
            self.seq_b += 1;
            entity.heard.push(content.id);
            (entity.last, entity.seq) = (number, Seq(self.seq_b));
            self.inbox.applied(A);
            self.inbox.mark(Seq(self.seq_b));
        }
        self.tell_persisted();
    }

    /// The watermark: nothing at or under it is only in memory.
    fn tell_persisted(&mut self) {
        let is_behind = |(key, entity): &(&u32, &Entity)| {
            self.rows.get(key).is_none_or(|row| row.seq < entity.seq)
        };
        let oldest = self.entities.iter().filter(is_behind).map(|(key, entity)| {
            let stored = self.rows.get(key).map_or(0, |row| row.heard.len());
            // The first change that is not stored: each is one message.
            entity.seq.0 - (entity.heard.len() - stored) as u64
        });
        // A lower bound that is good enough where one entity's changes are not in a row.
        let durable = oldest.min().map_or(self.seq_b, |seq| seq.min(self.lowest_unstored() - 1));
        self.inbox.persisted(Seq(durable));
        self.tell();
    }

    fn lowest_unstored(&self) -> u64 {
        let stored = |key: &u32| self.rows.get(key).map_or(0, |row| row.seq.0);
        let behind = self.entities.iter().filter(|(key, entity)| entity.seq.0 > stored(key));
        // Everything after the stored version of an entity that is behind may be its change.
        behind.map(|(key, _)| stored(key) + 1).min().unwrap_or(self.seq_b + 1)
    }

    fn tell(&mut self) {
        self.receipts.extend(self.inbox.take_receipts().into_iter().map(|(_, receipt)| receipt));
    }

    fn crash_a(&mut self) {
        self.epoch_a += 1;
        self.seq_a = 0;
        self.parking.clear();
        self.kept = self.stored.clone();
        self.outbox = Outbox::new(config(), Epoch(self.epoch_a));
        for (number, (content, is_parked)) in &self.kept {
            self.outbox.restore(*number, B, 10, *content, *is_parked);
        }
    }

    fn crash_b(&mut self) {
        self.epoch_b += 1;
        self.inbox = Inbox::new(Epoch(self.epoch_b));
        self.inbox.restore(A, self.number);
        self.entities = self.rows.clone();
        // Sequence numbers go on, so that the model's watermark stays simple.
    }

    /// Heals everything, and waits until all is told.
    fn heal(&mut self) {
        self.mended = true;
        self.step(Step::StoreA);
        for _ in 0..400 {
            self.step(Step::Replay);
            self.step(Step::StoreA);
            self.step(Step::Deliver { at: 0, keep: false });
            self.step(Step::Apply);
            (0..ENTITIES).for_each(|entity| self.step(Step::StoreB { entity }));
            self.step(Step::Answer { at: 0, keep: false });
            self.step(Step::Pass { seconds: 1 });
        }
    }

    fn check_heard(&self, whole: bool) {
        for (key, entity) in &self.entities {
            let distinct: BTreeSet<u32> = entity.heard.iter().copied().collect();
            assert_eq!(distinct.len(), entity.heard.len(), "entity {key} heard one twice");
            if whole {
                let wanted: Vec<u32> =
                    self.order.iter().filter(|it| it.entity == *key).map(|it| it.id).collect();
                assert_eq!(entity.heard, wanted, "entity {key}");
            }
        }
        let heard: usize = self.entities.values().map(|entity| entity.heard.len()).sum();
        assert!(!whole || heard == self.order.len(), "{heard} heard of {}", self.order.len());
    }
}

fn take<T: Clone>(from: &mut Vec<T>, at: usize, keep: bool) -> Option<T> {
    if from.is_empty() {
        return None;
    }
    let at = at % from.len();
    Some(if keep { from[at].clone() } else { from.remove(at) })
}

fn config_of_cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config_of_cases(800))]

    #[test]
    fn each_message_takes_effect_once_and_in_order(steps in steps(), crashes in 0..3u8) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check_heard(false);
        }
        match crashes {
            0 => world.step(Step::CrashA),
            1 => world.step(Step::CrashB),
            _ => (),
        }
        world.heal();
        world.check_heard(true);
        prop_assert_eq!(world.outbox.len(), 0, "all is forgotten");
    }
}
