//! Histories made from seeds, good and bad, shown to the checkers.

mod agreement;
mod by_hand;
mod planted;
mod wrapped;

use super::generate::workload::Workload;
use super::generate::{Generated, Shape, generate};
use super::models::bank::Bank;

/// Few enough accounts and little enough money for transfers to be refused now and then.
const BANK: Bank = Bank { accounts: 4, balance: 100 };

/// A small history, whose shape is drawn from the seed as well.
fn small<M: Workload>(model: &M, seed: u64) -> Generated<M> {
    let shape = Shape {
        operations: 10 + seed as usize % 25,
        clients: 2 + (seed % 4) as u32,
        objects: 1 + seed % 2,
        indeterminate_permille: [0, 20, 100, 250][seed as usize % 4],
    };
    generate(model, shape, seed)
}
