//! Snapshots in several parts, on their way while other things happen.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_row_changes_behind_the_cursor_of_a_snapshot() {
    let script = "
        grid nodes=3 copies=2 kept=0 protect=500 rows=1 window=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        write 7 7 as A#2
        until answer A#2
        let third other
        hold taken
        crash new
        until held taken
        write 0 8 as A#3
        until answer A#3
        release taken
        until 2 copies
        propose promote third
        until served by third
        read 0 as A#4
        until answer A#4
        read 7 as A#5
        until answer A#5
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 written
        A#4 found 8
        A#5 found 7
        at rest
    ";
    check(
        script,
        shown,
        &[
            (Breakage::ChunksWithoutTail, "A#4 found 7"),
            (Breakage::PartTakenForWhole, "until held taken"),
        ],
    );
}

#[test]
fn a_row_is_removed_behind_the_cursor_of_a_snapshot() {
    let script = "
        grid nodes=3 copies=2 kept=0 protect=500 rows=1 window=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 5 9 as A#1
        until answer A#1
        write 7 7 as A#2
        until answer A#2
        let third other
        hold taken
        crash new
        until held taken
        take 5 as A#3
        until answer A#3
        release taken
        until 2 copies
        propose promote third
        until served by third
        read 5 as A#4
        until answer A#4
        rest
    ";
    let shown = "
        A#1 put
        A#2 written
        A#3 found 9
        A#4 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::ChunksWithoutTail, "A#4 found 9")]);
}

#[test]
fn rows_are_removed_before_a_snapshot_comes_to_them_and_its_receiver_has_had_them() {
    let script = "
        grid nodes=2 copies=2 voters=1 kept=0 rows=1 window=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        write 5 9 as A#2
        until answer A#2
        write 12 3 as A#3
        until answer A#3
        lead old
        run 700ms
        lose catch-up
        isolate new
        until not in-sync new
        take 5 as A#4
        until answer A#4
        write 0 8 as A#5
        until answer A#5
        run 1s
        show value 5
        hold taken
        heal
        pass catch-up
        until held taken
        take 12 as A#6
        until answer A#6
        release taken
        until 2 copies
        propose promote new
        until served by new
        read 5 as A#7
        until answer A#7
        read 12 as A#8
        until answer A#8
        rest
    ";
    let shown = "
        A#1 written
        A#2 put
        A#3 put
        A#4 found 9
        A#5 written
        value 5: old nothing
        A#6 found 3
        A#7 found nothing
        A#8 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::UnnamedKept, "A#7 found 9")]);
}

#[test]
fn a_part_of_a_snapshot_is_lost() {
    let script = "
        grid nodes=3 copies=2 kept=0 protect=500 rows=1 window=8 pace=30
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        write 7 7 as A#2
        until answer A#2
        write 1 7 as A#3
        until answer A#3
        write 3 7 as A#4
        until answer A#4
        write 6 7 as A#5
        until answer A#5
        let third other
        hold taken
        crash new
        until held taken
        lose snapshot
        run 60ms
        pass snapshot
        run 60ms
        release taken
        until 2 copies
        propose promote third
        until served by third
        read 1 as A#6
        until answer A#6
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 counted 7
        A#4 added
        A#5 will ring
        A#6 counted 7
        at rest
    ";
    check(script, shown, &[(Breakage::ChunkMissing, "")]);
}

#[test]
fn the_beginning_of_an_old_snapshot_comes_in_the_middle_of_a_new_one() {
    let script = "
        grid nodes=3 copies=2 kept=0 protect=500 rows=1 window=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        write 7 7 as A#2
        until answer A#2
        hold snapshot
        hold taken
        crash new
        until held snapshot
        pass snapshot
        write 0 8 as A#3
        until answer A#3
        until held taken
        release snapshot
        run 20ms
        release taken
        until 2 copies
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 written
        at rest
    ";
    check(script, shown, &[(Breakage::OldSnapshotTaken, "it is never so: until 2 copies")]);
}

#[test]
fn another_reign_begins_in_the_middle_of_a_snapshot() {
    let script = "
        grid nodes=4 copies=3 kept=0 protect=500 rows=1 window=1
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        let third other
        open A
        write 0 7 as A#1
        until answer A#1
        write 7 7 as A#2
        until answer A#2
        hold taken
        crash two
        until held taken
        hold snapshot from old
        propose promote one
        until served by one
        write 0 8 as A#3
        until answer A#3
        release all
        until 3 copies
        write 7 9 as A#4
        until answer A#4
        propose promote third
        until served by third
        read 0 as A#5
        until answer A#5
        read 7 as A#6
        until answer A#6
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 written
        A#4 written
        A#5 found 8
        A#6 found 9
        at rest
    ";
    check(script, shown, &[(Breakage::SnapshotWithoutTail, "in_sync_holds_answered")]);
}
