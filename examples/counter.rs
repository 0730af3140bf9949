//! Counts its own runs: the shortest whole program.

use fastness::prelude::*;
use fastness::{EntityOptions, Grid, SledStore};

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Counter {
    value: u64,
}

#[handlers]
impl Counter {
    fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        self.value
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SledStore::open(std::env::temp_dir().join("fastness-counter"))?;
    let grid = Grid::builder().entity::<Counter>(EntityOptions::new()).store(store).start().await?;
    println!("run number {}", grid.entity::<Counter>("runs").add(1).await?);
    Ok(grid.leave().await?)
}
