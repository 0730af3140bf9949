//! Whose the store is: the grid's row, and the fences.

use super::super::{BatchOutcome, GridRow};
use super::trial::{Trial, batch_of_epoch, grid_row, row, stored};
use crate::engine::id::{Epoch, PartitionId};

pub(super) async fn the_first_claim_wins(trial: &mut Trial) {
    let other = GridRow {
        grid_id: 9,
        name: "other".to_owned(),
        partitions: 8,
        copies: 2,
        format: 2,
        hash: "another".to_owned(),
    };
    let found = trial.close_and_reopen(&other).await;
    trial.hold("a later claim finds the row of the first", found, grid_row());
    let found = trial.crash_and_reopen(&other).await;
    trial.hold("a later claim does so after a crash", found, grid_row());
    let found = trial.close_and_reopen(&grid_row()).await;
    trial.hold("a claim that loses changes nothing", found, grid_row());
}

pub(super) async fn fences_are_raised_and_never_lowered(trial: &mut Trial) {
    let found = trial.raise(&[(1, 5)]).await;
    trial.hold("where no fence was, epoch 0 is found", found, [0]);
    let found = trial.raise(&[(1, 3)]).await;
    trial.hold("a raised fence is found", found, [5]);
    let found = trial.raise(&[(1, 5)]).await;
    trial.hold("a lower epoch does not lower the fence", found, [5]);
    let found = trial.raise(&[(1, u64::MAX)]).await;
    trial.hold("an equal epoch leaves the fence", found, [5]);
    let found = trial.raise(&[(1, 0)]).await;
    trial.hold("a fence may be of any epoch", found, [u64::MAX]);
}

pub(super) async fn fences_found_are_in_the_order_asked(trial: &mut Trial) {
    trial.raise(&[(1, 10), (2, 20), (u16::MAX, 30)]).await;
    let found = trial.raise(&[(u16::MAX, 31), (1, 11), (0, 1), (2, 19)]).await;
    trial.hold("fences are found in the order in which they are asked for", found, [30, 10, 0, 20]);
    let found = trial.raise(&[(0, 0), (1, 0), (2, 0), (u16::MAX, 0)]).await;
    trial.hold("each fence is raised by itself", found, [1, 11, 20, 31]);
    let found = trial.raise(&[]).await;
    trial.hold("no fence asked for, none found", found, []);
}

pub(super) async fn a_fenced_batch_fails_alone(trial: &mut Trial) {
    let of =
        |epoch, partition, rows: &[_]| batch_of_epoch(epoch, PartitionId(partition), rows, &[]);
    trial.raise(&[(1, 5), (2, 5), (3, 5)]).await;
    let before = [row("a", 1, "before"), row("b", 1, "before")];
    trial.write(&[of(5, 2, &before)]).await;
    let letter = super::trial::letter(row("c", 2, "fenced"));
    let after = [row("a", 2, "after"), super::trial::removal("b", 2)];
    let mut fenced = of(4, 2, &after);
    fenced.dead_letters.push(letter);
    let outcomes = trial.write(&[of(5, 1, &after[..1]), fenced, of(6, 3, &after[..1])]).await;
    let written = || BatchOutcome::Written(stored(1));
    let wanted = vec![written(), BatchOutcome::Fenced { by: Epoch(5) }, written()];
    trial.hold("the batch below its fence is fenced, the others are written", outcomes, wanted);
    let found = trial.rows(PartitionId(2)).await;
    trial.hold("a fenced batch changes no row", found, before.to_vec());
    let found = trial.letters(PartitionId(2)).await;
    trial.hold("a fenced batch parks nothing", found, vec![]);
    for partition in [1, 3] {
        let found = trial.rows(PartitionId(partition)).await;
        trial.hold("a batch beside a fenced one is written", found, after[..1].to_vec());
    }
}

pub(super) async fn a_batch_at_or_above_its_fence_is_written(trial: &mut Trial) {
    let partition = PartitionId(1);
    trial.raise(&[(1, 5)]).await;
    for (seq, epoch) in [(1, 5), (2, 9), (3, 5)] {
        let rows = [row("a", seq, "x")];
        let outcomes = trial.write(&[batch_of_epoch(epoch, partition, &rows, &[])]).await;
        let wanted = vec![BatchOutcome::Written(stored(1))];
        trial.hold("a write at or above the fence is written, and raises none", outcomes, wanted);
    }
    let found = trial.raise(&[(1, 0)]).await;
    trial.hold("a write does not raise the fence", found, [5]);
}
