//! Rows of the shared store that others write.

use super::check;
use crate::engine::breakage::Breakage;

/// What the grid has written since is not lost for it.
#[test]
fn another_writes_a_row_while_a_newer_version_of_it_is_pending() {
    let script = "
        grid nodes=3 copies=2 others=0 evict=50
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 2 5 as A#1
        until answer A#1
        until accepted old 2
        hold write
        write 2 6 as A#2
        until answer A#2
        intrude 2 10
        release write
        write 1 5 as A#3
        until answer A#3
        until all stored
        until not holds old 2
        read 2 as B#1
        until answer B#1
        crash old
        until served by new
        read 2 as B#2
        until answer B#2
        restart old
        rest
    ";
    let shown = "
        A#1 length 1
        A#2 length 2
        A#3 counted 5
        B#1 found [5, 6]
        B#2 found [5, 6]
        at rest
    ";
    check(script, shown, &[(Breakage::SupersededCountsAsStored, "B#1 found [5, 199]")]);
}

/// It is taken once: what is written since, and not stored yet, is newer.
#[test]
fn the_store_wins_once() {
    let script = "
        grid nodes=3 copies=2 others=1
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        until accepted old 0
        hold stored
        intrude 0 12
        compare
        run 100ms
        read 0 as B#1
        until answer B#1
        write 0 8 as A#2
        until answer A#2
        release stored
        run 100ms
        crash old
        until served by new
        read 0 as B#2
        until answer B#2
        restart old
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        B#1 found 199
        A#2 written
        B#2 found 8
        at rest
        value 0: new 8, x 8
    ";
    check(script, shown, &[(Breakage::DecisionForgotten, "199")]);
}

#[test]
fn what_another_has_written_is_found_when_it_is_loaded() {
    let script = "
        grid nodes=3 copies=2 others=0 evict=50
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 2 5 as A#1
        until answer A#1
        write 1 5 as A#2
        until answer A#2
        until not holds old 2
        intrude 2 1000
        read 2 as B#1
        until answer B#1
        write 2 6 as A#3
        until answer A#3
        crash old
        until served by new
        read 2 as B#2
        until answer B#2
        restart old
        rest
    ";
    let shown = "
        A#1 length 1
        A#2 counted 5
        B#1 found [5, 199]
        A#3 length 3
        B#2 found [5, 199, 6]
        at rest
    ";
    check(script, shown, &[(Breakage::FoundUnrecorded, "never so: until answer B#1")]);
}
