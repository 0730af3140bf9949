//! The order of rows, and reading them in pages.

use super::super::{Row, RowKey};
use super::trial::{P, Trial, key, row, stored};

pub(super) async fn an_empty_partition_has_no_rows(trial: &mut Trial) {
    trial.hold("an empty partition has no rows", trial.rows(P).await, vec![]);
    trial.hold("an empty partition has no dead letters", trial.letters(P).await, vec![]);
    let after = key("t", b"a");
    let found = trial.page(P, Some(&after), 10).await;
    trial.hold("nothing follows a key in an empty partition", found, vec![]);
}

/// Rows in order. What is the beginning of another comes first, and a type is whole before the
/// next one begins.
fn ascending() -> Vec<Row> {
    let keys: [(&str, &[u8]); 10] = [
        ("", b"zzz"),
        ("a", b""),
        ("a", b"\x00"),
        ("a", b"\x00\x00"),
        ("a", b"b"),
        ("a", b"\xff\xff"),
        ("a\0", b"a"),
        ("ab", b""),
        ("b", b"a"),
        ("\u{ffff}", b"a"),
    ];
    let of = |(entity_type, bytes): (&str, &[u8])| Row {
        key: key(entity_type, bytes),
        ..row("", 1, "x")
    };
    keys.into_iter().map(of).collect()
}

pub(super) async fn rows_are_scanned_by_type_then_key(trial: &mut Trial) {
    let wanted = ascending();
    // Written in another order, partly by a second call.
    let mut mixed: Vec<Row> = wanted.iter().rev().cloned().collect();
    mixed.rotate_left(3);
    let (first, second) = mixed.split_at(4);
    trial.hold("new rows are stored", trial.records(first).await, stored(first.len()));
    trial.hold("new rows are stored", trial.records(second).await, stored(second.len()));
    trial.hold("rows ascend by type, then by key", trial.rows(P).await, wanted);
}

pub(super) async fn a_scan_is_read_in_pages(trial: &mut Trial) {
    let all = ascending();
    trial.records(&all).await;
    for rows_max in [1, 3, all.len() - 1, all.len(), all.len() + 1] {
        let mut found: Vec<Row> = Vec::new();
        loop {
            let after: Option<RowKey> = found.last().map(|row| row.key.clone());
            let page = trial.page(P, after.as_ref(), rows_max).await;
            let rest = &all[found.len()..];
            let wanted = rest[..rest.len().min(rows_max)].to_vec();
            trial.hold(
                "a page has what follows, as many as there are or asked for",
                &page,
                &wanted,
            );
            let is_last = page.len() < rows_max;
            found.extend(page);
            if is_last {
                break;
            }
        }
        trial.hold("the pages are all rows", &found, &all);
    }
    let between = key("a", b"a");
    let found = trial.page(P, Some(&between), 1).await;
    trial.hold("a page may follow a key that has no row", found, all[4..5].to_vec());
}
