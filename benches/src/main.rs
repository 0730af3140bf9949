//! Fastness measured against its peers: `cargo run --release -p fastness-bench -- local`.
//!
//! Sides take turns in every round, so that what slows the machine slows all of them; what counts
//! is the median of the rounds' ratios. No number here fails anything.

mod cache;
mod counting;
mod drain;
mod load;
mod local;
mod memory;
mod ours;
mod peers;
mod plan;
mod report;
mod stored;

use clap::{Parser, Subcommand};

use report::Report;

#[derive(Parser)]
#[command(about = "Measures Fastness against its peers, side by side")]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Prints the numbers as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Fewer rounds and less work: to see that it runs, not to quote.
    #[arg(long, global = true)]
    quick: bool,
    /// Only the comparisons that have this in their names.
    #[arg(long, global = true)]
    only: Option<String>,
}

#[derive(Clone, Copy, Subcommand)]
enum What {
    /// Asks: on the same thread, across threads, two and two; reads; with a store.
    Local,
    /// Bytes per entity.
    Memory,
    /// A million changes into sled.
    Drain,
    /// Hit rate on Zipf 0.9, against moka.
    Cache,
    /// Where 16,384 partitions are to be on 1,000 nodes.
    Plan,
}

fn main() -> anyhow::Result<()> {
    let Args { what, json, quick, only } = Args::parse();
    let mut report = Report::new(quick, only);
    match what {
        What::Local => local::run(&mut report),
        What::Memory => memory::run(&mut report),
        What::Drain => drain::run(&mut report),
        What::Cache => cache::run(&mut report)?,
        What::Plan => plan::run(&mut report),
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
