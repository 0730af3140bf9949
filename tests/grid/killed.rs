//! A process whose accounts pay each other, killed with signal 9 in the midst of it: this very
//! program, started again with the store's directory in its environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fastness::{EntityOptions, Grid, SledStore, Threads};

use crate::messages::{Account, AccountPay, Vault, metric};

const DIRECTORY: &str = "FASTNESS_TEST_KILLED_PAYERS";
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const CENTS: u64 = 1000;
const KILLS: usize = 6;

async fn start(directory: &Path) -> Grid {
    Grid::builder()
        .partitions(8)
        .threads(Threads::PerCore(2.try_into().unwrap()))
        .entity::<Account>(EntityOptions::new().write_behind(Duration::from_millis(20)))
        .entity::<Vault>(EntityOptions::new().write_through())
        .store(SledStore::open(directory).expect("a kill damages nothing"))
        .start()
        .await
        .expect("the grid starts")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn payments_are_made_once_whenever_the_process_is_killed() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        return block_on(pay_for_ever(directory.as_ref()));
    }
    let place = tempfile::tempdir().unwrap();
    block_on(async {
        let grid = start(place.path()).await;
        for name in NAMES {
            grid.entity::<Account>(name).deposit(CENTS).await.unwrap();
        }
        grid.leave().await.unwrap();
    });
    let (mut paid, mut arrived) = (0, 0);
    for kill in 0..KILLS {
        paid += pay_and_kill(place.path(), 20 + 40 * kill);
        let (sum, moved) = block_on(sum_of(place.path()));
        assert_eq!(sum, CENTS * NAMES.len() as u64, "after {paid} payments");
        assert!(moved >= arrived, "what has arrived stays");
        arrived = moved;
    }
    assert!(arrived > 0, "some of {paid} payments have arrived");
}

/// What all have, once every message has arrived, and how much of it vaults have.
async fn sum_of(directory: &Path) -> (u64, u64) {
    let grid = start(directory).await;
    while metric(&grid, "fastness_outbox_messages") > 0 {
        tokio::task::yield_now().await;
    }
    let (mut sum, mut moved) = (0, 0);
    for name in NAMES {
        sum += grid.entity::<Account>(name).cents().await.unwrap();
        moved += grid.entity::<Vault>(name).cents().await.unwrap();
    }
    grid.leave().await.unwrap();
    (sum + moved, moved)
}

async fn pay_for_ever(directory: &Path) {
    let grid = start(directory).await;
    let mut out = std::io::stdout();
    for number in 0usize.. {
        let to = NAMES[number * 5 % 7].to_owned();
        let from = grid.entity::<Account>(NAMES[number % NAMES.len()]);
        let pay = AccountPay { to, cents: 1 + number as u64 % 3 };
        match number % 3 {
            0 => drop(from.tell(pay).detach()),
            _ => drop(from.ask(pay).await.unwrap()),
        }
        // Whoever reads this is gone if it fails; then so is this process.
        writeln!(out, "paid {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Kills a paying process after so many payments. Returns how many it made.
fn pay_and_kill(directory: &Path, moment: usize) -> usize {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::payments_are_made_once_whenever_the_process_is_killed"]);
    command.arg("--nocapture").env(DIRECTORY, directory);
    let process = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
    let mut process = process.expect("this program runs, so it can be run");
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut paid = 0;
    // The pipe ends with the process; what it said until then was said.
    for line in lines.map_while(Result::ok) {
        paid += usize::from(line.contains("paid "));
        if paid >= moment {
            let _ = process.kill(); // it may have ended by itself
        }
    }
    let _ = process.wait();
    assert!(paid >= moment, "it paid {paid} times and ended");
    paid
}
