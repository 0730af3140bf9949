//! Tries the protocol with whole grids in virtual time, each from a seed.
//!
//! `cargo run --release --example simulate -- --seeds 3000` runs seeds on all cores;
//! `--seed 17 --trace` shows one; `--break all` leaves out one rule of the protocol after
//! another and looks for the first seed that notices. It exits with an error at the first thing
//! that must not be, and says by which seed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use fastness::simulation::histories::decide;
use fastness::simulation::{Failure, Summary, Trace, rules, run};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Parser)]
#[command(about = "Tries the protocol with whole grids in virtual time, each from a seed")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Ends after so many minutes, however many seeds are left.
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tells everything that happens.
    #[arg(long)]
    trace: bool,
    /// Leaves out a rule, or `all` one after another: seeds should notice.
    #[arg(long = "break", value_name = "RULE")]
    leave_out: Option<String>,
    /// Checks made histories of so many operations instead, and says how long that takes.
    #[arg(long, value_name = "OPERATIONS")]
    histories: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(operations) = args.histories {
        decide(operations, &mut |name, found, took| println!("{took:7.2?}  {name}: {found}"));
        return Ok(());
    }
    if let Some(seed) = args.seed {
        return one(seed, &args);
    }
    match args.leave_out.as_deref() {
        None => many(&args),
        Some("all") => {
            let missed: Vec<String> =
                rules().into_iter().filter(|rule| !notices(rule, &args)).collect();
            if missed.is_empty() { Ok(()) } else { bail!("nobody missed {}", missed.join(", ")) }
        }
        Some(rule) if notices(rule, &args) => Ok(()),
        Some(rule) => bail!("nobody missed {rule}"),
    }
}

fn one(seed: u64, args: &Args) -> anyhow::Result<()> {
    let trace = args.trace.then(|| Box::new(|line: &str| println!("{line}")) as Trace);
    let summary =
        run(seed, args.leave_out.as_deref(), trace).map_err(|it| anyhow::anyhow!("{it}"))?;
    println!("{summary:#?}");
    Ok(())
}

/// Runs the seeds on all cores, until one fails.
fn many(args: &Args) -> anyhow::Result<()> {
    let began_at = Instant::now();
    let until = args.minutes.map(|minutes| began_at + Duration::from_secs(60 * minutes));
    let style = "{elapsed_precise} {bar:40} {pos} of {len} seeds, {per_sec}, {eta} left";
    let bar = ProgressBar::new(args.seeds).with_style(ProgressStyle::with_template(style)?);
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let found: Mutex<(u64, Summary, Option<Failure>)> = Mutex::default();
    let work = || {
        while !is_over.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= args.seeds {
                break;
            }
            let result = run(args.from + at, None, None);
            bar.inc(1);
            let mut found = found.lock().expect("nobody panics with it");
            match result {
                Ok(summary) => {
                    found.0 += 1;
                    add(&mut found.1, summary);
                }
                Err(failure) => {
                    // The first by its number, so that the same command says the same.
                    let is_first = found.2.as_ref().is_none_or(|it| failure.seed < it.seed);
                    if is_first {
                        found.2 = Some(failure);
                    }
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| {
            scope.spawn(work);
        });
    });
    bar.finish_and_clear();
    let (passed, total, failure) = found.into_inner().context("a seed has panicked")?;
    print(args.from, passed, &total, began_at.elapsed());
    match failure {
        None => Ok(()),
        Some(failure) => bail!("{failure}"),
    }
}

/// Looks for the first seed that fails without the rule.
fn notices(rule: &str, args: &Args) -> bool {
    let seeds = args.from..args.from + args.seeds;
    let found = seeds.into_iter().find_map(|seed| run(seed, Some(rule), None).err());
    match found {
        Some(failure) => {
            let what: String = failure.what.chars().take(80).collect();
            println!("{rule}: seed {}: {what}", failure.seed);
            true
        }
        None => {
            println!("{rule}: not found in {} seeds", args.seeds);
            false
        }
    }
}

fn add(total: &mut Summary, one: Summary) {
    total.steps += one.steps;
    total.acknowledged += one.acknowledged;
    total.indeterminate += one.indeterminate;
    total.promotions += one.promotions;
    total.voter_changes += one.voter_changes;
    total.histories.add(&one.histories);
    for (name, count) in one.faults {
        *total.faults.entry(name).or_default() += count;
    }
}

fn print(from: u64, passed: u64, total: &Summary, took: Duration) {
    println!("{passed} seeds from {from} passed in {took:.1?}");
    let (steps, promotions, changes) = (total.steps, total.promotions, total.voter_changes);
    println!("{steps} steps, {promotions} promotions, {changes} changes of the voters");
    println!("{} asks answered, {} indeterminate", total.acknowledged, total.indeterminate);
    let (decided, undecided) = (total.histories.decided, &total.histories.undecided);
    println!("{decided} objects decided, not decided: {undecided:?}");
    let faults: BTreeMap<_, _> = total.faults.iter().collect();
    for (name, count) in faults {
        println!("{count:>9} {name}");
    }
}
