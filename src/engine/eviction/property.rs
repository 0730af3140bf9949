//! Random calls beside a model that keeps the same rules in plain vectors and recomputes all sums.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::lists::Place::{Probation, Protected, Window};
use super::*;
use crate::engine::simulation::random::Random;

#[derive(Clone, Debug)]
enum Op {
    Insert {
        slot: u32,
        key: u64,
        bytes: u32,
    },
    Touch {
        slot: u32,
    },
    Resize {
        slot: u32,
        bytes: u32,
    },
    Remove {
        slot: u32,
    },
    /// Pinned are the slots with this remainder when divided by three, or none.
    Victim {
        pinned: Option<u32>,
        is_removed: bool,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let slot = || 0..60u32;
    let bytes = || prop_oneof![0..100u32, Just(u32::MAX)];
    let op = prop_oneof![
        6 => (slot(), 0..90u64, bytes())
            .prop_map(|(slot, key, bytes)| Op::Insert { slot, key, bytes }),
        12 => slot().prop_map(|slot| Op::Touch { slot }),
        1 => (slot(), bytes()).prop_map(|(slot, bytes)| Op::Resize { slot, bytes }),
        1 => slot().prop_map(|slot| Op::Remove { slot }),
        3 => (prop::option::of(0..3u32), any::<bool>())
            .prop_map(|(pinned, is_removed)| Op::Victim { pinned, is_removed }),
    ];
    prop::collection::vec(op, 1..300)
}

fn hash_of(key: u64) -> u64 {
    Random::new(key).next()
}

/// The lists as vectors, coldest first; of each slot its hash and size.
#[derive(Default)]
struct Model {
    lists: BTreeMap<Place, Vec<u32>>,
    slots: BTreeMap<u32, (u32, u32)>,
    warm_losers: u32,
}

impl Model {
    fn list(&mut self, place: Place) -> &mut Vec<u32> {
        self.lists.entry(place).or_default()
    }

    fn place(&self, slot: u32) -> Option<Place> {
        let mut places = self.lists.iter().filter(|(_, list)| list.contains(&slot));
        places.next().map(|(place, _)| *place)
    }

    fn put(&mut self, slot: u32, place: Place) {
        self.lists.values_mut().for_each(|list| list.retain(|at| *at != slot));
        self.list(place).push(slot);
    }

    fn cool(&mut self, place: Place, target: usize) {
        while self.list(place).len() > target {
            let coldest = self.list(place)[0];
            self.put(coldest, Probation);
        }
    }

    fn insert(&mut self, slot: u32, key: u64, bytes: u32) {
        self.remove(slot);
        let target = (self.slots.len() / 100).max(1);
        self.cool(Window, target);
        self.slots.insert(slot, (fold(hash_of(key)), bytes));
        self.put(slot, Window);
    }

    fn touch(&mut self, slot: u32) {
        match self.place(slot) {
            None => return,
            Some(Window) => self.put(slot, Window),
            Some(_) => self.put(slot, Protected),
        }
        let main = self.slots.len() - self.list(Window).len();
        self.cool(Protected, main * 4 / 5);
    }

    fn remove(&mut self, slot: u32) {
        self.slots.remove(&slot);
        self.lists.values_mut().for_each(|list| list.retain(|at| *at != slot));
    }

    fn coldest(&mut self, place: Place, is_pinned: impl Fn(u32) -> bool) -> Option<u32> {
        let list = self.list(place);
        let pinned = list.iter().take_while(|slot| is_pinned(**slot)).count();
        let is_any_free = pinned < list.len();
        list.rotate_left(pinned);
        is_any_free.then(|| list[0])
    }

