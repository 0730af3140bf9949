//! The counters as entities of a grid.

use fastness::prelude::*;
use fastness::{EntityOptions, Grid, GridBuilder, Threads};

use crate::load::Counts;

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Counter {
    value: u64,
}

#[handlers]
impl Counter {
    pub(crate) fn increment(&mut self) -> u64 {
        self.value += 1;
        self.value
    }

    #[read]
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

pub(crate) fn without_sessions() -> EntityOptions {
    EntityOptions::new().at_most_once()
}

pub(crate) fn grid(options: EntityOptions, threads: Threads) -> GridBuilder {
    Grid::builder().entity::<Counter>(options).threads(threads)
}

#[derive(Clone)]
pub(crate) struct Ours(pub(crate) Grid);

impl Ours {
    pub(crate) async fn start(grid: GridBuilder) -> Ours {
        Ours(grid.start().await.expect("the grid starts"))
    }
}

impl Counts for Ours {
    fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let added = self.0.entity::<Counter>(key).increment();
        async move { added.await.expect("the grid serves") }
    }

    fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
        let got = self.0.entity::<Counter>(key).value();
        async move { got.await.expect("the grid serves") }
    }

    async fn end(self) {
        self.0.leave().await.expect("the grid ends");
    }
}
