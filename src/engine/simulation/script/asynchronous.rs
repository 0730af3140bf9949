//! Types whose answers do not wait for the other copies.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn what_was_answered_early_is_lost_with_its_primary_and_no_more_than_is_said() {
    let script = "
        grid nodes=3 copies=2 async=2
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        lead third
        run 700ms
        open A
        open B
        open C
        write 0 6 as A#1
        until answer A#1
        run 300ms
        lose append from old
        write 0 7 as A#2
        until answer A#2
        write 7 8 as B#1
        until answer B#1
        write 7 9 as C#1
        read 0 as C#2
        until answer C#2
        run 100ms
        expect not answered C#1
        crash old
        pass append
        until served by new
        read 0 as D#1
        until answer D#1
        show lost
        restart old
        rest
        show lost
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        B#1 written
        C#2 found 7
        D#1 found 6
        lost 2, handed in 0
        at rest
        lost 2, handed in 0
        value 0: new 6, third 6
    ";
    check(script, shown, &[(Breakage::AsyncLagUnbounded, "it is not so")]);
}

#[test]
fn a_primary_that_was_only_paused_hands_in_what_it_has_answered() {
    let script = "
        grid nodes=3 copies=2 async=4
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        lead third
        run 700ms
        open A
        write 3 6 as A#1
        until answer A#1
        run 300ms
        lose append from old
        write 3 7 as A#2
        until answer A#2
        write 0 8 as A#3
        until answer A#3
        pause old
        pass append
        until served by new
        read 3 as B#1
        until answer B#1
        lose settled
        resume old
        run 2s
        pass settled
        rest
        show lost
        read 3 as B#2
        done B#2
        read 0 as B#3
        done B#3
    ";
    let shown = "
        A#1 added
        A#2 added
        A#3 written
        B#1 found [6]
        at rest
        lost 2, handed in 2
        B#2 found [6, 7]
        B#3 found 0
    ";
    check(
        script,
        shown,
        &[
            (Breakage::HandInForgotten, "was never handed in"),
            (Breakage::HandInTwice, "settled_once"),
        ],
    );
}

#[test]
fn at_the_bound_answers_wait_until_the_lag_is_under_it() {
    let script = "
        grid nodes=3 copies=2 async=2
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        lead third
        run 700ms
        open A
        open B
        open C
        open D
        run 300ms
        lose ack to old
        write 0 6 as A#1
        until answer A#1
        write 3 7 as B#1
        until answer B#1
        write 0 8 as C#1
        write 1 4 as D#1
        retry A#1
        until answer A#1
        run 200ms
        expect not answered C#1
        expect not answered D#1
        expect served by old
        pass ack
        until answer C#1
        done D#1
        show lost
        rest
    ";
    let shown = "
        A#1 written
        B#1 added
        A#1 written
        C#1 written
        D#1 counted 4
        lost 0, handed in 0
        at rest
    ";
    check(script, shown, &[(Breakage::AsyncLagUnbounded, "it is not so")]);
}
