//! What the leader makes of whom it hears, and of what others say.

use super::*;
use crate::engine::id::{NodeId, PartitionId};
use crate::engine::simulation::random::Random;
use crate::engine::table::{Command, DirectoryId, Generation, Join, Role, RowChange};

const PATIENCE: Patience = Patience {
    suspect_after: Duration::from_millis(600),
    lately: Duration::from_millis(200),
    grace: Duration::from_millis(150),
    alone_after: Duration::from_millis(2400),
};
const P0: PartitionId = PartitionId(0);

fn member(directory: u128) -> Member {
    Member { directory: DirectoryId(directory), generation: Generation(1) }
}

fn at(millis: u64) -> Instant {
    Instant::default() + Duration::from_millis(millis)
}

/// Nodes from 0, all up, and one partition that is held by some, the first being its primary.
fn table(nodes: u128, holders: &[u128]) -> PartitionTable {
    let mut table = PartitionTable::new(1, holders.len());
    for directory in 0..nodes {
        let name = NodeId::new(&format!("n{directory}"));
        let (role, zone, weight) = (Role::Data, NodeId::new("z"), 1);
        let member = member(directory);
        table.apply(&[Command::Join(Join { member, name, role, zone, weight })]);
    }
    let by = member(holders[0]);
    change(&mut table, RowChange::Promote(by));
    change(&mut table, RowChange::Activate { by, joined: Members::one(by) });
    for holder in &holders[1..] {
        change(&mut table, RowChange::CatchUp(member(*holder)));
        change(&mut table, RowChange::Grow { by, add: member(*holder) });
    }
    table
}

fn change(table: &mut PartitionTable, change: RowChange) {
    let at = table.at(P0).unwrap();
    assert_eq!(table.apply(&[Command::Row { at, change }]).refused, []);
}

fn hears(hearing: &mut Hearing, others: &[u128], millis: u64) {
    for other in others {
        hearing.answered(member(*other), at(millis));
    }
}

fn suspects(hearing: &Hearing, now: Instant) -> Members {
    hearing.word(now).suspects
}

/// The verdict of node 0, who hears some, at a moment at which others have been silent for
/// 700 ms; and what the others say.
fn verdict(table: &PartitionTable, heard: &[u128], said: &[(u128, &[u128])]) -> Vec<u128> {
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(table, at(1000));
    hears(&mut hearing, heard, 1700);
    let mut words = Words::default();
    for (from, accused) in said {
        let suspects: Members = accused.iter().map(|accused| member(*accused)).collect();
        let quiet = suspects.clone();
        words.heard(member(*from), at(1650), Word { suspects, quiet });
    }
    let verdict = judge(at(1700), table, &hearing, &words);
    verdict.suspected.iter().map(|member| member.directory.0).collect()
}

#[test]
fn silence_makes_suspect_and_an_answer_clears() {
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table(3, &[1]), at(1000));
    assert_eq!(suspects(&hearing, at(1599)), Members::default());
    hears(&mut hearing, &[2], 1500);
    assert_eq!(suspects(&hearing, at(1600)), Members::one(member(1)));
    hears(&mut hearing, &[1], 1650);
    assert_eq!(suspects(&hearing, at(1700)), Members::default());
    // What was asked before was on its way for long.
    hearing.answered(member(1), at(1600));
    assert_eq!(suspects(&hearing, at(2250)), [member(1), member(2)].into_iter().collect());
}

#[test]
fn a_broken_connection_has_some_time_to_come_back() {
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table(3, &[1]), at(1000));
    hearing.broke(member(1), at(1010));
    hearing.broke(member(1), at(1100));
    assert_eq!(suspects(&hearing, at(1159)), Members::default());
    assert_eq!(suspects(&hearing, at(1160)), Members::one(member(1)));
    hears(&mut hearing, &[1], 1170);
    assert_eq!(suspects(&hearing, at(1500)), Members::default());
}

