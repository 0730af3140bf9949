//! Who votes in the controller's log: voters that lose their logs, and such that do not come back.

use super::check;
use crate::engine::breakage::Breakage;

#[test]
fn a_voter_lost_its_disk() {
    let script = "
        grid nodes=3 copies=2
        until served
        until 2 copies
        let boss leader
        let wiped other
        let behind other
        isolate behind
        until down behind
        wipe wiped
        heal
        isolate boss
        restart wiped
        run 3s
        expect not led
        show voters
        heal
        until voting wiped
        show voters
        crash boss
        until led
        restart boss
        rest
        show voters
    ";
    let shown = "
        voters: boss behind, lost 1
        voters: boss wiped behind
        at rest
        voters: boss wiped behind
    ";
    check(script, shown, &[(Breakage::VoterForgot, "decided_stays")]);
}

#[test]
fn a_voter_that_is_gone_for_long_is_replaced() {
    let script = "
        grid nodes=4 copies=2 replace=1000
        until served
        until 2 copies
        let boss leader
        let gone other
        let third other
        let new other
        crash gone
        until down gone
        run 500ms
        show voters
        until voting new
        show voters
        crash boss
        until led
        show voters
        restart gone
        until up gone
        restart boss
        until up boss
        run 3s
        show voters
        rest
    ";
    let shown = "
        voters: boss gone third
        voters: boss third new
        voters: boss third new
        voters: boss third new
        at rest
    ";
    check(script, shown, &[(Breakage::GoneVoterKept, "never so: until voting new")]);
}

#[test]
fn a_voter_that_comes_back_in_time_keeps_its_vote() {
    let script = "
        grid nodes=4 copies=2 replace=3000
        until served
        let boss leader
        let away other
        let third other
        crash away
        run 2500ms
        restart away
        run 5s
        show voters
        rest
    ";
    let shown = "
        voters: boss away third
        at rest
    ";
    check(script, shown, &[]);
}
