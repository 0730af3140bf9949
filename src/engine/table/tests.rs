//! The rules of the table, one by one.

use super::*;
use crate::engine::id::NodeId;

fn member(directory: u128, generation: u64) -> Member {
    Member { directory: DirectoryId(directory), generation: Generation(generation) }
}

fn join(member: Member, name: &str) -> Command {
    let (name, zone) = (NodeId::new(name), NodeId::new("z"));
    Command::Join(Join { member, name, role: Role::Data, zone, weight: 1 })
}

/// Nodes 1 to 3 in their first generation; 1 is the primary of partition 0, with 2 in sync.
fn table() -> PartitionTable {
    let mut table = PartitionTable::new(1, 2);
    for (directory, name) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(table.apply(&[join(member(directory, 1), name)]).refused, []);
    }
    let (a, b) = (member(1, 1), member(2, 1));
    accept(&mut table, RowChange::Promote(a));
    accept(&mut table, RowChange::Activate { by: a, joined: Members::one(a) });
    accept(&mut table, RowChange::CatchUp(b));
    accept(&mut table, RowChange::Grow { by: a, add: b });
    table
}

fn change(table: &mut PartitionTable, change: RowChange) -> Result<(), Refusal> {
    let at = table.at(PartitionId(0)).unwrap();
    change_at(table, at, change)
}

