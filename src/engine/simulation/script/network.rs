//! Nodes that live and do not reach each other.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_primary_is_not_heard_by_a_backup_that_it_hears() {
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
        oneway old one
        write 0 8 as A#2
        run 300ms
        expect not answered A#2
        until not in-sync one
        until answer A#2
        show copies
        show status one
        write 0 9 as A#3
        until answer A#3
        show value 0
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        copies: old two
        one: up
        A#3 written
        value 0: old 9, two 8
        at rest
        value 0: old 9, one 9, two 9
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
fn everybody_sees_a_majority_and_no_two_the_same() {
    let script = "
        grid nodes=5 copies=3
        until served
        until 3 copies
        open A
        write 1 1 as A#1
        until answer A#1
        ring
        write 1 2 as A#2
        run 3s
        done A#2
        read 1 as B#1
        done B#1
        rest
        show value 1
    ";
    let shown = "
        A#1 counted 1
        A#2 counted 3
        B#1 counted 3
        at rest
        value 1: another 3, another 3, another 3
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AckBeforeBackups, "in_sync_holds_answered"),
            (Breakage::SessionsNotReplicated, "no answer to A#2"),
        ],
    );
}

#[test]
fn a_minority_with_all_copies_is_cut_off_and_waited_for() {
    let script = "
        grid nodes=5 voters=5 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let x other
        let y other
        let z other
        lead x
        run 700ms
        split old new | x y z
        until down old
        run 2s
        show row
        show status new
        heal
        until served
        show row
        read 0 as B#1
        done B#1
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old new
        new: down
        row: epoch 1, primary old, in sync old new
        B#1 found 7
        at rest
        value 0: old 7, new 7
    ";
    check(
        script,
        shown,
        &[
            (Breakage::DownTakenForDead, "one_answers"),
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
        ],
    );
}

#[test]
fn a_primary_is_cut_off_from_the_leader_and_not_from_its_backups() {
    let script = "
        grid nodes=4 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        let boss other
        lead boss
        run 700ms
        cut old boss
        run 2s
        write 0 8 as A#2
        until answer A#2
        show row
        hold news to old
        hold join to old
        hold newer to old
        until down old
        show row
        run 30ms
        write 0 9 as A#3 at old
        run 100ms
        until served by two
        done A#3
        expect not entitled old
        read 0 as A#4
        until answer A#4
        heal
        release all
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 1, primary old, in sync old one two
        row: epoch 2, preparing two, candidates old one two
        A#3 written
        A#4 found 9
        at rest
        value 0: one 9, two 9, boss 9
    ";
    check(
        script,
        shown,
        &[
            (Breakage::LeaderAloneJudges, "row: epoch 2, primary two"),
            (Breakage::LeaseNotChecked, "one_answers"),
            (Breakage::LeaseNotWaited, "one_answers"),
            (Breakage::LeaseOfNewerTable, "one_answers"),
            (Breakage::NoFence, "no rest"),
        ],
    );
}

#[test]
fn a_backup_is_cut_off_from_its_primary_and_not_from_the_leader() {
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
        hold shrink
        cut old one
        write 0 8 as A#2
        until held shrink
        run 300ms
        expect not answered A#2
        show row
        release shrink
        until answer A#2
        show copies
        show status one
        heal
        until 3 copies
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old one two
        A#2 written
        copies: old two
        one: up
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::DroppedBeforeCommit, "at `expect not answered A#2`"),
            (Breakage::AckBeforeBackups, "at `expect not answered A#2`"),
        ],
    );
}

#[test]
fn a_backup_gives_signs_of_life_and_takes_no_records() {
    let script = "
        grid nodes=3 copies=2 protect=500
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
        lose data from old to new
        lose data from new to old
        write 0 8 as A#2
        run 300ms
        expect not answered A#2
        until answer A#2
        show copies
        show status new
        run 2s
        show copies
        release all
        until in-sync new
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        copies: old
        new: up
        copies: old
        row: epoch 1, primary old, in sync old new
        at rest
        value 0: old 8, new 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AckBeforeBackups, "at `expect not answered A#2`"),
            (Breakage::LaggardPromoted, "copies: new"),
        ],
    );
}

#[test]
fn a_node_misses_a_version_of_the_table() {
    let script = "
        grid nodes=4 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        let far other
        lead far
        run 700ms
        lose news to one
        propose arm two
        until serving two
        run 300ms
        expect not knows one
        write 0 8 as A#2
        release news
        propose drain far
        until knows one
        until answer A#2
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 2, primary two, in sync old one two
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(script, shown, &[(Breakage::GapIgnored, "never so: until knows one")]);
}

#[test]
fn a_node_of_a_newer_table_answers_a_heartbeat() {
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
        hold news to old
        hold join to old
        hold newer to old
        propose promote new
        until served by new
        read 0 as B#1 at old
        run 200ms
        expect not answered B#1
        expect not entitled old
        write 0 8 as A#2
        until answer A#2
        release all
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        at rest
        value 0: new 8, third 8
    ";
    check(
        script,
        shown,
        &[(Breakage::LeaseNotChecked, "one_answers"), (Breakage::LeaseOfNewerTable, "one_answers")],
    );
}
