//! The shopping cart example, killed in the middle of its batches and started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::purchases;
use crate::telemetry::build;

/// How many purchases a run counts.
const ROWS: usize = if cfg!(debug_assertions) { 12_000 } else { 69_659 };

/// The example notes its progress after so many.
const BATCH: usize = 2_000;

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| build("shopping_cart"));

/// Runs it with its store in `directory`; kills it with signal 9 as soon as it says that `kill_at`
/// purchases are answered, or lets it end. Returns how many an earlier run had noted, and what this
/// one printed.
fn run(directory: &Path, kill_at: Option<usize>) -> (usize, String) {
    let mut command = Command::new(&*PROGRAM);
    command.args(["--json", "--rows", &ROWS.to_string(), "--data"]).arg(directory);
    let mut process =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let stderr = BufReader::new(process.stderr.take().expect("stderr is piped"));
    let (mut noted, mut is_killed) = (None, false);
    for word in stderr.split(b'\r') {
        // "4000 of 12000 purchases", and then numbers alone.
        let word = String::from_utf8(word.expect("it can be read")).expect("it writes UTF-8");
        let number = word.split_whitespace().next().and_then(|number| number.parse().ok());
        let answered: usize = number.unwrap_or_else(|| panic!("no number: {word}"));
        noted.get_or_insert(answered);
        if kill_at.is_some_and(|kill_at| answered >= kill_at) {
            process.kill().expect("it is ours to kill");
            is_killed = true;
            break;
        }
    }
    let mut printed = String::new();
    let mut stdout = process.stdout.take().expect("stdout is piped");
    stdout.read_to_string(&mut printed).expect("it writes UTF-8");
    let status = process.wait().expect("it is ours to wait for");
    assert_eq!(is_killed, kill_at.is_some(), "it ended by itself: {status}");
    assert_eq!(status.success(), kill_at.is_none(), "{status}");
    (noted.expect("it says where it begins"), printed)
}

/// The totals, counted without entities.
fn count() -> Value {
    let purchases = purchases::first(ROWS).expect("the shipped rows can be read");
    let mut days = BTreeMap::<u32, Vec<u32>>::new();
    let mut cents = BTreeMap::<u32, u64>::new();
    for purchase in &purchases {
        days.entry(purchase.customer).or_default().push(purchase.day);
        *cents.entry(purchase.customer).or_default() += purchase.cents;
    }
    let gaps: Vec<u32> = days.values().flat_map(|days| days.windows(2)).map(gap).collect();
    let today = purchases[ROWS - 1].day;
    let best_cents = cents.values().max().expect("there are customers");
    let (best, _) = cents.iter().find(|(_, cents)| *cents == best_cents).expect("it is theirs");
    let sum: u64 = cents.values().sum();
    json!({
        "customers": days.len(),
        "repeat_customers": days.values().filter(|days| days.len() > 1).count(),
        "lapsed_customers": days.values().filter(|days| today - days[days.len() - 1] > 180).count(),
        "best_customer": best,
        "best_customer_cents": best_cents,
        "purchases": ROWS,
        "quantity": purchases.iter().map(|purchase| purchase.quantity).sum::<u64>(),
        "cents": sum,
        "mean_basket_cents": sum as f64 / ROWS as f64,
        "mean_gap_days": f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64,
    })
}

fn gap(days: &[u32]) -> u32 {
    days[1] - days[0]
}

#[test]
fn killed_again_and_again_it_counts_each_purchase_once_and_in_order() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let mut noted = 0;
    for kill_at in [1_500, 5_500, 7_000, 9_500] {
        assert_eq!(run(directory.path(), Some(kill_at)).0, noted);
        // Batches follow one another, each noted before the next is sent.
        noted = kill_at / BATCH * BATCH;
    }
    let (begun_at, printed) = run(directory.path(), None);
    assert_eq!(begun_at, noted);
    let found: Value = serde_json::from_str(&printed).expect("the totals are JSON");
    assert_eq!(found, count());
}
