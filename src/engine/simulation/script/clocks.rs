//! Clocks that do not run alike, and clocks that are wrong.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_lease_of_a_slow_clock_is_waited_out_by_a_fast_one() {
    let script = "
        grid nodes=3 copies=2 lease=900 margin=300
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let third other
        lead third
        rate old -120000
        rate new 120000
        run 700ms
        hold join to old
        hold news to old
        propose promote new
        isolate old
        until served by new
        expect not entitled old
        read 0 as B#1
        until answer B#1
        write 0 8 as A#2
        until answer A#2
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        B#1 found 7
        A#2 written
        at rest
        value 0: new 8, third 8
    ";
    check(script, shown, &[(Breakage::MarginIgnored, "at `expect not entitled old`")]);
}

#[test]
fn a_clock_set_back() {
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
        clock new 7200
        run 700ms
        crash new
        restart new
        until up new
        show status new
        until in-sync new
        clock new 3600
        crash new
        restart new
        run 700ms
        show status new
        until in-sync new
        write 0 8 as A#2
        until answer A#2
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        new/7200: up
        new/7201: up
        A#2 written
        row: epoch 1, primary old, in sync old new/7201
        at rest
        value 0: old 8, new 8
    ";
    check(script, shown, &[(Breakage::ClockBelieved, "new/3600: unknown")]);
}

#[test]
fn what_an_earlier_life_has_asked_is_answered() {
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
        hold answer to new
        run 100ms
        crash new
        restart new
        shows new 1s
        release answer
        until up new
        until in-sync new
        propose promote new
        until served by new
        write 0 8 as A#2
        until answer A#2
        show row
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        A#2 written
        row: epoch 2, primary new/2, in sync old new/2
        at rest
        value 0: old 8, new 8
    ";
    // A lease for hours, by a table that is no longer: none that is given now is newer.
    check(script, shown, &[(Breakage::EarlierLifeAnswered, "never so: until served by new")]);
}
