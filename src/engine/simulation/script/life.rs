//! What becomes of entities without being asked, exactly when a primary goes.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn an_entity_that_is_to_expire_is_not_gone_before_its_time_after_a_failover() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 5 13 as A#1
        until answer A#1
        crash old
        until served by new
        read 5 as B#1
        until answer B#1
        run 1300ms
        read 5 as B#2
        until answer B#2
        restart old
        rest
    ";
    let shown = "
        A#1 put
        B#1 found 13
        B#2 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::PartitionTimeRestarts, "B#2 found 13")]);
}

#[test]
fn nothing_expires_in_the_middle_of_a_hand_over() {
    let script = "
        grid nodes=3 copies=2 handover=60000
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 5 13 as A#1
        until answer A#1
        until holds new 5
        hold token
        propose arm new
        until held token
        run 2s
        show value 5
        release token
        until served by new
        read 5 as B#1
        until answer B#1
        run 1300ms
        read 5 as B#2
        until answer B#2
        rest
        show value 5
    ";
    let shown = "
        A#1 put
        value 5: old 13, new 13
        B#1 found 13
        B#2 found nothing
        at rest
        value 5: old a tombstone, new a tombstone
    ";
    let rules = [
        (Breakage::PartitionTimeRestarts, "B#2 found 13"),
        (Breakage::ExpiredWithoutRecord, "it is never so"),
    ];
    check(script, shown, &rules);
}

#[test]
fn a_reminder_is_due_exactly_at_a_failover() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        lead x
        run 700ms
        open A
        write 6 5 as A#1
        until answer A#1
        hold records
        until held records
        crash old
        forget records
        until served by new
        run 1s
        read 6 as B#1
        until answer B#1
        restart old
        rest
        show value 6
    ";
    let shown = "
        A#1 will ring
        B#1 has rung for [5]
        at rest
        value 6: new [5], x [5]
    ";
    check(script, shown, &[(Breakage::RemindersNotReplicated, "B#1 has rung for []")]);
}

#[test]
fn an_entity_leaves_memory_exactly_at_a_failover_while_the_store_is_down() {
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
        write 6 10 as A#1
        until answer A#1
        write 1 5 as A#2
        until answer A#2
        run 800ms
        store down
        run 2s
        crash old
        until served by new
        read 6 as B#1
        run 1s
        store up
        done B#1
        restart old
        rest
    ";
    let shown = "
        A#1 will ring
        A#2 counted 5
        B#1 has rung for [10]
        at rest
    ";
    check(script, shown, &[(Breakage::DirtyEvicted, "B#1 has rung for []")]);
}

#[test]
fn what_was_read_for_an_earlier_question_comes_when_it_is_asked_again() {
    let script = "
        grid nodes=3 copies=1 evict=50
        until served
        let p primary
        run 700ms
        open A
        write 0 7 as A#1
        until answer A#1
        write 1 5 as A#2
        until answer A#2
        until not holds p 0
        hold loaded
        read 0 as B#1
        until held loaded
        pass loaded
        until answer B#1
        write 0 8 as A#3
        until answer A#3
        write 1 6 as A#4
        until answer A#4
        until not holds p 0
        hold load
        read 0 as B#2
        until held load
        release loaded
        run 50ms
        release load
        until answer B#2
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        B#1 found 7
        A#3 written
        A#4 counted 11
        B#2 found 8
    ";
    check(script, shown, &[(Breakage::LateLoadInstalled, "B#2 found 7")]);
}

#[test]
fn a_write_that_was_given_up_comes_when_not_even_a_tombstone_is_left() {
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
        run 500ms
        hold write
        write 5 3 as A#1
        until answer A#1
        until held write
        pass write
        until stored old 5
        take 5 as A#2
        until answer A#2
        write 1 5 as A#3
        until answer A#3
        until not stored old 5
        release write
        run 100ms
        crash old
        until served by new
        read 5 as B#1
        until answer B#1
        restart old
        rest
    ";
    let shown = "
        A#1 put
        A#2 found 3
        A#3 counted 5
        B#1 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::LateBatchWritten, "B#1 found 3")]);
}

#[test]
fn a_removed_copy_whose_store_may_be_asked_does_not_know_of_a_removal() {
    let script = "
        grid nodes=2 copies=2 voters=1 own-stores=1 through=1
        until served
        until 2 copies
        let old primary
        let new backup
        lead old
        run 700ms
        open A
        write 5 3 as A#1
        until answer A#1
        until stored new 5
        hold settle
        isolate new
        until leaving new
        take 5 as A#2
        until answer A#2
        write 1 5 as A#3
        until answer A#3
        run 1s
        crash old
        crash new
        heal
        run 500ms
        restart old
        restart new
        until served
        read 5 as B#1
        done B#1
    ";
    let shown = "
        A#1 put
        A#2 found 3
        A#3 counted 5
        B#1 found nothing
    ";
    check(script, shown, &[(Breakage::TombstonesDroppedForAll, "B#1 found 3")]);
}

#[test]
fn a_tombstone_was_dropped_and_the_store_has_it_still() {
    let script = "
        grid nodes=4 copies=2 evict=50
        until served
        until 2 copies
        let old primary
        let new backup
        let x other
        let y other
        lead x
        run 700ms
        open A
        write 5 3 as A#1
        until answer A#1
        hold joined from y
        propose catch-up y
        take 5 as A#2
        until answer A#2
        write 1 5 as A#3
        until answer A#3
        run 500ms
        hold write
        release joined
        until not catching y
        run 500ms
        read 5 as B#1
        until answer B#1
        store down
        crash old
        until served
        pass write
        store up
        read 5 as B#2
        until answer B#2
        restart old
        rest
    ";
    let shown = "
        A#1 put
        A#2 found 3
        A#3 counted 5
        B#1 found nothing
        B#2 found nothing
        at rest
    ";
    check(script, shown, &[(Breakage::AbsenceDated, "versions order")]);
}
