//! The real runtime, in one process: what a user of an embedded grid sees.

mod asks;
mod entities;

use fastness::{Grid, GridBuilder};

use entities::{Counter, Wallet};

/// A grid of the test entities without a store.
fn in_memory() -> GridBuilder {
    Grid::builder()
        .partitions(8)
        .entity::<Counter>(Default::default())
        .entity::<Wallet>(Default::default())
}
