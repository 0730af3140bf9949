//! Partitions that are put together from what is left, where entities have left memory; and a
//! primary that had better reign no more.

use super::*;

#[test]
fn a_store_of_before_has_what_was_removed_since() {
    let script = "
        grid nodes=4 copies=2 own-stores=1 evict=50 protect=9000
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 5 3 as A#1
        until answer A#1
        until stored old 5
        until stored new 5
        isolate new
        until not in-sync new
        until not leaving new
        take 5 as A#2
        until answer A#2
        write 1 5 as A#3
        until answer A#3
        until not stored old 5
        let y other
        until in-sync y
        hold write from new
        heal
        until up new
        hold promote
        crash old
        crash y
        restart old
        restart y
        until up old
        until up y
        propose promote new
        forget promote
        until served by new
        read 5 as B#1
        until answer B#1
        release write
        rest
    ";
    let shown = "
        A#1 put
        A#2 found 3
        A#3 counted 5
        B#1 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::ForgottenLoaded, "B#1 found 3")]);
}

#[test]
fn what_a_copy_has_only_stored_belongs_to_its_memory() {
    let script = "
        grid nodes=6 voters=5 copies=2 own-stores=1 evict=50 
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
        until stored old 0
        until stored new 0
        write 1 5 as A#2
        until answer A#2
        until not holds new 0
        isolate new
        until not in-sync new
        until 2 copies
        let y backup
        until not leaving new
        heal
        until up new
        crash old
        crash y
        propose declare old
        propose declare y
        until served
        read 0 as B#1
        until answer B#1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        B#1 found 7
    ";
    check(script, shown, &[(Breakage::EvictedNotRecalled, "B#1 found 0")]);
}

#[test]
fn a_primary_whose_own_store_takes_nothing_hands_over() {
    let script = "
        grid nodes=3 copies=2 own-stores=1 through=1 balance=60000
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        fill old
        write 0 8 as A#2
        until served by new
        until not in-sync old
        done A#2
        free old
        rest
    ";
    let shown = "
        A#1 written
        A#2 written
        at rest
    ";
    check(script, shown, &[(Breakage::OwnStoreTrusted, "never so: until served by new")]);
}
