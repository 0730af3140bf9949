//! In 10,000 operations: nothing is found where nothing is wrong, and every planted fault is.

use super::BANK;
use crate::engine::history::generate::plant::{PLANTS, Plant, plant};
use crate::engine::history::generate::workload::Workload;
use crate::engine::history::generate::{Generated, Shape, generate};
use crate::engine::history::models::counter::Counter;
use crate::engine::history::models::list::List;
use crate::engine::history::models::register::Register;
use crate::engine::history::models::set::GrowingSet;
use crate::engine::history::values::Values;
use crate::engine::history::version_order::{Summary, check};
use crate::engine::history::{bounds, lost, made_up, twice};

const SEEDS: u64 = 4;

fn shape(objects: u64) -> Shape {
    Shape { operations: 10_000, clients: 10, objects, indeterminate_permille: 15 }
}

fn correct<M: Workload>(model: &M, objects: u64, seed: u64) -> Generated<M> {
    let made = generate(model, shape(objects), seed);
    let summary = check(model, &made.history).unwrap_or_else(|fault| panic!("{seed}: {fault}"));
    let Summary { observed, changed, indeterminate, took_effect, undecided, .. } = summary;
    assert_eq!(undecided, 0, "seed {seed}");
    assert_eq!(observed + changed + indeterminate, 10_000 + objects, "seed {seed}");
    assert!(indeterminate > 100 && took_effect > indeterminate / 20, "seed {seed}: {summary:?}");
    made
}

/// What the properties of values say of each fault.
fn by_values<M: Workload + Values>(model: &M) {
    for seed in 0..SEEDS {
        let made = generate(model, shape(100), seed);
        let is_lost = |made: &Generated<M>| lost::check(model, &made.history).is_err();
        let is_made_up = |made: &Generated<M>| made_up::check(model, &made.history).is_err();
        let is_twice = |made: &Generated<M>| twice::check(model, &made.history).is_err();
        assert!(!is_lost(&made) && !is_made_up(&made) && !is_twice(&made), "seed {seed}");
        for fault in PLANTS {
            let mut made = made.clone();
            if plant(model, &mut made, fault, seed).is_none() {
                continue;
            }
            // Another write may have replaced the lost one.
            let shows = fault == Plant::LostWrite && M::KEEPS;
            assert!(is_lost(&made) || !shows, "seed {seed}: {fault:?}");
            assert_eq!(is_made_up(&made), fault == Plant::DirtyRead, "seed {seed}: {fault:?}");
            let shows = fault == Plant::DoubleEffect && M::KEEPS;
            assert_eq!(is_twice(&made), shows, "seed {seed}: {fault:?}");
        }
    }
}

fn found<M: Workload>(model: &M, objects: u64, never: &[Plant]) {
    for seed in 0..SEEDS {
        let made = correct(model, objects, seed);
        for fault in PLANTS {
            let mut made = made.clone();
            let planted = plant(model, &mut made, fault, seed);
            assert_eq!(planted.is_some(), !never.contains(&fault), "seed {seed}: {fault:?}");
            let Some(object) = planted else { continue };
            let found = check(model, &made.history);
            let found = found.expect_err(&format!("seed {seed}: {fault:?} of object {object}"));
            assert_eq!(found.object, object, "seed {seed}: {fault:?}: {found}");
        }
    }
}

#[test]
fn every_fault_of_a_register_is_found() {
    found(&Register, 1, &[]);
    found(&Register, 100, &[]);
}

#[test]
fn every_fault_of_a_list_is_found() {
    found(&List, 100, &[]);
}

#[test]
fn every_fault_of_a_set_is_found() {
    // To add an element twice is to add it once.
    found(&GrowingSet, 100, &[Plant::DoubleEffect]);
}

#[test]
fn every_fault_of_a_counter_is_found() {
    found(&Counter, 1, &[]);
    found(&Counter, 100, &[]);
}

#[test]
fn every_fault_of_a_bank_is_found() {
    found(&BANK, 250, &[]);
}

#[test]
fn the_properties_of_values_find_their_faults() {
    by_values(&Register);
    by_values(&List);
    by_values(&GrowingSet);
}

#[test]
fn bounds_find_their_faults() {
    for seed in 0..SEEDS {
        let counters = generate(&Counter, shape(100), seed);
        let banks = generate(&BANK, shape(100), seed);
        bounds::counters(&counters.history).expect("counts are right");
        bounds::banks(&BANK, &banks.history).expect("sums are right");
        let mut made = counters;
        plant(&Counter, &mut made, Plant::DoubleEffect, seed).expect("there is a place");
        bounds::counters(&made.history).expect_err("a count is too high");
        // An indeterminate addition might make up for the lost one.
        let shape = Shape { indeterminate_permille: 0, ..shape(100) };
        let mut made = generate(&Counter, shape, seed);
        plant(&Counter, &mut made, Plant::LostWrite, seed).expect("there is a place");
        bounds::counters(&made.history).expect_err("a count is too low");
        let mut made = banks;
        plant(&BANK, &mut made, Plant::DirtyRead, seed).expect("there is a place");
        bounds::banks(&BANK, &made.history).expect_err("a sum is wrong");
    }
}
