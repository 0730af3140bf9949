//! What is there after the end of a store, and what a closed store says.

use super::super::{BatchOutcome, DeadLetter, Error, Row};
use super::trial::{
    P, Trial, batch, batch_of_epoch, grid_row, key, letter, removal, row, stored, superseded,
};
use crate::engine::id::{Epoch, PartitionId};

const Q: PartitionId = PartitionId(8);

pub(super) async fn everything_survives_a_close(trial: &mut Trial) {
    let written = write_some_of_everything(trial).await;
    let found = trial.close_and_reopen(&grid_row()).await;
    trial.hold("the grid's row survives", found, grid_row());
    survived(trial, written).await;
}

pub(super) async fn everything_survives_a_crash(trial: &mut Trial) {
    let written = write_some_of_everything(trial).await;
    let found = trial.crash_and_reopen(&grid_row()).await;
    trial.hold("the grid's row survives", found, grid_row());
    survived(trial, written).await;
}

/// What [`P`] and [`Q`] have afterwards.
struct Written {
    rows: Vec<Row>,
    letters: Vec<DeadLetter>,
}

async fn write_some_of_everything(trial: &Trial) -> Written {
    trial.raise(&[(P.0, 3), (Q.0, 4), (300, 5)]).await;
    let first = [row("a", 1, "old"), row("b", 1, "kept"), row("c", 1, "deleted")];
    let parked = ["d", "e"].map(|of| letter(row(of, 1, "refused")));
    trial.write(&[batch(P, &first, &parked), batch(Q, &first, &parked)]).await;
    let second = [row("a", 2, "new"), removal("c", 2), row("d", 2, "no longer refused")];
    trial.write(&[batch(P, &second, &[]), batch(Q, &second, &[])]).await;
    let [a, _, d] = second;
    let ([_, b, _], [_, e]) = (first, parked);
    Written { rows: vec![a, b, d], letters: vec![e] }
}

async fn survived(trial: &Trial, written: Written) {
    for partition in [P, Q] {
        let found = trial.rows(partition).await;
        trial.hold("rows, replacements and removals survive", found, &written.rows[..]);
        let found = trial.letters(partition).await;
        trial.hold("dead letters and their removal survive", found, &written.letters[..]);
    }
    let found = trial.raise(&[(P.0, 0), (Q.0, 0), (300, 0), (301, 0)]).await;
    trial.hold("fences survive", found, [3, 4, 5, 0]);
}

pub(super) async fn versions_and_fences_hold_after_a_crash(trial: &mut Trial) {
    write_some_of_everything(trial).await;
    trial.crash_and_reopen(&grid_row()).await;
    let outcomes = trial.write(&[batch_of_epoch(2, P, &[row("a", 9, "fenced")], &[])]).await;
    let wanted = vec![BatchOutcome::Fenced { by: Epoch(3) }];
    trial.hold("a fence holds after a crash", outcomes, wanted);
    let outcomes = trial.records(&[row("a", 1, "older")]).await;
    trial.hold("a newer row supersedes after a crash", outcomes, vec![superseded(2)]);
    let outcomes = trial.records(&[row("a", 3, "newest")]).await;
    trial.hold("a newer version is stored after a crash", outcomes, stored(1));
    trial.close_and_reopen(&grid_row()).await;
    let found = trial.rows(P).await.into_iter().next();
    trial.hold("what is stored after a crash survives", found, Some(row("a", 3, "newest")));
}

pub(super) async fn calls_after_a_close_fail(trial: &mut Trial) {
    trial.records(&[row("a", 1, "before")]).await;
    let store = trial.store();
    trial.hold("a close succeeds", store.close().await, Ok(()));
    let closed = || Some(Error::Closed);
    let found = store.claim(&grid_row()).await.err();
    trial.hold("`claim` after a close fails as closed", found, closed());
    let found = store.raise_fences(&[(P, Epoch(9))]).await.err();
    trial.hold("`raise_fences` after a close fails as closed", found, closed());
    let found = store.scan(P, None, 10).await.err();
    trial.hold("`scan` after a close fails as closed", found, closed());
    let found = store.load(&[(P, key("t", b"a"))]).await;
    trial.hold("`load` after a close fails as closed", found, vec![Err(Error::Closed)]);
    let found = store.dead_letters(P).await.err();
    trial.hold("`dead_letters` after a close fails as closed", found, closed());
    let found = store.write(&[batch(P, &[row("a", 2, "after")], &[])]).await.err();
    trial.hold("`write` after a close fails as closed", found, closed());
    trial.close_and_reopen(&grid_row()).await;
    let found = trial.rows(P).await;
    trial.hold("what failed has changed nothing", found, vec![row("a", 1, "before")]);
    trial.hold("what failed has raised no fence", trial.raise(&[(P.0, 0)]).await, [0]);
}

pub(super) async fn a_second_close_does_nothing(trial: &mut Trial) {
    trial.records(&[row("a", 1, "x")]).await;
    trial.hold("a close succeeds", trial.store().close().await, Ok(()));
    trial.hold("a second close succeeds", trial.store().close().await, Ok(()));
    trial.close_and_reopen(&grid_row()).await;
    trial.hold("it changes nothing", trial.rows(P).await, vec![row("a", 1, "x")]);
}
