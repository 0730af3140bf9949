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
        (Breakage::LetterKept, "has a dead letter"),
    ];
    check(script, shown, &rules);
}

/// It is in the store, as a row would be: who comes next sees it, whoever that is.
#[test]
fn a_dead_letter_outlives_its_primary_and_all_memory() {
    let script = "
        grid nodes=3 copies=2 through=1
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        open A
        write 0 7 as A#1
        until answer A#1
        refuse 8
        write 0 8 as A#2
        until answer A#2
        expect parked old 0
        crash old
        crash new
        crash third
        restart third
        run 1s
        restart new
        restart old
        until served
        read 0 as B#1
        done B#1
        rest
        expect not parked old 0
    ";
    let shown = "
        A#1 written
        A#2 written
        B#1 found 8
        at rest
    ";
    let rules = [
        (Breakage::ParkedUnstored, "at `expect parked old 0`"),
        (Breakage::LettersNotFound, "is not the newest"),
    ];
    check(script, shown, &rules);
}

/// Each copy parks in its own store what that refuses: one may, and another need not.
#[test]
fn a_copy_that_is_sent_whole_gets_what_its_primary_has_parked() {
    let script = "
        grid nodes=5 voters=5 copies=2 own-stores=1 kept=0 evict=50 protect=500
        until served
        until 2 copies
        let old primary
        let gone backup
        run 700ms
        open A
        refuse 8 at old
        write 0 7 as A#1
        until answer A#1
        until accepted old 0
        write 0 8 as A#2
        until answer A#2
        write 1 5 as A#3
        until answer A#3
        until parked old 0
        until accepted gone 0
        until not holds old 0
        crash gone
        until not in-sync gone
        until 2 copies
        let new backup
        crash old
        until served by new
        read 0 as B#1
        until answer B#1
        restart old
        restart gone
        rest
        expect accepted new 0
        expect not parked new 0
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 counted 5
        B#1 found 8
        at rest
    ";
    check(script, shown, &[(Breakage::LettersNotCopied, "B#1 found 7")]);
}

#[test]
fn a_row_that_is_taken_supersedes_the_one_that_was_refused() {
    let script = "
        grid nodes=3 copies=2 evict=50
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        refuse 8 whole
        write 0 8 as A#1
        until answer A#1
        until parked old 0
        replay
        run 500ms
        expect parked old 0
        expect not accepted old 0
        write 0 9 as A#2
        until answer A#2
        until accepted old 0
        expect not parked old 0
        write 1 5 as A#3
        until answer A#3
        until not holds old 0
        read 0 as B#1
        until answer B#1
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        A#3 counted 5
        B#1 found 9
        at rest
    ";
    check(script, shown, &[(Breakage::LetterKept, "at `expect not parked old 0`")]);
}
