//! The checkers against each other, on thousands of small histories: correct ones, ones with a
//! planted fault, and ones with some value changed at random, which may or may not be a fault.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::wrapped::{Plain, Uneven};
use super::{BANK, small};
use crate::engine::history::generate::plant::{PLANTS, Plant, plant};
use crate::engine::history::generate::workload::Workload;
use crate::engine::history::models::counter::Counter;
use crate::engine::history::models::list::List;
use crate::engine::history::models::register::Register;
use crate::engine::history::models::set::GrowingSet;
use crate::engine::history::{
    History, HistoryOf, Model, Operation, OperationOf, Outcome, search, version_order,
};
use crate::engine::id::Version;
use crate::engine::simulation::random::Random;

/// Of each, about ten histories are made.
const SEEDS: u64 = if cfg!(debug_assertions) { 300 } else { 5_000 };

/// Whether what the checkers say of a history fits together; returns whether it is good.
///
/// `Glued` operations that the search takes for one, in version order, are a third opinion: the
/// versions' order with nothing left to choose but the indeterminate operations.
fn agree<M: Workload>(model: &M, history: &HistoryOf<M>, name: &dyn Debug) -> bool {
    let by_search = search::check(model, history);
    let by_order = version_order::check(model, history);
    let by_hand = is_in_order(model, history)
        && search::check(&Glued(*model), &glue(model, history)).is_ok_and(|found| {
            assert!(found.undecided.is_empty(), "{name:?}: too hard to search");
            true
        });
    match &by_order {
        Err(fault) => assert!(!by_hand, "{name:?}: there is an order, but {fault}\n{history:#?}"),
        Ok(summary) if summary.undecided > 0 => (),
        Ok(_) => {
            if let Err(fault) = &by_search {
                panic!("{name:?}: versions give an order, but {fault}\n{history:#?}");
            }
            assert!(by_hand || !M::REVEALS, "{name:?}: versions give a wrong order\n{history:#?}");
        }
    }
    by_order.is_ok()
}

/// The rules about versions alone, as they are written.
fn is_in_order<M: Model>(model: &M, history: &HistoryOf<M>) -> bool {
    let seen: Vec<_> = history.operations.iter().filter_map(|one| placed(model, one)).collect();
    let in_order = |one: &Place, other: &Place| {
        let is_later = other.invoked_at > one.returned_at;
        let is_above =
            other.version > one.version || (other.version == one.version && other.is_changeless);
        let are_two = one.number() != other.number();
        let is_twice =
            are_two && one.version == other.version && !one.is_changeless && !other.is_changeless;
        one.object != other.object || ((!is_later || is_above) && !is_twice)
    };
    seen.iter().all(|one| seen.iter().all(|other| in_order(one, other)))
}

struct Place {
    object: u64,
    version: Version,
    is_changeless: bool,
    invoked_at: u64,
    returned_at: u64,
    address: usize,
}

impl Place {
    fn number(&self) -> usize {
        self.address
    }
}

fn placed<M: Model>(model: &M, operation: &OperationOf<M>) -> Option<Place> {
    let Outcome::Returned { at, output, version } = &operation.outcome else { return None };
    Some(Place {
        object: operation.object,
        version: *version,
        is_changeless: model.is_changeless(&operation.input, output),
        invoked_at: operation.invoked_at,
        returned_at: *at,
        address: std::ptr::from_ref(operation).addr(),
    })
}

/// Operations of one version, as one.
struct Glued<M>(M);

impl<M: Model> Model for Glued<M> {
    type State = M::State;
    type Input = Vec<M::Input>;
    type Output = Vec<M::Output>;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &mut M::State, input: &Vec<M::Input>) -> Vec<M::Output> {
        input.iter().map(|input| self.0.step(state, input)).collect()
    }

    fn is_read(&self, input: &Vec<M::Input>) -> bool {
        input.iter().all(|input| self.0.is_read(input))
    }
}

/// A history in which real time says what the versions say: one operation after the other, and
/// each indeterminate one invoked when it is free to take effect in the versions' order.
fn glue<M: Model>(model: &M, history: &HistoryOf<M>) -> HistoryOf<Glued<M>> {
    let mut objects: BTreeMap<u64, Vec<&OperationOf<M>>> = BTreeMap::new();
    for operation in &history.operations {
        objects.entry(operation.object).or_default().push(operation);
    }
    let mut glued = History::default();
    for operations in objects.values() {
        let mut returned: Vec<_> = operations
            .iter()
            .filter_map(|one| placed(model, one).map(|place| (place, *one)))
            .collect();
        returned.sort_by_key(|(place, _)| (place.version, place.is_changeless));
        let groups: Vec<_> =
            returned.chunk_by(|(one, _), (other, _)| one.version == other.version).collect();
        for (rank, group) in groups.iter().enumerate() {
            let output = group.iter().filter_map(|(_, one)| one.output().cloned()).collect();
            let at = 2 * rank as u64 + 1;
            glued.operations.push(Operation {
                client: 0,
                object: group[0].0.object,
                input: group.iter().map(|(_, one)| one.input.clone()).collect(),
                invoked_at: at - 1,
                outcome: Outcome::Returned { at, output, version: group[0].0.version },
            });
        }
        for operation in operations.iter().filter(|one| one.output().is_none()) {
            let is_over = |group: &&[(Place, &OperationOf<M>)]| {
                group.iter().any(|(place, _)| place.returned_at < operation.invoked_at)
            };
            let rank = groups.iter().rposition(is_over).map_or(0, |last| last + 1);
            glued.operations.push(Operation {
                client: 0,
                object: operation.object,
                input: vec![operation.input.clone()],
                invoked_at: 2 * rank as u64 + 1,
                outcome: Outcome::Indeterminate,
            });
        }
    }
    glued
}

