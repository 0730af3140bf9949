//! Stores: one that all share, or one at each node; and what comes back from them.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_write_of_before_comes_after_the_store_was_read() {
    let script = "
        grid nodes=3 copies=1 through=1
        until served
        let old primary
        let x other
        lead x
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        hold write
        write 0 8 as A#2
        until held write
        crash old
        propose declare old
        until served
        run 500ms
        show answers
        release write
        read 0 as B#1
        done B#1
        run 2s
    ";
    let shown = "
        A#1 written
        B#1 found 7
    ";
    check(script, shown, &[(Breakage::FenceNotRaised, "is not the newest")]);
}

#[test]
fn what_was_read_for_an_earlier_reign_comes_in_the_next() {
    let script = "
        grid nodes=3 copies=1 through=1
        until served
        let old primary
        let x other
        lead x
        let new other
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        hold grow
        crash old
        restart old
        until up old
        hold scanned
        propose promote new
        until held scanned
        pass scanned
        until served by new
        write 0 8 as A#2
        until answer A#2
        crash new
        hold scan
        restart new
        until up new
        propose promote new
        until held scan
        release scanned
        run 2s
        expect not served
        release scan
        until served
        read 0 as B#1
        done B#1
    ";
    let shown = "
        A#1 written
        A#2 written
        B#1 found 8
    ";
    check(script, shown, &[(Breakage::OldLoadInstalled, "is not the newest")]);
}

#[test]
fn the_store_is_down_for_longer_than_any_timer_and_then_the_primary_dies() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        lead third
        run 700ms
        open A
        store down
        write 0 7 as A#1
        until answer A#1
        write 1 5 as A#2
        until answer A#2
        run 60s
        crash old
        until served by new
        read 0 as B#1
        until answer B#1
        store up
        restart old
        rest
        show value 0
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        B#1 found 7
        at rest
        value 0: new 7, third 7
        value 1: new 5, third 5
    ";
    check(script, shown, &[(Breakage::PendingForgotten, "stored as None")]);
}

#[test]
fn all_processes_end_before_anything_is_stored() {
    let script = "
        grid nodes=3 copies=2 own-stores=1 through=1
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        open A
        hold write
        write 1 5 as A#1
        run 500ms
        show answers
        crash old
        crash new
        crash third
        forget write
        run 1s
        restart third
        restart old
        restart new
        until served
        done A#1
        read 1 as B#1
        done B#1
        rest
    ";
    let shown = "
        A#1 counted 5
        B#1 counted 5
        at rest
    ";
    check(script, shown, &[(Breakage::AnsweredBeforeStored, "B#1 counted 0")]);
}

/// Only one of the three has stored the last write, and is away when the others are back.
#[test]
fn all_restart_one_by_one_with_stores_at_different_points() {
    let script = "
        grid nodes=7 voters=5 copies=3 own-stores=1
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        let x other
        lead x
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        run 500ms
        fill one
        fill two
        write 1 5 as A#2
        until answer A#2
        until stored old 1
        crash old
        crash one
        crash two
        free one
        free two
        restart old
        until up old
        crash old
        restart one
        run 500ms
        restart two
        run 3s
        expect preparing
        restart old
        until served
        read 1 as B#1
        until answer B#1
        read 0 as B#2
        until answer B#2
        rest
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        B#1 counted 5
        B#2 found 7
        at rest
    ";
    check(script, shown, &[(Breakage::StoresNotAwaited, "at `expect preparing`")]);
}

#[test]
fn all_restart_and_one_store_is_missing() {
    let script = "
        grid nodes=7 voters=5 copies=3 own-stores=1
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        let x other
        lead x
        run 700ms
        open A
        fill two
        write 1 5 as A#1
        until answer A#1
        until stored one 1
        crash old
        crash one
        crash two
        free two
        restart old
        until up old
        crash old
        restart one
        run 500ms
        restart two
        run 3s
        expect preparing
        propose declare old
        until served
        read 1 as B#1
        until answer B#1
        rest
    ";
    let shown = "
        A#1 counted 5
        B#1 counted 5
        at rest
    ";
    check(script, shown, &[(Breakage::StoresNotAwaited, "at `expect preparing`")]);
}

