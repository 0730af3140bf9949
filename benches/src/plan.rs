//! The planner at full size: 1,000 nodes, 16,384 partitions, three copies of each.

use std::time::Instant;

use fastness::simulation::planning::{Placed, Planning};

use crate::report::{Aim, Report};

const NODES: u64 = 1_000;
const ZONES: u64 = 3;
const PARTITIONS: u16 = 16_384;
const COPIES: usize = 3;

/// More moves than can be shown to be needed, and how far from its share a node may be.
const MOVES_MAX: f64 = 1.05;
const OFF_MAX: f64 = 1.0 + 1e-6;

pub(crate) fn run(report: &mut Report) {
    let mut planning = Planning::new(NODES, ZONES, PARTITIONS, COPIES);
    measure(report, &planning, "plan from nothing", 1000.0);
    planning.carry_out();
    assert_eq!(planning.plan(), 0, "a plan that was carried out plans nothing more");
    planning.lose(NODES / 2);
    measure(report, &planning, "plan for a lost node", 100.0);
}

fn measure(report: &mut Report, planning: &Planning, work: &str, millis_max: f64) {
    let mut millis: Vec<f64> = (0..report.rounds())
        .map(|_| {
            let began_at = Instant::now();
            let steps = planning.plan();
            assert!(steps > 0, "there is something to be done");
            began_at.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    report.line(work, "ours", "ms", &millis);
    millis.sort_by(f64::total_cmp);
    report.hold(work, "median", "ms", millis[millis.len() / 2], Aim::AtMost(millis_max));
    let Placed { moves, moves_min, copies_off, primaries_off } = planning.judge();
    report.note(work, "copies that move", "", moves as f64);
    let ratio = moves as f64 / moves_min as f64;
    report.hold(work, "of the least that can be", "x", ratio, Aim::AtMost(MOVES_MAX));
    report.hold(work, "copies off their share", "", copies_off, Aim::AtMost(OFF_MAX));
    report.hold(work, "primaries off their share", "", primaries_off, Aim::AtMost(OFF_MAX));
}