#[test]
fn gossip_accuses_and_only_an_answer_clears() {
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table(3, &[1]), at(1000));
    hearing.doubt(member(1), at(1100));
    assert_eq!(suspects(&hearing, at(1100)), Members::one(member(1)));
    hearing.learn(&table(3, &[1]), at(1200));
    assert_eq!(suspects(&hearing, at(1200)), Members::one(member(1)));
    hears(&mut hearing, &[1], 1300);
    assert_eq!(suspects(&hearing, at(1300)), Members::default());
}

#[test]
fn who_stood_still_accuses_nobody_for_a_while() {
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table(3, &[1]), at(1000));
    hearing.broke(member(1), at(1000));
    hearing.stood_still(at(5000));
    hearing.doubt(member(2), at(5100));
    assert_eq!(suspects(&hearing, at(5599)), Members::default());
    assert_eq!(suspects(&hearing, at(5600)).len(), 2);
}

#[test]
fn one_of_two_is_enough() {
    assert_eq!(verdict(&table(2, &[1, 0]), &[], &[]), [1]);
    // Also against the leader, whom nobody can call.
    assert_eq!(verdict(&table(2, &[1, 0]), &[1], &[(1, &[0])]), [0]);
    assert_eq!(verdict(&table(2, &[1, 0]), &[1], &[(1, &[])]), []);
}

#[test]
fn whom_only_the_leader_does_not_hear_goes_on() {
    let table = table(4, &[1, 2]);
    assert_eq!(verdict(&table, &[2, 3], &[(2, &[]), (3, &[])]), []);
    // What was not said yet is no accusation.
    assert_eq!(verdict(&table, &[2, 3], &[]), []);
    // A holder accuses it, too: it cannot ask to be rid of that one.
    assert_eq!(verdict(&table, &[2, 3], &[(2, &[1]), (3, &[])]), [1]);
    // Nor of one that nobody hears, or that hears nobody.
    assert_eq!(verdict(&table, &[3], &[(3, &[2])]), [1, 2]);
    // Two of three.
    assert_eq!(verdict(&table, &[2, 3], &[(2, &[]), (3, &[1])]), [1]);
}

#[test]
fn whom_only_the_leader_does_not_hear_goes_when_it_has_to_tell_something() {
    let mut armed = table(4, &[1, 2]);
    change(&mut armed, RowChange::Arm { next: member(2) });
    assert_eq!(verdict(&armed, &[2, 3], &[]), [1]);
    assert_eq!(verdict(&armed, &[1, 3], &[]), [2]);
    let mut preparing = table(4, &[1, 2]);
    change(&mut preparing, RowChange::Promote(member(2)));
    assert_eq!(verdict(&preparing, &[1, 3], &[]), [2]);
    assert_eq!(verdict(&preparing, &[2, 3], &[]), []);
}

#[test]
fn whom_only_the_leader_does_not_hear_goes_in_the_end() {
    let table = table(4, &[1, 2]);
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table, at(1000));
    hears(&mut hearing, &[2, 3], 3300);
    let suspected = |millis| judge(at(millis), &table, &hearing, &Words::default()).suspected;
    assert!(suspected(3399).is_empty());
    assert!(suspected(3400).contains(&member(1)));
}

#[test]
fn whom_the_leader_has_heard_lately_is_certainly_there() {
    let table = table(3, &[1, 2]);
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table, at(1000));
    hears(&mut hearing, &[1], 1150);
    let lately = |millis| judge(at(millis), &table, &hearing, &Words::default()).lately;
    assert_eq!(lately(1199).len(), 3);
    assert_eq!(lately(1200), BTreeSet::from([member(0), member(1)]));
    assert_eq!(lately(1350), BTreeSet::from([member(0)]));
}

