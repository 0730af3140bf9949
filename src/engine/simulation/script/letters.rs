//! Rows that a store refuses for good: they are parked there, and are not lost.

use super::check;
use crate::engine::breakage::Breakage;

/// The batch that it is in is halved until it is alone; the others are stored. What is loaded is
/// what was written, and not the row of before.
#[test]
fn one_record_among_many_is_refused_evicted_and_reloaded() {
    let script = "
        grid nodes=3 copies=2 evict=5
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 120 5 as A#1
        until answer A#1
        until accepted old 120
        refuse 1137 whole
        write-many 140 as A#2
        write 120 12 as A#200
        until answer A#200
        write 1 5 as A#201
        until answer A#201
        until parked old 120
        until all stored
        until not holds old 120
        read 120 as B#1
        until answer B#1
        crash old
        until served by new
        read 120 as B#2
        until answer B#2
        restart old
        rest
        expect accepted new 120
        expect not parked new 120
    ";
    let shown = "
        A#1 counted 5
        140 written
        A#200 counted 1137
        A#201 counted 1006
        B#1 counted 1137
        B#2 counted 1137
        at rest
    ";
    let rules = [
        (Breakage::ParkedUnstored, "never so: until parked old 120"),
        (Breakage::LettersNotLoaded, "B#1 counted 1125"),
        (Breakage::LetterKept, "no rest: PartitionId(0) has a dead letter"),
    ];
    check(script, shown, &rules);
}
