//! Some partitions whose outboxes are small and full, and whose messages make others: all of them
//! get through in the end, and no outbox grows beyond what is promised.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::{Bounds, Config, Effect, Frame, Inbox, Number, Outbox, Receipt};
use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::instant::Instant;

const BYTES: u64 = 10;

/// A chain of messages: its name, how many follow this one, and chance for whom.
#[derive(Clone, Copy, Debug)]
struct Chain {
    id: u32,
    left: u32,
    chance: u64,
}

impl Chain {
    fn next(self) -> Chain {
        let chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 << 20 | 1);
        Chain { left: self.left - 1, chance, ..self }
    }

    fn to(self, partitions: usize) -> PartitionId {
        PartitionId(((self.chance >> 33) as usize % partitions) as u16)
    }
}

enum Letter {
    Frame(Frame<Chain>),
    Receipt(Receipt),
}

struct Partition {
    outbox: Outbox<Chain>,
    inbox: Inbox<Chain>,
    seq: u64,
    unreleased: Vec<Number>,
    /// How often a handler was run for nothing.
    undone: u64,
}

struct World {
    now: u64,
    partitions: Vec<Partition>,
    letters: VecDeque<(usize, usize, Letter)>,
    started: u32,
    over: BTreeSet<u32>,
    messages_max: usize,
    /// A partition that applies nothing.
    slow: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An ask that sends, if it may.
    Ask {
        at: usize,
        left: u32,
        chance: u64,
    },
    Deliver {
        at: usize,
    },
    Lose {
        at: usize,
    },
    Store {
        at: usize,
    },
    Pass {
        seconds: u64,
    },
}

impl World {
    fn new(partitions: usize, messages_max: usize, per_receiver: usize) -> World {
        let bounds = |messages| Bounds { messages, bytes: 1_000_000 };
        let config = Config {
            whole: Bounds { messages: messages_max, bytes: messages_max as u64 * BYTES },
            per_receiver: bounds(per_receiver),
            parked_max: 0,
            frame_max: 3,
            attempts_max: u32::MAX,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(1),
            resend_after: Duration::from_secs(5),
        };
        let partition = |_| Partition {
            outbox: Outbox::new(config, Epoch(1)),
            inbox: Inbox::new(Epoch(1)),
            seq: 0,
            unreleased: Vec::new(),
            undone: 0,
        };
        World {
            now: 0,
            partitions: (0..partitions).map(partition).collect(),
            letters: VecDeque::new(),
            started: 0,
            over: BTreeSet::new(),
            messages_max,
            slow: None,
        }
    }

    fn step(&mut self, step: Step) {
        let count = self.partitions.len();
        match step {
            Step::Ask { at, left, chance } => {
                let chain = Chain { id: self.started, left, chance };
                let partition = &mut self.partitions[at % count];
                if partition.outbox.fits(&[(chain.to(count), BYTES)]) {
                    self.started += 1;
                    partition.send(chain, count);
                }
            }
            Step::Deliver { at } if !self.letters.is_empty() => {
                // Any pair's next letter: between two partitions they keep their order.
                let (from, to, _) = self.letters[at % self.letters.len()];
                let first = self.letters.iter().position(|it| (it.0, it.1) == (from, to)).unwrap();
                let (from, to, letter) = self.letters.remove(first).unwrap();
                self.deliver(from, to, letter);
            }
            Step::Lose { at } if !self.letters.is_empty() => {
                self.letters.remove(at % self.letters.len());
            }
            Step::Deliver { .. } | Step::Lose { .. } => (),
            Step::Store { at } => self.store(at % count),
            Step::Pass { seconds } => self.now += seconds,
        }
        (0..count).for_each(|at| self.exchange(at));
        for partition in &self.partitions {
            let most = self.messages_max + 2 * count + 1;
            assert!(partition.outbox.len() <= most, "{} kept", partition.outbox.len());
        }
    }

    fn deliver(&mut self, from: usize, to: usize, letter: Letter) {
        let (now, partition) = (self.now(), &mut self.partitions[to]);
        let from = PartitionId(from as u16);
        match letter {
            Letter::Frame(frame) => partition.inbox.receive(from, frame),
            Letter::Receipt(receipt) => {
                partition.outbox.receipt(now, from, receipt, &mut Vec::new());
            }
        }
    }

    /// What was sent may leave, and what was applied is durable.
    fn store(&mut self, at: usize) {
        let partition = &mut self.partitions[at];
        partition.unreleased.drain(..).for_each(|number| partition.outbox.release(number));
        partition.inbox.persisted(Seq(partition.seq));
    }

