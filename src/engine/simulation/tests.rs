//! Seeds: some in each run of the tests, many by `examples/simulate.rs`.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::engine::breakage::{self, Breakage};

/// Seeds in debug builds; the gate runs many more in release.
const SEEDS: u64 = 150;

/// Which seed finds that a rule is left out. Found by `simulate --break all`; to be found anew
/// where what a seed draws has changed.
const FOUND: &[(Breakage, u64)] = &[
    (Breakage::AckBeforeBackups, 2),
    (Breakage::NoFence, 86),
    (Breakage::IdentityKept, 2),
    (Breakage::InSyncWithoutCatchUp, 2),
    (Breakage::PendingIgnored, 48),
    (Breakage::DroppedBeforeCommit, 1),
    (Breakage::PromotedOutOfSync, 2),
    (Breakage::NoRowVersion, 19),
    (Breakage::AckedWithoutJoin, 46),
    (Breakage::NoCandidates, 70),
    (Breakage::LeaseNotWaited, 3),
    (Breakage::LeaseNotChecked, 48),
    (Breakage::SnapshotWithoutTail, 2),
    (Breakage::AnsweredBeforeCommit, 3),
    (Breakage::ReadBeforeCommit, 3),
    (Breakage::RemovedAtOnce, 1442),
    (Breakage::AnswersNotReplicated, 2),
    (Breakage::SessionsNotReplicated, 2),
    (Breakage::FloorsNotReplicated, 2505),
    (Breakage::RecordedBeforeCommit, 3),
    (Breakage::LeaseOfOlderTable, 656),
    (Breakage::ArmedEpochReused, 24),
    (Breakage::OldSnapshotTaken, 438),
    (Breakage::ChunksWithoutTail, 6),
    (Breakage::ChunkMissing, 33),
    (Breakage::PartTakenForWhole, 6),
    (Breakage::UnnamedKept, 504),
    (Breakage::RowNotAsked, 1243),
    (Breakage::LeaseFromAnswer, 568),
    (Breakage::EpochKept, 1),
    (Breakage::DownTakenForDead, 1),
    (Breakage::UnfoldedIgnored, 3),
    (Breakage::LiveKept, 17),
    (Breakage::HeldOutlivesReign, 2584),
    (Breakage::RetryRuns, 0),
    (Breakage::MessagesLeaveEarly, 107),
    (Breakage::SenderForgetsAtApplied, 63),
    (Breakage::AppliedNotReplicated, 13),
    (Breakage::ConfirmedUnasked, 161),
    (Breakage::WatermarkTooHigh, 1),
    (Breakage::PendingForgotten, 140),
    (Breakage::StoredBeforeCommit, 0),
    (Breakage::AnsweredBeforeStored, 49),
    (Breakage::ShortNotStored, 297),
    (Breakage::GapUnderstated, 38),
    (Breakage::FoundNotSent, 6),
    (Breakage::StoreTakenForPrefix, 89),
    (Breakage::StoreNotEqualised, 504),
    (Breakage::EntityNumbersIgnored, 13),
    (Breakage::DirtyEvicted, 15),
    (Breakage::LateLoadInstalled, 117),
    (Breakage::LateBatchWritten, 774),
    (Breakage::TombstonesDroppedEarly, 245),
    (Breakage::ExpiredWithoutRecord, 1),
    (Breakage::PartitionTimeRestarts, 32),
    (Breakage::RemindersNotReplicated, 1),
    (Breakage::TwoCopiesOnOneNode, 69),
    (Breakage::LettersNotCopied, 1146),
    (Breakage::ParkedUnstored, 15),
    (Breakage::LettersNotLoaded, 161),
    (Breakage::LettersNotFound, 37),
    (Breakage::LetterKept, 5),
    (Breakage::SupersededCountsAsStored, 538),
    (Breakage::DecisionForgotten, 454),
    (Breakage::MarginIgnored, 1320),
    (Breakage::VoterForgot, 14),
    (Breakage::OldVotersIgnored, 314),
    (Breakage::FenceNotRaised, 1302),
    (Breakage::AsyncLagUnbounded, 693),
    (Breakage::AsyncWithoutLease, 42),
    (Breakage::AsyncStoredEarly, 0),
    (Breakage::HandInForgotten, 42),
    (Breakage::HandInTwice, 30),
];

#[test]
fn seeds_pass() {
    let mut total = Summary::default();
    for seed in 0..SEEDS {
        match run(seed, None) {
            Ok(summary) => {
                total.acknowledged += summary.acknowledged;
                total.promotions += summary.promotions;
                total.histories.add(&summary.histories);
                for (name, count) in summary.faults {
                    *total.faults.entry(name).or_default() += count;
                }
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    // They are worth what they have come across.
    assert!(total.acknowledged > 100 * SEEDS as usize && total.promotions > SEEDS, "{total:?}");
    assert!(total.faults.len() >= 12, "{total:?}");
    // An object that no checker decides passes unseen.
    let undecided: u64 = total.histories.undecided.values().sum();
    assert!(total.histories.decided > SEEDS && undecided * 100 <= total.histories.decided);
}

/// A transfer that runs twice leaves the sum of all accounts as it was: what each account tells of
/// its moves gives it away. (Histories are checked before: in these seeds they see nothing.)
#[test]
fn accounts_tell_of_transfers_that_run_twice() {
    let finds = |seed| {
        let found = breakage::with(Some(Breakage::RetryRuns), || run(seed, None));
        found.is_err_and(|failure| failure.what.contains("has left its account"))
    };
    assert!((10..40).any(finds));
}

#[test]
fn a_seed_runs_the_same_twice() {
    for seed in 0..5 {
        let trace = |seed| {
            let lines = Rc::new(RefCell::new(Vec::new()));
            let kept = Rc::clone(&lines);
            let keep = move |line: &str| kept.borrow_mut().push(line.to_owned());
            (run(seed, Some(Box::new(keep))), lines.take())
        };
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn what_is_left_out_is_missed() {
    for (rule, seed) in FOUND {
        let found = breakage::with(Some(*rule), || run(*seed, None));
        assert!(found.is_err(), "{rule:?} by {seed}");
        assert!(run(*seed, None).is_ok(), "{seed}");
    }
    let missing: Vec<_> =
        Breakage::ALL.iter().filter(|rule| FOUND.iter().all(|(known, _)| known != *rule)).collect();
    assert!(missing.is_empty(), "no seed is known for {missing:?}");
}
