//! Copies that come, go, and are made anew.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_frozen_leader_thaws_and_forwards_an_old_grow() {
    let script = "
        grid nodes=3 copies=3
        until served
        until 3 copies
        let old primary
        let away backup
        let third backup
        lead third
        run 700ms
        open A
        cut old away
        until not in-sync away
        hold grow
        heal
        until held grow
        lose records to away
        write 0 7 as A#1
        run 800ms
        expect not answered A#1
        show row
        propose promote third
        until served by third
        propose promote old
        until served by old
        done A#1
        write 0 8 as A#2
        until answer A#2
        show row
        release grow
        run 100ms
        show row
        release records
        rest
        show value 0
    ";
    let shown = "
        row: epoch 1, primary old, in sync old third, catching up away
        A#1 written
        A#2 written
        row: epoch 3, primary old, in sync old third, catching up away
        row: epoch 3, primary old, in sync old third, catching up away
        at rest
        value 0: old 8, away 8, third 8
    ";
    check(script, shown, &[(Breakage::NoRowVersion, "in_sync_holds_answered")]);
}

#[test]
fn the_answer_to_a_grow_is_lost_and_its_copy_becomes_primary() {
    let script = "
        grid nodes=4 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        let boss other
        open A
        write 0 7 as A#1
        until answer A#1
        lead boss
        run 700ms
        hold catch-up
        cut old one
        until not in-sync one
        run 300ms
        heal
        hold grow
        propose catch-up one
        until held grow
        hold news to old
        hold news to two
        release grow
        until in-sync one
        hold records to one
        write 0 8 as A#2
        run 2s
        expect not answered A#2
        show row
        propose promote one
        until serving one
        release all
        until served by one
        done A#2
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old one two
        A#2 written
        row: epoch 2, primary one, in sync old one two
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AckBeforeBackups, "at `expect not answered A#2`"),
            (Breakage::PendingIgnored, "at `expect not answered A#2`"),
        ],
    );
}

#[test]
fn the_receiver_of_a_snapshot_crashes_in_its_middle() {
    let script = "
        grid nodes=3 copies=2 kept=0 protect=500 rows=1 window=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let third other
        lead third
        run 700ms
        write 0 8 as A#2
        until answer A#2
        hold taken
        crash new
        until held taken
        run 100ms
        show row
        crash third
        run 100ms
        restart new
        restart third
        until up third
        release taken
        until 2 copies
        show row
        write 0 9 as A#3
        until answer A#3
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 1, primary old, in sync old, catching up third
        row: epoch 1, primary old, in sync old new/2
        A#3 written
        at rest
        value 0: old 9, new 9
    ";
    check(
        script,
        shown,
        &[
            (Breakage::SnapshotWithoutTail, "no rest"),
            (Breakage::InSyncWithoutCatchUp, "in_sync_holds_answered"),
        ],
    );
}

#[test]
fn the_sender_of_a_snapshot_crashes_in_its_middle() {
    let script = "
        grid nodes=6 voters=5 copies=3 kept=0 protect=500 rows=1 window=1
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        write 0 8 as A#2
        until answer A#2
        crash two
        hold taken
        until held taken
        hold snapshot from old
        release taken
        until held snapshot
        show row
        pass snapshot
        crash old
        until served by one
        until 3 copies
        write 0 9 as A#3
        until answer A#3
        release snapshot
        run 500ms
        show value 0
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 1, primary old, in sync old one, catching up another
        A#3 written
        value 0: one 9, another 9, another 9
        row: epoch 2, primary one, in sync one another another
        at rest
        value 0: one 9, another 9, another 9
    ";
    check(
        script,
        shown,
        &[
            (Breakage::SnapshotWithoutTail, "in_sync_holds_answered"),
            (Breakage::InSyncWithoutCatchUp, "in_sync_holds_answered"),
        ],
    );
}

#[test]
fn a_snapshot_comes_again_after_what_followed_it() {
    let script = "
        grid nodes=5 voters=5 copies=2 kept=0 protect=500
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        hold snapshot
        crash new
        until held snapshot
        pass snapshot
        run 20ms
        until 2 copies
        let third backup
        lead 4
        run 700ms
        write 0 8 as A#2
        until answer A#2
        release snapshot
        run 200ms
        crash old
        until served by third
        read 0 as A#3
        until answer A#3
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 found 8
        at rest
    ";
    check(script, shown, &[(Breakage::OldSnapshotTaken, "in_sync_holds_answered")]);
}

#[test]
fn a_node_that_was_shrunk_away_is_readmitted_without_its_copy() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let third other
        lead third
        run 700ms
        hold catch-up
        isolate new
        until down new
        until not in-sync new
        write 0 8 as A#2
        until answer A#2
        run 500ms
        heal
        pause old
        until down old
        until up new
        run 3s
        show row
        resume old
        until served by old
        read 0 as B#1
        done B#1
        release catch-up
        until 2 copies
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 1, primary old, in sync old
        B#1 found 8
        at rest
    ";
    check(
        script,
        shown,
        &[
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
            (Breakage::DownTakenForDead, "primary new, in sync new"),
        ],
    );
}

#[test]
fn of_removed_copies_one_with_less_is_not_chosen() {
    let script = "
        grid nodes=9 voters=5 copies=4 patience=400
        until served
        until 4 copies
        let old primary
        let less backup
        let more backup
        let next backup
        let boss other
        lead boss
        run 700ms
        open A
        hold write
        hold settle
        hold catch-up
        isolate less
        until not in-sync less
        write 0 7 as A#1
        until answer A#1
        show row
        pause more
        crash old
        until served by next
        restart old
        show row
        heal
        until up less
        crash next
        propose declare next
        run 2s
        show row
        resume more
        until served by less
        read 0 as B#1
        until answer B#1
        show row
        release settle
        release catch-up
        rest
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old more next, leaving less
        row: epoch 2, primary next, in sync next, leaving old less more
        row: epoch 3, preparing less, candidates next, leaving old less more
        B#1 found 7
        row: epoch 3, primary less, in sync less, leaving old more next
        at rest
    ";
    check(
        script,
        shown,
        &[(Breakage::LeavingNotAwaited, "B#1 found 0"), (Breakage::RemovedAtOnce, "B#1 found 0")],
    );
}

#[test]
fn a_copy_that_lacks_what_its_primary_has_inherited_does_not_count() {
    let script = "
        grid nodes=3 copies=3
        until served
        until 3 copies
        let old primary
        let new backup
        let far other
        open A
        write 0 7 as A#1
        until answer A#1
        lead old
        run 700ms
        hold records to far
        hold snapshot to far
        crash far
        restart far
        until catching far
        propose promote new
        until served by new
        run 500ms
        expect not in-sync far
        release all
        until in-sync far
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        at rest
        value 0: old 7, new 7, far 7
    ";
    check(script, shown, &[(Breakage::InheritedIgnored, "in_sync_holds_answered")]);
}
