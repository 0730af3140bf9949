//! Stores that another grid has left.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_new_grid_does_not_touch_the_store_of_another() {
    let script = "
        grid nodes=3 copies=2 through=1
        until served
        open A
        write 0 7 as A#1
        until answer A#1
        show store 0
        found g2
        run 5s
        show store 0
        show members
        adopt g7
        run 5s
        show store 0
        show members
    ";
    let shown = "
        A#1 written
        store: of g1, fence 1, 0 of epoch 1
        store: of g1, fence 1, 0 of epoch 1, refused: it is of g1
        members: 0
        store: of g1, fence 1, 0 of epoch 1, refused: it is of g1
        members: 0
    ";
    check(script, shown, &[(Breakage::OtherGridIgnored, "refused: its fences are higher")]);
}

#[test]
fn a_table_that_is_older_than_the_store_does_not_touch_it() {
    let script = "
        grid nodes=3 copies=2 through=1
        until served
        open A
        write 0 7 as A#1
        until answer A#1
        found g1
        run 5s
        show store 0
        show members
    ";
    let shown = "
        A#1 written
        store: of g1, fence 1, 0 of epoch 1, refused: its fences are higher
        members: 0
    ";
    check(script, shown, &[(Breakage::HigherFencesIgnored, "in_sync_holds_answered")]);
}

#[test]
fn a_new_grid_takes_over_the_store_of_another() {
    let script = "
        grid nodes=3 copies=2 through=1
        until served
        open A
        write 0 7 as A#1
        until answer A#1
        hold write
        write 0 8 as A#2
        until held write
        pass write
        found g2
        until refused 0
        adopt g1
        until served
        until not refused 0
        show store 0
        release write
        run 500ms
        read 0 as B#1
        done B#1
        open B
        write 1 5 as B#2
        done B#2
        rest
    ";
    let shown = "
        A#1 written
        store: of g2, fence 3, 0 of epoch 1
        B#1 found 7
        B#2 counted 5
        at rest
    ";
    let rules = [
        (Breakage::AdoptedBelowFences, "never so: until served"),
        (Breakage::AdoptedUnread, "in_sync_holds_answered"),
    ];
    check(script, shown, &rules);
}

#[test]
fn the_disk_of_another_machine_is_put_into_a_node() {
    let script = "
        grid nodes=3 copies=2 own-stores=1
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
        disk new g9
        restart new
        write 0 8 as A#2
        done A#2
        expect refused new
        run 2s
        expect not up new
    ";
    let shown = "
        A#1 written
        A#2 written
    ";
    check(script, shown, &[(Breakage::OtherGridIgnored, "expect refused new")]);
}
