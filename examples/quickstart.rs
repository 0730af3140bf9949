//! A shopping cart that survives the process: `cargo run --example quickstart` twice, and the
//! second run finds the tea of the first.

use std::collections::BTreeMap;

use fastness::prelude::*;
use fastness::store::SledStore;
use fastness::{EntityOptions, Grid};

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart {
    lines: BTreeMap<String, u32>,
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("a cart line holds up to 99 pieces")]
struct TooMany;

#[handlers]
impl Cart {
    fn add(&mut self, product: String, pieces: u32) -> Result<u32, TooMany> {
        let line = self.lines.entry(product).or_default();
        *line = line.saturating_add(pieces);
        // An error undoes what the handler did: no cart is ever seen with more.
        if *line > 99 { Err(TooMany) } else { Ok(*line) }
    }

    #[read]
    fn pieces(&self) -> u32 {
        self.lines.values().sum()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join("fastness-quickstart");
    let store = SledStore::open(directory)?;
    let grid = Grid::builder().entity::<Cart>(EntityOptions::new()).store(store).start().await?;
    let alice = grid.entity::<Cart>("alice");
    println!("alice comes with {} pieces in her cart", alice.pieces().await?);
    match alice.add("tea".into(), 40).await? {
        Ok(pieces) => println!("now it holds {pieces} of tea"),
        Err(error) => println!("no more tea: {error}"), // in the third run
    }
    grid.leave().await?; // everything is in the store
    Ok(())
}
