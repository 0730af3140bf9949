//! Too few copies.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn the_last_copy_dies_right_after_the_last_but_one() {
    let script = "
        grid nodes=5 copies=2 short=1
        until served
        until 2 copies
        let old primary
        let gone backup
        let third other
        lead third
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        lose join
        crash gone
        until 1 copies
        store down
        write 0 8 as A#2
        run 600ms
        expect not answered A#2
        store up
        done A#2
        release join
        crash old
        propose declare old
        propose declare gone
        until served
        read 0 as B#1
        done B#1
        restart old
        restart gone
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        B#1 found 8
        at rest
    ";
    check(script, shown, &[(Breakage::ShortNotStored, "it is not so")]);
}

#[test]
fn what_is_under_way_waits_for_another_copy_and_nothing_new_begins() {
    let script = "
        grid nodes=3 copies=2 short=2
        until served
        until 2 copies
        let old primary
        let gone backup
        let third other
        lead third
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        hold ack
        write 0 8 as A#2
        run 100ms
        crash gone
        until 1 copies
        forget ack
        run 500ms
        expect not answered A#2
        write 0 9 as A#3 floor 2
        until answer A#3
        read 0 as B#1
        until answer B#1
        restart gone
        until 2 copies
        until answer A#2
        done A#3
        rest
    ";
    let shown = "
        A#1 written
        A#3 refused
        B#1 found 8
        A#2 written
        A#3 written
        at rest
    ";
    check(script, shown, &[(Breakage::ShortAnswered, "it is not so")]);
}