/// Changes something about a few operations. What comes out may be right or wrong.
fn tamper<M: Model>(model: &M, history: &mut HistoryOf<M>, random: &mut Random) {
    for _ in 0..random.between(1, 2) {
        let operations = &mut history.operations;
        let at = random.next() as usize % operations.len();
        let other = operations[random.next() as usize % operations.len()].clone();
        let invoked_at = random.between(0, operations[at].invoked_at);
        let operation = &mut operations[at];
        let is_read = model.is_read(&operation.input) == model.is_read(&other.input);
        match (random.next() % 6, &mut operation.outcome) {
            (0, Outcome::Returned { output, .. }) if is_read => {
                *output = other.output().cloned().unwrap_or(output.clone());
            }
            (1, Outcome::Returned { version, .. }) => {
                if let Outcome::Returned { version: others, .. } = other.outcome {
                    *version = others;
                }
            }
            (2, Outcome::Returned { at, .. }) => {
                let early = random.between(invoked_at, *at);
                (operation.invoked_at, *at) = (invoked_at, early);
            }
            (3, Outcome::Returned { at, .. }) => *at = (*at).max(other.invoked_at),
            (4, outcome) => *outcome = Outcome::Indeterminate,
            (5, _) => drop(operations.remove(at)),
            _ => (),
        }
    }
}

/// Returns how many operations of correct histories were undecided, of all.
fn holds<M: Workload>(model: &M) -> u64 {
    let (mut good, mut bad, mut undecided) = (0, 0, 0);
    for seed in 0..SEEDS {
        let made = small(model, seed);
        let correct = version_order::check(model, &made.history)
            .unwrap_or_else(|fault| panic!("{seed}: {fault}\n{:#?}", made.history));
        undecided += correct.undecided;
        assert!(!M::IS_UNIQUE || correct.undecided == 0, "seed {seed}");
        assert!(agree(model, &made.history, &seed));
        let mut random = Random::new(seed);
        for turn in 0..3 {
            let mut history = made.history.clone();
            tamper(model, &mut history, &mut random);
            let is_good = agree(model, &history, &(seed, turn));
            *(if is_good { &mut good } else { &mut bad }) += 1;
        }
        for fault in PLANTS {
            let mut made = made.clone();
            if plant(model, &mut made, fault, seed).is_some() {
                let is_good = agree(model, &made.history, &(seed, fault));
                let is_open = version_order::check(model, &made.history)
                    .is_ok_and(|summary| summary.undecided > 0);
                let is_certain = M::REVEALS || M::IS_UNIQUE;
                assert!(!is_good || is_open || !is_certain, "seed {seed}: {fault:?} is not seen");
            }
        }
    }
    println!("{good} tampered histories were good, {bad} bad; {undecided} operations undecided");
    assert!(good > SEEDS / 4 && bad > SEEDS / 4, "{good} good, {bad} bad: too one-sided");
    undecided
}

#[test]
fn the_checkers_agree_about_registers() {
    assert_eq!(holds(&Register), 0);
}

#[test]
fn the_checkers_agree_about_lists() {
    assert_eq!(holds(&List), 0);
}

#[test]
fn the_checkers_agree_about_sets() {
    assert_eq!(holds(&GrowingSet), 0);
}

#[test]
fn the_checkers_agree_about_counters() {
    assert_eq!(holds(&Counter), 0);
}

#[test]
fn the_checkers_agree_about_counters_of_several_amounts() {
    holds(&Uneven);
}

#[test]
fn the_checkers_agree_about_banks() {
    holds(&BANK);
}

#[test]
fn the_checkers_agree_about_a_model_with_nothing_but_a_step() {
    holds(&Plain(Register));
    holds(&Plain(GrowingSet));
    holds(&Plain(Counter));
}

/// Each fault shows in some of the searched histories too, apart from those of versions only.
#[test]
fn the_search_finds_what_needs_no_version() {
    for fault in PLANTS {
        let found = (0..SEEDS).filter(|seed| {
            let mut made = small(&Register, *seed);
            plant(&Register, &mut made, fault, *seed).is_some()
                && search::check(&Register, &made.history).is_err()
        });
        let found = found.count();
        assert_eq!(found > 0, fault != Plant::VersionBack, "{fault:?}: found {found} times");
    }
}
