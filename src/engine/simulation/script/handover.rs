//! Primaries that are moved, and what crashes or is lost meanwhile.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_hand_over_waits_for_what_is_not_committed() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        hold ack from new
        write 0 8 as A#2
        run 20ms
        propose arm new
        run 100ms
        expect not answered A#2
        show serving
        show row
        release ack
        done A#2
        until served by new
        show row
        read 0 as A#3
        until answer A#3
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        serving: -
        row: epoch 1, primary old, in sync old new, next new
        A#2 written
        row: epoch 2, primary new, in sync old new
        A#3 found 8
        at rest
        value 0: old 8, new 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AckBeforeBackups, "at `expect not answered A#2`"),
            (Breakage::AnsweredBeforeCommit, "at `expect not answered A#2`"),
        ],
    );
}

#[test]
fn the_primary_crashes_before_its_token_is_heard() {
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
        hold token
        propose arm new
        until held token
        show row
        show serving
        crash old
        until served by new
        show row
        release token
        run 100ms
        read 0 as A#2
        until answer A#2
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old new, next new
        serving: -
        row: epoch 3, primary new, in sync new, leaving old
        A#2 found 7
        row: epoch 3, primary new, in sync new, catching up third
        at rest
        value 0: new 7, third 7
    ";
    check(script, shown, &[(Breakage::ArmedEpochReused, "row: epoch 2, primary new")]);
}

#[test]
fn the_next_primary_crashes_and_has_no_token() {
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
        lose token
        propose arm new
        until not serving old
        crash new
        until served by old
        show row
        read 0 as A#2
        until answer A#2
        rest
    ";
    let shown = "
        A#1 written
        row: epoch 3, primary old, in sync old, leaving new
        A#2 found 7
        at rest
    ";
    check(
        script,
        shown,
        &[
            (Breakage::ArmedEpochReused, "row: epoch 2, primary old"),
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
        ],
    );
}

#[test]
fn the_former_primary_crashes_between_token_and_commit() {
    let script = "
        grid nodes=3 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        lead two
        run 700ms
        hold take-over
        propose arm one
        until serving one
        crash old
        until served
        show row
        release take-over
        run 100ms
        read 0 as A#3
        until answer A#3
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 3, primary two, in sync one two
        A#3 found 7
        at rest
        value 0: old 7, one 7, two 7
    ";
    check(script, shown, &[(Breakage::ArmedEpochReused, "never so: until served")]);
}

#[test]
fn the_next_primary_crashes_between_token_and_commit() {
    let script = "
        grid nodes=3 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        lead two
        run 700ms
        hold take-over
        propose arm one
        until serving one
        write 0 8 as A#2 at one
        run 200ms
        expect not answered A#2
        show serving
        crash one
        until served
        show row
        release take-over
        run 100ms
        done A#2
        show row
        read 0 as A#3
        until answer A#3
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        serving: one
        row: epoch 3, primary two, in sync old two
        A#2 written
        row: epoch 3, primary two, in sync old two
        A#3 found 8
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::ArmedEpochReused, "never so: until served"),
            (Breakage::RowNotAsked, "at `expect not answered A#2`"),
        ],
    );
}

#[test]
fn a_hand_over_is_called_off_while_the_next_primary_reigns() {
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
        hold take-over
        propose arm new
        until serving new
        hold news to new
        hold join to new
        write 0 8 as A#2 at new
        until not armed
        until serving old
        show row
        show serving
        expect not answered A#2
        release take-over
        run 100ms
        show row
        release news
        release join
        done A#2
        read 0 as A#3
        until answer A#3
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 3, primary old, in sync old, leaving new
        serving: old
        row: epoch 3, primary old, in sync old, catching up new
        A#2 written
        A#3 found 8
        at rest
        value 0: old 8, new 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::ArmedEpochReused, "never so: until serving old"),
            (Breakage::RowNotAsked, "at `expect not answered A#2`"),
        ],
    );
}

#[test]
fn a_lost_grow_comes_after_two_hand_overs() {
    let script = "
        grid nodes=3 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        lead two
        run 700ms
        open A
        cut old one
        until not in-sync one
        hold grow
        heal
        until held grow
        heal
        propose arm two
        until served by two
        write 0 7 as A#1
        until answer A#1
        lose data to one
        propose arm old
        until served by old
        
        write 0 8 as A#2
        until answer A#2
        show row
        release grow
        run 50ms
        show row
        release data
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 3, primary old, in sync old two, catching up one
        row: epoch 3, primary old, in sync old two, catching up one
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(script, shown, &[(Breakage::NoRowVersion, "in_sync_holds_answered")]);
}
