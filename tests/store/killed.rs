//! A process that writes, killed with signal 9 at a moment of its progress: this very program,
//! started again with the store's directory in its environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fastness::PartitionId;
use fastness::store::{BatchOutcome, PartitionBatch, Row, SledStore, Store};

use crate::block_on;
use crate::places::InDirectory;
use crate::rows::{Random, batch, grid_row, row};

const DIRECTORY: &str = "FASTNESS_TEST_KILLED_DIRECTORY";
const FIRST: &str = "FASTNESS_TEST_KILLED_FIRST";

const KILLS: u64 = 20;

/// Each write replaces the same rows in these partitions, all by its number.
const PARTITIONS: [PartitionId; 3] = [PartitionId(1), PartitionId(2), PartitionId(700)];

/// Sizes of the rows: small ones, and some in chunks, more of them or fewer by turns.
fn records(number: u64) -> Vec<Row> {
    let size = |of: u32| match of {
        0 => (150 << 10) * (1 + number as usize % 2),
        of => 100 * of as usize,
    };
    (0..20).map(|of| row(of, number, vec![number as u8; size(of)])).collect()
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        return write_for_ever(directory.as_ref());
    }
    let mut random = Random::new("killed");
    let place = InDirectory::new();
    let mut newest = 0;
    for kill in 0..KILLS {
        let moment = newest + 1 + random.below(40);
        let acknowledged = Writer::start(&place.path(), newest + 1).kill_at(moment);
        assert!(acknowledged >= moment);
        newest = check(&place.path(), acknowledged);
        println!("kill {kill}: {acknowledged} acknowledged, {newest} there");
    }
}

/// What the store has: one write whole, not older than the one acknowledged last.
fn check(directory: &Path, acknowledged: u64) -> u64 {
    let store = SledStore::open(directory).expect("a kill damages nothing");
    block_on(async {
        store.claim(&grid_row()).await.unwrap();
        let mut found = Vec::new();
        for partition in PARTITIONS {
            let rows = store.scan(partition, None, usize::MAX).await.unwrap();
            assert_eq!(rows.len(), 20);
            found.push(rows);
        }
        store.close().await.unwrap();
        let newest = found[0][0].version.position.seq.0;
        assert!(newest >= acknowledged, "{newest} of {acknowledged} writes are there");
        assert!(newest <= acknowledged + 1, "{newest}: one write at a time was under way");
        for rows in &found {
            assert!(*rows == records(newest), "the write {newest} is torn");
        }
        newest
    })
}

fn write_for_ever(directory: &Path) {
    let first = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = SledStore::open(directory).unwrap();
    let mut out = std::io::stdout();
    block_on(async {
        store.claim(&grid_row()).await.unwrap();
        for number in first.. {
            let of = |partition| PartitionBatch { partition, ..batch(records(number)) };
            let outcomes = store.write(&PARTITIONS.map(of)).await.unwrap();
            assert!(outcomes.iter().all(|of| matches!(of, BatchOutcome::Written(_))));
            // Whoever reads this is gone if it fails; then so is this process.
            writeln!(out, "acknowledged {number}").unwrap();
            out.flush().unwrap();
        }
    });
}

/// The process that writes; killed at the latest when it goes.
struct Writer {
    process: Child,
}

impl Writer {
    fn start(directory: &Path, first: u64) -> Writer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "killed::what_a_killed_process_acknowledged_is_there"]);
        command.arg("--nocapture").env(DIRECTORY, directory).env(FIRST, first.to_string());
        let process = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
        Writer { process: process.expect("this program runs, so it can be run") }
    }

    /// Kills it when it has acknowledged this write. Returns the last one that it acknowledged.
    fn kill_at(mut self, moment: u64) -> u64 {
        let lines = BufReader::new(self.process.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        // The pipe ends with the process; what it said until then was said.
        for line in lines.map_while(Result::ok) {
            let Some((_, number)) = line.split_once("acknowledged ") else { continue };
            acknowledged = number.parse().unwrap_or(acknowledged);
            if acknowledged == moment {
                self.process.kill().unwrap();
            }
        }
        acknowledged
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