fn change_at(table: &mut PartitionTable, at: At, change: RowChange) -> Result<(), Refusal> {
    match table.apply(&[Command::Row { at, change }]).refused.pop() {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

fn accept(table: &mut PartitionTable, change: RowChange) {
    assert_eq!(self::change(table, change), Ok(()));
}

fn one(table: &mut PartitionTable, command: Command) -> Result<(), Refusal> {
    table.apply(&[command]).refused.pop().map_or(Ok(()), |(_, refusal)| Err(refusal))
}

fn row(table: &PartitionTable) -> &Row {
    table.row(PartitionId(0)).unwrap()
}

#[test]
fn a_late_command_changes_nothing() {
    let mut table = table();
    let at = table.at(PartitionId(0)).unwrap();
    accept(&mut table, RowChange::CatchUp(member(3, 1)));
    let grow = RowChange::Grow { by: member(1, 1), add: member(3, 1) };
    let (epoch, version) = (Epoch(1), row(&table).version);
    assert_eq!(change_at(&mut table, at, grow), Err(Refusal::Stale { epoch, version }));
}

#[test]
fn a_primary_may_be_replaced_by_any_candidate_until_the_new_one_is_active() {
    let mut table = table();
    let (a, b) = (member(1, 1), member(2, 1));
    accept(&mut table, RowChange::Promote(b));
    assert_eq!(row(&table).epoch, Epoch(2));
    accept(&mut table, RowChange::Promote(a));
    assert_eq!((row(&table).epoch, row(&table).holders().unwrap().len()), (Epoch(3), 2));
    let joined = Members::one(a);
    let late = RowChange::Activate { by: b, joined: joined.clone() };
    assert_eq!(change(&mut table, late), Err(Refusal::NotThePrimary));
    accept(&mut table, RowChange::Activate { by: a, joined });
    assert_eq!(row(&table).holders().unwrap().len(), 1);
}

#[test]
fn only_a_holder_is_promoted_while_any_may_live() {
    let mut table = table();
    let (a, b, c) = (member(1, 1), member(2, 1), member(3, 1));
    assert_eq!(change(&mut table, RowChange::Promote(c)), Err(Refusal::CopyLeft));
    for member in [a, b] {
        assert_eq!(one(&mut table, Command::MarkDown(member)), Ok(()));
    }
    // Down is not dead: it is waited for.
    assert_eq!(change(&mut table, RowChange::Promote(c)), Err(Refusal::CopyLeft));
    assert_eq!(one(&mut table, join(member(1, 2), "a")), Ok(()));
    assert_eq!(one(&mut table, Command::DeclareDead(b)), Ok(()));
    // Their places are kept: their disks may be what is recovered from.
    accept(&mut table, RowChange::Promote(c));
    let candidates: Vec<Member> = row(&table).holders().unwrap().iter().collect();
    assert_eq!(candidates, [a, b]);
    // It holds nothing yet: until it is active, any other may be named just as well.
    let again = member(1, 2);
    accept(&mut table, RowChange::Promote(again));
    let joined = [again, c].into_iter().collect();
    let with_another = RowChange::Activate { by: again, joined };
    assert_eq!(change(&mut table, with_another), Err(Refusal::NotAHolder));
    accept(&mut table, RowChange::Activate { by: again, joined: Members::one(again) });
    let in_sync: Vec<Member> = row(&table).holders().unwrap().iter().collect();
    assert_eq!(in_sync, [again]);
}

#[test]
fn a_restarted_member_is_another_one() {
    let mut table = table();
    let (a, again) = (member(1, 1), member(2, 2));
    assert_eq!(one(&mut table, join(again, "b")), Ok(()));
    assert_eq!(change(&mut table, RowChange::Promote(again)), Err(Refusal::CopyLeft));
    assert_eq!(change(&mut table, RowChange::CatchUp(again)), Err(Refusal::AlreadyNamed));
    accept(&mut table, RowChange::Shrink { by: a, remove: member(2, 1), why: Failing::Silent });
    accept(&mut table, RowChange::CatchUp(again));
    let old = join(member(2, 1), "b");
    let last = Generation(2);
    assert_eq!(one(&mut table, old), Err(Refusal::OldGeneration { last }));
}

#[test]
fn the_last_copy_that_may_live_is_never_removed() {
    let mut table = table();
    let (a, b) = (member(1, 1), member(2, 1));
    // The primary is proven dead, and what it had sent comes late.
    assert_eq!(one(&mut table, Command::DeclareDead(a)), Ok(()));
    let shrink = RowChange::Shrink { by: a, remove: b, why: Failing::Silent };
    assert_eq!(change(&mut table, shrink), Err(Refusal::NotUp));
    accept(&mut table, RowChange::Promote(b));
}

#[test]
fn a_shrink_that_outlives_its_primary_leaves_whom_it_removed_to_be_asked() {
    let mut table = table();
    let (a, b, c) = (member(1, 1), member(2, 1), member(3, 1));
    accept(&mut table, RowChange::Shrink { by: a, remove: b, why: Failing::Silent });
    let mut settled = table.clone();
    assert_eq!(one(&mut table, Command::DeclareDead(a)), Ok(()));
    accept(&mut table, RowChange::Promote(c));
    let row = row(&table);
    assert_eq!((row.leaving(), row.holders()), (Some(&Members::one(b)), Some(&Members::one(a))));

    accept(&mut settled, RowChange::Settle { by: a });
    assert_eq!(one(&mut settled, Command::DeclareDead(a)), Ok(()));
    accept(&mut settled, RowChange::Promote(c));
    assert_eq!(settled.row(PartitionId(0)).unwrap().leaving(), Some(&Members::default()));
}

#[test]
fn a_primary_that_lost_its_duties_sheds_nobody() {
    let mut table = table();
    let (a, b) = (member(1, 1), member(2, 1));
    assert_eq!(one(&mut table, Command::MarkDown(a)), Ok(()));
    let shrink = RowChange::Shrink { by: a, remove: b, why: Failing::Silent };
    assert_eq!(change(&mut table, shrink.clone()), Err(Refusal::NotUp));
    assert_eq!(one(&mut table, Command::Readmit(a)), Ok(()));
    accept(&mut table, shrink);
}

#[test]
fn an_armed_row_is_taken_over_or_promoted_above() {
    let mut table = table();
    let (a, b, c) = (member(1, 1), member(2, 1), member(3, 1));
    accept(&mut table, RowChange::CatchUp(c));
    accept(&mut table, RowChange::Arm { next: b });
    let refused = [
        RowChange::Grow { by: a, add: c },
        RowChange::Shrink { by: a, remove: b, why: Failing::Silent },
        RowChange::Arm { next: b },
        RowChange::TakeOver { by: c },
    ];
    for command in refused {
        assert_eq!(change(&mut table, command), Err(Refusal::Armed));
    }
    let mut called_off = table.clone();
    accept(&mut called_off, RowChange::Promote(a));
    assert_eq!(row(&called_off).epoch, Epoch(3), "2 may be served already");

    accept(&mut table, RowChange::TakeOver { by: b });
    assert_eq!((row(&table).epoch, row(&table).primary()), (Epoch(2), Some(b)));
    assert_eq!(row(&table).holders().unwrap().len(), 2);
    assert_eq!(change(&mut table, RowChange::TakeOver { by: b }), Err(Refusal::NotArmed));
}

#[test]
fn two_processes_of_one_name_are_two_nodes_and_prove_nothing_dead() {
    let mut table = table();
    let (b, other) = (member(2, 1), member(9, 5));
    assert_eq!(one(&mut table, join(other, "b")), Err(Refusal::NameTaken));
    assert_eq!(one(&mut table, Command::MarkDown(b)), Ok(()));
    assert_eq!(one(&mut table, join(other, "b")), Ok(()));
    assert!(!table.is_dead(b));
    assert_eq!(one(&mut table, Command::Readmit(b)), Err(Refusal::NameTaken));
}

#[test]
fn readmission_changes_no_row() {
    let mut table = table();
    let before = row(&table).clone();
    for command in [Command::MarkDown(member(2, 1)), Command::Readmit(member(2, 1))] {
        assert_eq!(one(&mut table, command), Ok(()));
    }
    assert_eq!(*row(&table), before);
}

#[test]
fn a_node_is_forgotten_only_when_it_is_dead_and_no_row_names_it() {
    let mut table = table();
    let (b, c) = (member(2, 1), member(3, 1));
    assert_eq!(one(&mut table, Command::Forget(c.directory)), Err(Refusal::NotDead));
    for dead in [b, c] {
        assert_eq!(one(&mut table, Command::DeclareDead(dead)), Ok(()));
    }
    assert_eq!(one(&mut table, Command::Forget(b.directory)), Err(Refusal::StillNamed));
    assert_eq!(one(&mut table, Command::Forget(c.directory)), Ok(()));
}

#[test]
fn a_mark_down_and_its_promotions_are_one_step() {
    let mut table = table();
    let at = table.at(PartitionId(0)).unwrap();
    let change = RowChange::Promote(member(2, 1));
    let version = table.version();
    let applied = table.apply(&[Command::MarkDown(member(1, 1)), Command::Row { at, change }]);
    assert_eq!((applied.refused.len(), applied.rows), (0, vec![PartitionId(0)]));
    assert_eq!(table.version().0, version.0 + 1);
}

#[test]
fn a_delta_that_skips_a_version_is_a_gap() {
    let mut table = table();
    let mut copy = PartitionTable::new(1, 2);
    let late = table.since(table.version());
    accept(&mut table, RowChange::CatchUp(member(3, 1)));
    assert_eq!(copy.merge(&late), Err(Gap { at: TableVersion(0) }));
    copy.merge(&table.since(copy.version())).unwrap();
    assert_eq!(copy, table);
    copy.merge(&late).unwrap();
    assert_eq!(copy, table, "an old delta does nothing");
}
