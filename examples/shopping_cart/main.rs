//! Eighteen months of a web shop: each of 69,659 purchases is told to its customer, who keeps count
//! of recency, frequency and monetary value.
//!
//! ```text
//! cargo run --release --example shopping_cart -- --data shop-store
//! ```
//!
//! Kill it at any moment and start it again: it goes on, and ends with the same numbers. Read
//! `customer.rs` for what is kept, then `import.rs` for how purchases stay in order.

mod customer;
mod import;
mod purchases;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use fastness::store::SledStore;
use fastness::{EntityOptions, Grid};

use crate::customer::{Customer, Progress};

/// Customers who buy nothing for so long leave memory. A month takes a tenth of a second here.
const IDLE: Duration = Duration::from_millis(200);

/// Keeps the customers of a web shop.
#[derive(Parser)]
struct Args {
    /// Keep the store in this directory, and go on where the last run with it stopped. Without it,
    /// the store is in a temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print the totals to stdout as one JSON object, in place of tables.
    #[arg(long)]
    json: bool,

    /// Count only the first N purchases.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    rows: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let purchases = purchases::first(args.rows)?;
    let temporary = tempfile::tempdir()?;
    let store = SledStore::open(args.data.as_deref().unwrap_or(temporary.path()))?;
    let grid = Grid::builder()
        .name("shopping_cart")
        .entity::<Customer>(EntityOptions::new().write_through().passivate_after(IDLE))
        .entity::<Progress>(EntityOptions::new().write_through())
        .store(store)
        .start()
        .await?;

    let started = Instant::now();
    let sent = import::import(&grid, &purchases).await?;
    let seconds = started.elapsed().as_secs_f64();
    let report = report::report(&grid, &purchases).await?;
    grid.leave().await?;

    if args.json {
        println!("{}", report.totals());
    } else {
        report.print_tables();
        let rate = sent as f64 / seconds;
        println!("\n{sent} purchases in {seconds:.1} s, all of them durable: {rate:.0}/s");
    }
    Ok(())
}