#[test]
fn one_accuser_is_not_enough_and_more_than_half_are() {
    let table = table(5, &[0, 2]);
    assert_eq!(verdict(&table, &[1, 2, 3, 4], &[(2, &[1])]), []);
    assert_eq!(verdict(&table, &[1, 2, 3, 4], &[(2, &[1]), (3, &[1])]), []);
    let said: &[(u128, &[u128])] = &[(2, &[1]), (3, &[1]), (4, &[1])];
    assert_eq!(verdict(&table, &[1, 2, 3, 4], said), [1]);
    // What the leader does not hear says nothing.
    assert_eq!(verdict(&table, &[1, 2, 3], said), [1]);
    assert_eq!(verdict(&table, &[1, 2], said), []);
}

#[test]
fn who_hears_nobody_brings_nobody_down() {
    // The leader hears one who hears the leader alone.
    let table = table(4, &[1, 2]);
    assert_eq!(verdict(&table, &[2, 3], &[(3, &[1, 2])]), []);
    // So it is a little before it suspects all.
    let mut hearing = Hearing::new(member(0), PATIENCE);
    hearing.learn(&table, at(1000));
    hears(&mut hearing, &[2, 3], 1700);
    let mut words = Words::default();
    let (suspects, quiet) = (Members::one(member(1)), [member(1), member(2)]);
    words.heard(member(3), at(1650), Word { suspects, quiet: quiet.into_iter().collect() });
    assert!(judge(at(1700), &table, &hearing, &words).suspected.is_empty());
    // The leader hears nobody itself.
    assert_eq!(verdict(&table, &[], &[]), []);
}

#[test]
fn who_is_down_stays_so_until_the_leader_hears_it() {
    let mut table = table(4, &[1, 2]);
    table.apply(&[Command::MarkDown(member(3))]);
    assert_eq!(verdict(&table, &[1, 2], &[]), [3]);
    assert_eq!(verdict(&table, &[1, 2, 3], &[(1, &[3])]), []);
    assert_eq!(verdict(&table, &[1, 2, 3], &[(1, &[3]), (2, &[3])]), [3]);
}

/// Whoever hears whom: what follows for each of the others, whatever the rest say.
#[test]
fn whoever_hears_whom() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let nodes = u128::from(random.between(2, 6));
        let holders: Vec<u128> = (1..nodes.min(4)).collect();
        let table = table(nodes, &holders);
        let silence = random.between(20, 80);
        let mut accuses = |from: u128| -> Vec<u128> {
            let others = (0..nodes).filter(|other| *other != from);
            others.filter(|_| random.percent(silence)).collect()
        };
        let said: Vec<Vec<u128>> = (0..nodes).map(&mut accuses).collect();
        let is_heard = |by: u128, it: u128| !said[by as usize].contains(&it);
        let heard: Vec<u128> = (1..nodes).filter(|it| is_heard(0, *it)).collect();
        let words: Vec<(u128, &[u128])> =
            heard.iter().map(|from| (*from, said[*from as usize].as_slice())).collect();
        let suspected = verdict(&table, &heard, &words);
        for one in 1..nodes {
            let others: Vec<u128> = (0..nodes).filter(|it| *it != one).collect();
            let by: Vec<u128> =
                others.iter().copied().filter(|other| !is_heard(*other, one)).collect();
            let case = || format!("{one} of {said:?} by {seed}: {suspected:?}");
            let is_suspected = suspected.contains(&one);
            if by.is_empty() {
                assert!(!is_suspected, "nobody accuses {}", case());
            }
            if by.len() == others.len() && !heard.is_empty() {
                assert!(is_suspected, "all accuse {}", case());
            }
            let is_deaf = |it: u128| (1..nodes).all(|at| at == it || !is_heard(it, at));
            let is_half = heard.len() == others.len() && by.len() * 2 <= others.len();
            if is_half && !others.iter().any(|it| is_deaf(*it)) {
                assert!(!is_suspected, "half hear {}", case());
            }
            // The primary, whom neither the leader nor one of its backups hears.
            let backups = &holders[1..];
            let is_cut = backups.iter().any(|it| !is_heard(*it, 1));
            if one == 1 && !heard.is_empty() && !is_heard(0, 1) && is_cut {
                assert!(is_suspected, "the primary is cut off: {}", case());
            }
        }
    }
}
