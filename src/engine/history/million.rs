//! How long the version-order checker takes for histories of full size. The engine has no clock:
//! who has one runs this, and measures.

use super::generate::plant::{PLANTS, Plant, plant};
use super::generate::workload::Workload;
use super::generate::{Shape, generate};
use super::models::bank::Bank;
use super::models::counter::Counter;
use super::models::list::List;
use super::models::register::Register;
use super::models::set::GrowingSet;
use super::version_order::{Summary, check};
use super::{HistoryOf, Model};

/// Calls `measure` with the name of a check and the check, for histories of `operations`
/// operations: correct ones, and ones with one planted fault. The checks say what they found.
pub(crate) fn each(operations: usize, measure: &mut dyn FnMut(&str, &dyn Fn() -> String)) {
    let of = |objects: usize| Shape {
        operations,
        clients: 10,
        objects: objects as u64,
        indeterminate_permille: 15,
    };
    series(&Register, "one register", of(1), &PLANTS, measure);
    series(&Register, "many registers", of(1_000), &[Plant::StaleRead], measure);
    series(&Counter, "one counter", of(1), &[Plant::DoubleEffect], measure);
    // What is read whole must stay small: some 50 operations each.
    let many = of(operations / 50);
    series(&List, "many lists", many, &[Plant::LostWrite], measure);
    series(&GrowingSet, "many sets", many, &[Plant::DirtyRead], measure);
    let bank = Bank { accounts: 4, balance: 100 };
    series(&bank, "many banks", many, &[Plant::ReorderedRealTime], measure);
}

fn series<M: Workload>(
    model: &M,
    name: &str,
    shape: Shape,
    plants: &[Plant],
    measure: &mut dyn FnMut(&str, &dyn Fn() -> String),
) {
    let seed = 4;
    let made = generate(model, shape, seed);
    measure(&format!("{name}, correct"), &|| right(model, &made.history));
    for fault in plants {
        let mut made = made.clone();
        let object = plant(model, &mut made, *fault, seed).expect("there is a place for it");
        measure(&format!("{name}, {fault:?}"), &|| wrong(model, &made.history, object));
    }
}

fn right<M: Model>(model: &M, history: &HistoryOf<M>) -> String {
    let summary = check(model, history).unwrap_or_else(|fault| panic!("{fault}"));
    let Summary { observed, changed, indeterminate, took_effect, undecided, .. } = summary;
    assert_eq!(undecided, 0, "a correct history is decided");
    assert_eq!(observed + changed + indeterminate, history.operations.len() as u64);
    assert!(took_effect > 0, "some came to light");
    format!("{} operations, {took_effect} of {indeterminate} settled", history.operations.len())
}

fn wrong<M: Model>(model: &M, history: &HistoryOf<M>, object: u64) -> String {
    let fault = check(model, history).expect_err("a fault was planted");
    assert_eq!(fault.object, object, "{fault}");
    format!("{} operations, found at {:?}", history.operations.len(), fault.operations)
}
