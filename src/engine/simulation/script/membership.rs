//! Names, generations, and nodes that come and go.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn two_processes_have_one_name() {
    let script = "
        grid nodes=3 copies=2
        until served
        propose impostor 1
        show members
        run 100ms
        show status 1
        rest
    ";
    let shown = "
        refused: NameTaken
        members: 3
        another: up
        at rest
    ";
    check(script, shown, &[(Breakage::NameShared, "members: 4")]);
}

#[test]
fn an_old_generation_comes_back() {
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
        crash new
        run 20ms
        restart new
        until up new
        show row
        propose enter new 1
        show status new
        until not in-sync new
        show copies
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old new
        refused: OldGeneration { last: Generation(2) }
        new/2: up
        copies: old new
        at rest
        value 0: old 7, new 7
    ";
    check(
        script,
        shown,
        &[
            (Breakage::GenerationReused, "new/2: unknown"),
            (Breakage::IdentityKept, "never so: until not in-sync new"),
        ],
    );
}

#[test]
fn a_data_directory_was_restored() {
    let script = "
        grid nodes=3 copies=2 protect=1000
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
        crash new
        restart new
        until up new
        until in-sync new
        crash new
        restart new
        until up new
        until in-sync new
        show row
        restore new 1
        run 500ms
        show status new
        until in-sync third
        show row
        crash new
        restart new
        run 500ms
        show status new
        crash new
        restart new
        run 500ms
        show status new
        crash new
        restart new
        until up new
        show status new
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        row: epoch 1, primary old, in sync old new/3
        new: unknown
        row: epoch 1, primary old, in sync old third
        new/2: unknown
        new/3: up
        new/4: up
        at rest
        value 0: old 7, third 7
    ";
    check(
        script,
        shown,
        &[
            (Breakage::GenerationReused, "never so: until in-sync third"),
            (Breakage::IdentityKept, "never so: until in-sync third"),
        ],
    );
}

#[test]
fn a_node_is_stopped_twice() {
    let script = "
        grid nodes=3 copies=2 protect=500
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
        crash new
        propose declare new
        propose declare new
        crash new
        until in-sync third
        show row
        restart new
        restart new
        until up new
        show status new
        propose declare new
        show status new
        run 500ms
        crash new
        restart new
        until up new
        rest
        show value 0
    ";
    let shown = "
        A#1 written
        refused: AlreadySo
        row: epoch 1, primary old, in sync old new third
        new/2: up
        new/2: dead
        at rest
        value 0: old 7, third 7
    ";
    check(script, shown, &[(Breakage::IdentityKept, "never so: until up new")]);
}

#[test]
fn nodes_come_and_go_in_storms() {
    let script = "
        grid nodes=5 voters=3 copies=2 partitions=4 protect=500 balance=300
        until served
        until 2 copies
        open A
        write 1 1 as A#1
        done A#1
        write 1/1 1 as A#2
        done A#2
        write 2/1 1 as A#3
        done A#3
        write 3/1 1 as A#4
        done A#4
        crash 3
        propose drain 4
        run 30ms
        restart 3
        until up 3
        propose drain 3
        run 200ms
        propose undrain 4
        crash 4
        run 60ms
        restart 4
        write 1 1 as A#5
        done A#5
        propose drain 1
        run 700ms
        propose undrain 3
        crash 0
        run 60ms
        restart 0
        write 1/1 1 as A#6
        done A#6
        propose drain 2
        propose undrain 1
        run 900ms
        crash 1
        run 60ms
        restart 1
        propose undrain 2
        write 2/1 1 as A#7
        done A#7
        write 3/1 1 as A#8
        done A#8
        until served
        rest
    ";
    let shown = "
        A#1 counted 1
        A#2 counted 1
        A#3 counted 1
        A#4 counted 1
        A#5 counted 2
        A#6 counted 2
        A#7 counted 2
        A#8 counted 2
        at rest
    ";
    check(
        script,
        shown,
        &[
            (Breakage::IdentityKept, "in_sync_holds_answered"),
            (Breakage::PromotedOutOfSync, "in_sync_holds_answered"),
        ],
    );
}
