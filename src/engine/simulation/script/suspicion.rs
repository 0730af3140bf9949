//! Who is taken for gone, and who is not.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_primary_that_nobody_can_call_and_that_calls_others_is_replaced() {
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
        lose requests to old
        write 0 8 as A#2
        until served by new
        show status old
        done A#2
        expect not entitled old
        show primary
        release requests
        until up old
        read 0 as B#1
        done B#1
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        old: down
        A#2 written
        primary: new
        B#1 found 8
        at rest
        value 0: new 8, third 8
    ";
    check(script, shown, &[]);
}

#[test]
fn a_primary_reaches_neither_the_leader_nor_one_backup() {
    let script = "
        grid nodes=6 copies=3
        until served
        until 3 copies
        let old primary
        let one backup
        let two backup
        open A
        write 0 7 as A#1
        until answer A#1
        let boss other
        lead boss
        run 700ms
        cut old boss
        cut old one
        run 1100ms
        show status old
        show status one
        until served
        write 0 8 as A#2
        until answer A#2
        read 0 as B#1
        until answer B#1
        rest
    ";
    let shown = "
        A#1 written
        old: down
        one: up
        A#2 written
        B#1 found 8
        at rest
    ";
    check(script, shown, &[(Breakage::LogNotNeeded, "old: up")]);
}

#[test]
fn a_node_that_hears_the_leader_alone_brings_nobody_down() {
    let script = "
        grid nodes=4 voters=3 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let boss other
        let deaf other
        lead boss
        run 700ms
        cut old boss
        cut deaf old
        cut deaf new
        run 1500ms
        show status old
        show status new
        show status deaf
        write 0 8 as A#2
        until answer A#2
        rest
        show row
    ";
    let shown = "
        A#1 written
        old: up
        new: up
        deaf: up
        A#2 written
        at rest
        row: epoch 1, primary old, in sync old new
    ";
    check(script, shown, &[(Breakage::DeafHeeded, "old: down")]);
}

#[test]
fn a_process_is_gone_and_its_host_says_so() {
    let script = "
        grid nodes=4 copies=2
        until served
        until 2 copies
        let old primary
        let new backup
        open A
        write 0 7 as A#1
        until answer A#1
        let boss other
        lead boss
        run 700ms
        kill old
        run 500ms
        show status old
        until served by new
        write 0 8 as A#2
        until answer A#2
        read 0 as B#1
        until answer B#1
        restart old
        rest
    ";
    let shown = "
        A#1 written
        old: down
        A#2 written
        B#1 found 8
        at rest
    ";
    check(script, shown, &[]);
}

#[test]
fn a_starved_primary_with_healthy_backups() {
    let script = "
        grid nodes=3 copies=2 suspect=900
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
        starve old 90ms 9
        until epoch 2
        show row
        crash old
        until served by new
        write 0 8 as A#2
        until answer A#2
        restart old
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 2, preparing new, candidates old new
        A#2 written
        at rest
        value 0: new 8, third 8
    ";
    check(script, shown, &[(Breakage::StarvedObeyed, "never so: until epoch 2")]);
}
