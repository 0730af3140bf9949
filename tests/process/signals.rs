//! A process that runs until it is told to end: it leaves first, and its exit status says how.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use fastness::prelude::*;
use fastness::{EntityOptions, Grid, SledStore};

/// Names the store's directory to the child.
const DIRECTORY: &str = "FASTNESS_SIGNALS_DIRECTORY";

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Starts {
    count: u64,
}

#[handlers]
impl Starts {
    fn add(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

/// Not a test of its own: what the child does, when one of the tests below starts it.
#[test]
fn child() -> anyhow::Result<()> {
    let Ok(directory) = std::env::var(DIRECTORY) else { return Ok(()) };
    tokio::runtime::Runtime::new()?.block_on(async {
        // Nothing is due before the process ends, unless it drains.
        let options = EntityOptions::new().write_behind(Duration::from_secs(3600));
        let store = SledStore::open(directory)?;
        let grid = Grid::builder().entity::<Starts>(options).store(store).start().await?;
        let start = grid.entity::<Starts>("here").add().await?;
        tokio::select! {
            biased; // once polled, it hears signals: only then is one asked for
            ended = grid.run_until_signal() => Ok(ended?),
            () = say(start) => unreachable!("it waits for ever"),
        }
    })
}

async fn say(start: u64) {
    println!("start {start}");
    std::future::pending().await
}

/// Starts the child, waits for its word, sends the signal, and returns both.
fn run(directory: &Path, signal: &str) -> anyhow::Result<(String, ExitStatus)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "signals::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let word = loop {
        let line = said.next().context("the child ended without a word")??;
        if let Some((_, word)) = line.split_once("start ") {
            break word.to_owned();
        }
    };
    // The shell's own, for a machine need not have another.
    let kill = format!("kill -{signal} {}", child.id());
    anyhow::ensure!(Command::new("sh").args(["-c", &kill]).status()?.success(), "{kill} failed");
    said.for_each(drop); // what it says at its end needs a listener
    Ok((word, child.wait()?))
}

#[test]
fn a_signal_ends_the_process_cleanly_and_nothing_is_lost() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    for (start, signal) in [("1", "TERM"), ("2", "INT"), ("3", "TERM")] {
        let (word, status) = run(directory.path(), signal)?;
        assert_eq!(word, start, "what the process before had done is there");
        assert!(status.success(), "{status}");
    }
    Ok(())
}