/// It comes back when the partition has a new past.
#[test]
fn a_store_that_was_given_up_comes_back_with_what_was_lost() {
    let script = "
        grid nodes=3 copies=3 own-stores=1 may-lose=1 protect=500
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 1 5 as A#1
        until answer A#1
        run 700ms
        fill one
        fill two
        write 1 3 as A#2
        until answer A#2
        write 8 4 as A#3
        until answer A#3
        until stored old 8
        run 500ms
        crash old
        crash one
        crash two
        run 1s
        free one
        free two
        restart one
        restart two
        run 3s
        expect not served
        propose declare old
        until served
        read 1 as B#1
        until answer B#1
        restart old
        until 3 copies
        run 2s
        show value 1
        expect not stored old 8
        expect not stored one 8
    ";
    let shown = "
        A#1 counted 5
        A#2 counted 8
        A#3 counted 4
        B#1 counted 5
        value 1: old 5, one 5, two 5
    ";
    check(script, shown, &[(Breakage::StoreNotEqualised, "is not the newest")]);
}

/// It is put together where it never was, and all is lost there before anything is stored.
#[test]
fn old_stores_are_needed_until_a_new_one_has_everything() {
    let script = "
        grid nodes=4 copies=1 own-stores=1 through=1
        until served
        let old primary
        let x other
        lead x
        let new other
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        hold write from new
        crash old
        restart old
        until up old
        propose promote new
        until served by new
        run 500ms
        crash new
        forget write
        restart new
        until served
        read 0 as B#1
        done B#1
    ";
    let shown = "
        A#1 written
        B#1 found 7
    ";
    check(script, shown, &[(Breakage::SettledUnstored, "B#1 found 0")]);
}

#[test]
fn a_full_store_of_its_own_holds_up_only_what_must_be_in_it() {
    let script = "
        grid nodes=3 copies=2 own-stores=1 through=1
        until served
        until 2 copies
        let old primary
        let full backup
        open A
        write 0 7 as A#1
        until answer A#1
        fill full
        write 0 8 as A#2
        run 5s
        show answers
        show row
        free full
        until answer A#2
        read 0 as B#1
        until answer B#1
        rest
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old full
        A#2 written
        B#1 found 8
        at rest
    ";
    check(script, shown, &[(Breakage::AnsweredBeforeStored, "A#2 written\nrow")]);
}

#[test]
fn a_store_that_takes_nothing_any_more_costs_its_copy_the_place() {
    let script = "
        grid nodes=3 copies=2 own-stores=1 through=1
        until served
        until 2 copies
        let old primary
        let full backup
        open A
        write 0 7 as A#1
        until answer A#1
        fill full
        write 0 8 as A#2
        until not in-sync full
        until answered A#2
        show row
        free full
        rest
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old, leaving full
        at rest
    ";
    check(script, shown, &[(Breakage::DeadStoreKept, "never so: until not in-sync full")]);
}

#[test]
fn a_node_without_a_part_in_it_holds_up_no_recovery() {
    let script = "
        grid nodes=5 copies=1 own-stores=1 through=1
        until served
        let old primary
        let x other
        lead x
        let new other
        let far other
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        crash old
        restart old
        until up old
        cut new far
        propose promote new
        until served by new
        read 0 as B#1
        done B#1
        rest
    ";
    let shown = "
        A#1 written
        B#1 found 7
        at rest
    ";
    check(script, shown, &[(Breakage::EverybodyAwaited, "never so: until served by new")]);
}

/// The second message is stored with its entity, the first one is not.
#[test]
fn all_is_lost_between_two_entities_that_took_messages_of_one_sender() {
    let script = "
        grid nodes=4 copies=2 partitions=2 own-stores=1
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 1/46 10 as A#1
        until answer A#1
        write 1/4 20 as A#2
        until answer A#2
        until stored old 4
        expect not stored old 46
        crash old
        crash new
        run 1s
        restart old
        restart new
        rest
        read 46 as B#1
        done B#1
        read 4 as B#2
        done B#2
    ";
    let shown = "
        A#1 moved
        A#2 moved
        at rest
        B#1 has 1010
        B#2 has 1020
    ";
    check(script, shown, &[(Breakage::EntityNumbersIgnored, "20 more")]);
}
