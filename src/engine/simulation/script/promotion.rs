//! Primaries that die, or are taken for dead, and what takes their place.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_falsely_suspected_primary_serves_again_when_its_replacement_dies_unactivated() {
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
        hold activate
        mute old
        until held activate
        show row
        crash new
        heal
        until epoch 3
        show row
        release activate
        until served by old
        read 0 as A#2
        until answer A#2
        show copies
        restart new
        rest
    ";
    let shown = "
        A#1 written
        row: epoch 2, preparing new, candidates old new
        row: epoch 3, preparing old, candidates old new
        A#2 found 7
        copies: old
        at rest
    ";
    check(
        script,
        shown,
        &[
            (Breakage::NoCandidates, "never so: until epoch 3"),
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
        ],
    );
}

#[test]
fn a_primary_that_was_paused_across_its_failover_answers_nothing_stale() {
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
        write 0 8 as A#2
        until answer A#2
        read 0 as B#1 at old
        until answer B#1
        pause old
        read 0 as B#2 at old
        until served by new
        write 0 9 as A#3
        until answer A#3
        hold news to old
        resume old
        run 300ms
        expect not answered B#2
        expect not entitled old
        release news
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        B#1 found 8
        A#3 written
        at rest
        value 0: new 9, third 9
    ";
    check(
        script,
        shown,
        &[(Breakage::LeaseNotChecked, "one_answers"), (Breakage::LeaseNotWaited, "one_answers")],
    );
}

#[test]
fn a_primary_that_wakes_after_a_minute_answers_nothing() {
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
        open B
        lead two
        run 700ms
        hold news to old
        hold join to old
        pause old
        until served
        write 0 8 as A#2
        until answer A#2
        run 60s
        show row
        write 0 9 as B#1 at old
        read 0 as B#2 at old
        resume old
        run 1s
        expect not answered B#1
        expect not answered B#2
        show entitled
        release news
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 2, primary two, in sync one two
        entitled: two
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(
        script,
        shown,
        &[(Breakage::LeaseNotChecked, "one_answers"), (Breakage::LeaseNotWaited, "one_answers")],
    );
}

#[test]
fn a_new_primary_restarts_before_it_is_active() {
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
        hold activate
        mute old
        until preparing
        let target primary
        crash target
        run 20ms
        restart target
        run 200ms
        show row
        release activate
        until served
        show row
        read 0 as A#2
        done A#2
        heal
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 3, preparing one, candidates old one two
        row: epoch 3, primary one, in sync one, leaving old two
        A#2 found 7
        at rest
        value 0: one 7, two 7, boss 7
    ";
    check(script, shown, &[(Breakage::IdentityKept, "in_sync_holds_answered")]);
}

#[test]
fn a_leader_and_primary_is_back_within_50_ms() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        lead old
        run 700ms
        crash old
        run 40ms
        restart old
        until served by new
        read 0 as A#2
        until answer A#2
        write 0 8 as A#3
        until answer A#3
        until 2 copies
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 found 7
        A#3 written
        row: epoch 2, primary new, in sync new another
        at rest
        value 0: new 8, another 8
    ";
    check(script, shown, &[(Breakage::IdentityKept, "never so: until served by new")]);
}

#[test]
fn the_leader_and_a_primary_die_together() {
    let script = "
        grid nodes=4 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        lead old
        run 700ms
        write 0 8 as A#2
        until answer A#2
        crash old
        until served by new
        read 0 as A#3
        until answer A#3
        show primary
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 found 8
        primary: new
        at rest
        value 0: new 8, another 8
    ";
    check(script, shown, &[(Breakage::PromotedOutOfSync, "in_sync_holds_answered")]);
}

#[test]
fn the_leader_dies_alone_and_no_caller_notices() {
    let script = "
        grid nodes=4 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let boss spare
        lead boss
        run 700ms
        crash boss
        write 0 8 as A#2
        run 50ms
        expect answered A#2
        run 100ms
        write 0 9 as A#3
        run 50ms
        expect answered A#3
        run 200ms
        write 0 10 as A#4
        run 50ms
        expect answered A#4
        until not leading boss
        run 1s
        write 0 11 as A#5
        run 50ms
        expect answered A#5
        show answers
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 written
        A#4 written
        A#5 written
        row: epoch 1, primary old, in sync old new
        at rest
        value 0: old 11, new 11
    ";
    check(script, shown, &[]);
}

#[test]
fn two_of_three_copies_die_within_one_lease() {
    let script = "
        grid nodes=5 voters=5 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        let x other
        lead x
        run 700ms
        hold reply from old
        write 1 5 as A#2
        run 100ms
        crash old
        pass reply
        run 300ms
        crash two
        done A#2
        show primary
        read 0 as A#3
        until answer A#3
        show primary
        restart old
        restart two
        rest
        show value 0
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        primary: one
        A#3 found 7
        primary: one
        at rest
        value 0: one 7, x 7, another 7
        value 1: one 5, x 5, another 5
    ";
    check(
        script,
        shown,
        &[
            (Breakage::NoCandidates, "no answer to A#2"),
            (Breakage::AnswersNotReplicated, "A#2 counted 10"),
        ],
    );
}

#[test]
fn primaries_crash_as_fast_as_copies_are_made_anew() {
    let script = "
        grid nodes=5 voters=5 copies=2 protect=500 balance=500
        until served
        until 2 copies
        open A
        write 1 1 as A#1
        done A#1
        let a primary
        lead 4
        run 700ms
        crash a
        until served
        until 2 copies
        write 1 1 as A#2
        done A#2
        let b primary
        crash b
        until served
        until 2 copies
        write 1 1 as A#3
        done A#3
        restart a
        restart b
        until up a
        until up b
        let c primary
        crash c
        until served
        until 2 copies
        write 1 1 as A#4
        done A#4
        rest
        show value 1
    ";
    let shown = "
        A#1 counted 1
        A#2 counted 2
        A#3 counted 3
        A#4 counted 4
        at rest
        value 1: another 4, another 4
    ";
    check(
        script,
        shown,
        &[
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
            (Breakage::SessionsNotReplicated, "no answer to A#2"),
        ],
    );
}

#[test]
fn a_starved_primary_keeps_its_healthy_backups() {
    let script = "
        grid nodes=3 copies=3 suspect=900
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
        pause old
        run 700ms
        resume old
        run 50ms
        pause old
        run 700ms
        resume old
        run 50ms
        show row
        write 0 8 as A#2
        until answer A#2
        run 500ms
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old one two
        A#2 written
        row: epoch 1, primary old, in sync old one two
        at rest
        value 0: old 8, one 8, two 8
    ";
    check(script, shown, &[(Breakage::StandstillIgnored, "catching up")]);
}
