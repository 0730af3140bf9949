//! Many partitions in one store, and in one write.

use super::super::{BatchOutcome, RecordOutcome, Row};
use super::trial::{P, Trial, batch, letter, removal, row, stored, superseded};
use crate::engine::id::PartitionId;

pub(super) async fn partitions_are_apart(trial: &mut Trial) {
    // The neighbours, and those whose number has the same bytes in another place.
    let partitions = [0, 1, 255, 256, 257, u16::MAX].map(PartitionId);
    let of = |partition: PartitionId| row("a", 1, &partition.to_string());
    for partition in partitions {
        let parked = letter(row("b", 1, &partition.to_string()));
        trial.write(&[batch(partition, &[of(partition)], &[parked])]).await;
    }
    for partition in partitions {
        let found = trial.rows(partition).await;
        trial.hold("a partition has its own rows", found, vec![of(partition)]);
        let found = trial.letters(partition).await;
        let wanted = vec![letter(row("b", 1, &partition.to_string()))];
        trial.hold("a partition has its own dead letters", found, wanted);
    }
    let deletes = [removal("a", 2), removal("b", 2)];
    trial.write(&[batch(PartitionId(256), &deletes, &[])]).await;
    for partition in partitions {
        let count = usize::from(partition != PartitionId(256));
        let found = trial.rows(partition).await.len();
        trial.hold("a removal concerns its own partition's row", found, count);
        let found = trial.letters(partition).await.len();
        trial.hold("a removal concerns its own partition's dead letter", found, count);
    }
}

pub(super) async fn many_partitions_are_written_at_once(trial: &mut Trial) {
    let rows_of = |partition: u16| -> Vec<Row> {
        (0..5).map(|n| row(&n.to_string(), 1, &format!("{partition} {n}"))).collect()
    };
    let batches: Vec<_> =
        (0..256).map(|partition| batch(PartitionId(partition), &rows_of(partition), &[])).collect();
    let outcomes = trial.write(&batches).await;
    let wanted = vec![BatchOutcome::Written(stored(5)); 256];
    trial.hold("every batch of a write has its outcome", outcomes, wanted);
    for partition in 0..256 {
        let found = trial.rows(PartitionId(partition)).await;
        trial.hold("every batch of a write is stored", found, rows_of(partition));
    }
    let outcomes = trial.write(&[]).await;
    trial.hold("a write of no batches has no outcome", outcomes, vec![]);
    let outcomes = trial.write(&[batch(P, &[], &[])]).await;
    let wanted = vec![BatchOutcome::Written(vec![])];
    trial.hold("an empty batch is written", outcomes, wanted);
}

pub(super) async fn outcomes_are_in_the_order_given(trial: &mut Trial) {
    let there = [row("b", 5, "newer"), row("y", 6, "newer")];
    trial.write(&[batch(P, &there[..1], &[letter(row("z", 7, "newer"))])]).await;
    trial.write(&[batch(PartitionId(2), &there[1..], &[])]).await;
    let records = [row("c", 1, "x"), row("b", 1, "x"), row("a", 1, "x")];
    let letters = [letter(row("z", 1, "x")), letter(row("d", 1, "x"))];
    let others = [row("y", 1, "x"), row("x", 1, "x")];
    let outcomes =
        trial.write(&[batch(PartitionId(2), &others, &[]), batch(P, &records, &letters)]).await;
    let ok = || RecordOutcome::Stored;
    let wanted = vec![
        BatchOutcome::Written(vec![superseded(6), ok()]),
        BatchOutcome::Written(vec![ok(), superseded(5), ok(), superseded(7), ok()]),
    ];
    let rule = "outcomes follow the batches, in each the records, then the dead letters";
    trial.hold(rule, outcomes, wanted);
}
