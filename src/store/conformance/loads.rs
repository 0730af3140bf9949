//! Loads: what a store holds of single entities.

use super::super::{Loaded, RowKey};
use super::trial::{P, Trial, batch, grid_row, key, letter, removal, row};
use crate::engine::id::PartitionId;

fn keys(of: &[&str]) -> Vec<(PartitionId, RowKey)> {
    of.iter().map(|of| (P, key("t", of.as_bytes()))).collect()
}

pub(super) async fn what_is_stored_is_loaded(trial: &mut Trial) {
    let (a, b) = (row("a", 1, "a"), row("b", 2, "b"));
    trial.records(&[a.clone(), b.clone(), row("c", 3, "c")]).await;
    trial.records(&[removal("c", 4)]).await;
    let loaded = trial.load(&keys(&["b", "none", "a", "c", "b", "a"])).await;
    let of = |row: &_| Loaded { row: Some(Clone::clone(row)), dead_letter: None };
    let nothing = Loaded::default();
    let wanted = vec![of(&b), nothing.clone(), of(&a), nothing, of(&b), of(&a)];
    trial.hold("each key has its answer, in the order asked", loaded, wanted);
    trial.hold("no key has no answer", trial.load(&[]).await, vec![]);
    trial.crash_and_reopen(&grid_row()).await;
    trial.hold("also after a crash", trial.load(&keys(&["a"])).await, vec![of(&a)]);
}

pub(super) async fn a_load_brings_row_and_dead_letter(trial: &mut Trial) {
    let rows = [row("a", 5, "a"), row("b", 5, "b")];
    trial.records(&rows).await;
    let letters =
        [letter(row("a", 6, "newer")), letter(row("b", 4, "older")), letter(removal("c", 1))];
    trial.park(&letters).await;
    let [a, b] = rows.map(Some);
    let [newer, older, removed] = letters.map(Some);
    let wanted = vec![
        Loaded { row: a, dead_letter: newer },
        Loaded { row: b, dead_letter: older },
        Loaded { row: None, dead_letter: removed },
    ];
    let loaded = trial.load(&keys(&["a", "b", "c"])).await;
    trial.hold("a load brings both, whichever is newer", loaded, wanted);
}

pub(super) async fn loads_are_of_one_partition_and_type(trial: &mut Trial) {
    let other = PartitionId(P.0 + 1);
    let here = row("a", 1, "here");
    trial.write(&[batch(P, std::slice::from_ref(&here), &[])]).await;
    let asked = [(other, key("t", b"a")), (P, key("t", b"a")), (P, key("u", b"a"))];
    let found = Loaded { row: Some(here), dead_letter: None };
    let wanted = vec![Loaded::default(), found, Loaded::default()];
    trial.hold("only the very key is loaded", trial.load(&asked).await, wanted);
}

pub(super) async fn values_of_every_size_are_loaded(trial: &mut Trial) {
    let sizes = [0, 1, 1000, 100_000, 3_000_000];
    let rows = sizes.map(|size| row(&size.to_string(), 1, &"x".repeat(size)));
    trial.records(&rows).await;
    for (size, row) in sizes.into_iter().zip(rows) {
        let loaded = trial.load(&keys(&[&size.to_string()])).await;
        let wanted = vec![Loaded { row: Some(row), dead_letter: None }];
        trial.hold("a value is loaded whole", loaded == wanted, true);
    }
}