    fn exchange(&mut self, at: usize) {
        let count = self.partitions.len();
        if self.slow != Some(at) {
            let partition = &mut self.partitions[at];
            for from in partition.inbox.pending().collect::<Vec<_>>() {
                partition.apply(from, count, &mut self.over);
            }
            while let Some(from) = partition.inbox.resume(&partition.outbox) {
                partition.apply(from, count, &mut self.over);
            }
        }
        let (now, partition) = (self.now(), &mut self.partitions[at]);
        partition.inbox.mark(Seq(partition.seq));
        let mut effects = Vec::new();
        partition.outbox.step(now, &mut effects);
        for effect in effects {
            if let Effect::Send(to, frame) = effect {
                self.letters.push_back((at, usize::from(to.0), Letter::Frame(frame)));
            }
        }
        for (to, receipt) in partition.inbox.take_receipts() {
            self.letters.push_back((at, usize::from(to.0), Letter::Receipt(receipt)));
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now * 1_000_000_000)
    }

    /// Loses nothing any more, and lets everything happen that can. Returns what is still kept.
    fn run_out(&mut self) -> usize {
        for _ in 0..40 * (self.started as usize + 10) {
            for at in 0..self.partitions.len() {
                self.step(Step::Store { at });
            }
            for _ in 0..self.letters.len() {
                self.step(Step::Deliver { at: 0 });
            }
            if self.kept() == 0 {
                break;
            }
            self.now += u64::from(self.letters.is_empty());
        }
        self.kept()
    }

    fn kept(&self) -> usize {
        self.partitions.iter().map(|partition| partition.outbox.len()).sum()
    }
}

impl Partition {
    fn send(&mut self, chain: Chain, count: usize) {
        self.seq += 1;
        let position = Position { epoch: Epoch(1), seq: Seq(self.seq) };
        let number = Number { position, index: 0 };
        self.outbox.push(number, chain.to(count), BYTES, chain);
        self.unreleased.push(number);
    }

    fn apply(&mut self, from: PartitionId, count: usize, over: &mut BTreeSet<u32>) {
        while let Some((_, chain)) = self.inbox.next(from).copied() {
            if chain.left == 0 {
                assert!(over.insert(chain.id), "{chain:?} came twice");
                self.seq += 1;
            } else {
                let outgoing = [(chain.next().to(count), BYTES)];
                if !self.outbox.admits(&outgoing, self.inbox.claim(from)) {
                    self.undone += 1;
                    self.inbox.put_aside(from, outgoing.into());
                    return;
                }
                self.outbox.admitted(&outgoing);
                self.send(chain.next(), count);
            }
            self.inbox.applied(from);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..8usize, 0..20u32, any::<u64>())
            .prop_map(|(at, left, chance)| Step::Ask { at, left, chance }),
        6 => (0..16usize).prop_map(|at| Step::Deliver { at }),
        1 => (0..16usize).prop_map(|at| Step::Lose { at }),
        4 => (0..8usize).prop_map(|at| Step::Store { at }),
        1 => (1..6u64).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn chains_get_through_full_outboxes(
        steps in steps(), partitions in 1..5usize, messages in 1..5usize, per_receiver in 1..4usize,
    ) {
        let mut world = World::new(partitions, messages, per_receiver);
        steps.into_iter().for_each(|step| world.step(step));
        prop_assert_eq!(world.run_out(), 0, "some wait for each other");
        prop_assert_eq!(world.over.len(), world.started as usize);
    }
}

/// Two that are full of messages to each other, and a third that sends to both all the time.
#[test]
fn two_full_outboxes_towards_each_other_and_a_third_that_sends_to_both() {
    let mut world = World::new(3, 2, 2);
    let mut chance = Chain { id: 0, left: u32::MAX, chance: 7 };
    for _ in 0..9000 {
        chance = chance.next();
        let (at, chance) = ((chance.chance >> 40) as usize, chance.chance);
        world.step(Step::Ask { at, left: 20, chance });
        world.step(Step::Deliver { at });
        world.step(Step::Store { at });
    }
    assert!(world.started > 20, "{} started", world.started);
    assert_eq!(world.run_out(), 0);
    let undone: u64 = world.partitions.iter().map(|partition| partition.undone).sum();
    assert!(undone > 0, "nothing was ever full");
}

/// What waits for a receiver that takes nothing does not keep others from sending.
#[test]
fn a_receiver_that_takes_nothing_has_its_own_bound() {
    let mut world = World::new(3, 10, 2);
    world.slow = Some(2);
    for chance in 0..200u64 {
        world.step(Step::Ask { at: 0, left: 0, chance: chance << 33 });
        world.step(Step::Deliver { at: 0 });
        world.step(Step::Store { at: 0 });
        world.step(Step::Store { at: 1 });
    }
    assert!(world.over.len() > 50, "{} came through", world.over.len());
    assert_eq!(world.run_out(), 2, "and no more is kept for the slow one");
}
