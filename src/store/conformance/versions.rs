//! Which of two versions of a row stays.

use super::super::{RecordOutcome, Row};
use super::trial::{P, Trial, removal, row, stored, superseded};
use crate::engine::id::Version;

pub(super) async fn a_newer_version_replaces(trial: &mut Trial) {
    for seq in 1..4 {
        let newest = row("a", seq, &format!("content {seq}"));
        let outcomes = trial.records(std::slice::from_ref(&newest)).await;
        trial.hold("a newer version is stored", outcomes, stored(1));
        trial.hold("a newer version replaces the row", trial.rows(P).await, vec![newest]);
    }
}

pub(super) async fn an_equal_version_is_written_again(trial: &mut Trial) {
    trial.records(&[row("a", 2, "torn")]).await;
    let again = row("a", 2, "whole");
    let outcomes = trial.records(std::slice::from_ref(&again)).await;
    trial.hold("an equal version is stored", outcomes, stored(1));
    trial.hold("an equal version is written again", trial.rows(P).await, vec![again]);
    trial.records(&[removal("a", 2)]).await;
    trial.hold("an equal version may delete", trial.rows(P).await, vec![]);
}

pub(super) async fn an_older_version_is_superseded(trial: &mut Trial) {
    let newer = [row("a", 5, "newer"), row("c", 4, "newer")];
    trial.records(&newer).await;
    let older = [row("a", 4, "older"), row("b", 1, "first"), removal("c", 3)];
    let outcomes = trial.records(&older).await;
    let wanted = vec![superseded(5), RecordOutcome::Stored, superseded(4)];
    trial.hold("an older version is superseded by the one found, alone", outcomes, wanted);
    let [a, c] = newer;
    let [_, b, _] = older;
    trial.hold("an older version leaves the row", trial.rows(P).await, vec![a, b, c]);
}

pub(super) async fn versions_compare_by_epoch_then_seq_then_index(trial: &mut Trial) {
    let ascending = [
        Version::new(1, 1, 0),
        Version::new(1, 1, 1),
        Version::new(1, 1, 256),
        Version::new(1, 2, 0),
        Version::new(1, 256, 0),
        Version::new(2, 1, 0),
        Version::new(256, 1, 0),
        Version::new(u64::MAX, u64::MAX, u32::MAX),
    ];
    let mut before = None;
    for version in ascending {
        let newer = Row { version, ..row("a", 0, &version.to_string()) };
        let outcomes = trial.records(std::slice::from_ref(&newer)).await;
        trial.hold("a higher epoch, then seq, then index is newer", outcomes, stored(1));
        trial.hold("versions are kept whole", trial.rows(P).await, vec![newer]);
        if let Some(older) = before.replace(version) {
            let outcomes = trial.records(&[Row { version: older, ..row("a", 0, "old") }]).await;
            let wanted = vec![RecordOutcome::Superseded { found: version }];
            trial.hold("a lower epoch, then seq, then index is older", outcomes, wanted);
        }
    }
}

pub(super) async fn a_record_without_content_deletes(trial: &mut Trial) {
    trial.records(&[row("a", 1, "x"), row("b", 1, "x")]).await;
    let outcomes = trial.records(&[removal("a", 2), removal("never there", 1)]).await;
    trial.hold("a removal is stored, whether there is a row or not", outcomes, stored(2));
    trial.hold("a removal deletes the row, alone", trial.rows(P).await, vec![row("b", 1, "x")]);
    let again = [row("a", 3, "again")];
    trial.hold("a deleted row may come again", trial.records(&again).await, stored(1));
    let wanted = vec![row("a", 3, "again"), row("b", 1, "x")];
    trial.hold("a row that comes again is there", trial.rows(P).await, wanted);
}
