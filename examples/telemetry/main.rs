//! A year of flights, counted by entities: each of 336,776 departures tells its aircraft, its
//! route, both airports and its carrier.
//!
//! ```text
//! cargo run --release --example telemetry -- --data flights-store
//! ```
//!
//! Kill it at any moment and start it again: it goes on, and ends with the same numbers. Read
//! `entities.rs` for what is counted, then `import.rs` for how nothing is counted twice.

mod entities;
mod flights;
mod import;
mod report;
mod slow_store;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use fastness::store::SledStore;
use fastness::{EntityOptions, Grid};

use crate::entities::{Aircraft, Airport, Carrier, Progress, Route};
use crate::slow_store::SlowStore;
use crate::watch::Watch;

/// Counts a year of flights from New York.
#[derive(Parser)]
struct Args {
    /// Keep the store in this directory, and go on where the last run with it stopped. Without it,
    /// the store is in a temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Print the totals to stdout as one JSON object, in place of tables.
    #[arg(long)]
    json: bool,

    /// Count only the first N rows.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    rows: usize,

    /// Make each write to the store take F times as long.
    #[arg(long, value_name = "F", default_value_t = 1)]
    slow_store: u32,

    /// Print a line to stderr after every N rows, in place of the progress bar.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    line_every: Option<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let flights = flights::first(args.rows)?;
    let watch = Watch::new(flights.len(), args.line_every)?;
    let temporary = tempfile::tempdir()?;
    let grid = start(args.data.as_deref().unwrap_or(temporary.path()), args.slow_store).await?;

    let started = Instant::now();
    let sent = import::import(&grid, &flights, &watch).await?;
    let seconds = started.elapsed().as_secs_f64();
    watch.finish();

    let report = report::report(&grid, &flights).await?;
    watch.phase("leaving");
    grid.leave().await?;

    if args.json {
        println!("{}", serde_json::to_string(&report.totals()?)?);
    } else {
        report.print_tables();
        let rate = sent as f64 / seconds;
        println!("\n{sent} rows in {seconds:.1} s, all of them durable: {rate:.0} rows/s");
    }
    Ok(())
}

/// A grid in this process alone, with its store in `directory`.
async fn start(directory: &Path, slow_store: u32) -> anyhow::Result<Grid> {
    let store = SlowStore { inner: SledStore::open(directory)?, factor: slow_store };
    let grid = Grid::builder()
        .name("telemetry")
        .entity::<Aircraft>(EntityOptions::new())
        .entity::<Route>(EntityOptions::new())
        .entity::<Airport>(EntityOptions::new())
        .entity::<Carrier>(EntityOptions::new())
        .entity::<Progress>(EntityOptions::new().write_through())
        .store(store)
        .start()
        .await?;
    Ok(grid)
}