    fn victim(&mut self, sketch: &Sketch, is_pinned: impl Fn(u32) -> bool) -> Option<u32> {
        let has_newcomer = self.list(Window).len() > (self.slots.len() / 100).max(1);
        let newcomer = if has_newcomer { self.coldest(Window, &is_pinned) } else { None };
        let mut resident = self.coldest(Probation, &is_pinned);
        if resident.is_none() {
            resident = self.coldest(Protected, &is_pinned);
        }
        let (Some(newcomer), Some(resident)) = (newcomer, resident) else {
            let other = newcomer.or(resident);
            return other.or_else(|| self.coldest(Window, &is_pinned));
        };
        let [new, old] = [newcomer, resident].map(|slot| sketch.frequency(self.slots[&slot].0));
        let is_warm_loser = new <= old && new >= WARM;
        self.warm_losers += u32::from(is_warm_loser);
        let is_lucky = is_warm_loser && self.warm_losers.is_multiple_of(WARM_LOSERS);
        Some(if new > old || is_lucky { resident } else { newcomer })
    }
}

/// Walks every list in both directions.
fn check(policy: &Eviction, model: &Model) -> Result<(), TestCaseError> {
    for place in Place::LISTED {
        let expected = model.lists.get(&place).cloned().unwrap_or_default();
        prop_assert_eq!(policy.lists.walk(place), expected.clone(), "{:?}", place);
        prop_assert_eq!(policy.lists.len(place), expected.len());
        prop_assert!(expected.iter().all(|slot| policy.lists.place(*slot) == place));
    }
    let away = (0..60).filter(|slot| policy.lists.place(*slot) == Place::Away).count();
    prop_assert_eq!(away, 60 - model.slots.len());
    prop_assert_eq!(policy.len(), model.slots.len());
    let bytes = model.slots.values().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>();
    prop_assert_eq!(policy.bytes(), bytes);
    Ok(())
}

fn run(ops: &[Op]) -> Result<Vec<Option<u32>>, TestCaseError> {
    let (mut policy, mut model, mut victims) = (Eviction::new(), Model::default(), Vec::new());
    for op in ops {
        match *op {
            Op::Insert { slot, key, bytes } => {
                policy.insert(slot, hash_of(key), bytes);
                model.insert(slot, key, bytes);
            }
            Op::Touch { slot } => {
                policy.touch(slot);
                model.touch(slot);
            }
            Op::Resize { slot, bytes } => {
                policy.resize(slot, bytes);
                model.slots.entry(slot).and_modify(|(_, was)| *was = bytes);
            }
            Op::Remove { slot } => {
                policy.remove(slot);
                model.remove(slot);
            }
            Op::Victim { pinned, is_removed } => {
                let is_pinned = |slot: u32| Some(slot % 3) == pinned;
                let expected = model.victim(&policy.sketch, is_pinned);
                let victim = policy.victim(is_pinned);
                prop_assert_eq!(victim, expected);
                prop_assert!(victim.is_none_or(|slot| !is_pinned(slot)), "it is pinned");
                prop_assert!(victim.is_some() || model.slots.keys().all(|slot| is_pinned(*slot)));
                victims.push(victim);
                if let Some(slot) = victim.filter(|_| is_removed) {
                    policy.remove(slot);
                    model.remove(slot);
                }
            }
        }
        check(&policy, &model)?;
    }
    Ok(victims)
}

fn config(cases: u32) -> ProptestConfig {
    // What fails is printed whole and becomes a named test; no files beside the sources.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn every_slot_is_where_the_rules_put_it_and_the_victim_is_theirs(ops in ops()) {
        run(&ops)?;
    }
}

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn the_same_calls_find_the_same_victims(ops in ops()) {
        prop_assert_eq!(run(&ops)?, run(&ops)?);
    }

    #[test]
    fn a_call_looks_at_a_bounded_number_and_the_calls_together_at_all(
        population in 1..2_000u32,
        touched in prop::collection::vec(0..2_000u32, 0..1_000),
        free in 0..2_000u32,
    ) {
        let mut policy = Eviction::new();
        (0..population).for_each(|slot| policy.insert(slot, hash_of(slot.into()), 1));
        touched.iter().for_each(|slot| policy.touch(*slot));
        let free = free % population;
        let mut seen = BTreeSet::new();
        let mut calls = 0;
        loop {
            let mut looks = 0;
            let victim = policy.victim(|slot| {
                looks += 1;
                seen.insert(slot);
                slot != free
            });
            calls += 1;
            prop_assert!(looks <= 3 * SLOTS_MAX, "{} looks", looks);
            match victim {
                Some(slot) => break prop_assert_eq!(slot, free),
                None => prop_assert!(calls <= 1 + population / 64, "never found"),
            }
        }
    }
}
