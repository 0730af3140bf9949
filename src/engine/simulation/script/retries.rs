//! Asks that come twice, late, or in another order.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_retry_meets_an_uncommitted_record() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        hold ack from new
        write 1 5 as A#2
        run 20ms
        retry A#2
        run 100ms
        expect not answered A#2
        show answers
        release ack
        until answer A#2
        show answers
        rest
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        at rest
        value 1: old 5, new 5
    ";
    check(
        script,
        shown,
        &[
            (Breakage::RecordedBeforeCommit, "at `expect not answered A#2`"),
            (Breakage::RetryRuns, "no rest"),
        ],
    );
}

#[test]
fn retries_come_twice_and_late_across_a_failover() {
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
        lose reply from old
        write 1 5 as A#2
        run 50ms
        hold ask to new
        retry A#2 at new
        pass ask
        expect not answered A#2
        crash old
        until served by new
        retry A#2
        until answer A#2
        retry A#2
        until answer A#2
        write 1 3 as A#3
        until answer A#3
        release ask
        until answer A#2
        read 1 as B#1
        until answer B#1
        rest
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        A#2 counted 5
        A#3 counted 8
        A#2 expired
        B#1 counted 8
        at rest
        value 1: new 8, third 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AnswersNotReplicated, "Add(5) -> 10"),
            (Breakage::RetryRuns, "and then Counter(15)"),
            (Breakage::SessionsNotReplicated, "not open"),
        ],
    );
}

#[test]
fn a_first_try_comes_after_its_retry_was_answered() {
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
        hold ask to new
        write 1 5 as A#2 at new
        pass ask
        retry A#2
        until answer A#2
        crash old
        until served by new
        release ask
        until answer A#2
        read 1 as A#3
        until answer A#3
        rest
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        A#2 counted 5
        A#3 counted 5
        at rest
        value 1: new 5, third 5
    ";
    check(
        script,
        shown,
        &[
            (Breakage::AnswersNotReplicated, "and then Counter(10)"),
            (Breakage::RetryRuns, "and then Counter(10)"),
        ],
    );
}

#[test]
fn a_first_try_comes_after_its_retry_was_refused() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        let third other
        open A
        lead third
        run 700ms
        hold ask to old
        write 1 5 as A#1 at old
        pass ask
        retry A#1 at new
        until answer A#1
        release ask
        until answer A#1
        crash old
        until served by new
        retry A#1
        until answer A#1
        read 1 as A#2
        until answer A#2
        rest
        show value 1
    ";
    let shown = "
        A#1 refused
        A#1 counted 5
        A#1 counted 5
        A#2 counted 5
        at rest
        value 1: new 5, third 5
    ";
    check(
        script,
        shown,
        &[
            (Breakage::RetryRuns, "and then Counter(10)"),
            (Breakage::AnswersNotReplicated, "and then Counter(10)"),
        ],
    );
}

#[test]
fn a_first_try_comes_after_its_number_was_closed() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        open B
        let third other
        lead third
        run 700ms
        hold ask to new
        write 1 5 as A#2 at new
        pass ask
        retry A#2
        until answer A#2
        write 8 3 as A#3
        until answer A#3
        run 700ms
        write 1 3 as B#1
        until answer B#1
        crash old
        until served by new
        release ask
        until answer A#2
        read 1 as A#4
        until answer A#4
        rest
        show value 1
    ";
    let shown = "
        A#1 written
        A#2 counted 5
        A#3 counted 3
        B#1 counted 8
        A#2 expired
        A#4 counted 8
        at rest
        value 1: new 8, third 8
    ";
    check(
        script,
        shown,
        &[
            (Breakage::FloorsNotReplicated, "and then Counter(13)"),
            (Breakage::SessionsNotReplicated, "not open"),
        ],
    );
}
