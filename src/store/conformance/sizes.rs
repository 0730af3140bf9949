//! Values, keys and names of every size, of any content.

use bytes::Bytes;

use super::super::{Row, RowKey};
use super::trial::{P, Trial, key, letter, removal, row, stored};

/// Sizes of values: none, and around those at which stores change how they keep one.
const SIZES: [usize; 7] = [0, 1, 100 << 10, (100 << 10) + 1, (200 << 10) - 1, 1 << 20, LARGE];

const LARGE: usize = 20 << 20;

/// A value of this size whose parts all differ.
fn value(size: usize) -> Bytes {
    let mut state = size as u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size).map(|_| byte()).collect()
}

fn sized(of: &str, seq: u64, size: usize) -> Row {
    Row { record: Some(value(size)), ..row(of, seq, "") }
}

/// A row per size, in the order of their keys.
fn rows_of_each_size(seq: u64, sizes: [usize; SIZES.len()]) -> Vec<Row> {
    let rows = sizes.into_iter().enumerate();
    rows.map(|(at, size)| sized(&at.to_string(), seq, size)).collect()
}

pub(super) async fn values_of_every_size_are_kept(trial: &mut Trial) {
    let rows = rows_of_each_size(1, SIZES);
    let outcomes = trial.records(&rows).await;
    trial.hold("values from 0 bytes to 20 MiB are stored", outcomes, stored(rows.len()));
    trial.hold("values from 0 bytes to 20 MiB are kept", trial.rows(P).await, &rows[..]);
    trial.crash_and_reopen(&super::trial::grid_row()).await;
    trial.hold("they are kept over a crash", trial.rows(P).await, &rows[..]);
}

pub(super) async fn large_values_are_replaced_and_deleted(trial: &mut Trial) {
    trial.records(&rows_of_each_size(1, SIZES)).await;
    let mut swapped = SIZES;
    swapped.reverse();
    for seq in [2, 2] {
        let rows = rows_of_each_size(seq, swapped);
        let outcomes = trial.records(&rows).await;
        trial.hold("large and small values replace each other", outcomes, stored(rows.len()));
        trial.hold("the one that replaces is kept whole", trial.rows(P).await, &rows[..]);
        swapped.rotate_left(2); // an equal version, of other sizes
    }
    let removals: Vec<Row> = (0..SIZES.len()).map(|at| removal(&at.to_string(), 3)).collect();
    let outcomes = trial.records(&removals).await;
    trial.hold("large values are deleted", outcomes, stored(removals.len()));
    trial.hold("nothing is left of them", trial.rows(P).await, vec![]);
    trial.crash_and_reopen(&super::trial::grid_row()).await;
    trial.hold("nor after a crash", trial.rows(P).await, vec![]);
}

pub(super) async fn large_dead_letters_are_kept(trial: &mut Trial) {
    let row_there = sized("a", 1, 1 << 20);
    trial.records(std::slice::from_ref(&row_there)).await;
    // Both are of the same version, so that nothing tells their parts apart but their being parked.
    let parked = letter(Row { record: Some(value((1 << 20) + 7)), ..sized("a", 1, 0) });
    trial.hold(
        "a large dead letter is stored",
        trial.park(std::slice::from_ref(&parked)).await,
        stored(1),
    );
    trial.hold("it leaves a large row", trial.rows(P).await, vec![row_there]);
    trial.hold("it is kept whole", trial.letters(P).await, vec![parked]);
    let small = letter(row("a", 2, "small"));
    trial.park(std::slice::from_ref(&small)).await;
    trial.hold("a small one replaces it", trial.letters(P).await, vec![small]);
    trial.park(&[letter(sized("a", 3, LARGE))]).await;
    trial.records(&[row("a", 3, "row")]).await;
    trial.hold("a record removes it", trial.letters(P).await, vec![]);
    trial.hold("the record is there", trial.rows(P).await, vec![row("a", 3, "row")]);
}

pub(super) async fn keys_are_any_bytes(trial: &mut Trial) {
    let long = vec![0xff; 1 << 10];
    let almost = vec![0xff; (1 << 10) - 1];
    let keys: [&[u8]; 11] = [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\xff",
        b"\x01",
        b"a\x00",
        b"a\x00\xffb",
        b"\xff",
        b"\xff\x00",
        &almost,
        &long,
    ];
    of_any_keys(trial, keys.map(|bytes| key("t", bytes)).to_vec()).await;
}

pub(super) async fn type_names_are_any_text(trial: &mut Trial) {
    let (long, accented) = ("z".repeat(255), "\u{00e9}".repeat(127));
    let names = ["", "\0", "\0\0", "a", "a\0", "a\0b", "a\u{1}", &long, &accented];
    of_any_keys(trial, names.map(|name| key(name, b"\x00k")).to_vec()).await;
}

/// Writes, reads from each on, parks and deletes rows of these keys, which ascend.
async fn of_any_keys(trial: &mut Trial, keys: Vec<RowKey>) {
    let of = |key: &RowKey| Row { key: key.clone(), ..row("", 1, &format!("{key:?}")) };
    let rows: Vec<Row> = keys.iter().map(of).collect();
    trial.hold("any key is stored", trial.records(&rows).await, stored(rows.len()));
    trial.hold("any key is kept, in order", trial.rows(P).await, &rows[..]);
    for (at, key) in keys.iter().enumerate() {
        let found = trial.page(P, Some(key), rows.len()).await;
        trial.hold("a scan goes on after any key", found, &rows[at + 1..]);
    }
    let letters: Vec<_> = rows.iter().cloned().map(letter).collect();
    trial.hold("any key is parked", trial.park(&letters).await, stored(letters.len()));
    trial.hold("dead letters of any key are kept, in order", trial.letters(P).await, letters);
    let large = |row: &Row| Row { record: Some(value(150 << 10)), ..row.clone() };
    let large: Vec<Row> = rows.iter().map(large).collect();
    trial.records(&large).await;
    trial.hold("large values of any key are kept", trial.rows(P).await, large);
    trial.hold("records of any key remove dead letters", trial.letters(P).await, vec![]);
    for (at, row) in rows.iter().enumerate() {
        trial.records(&[Row { record: None, ..row.clone() }]).await;
        let found: Vec<RowKey> = trial.rows(P).await.into_iter().map(|row| row.key).collect();
        trial.hold("any key is deleted, alone", found, &keys[at + 1..]);
    }
}
