//! Writes that the store refuses for good, and what a person does about them.
//!
//! ```text
//! cargo run --example dead_letters
//! ```
//!
//! Three orders get a remark that is too long for the store (`narrow.rs`). One is given up, one is
//! overtaken by a newer write, one is replayed once the store is mended. The book's page
//! "Operating" explains each step.

mod narrow;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use fastness::prelude::*;
use fastness::{DeadLetterId, EntityOptions, Grid, SledStore};

use crate::narrow::Narrow;

const CUSTOMERS: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Order {
    pieces: u32,
    remark: String,
}

#[handlers]
impl Order {
    fn place(&mut self, pieces: u32, remark: String) {
        *self = Order { pieces, remark };
    }

    #[read]
    fn summary(&self) -> String {
        format!("pieces: {}, remark: {} bytes", self.pieces, self.remark.len())
    }
}

/// Walks through what can be done with dead letters.
#[derive(Parser)]
struct Args {
    /// Keep the store in this directory. Without it, it is in a temporary one.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let directory = Args::parse().data.unwrap_or_else(|| temporary.path().to_owned());
    let bytes_max = Arc::new(AtomicUsize::new(300));
    let start = async || {
        let store = Narrow { sled: SledStore::open(&directory)?, bytes_max: bytes_max.clone() };
        let grid = Grid::builder().name("orders").partitions(4).store(store);
        anyhow::Ok(grid.entity::<Order>(EntityOptions::new()).start().await?)
    };
    let grid = start().await?;

    println!("1. Three orders, stored.");
    place(&grid, &CUSTOMERS, 1, "").await?;
    show(&grid).await?;

    println!("2. Each gets a long remark. That is acknowledged, and what readers see.");
    place(&grid, &CUSTOMERS, 2, &"Please ring twice. ".repeat(10)).await?;
    show(&grid).await?;

    println!("3. The store has refused it: list().");
    let ids = list(&grid).await?;
    let [alice, bob] = [ids[0].parse::<DeadLetterId>()?, ids[1].parse()?];

    println!("4. What was refused, by the text of its id: inspect().");
    let inspection = grid.dead_letters().inspect(&alice).await?;
    println!("   {}", inspection.text().unwrap_or_else(|| "a removal".to_owned()));

    println!("5. After a restart all is as before.");
    grid.leave().await?;
    let grid = start().await?;
    show(&grid).await?;
    list(&grid).await?;

    println!("6. Alice's is tried again: replay(). The store has not changed its mind.");
    let Err(error) = grid.dead_letters().replay(&alice).await else {
        anyhow::bail!("the store has taken it")
    };
    println!("   {error}");
    let again: DeadLetterId = list(&grid).await?[0].parse()?;

    println!("7. Bob's is given up: discard(). His order is what the store has of it.");
    grid.dead_letters().discard(&bob).await?;
    show(&grid).await?;

    println!("8. Carol's is overtaken: a newer write of her order is one that the store takes.");
    place(&grid, &["carol"], 3, "Ring once.").await?;
    list(&grid).await?;

    println!("9. The store is mended, and Alice's replayed once more.");
    bytes_max.store(usize::MAX, Ordering::Relaxed);
    grid.dead_letters().replay(&again).await?;
    list(&grid).await?;

    println!("10. What the next start finds.");
    grid.leave().await?;
    let grid = start().await?;
    show(&grid).await?;
    list(&grid).await?;
    Ok(grid.leave().await?)
}

/// Changes orders; returns when the store has them, or holds them as dead letters.
async fn place(grid: &Grid, whose: &[&str], pieces: u32, remark: &str) -> anyhow::Result<()> {
    for customer in whose {
        grid.entity::<Order>(*customer).place(pieces, remark.to_owned()).await?;
    }
    Ok(grid.persisted().await?)
}

async fn show(grid: &Grid) -> anyhow::Result<()> {
    for customer in CUSTOMERS {
        println!("   {customer}: {}", grid.entity::<Order>(customer).summary().await?);
    }
    Ok(())
}

/// Prints the dead letters, and returns their ids as text.
async fn list(grid: &Grid) -> anyhow::Result<Vec<String>> {
    let letters = grid.dead_letters().list().await?;
    println!("   dead letters: {}", letters.len());
    for letter in &letters {
        println!("   {} {}: {} ({})", letter.entity_type, letter.key, letter.reason, letter.id);
    }
    Ok(letters.iter().map(|letter| letter.id.to_string()).collect())
}
