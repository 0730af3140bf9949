//! Where the copies of each partition are to be: the table as it is in, the next steps out.
//!
//! [`plan`] chooses a whole placement and compares it with the table. What must be comes first
//! (as many copies as are wanted, no two on one node, nor in one zone while zones suffice), then
//! balance: copies and primaries of each node within 1 of its share by weight, with the fewest
//! moves. A plan that was carried out plans nothing more, and one that is half carried out plans
//! the rest: what is on its way counts as being there.
//!
//! The placement is exact where that is cheap and greedy elsewhere; `check` judges it apart from
//! how it was found.

mod levels;
mod primaries;
mod problem;
mod replicas;

#[cfg(any(test, feature = "simulation"))]
pub(crate) mod check;
#[cfg(test)]
mod property;

use std::collections::BTreeMap;

use primaries::Primaries;
pub(crate) use problem::Problem;
use replicas::Replicas;

use crate::engine::id::PartitionId;
use crate::engine::table::{DirectoryId, Member, PartitionTable, Reign, Row};

/// Where every partition is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// By partition: its nodes, ascending, by their numbers in the problem.
    pub rows: Vec<Vec<usize>>,
    /// By partition. None only where no node can hold it.
    pub primaries: Vec<Option<usize>>,
}

/// What may be under way, and what may be begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Copies that a node may be receiving at once, and hand-overs that it may take part in.
    pub moves_per_node_max: usize,
    /// Whether anything may be moved that is safe where it is: not while a node is suspected,
    /// joining, or of another version.
    pub may_balance: bool,
}

/// One thing to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Name a first primary, or one in place of a primary that is lost.
    Promote(PartitionId, Member),
    /// Begin to bring a member up to date.
    CatchUp(PartitionId, Member),
    /// No longer bring it up to date.
    GiveUp(PartitionId, Member),
    /// Have the primary remove a copy, now that there are enough others.
    Shrink(PartitionId, Member),
    /// Have the primary hand over.
    HandOver(PartitionId, Member),
}

/// Chooses a placement.
pub(crate) fn place(problem: &Problem) -> Placement {
    let rows = Replicas::choose(problem).rows;
    let primaries = Primaries::choose(problem, &rows).chosen;
    Placement { rows, primaries }
}

/// What is to be done next, the most urgent first.
pub(crate) fn plan(
    table: &PartitionTable,
    is_gone: &dyn Fn(Member) -> bool,
    pace: Pace,
) -> Vec<Step> {
    let problem = Problem::of(table, is_gone);
    let placement = place(&problem);
    let mut steps = Steps { table, problem: &problem, pace, busy: BTreeMap::new(), steps: vec![] };
    for (_, row) in table.rows() {
        steps.count(row);
    }
    let mut order: Vec<(usize, PartitionId, &Row)> =
        table.rows().map(|(partition, row)| (steps.copies_of(row), partition, row)).collect();
    order.sort_by_key(|(copies, partition, _)| (*copies, *partition));
    for (copies, partition, row) in &order {
        let at = usize::from(partition.0);
        if *copies < problem.copies {
            steps.protect(*partition, row, &placement.rows[at], placement.primaries[at]);
        }
    }
    for (copies, partition, row) in &order {
        let at = usize::from(partition.0);
        if *copies >= problem.copies && pace.may_balance {
            steps.balance(*partition, row, &placement.rows[at], placement.primaries[at]);
        }
    }
    steps.steps
}

struct Steps<'a> {
    table: &'a PartitionTable,
    problem: &'a Problem,
    pace: Pace,
    /// What each node takes part in.
    busy: BTreeMap<DirectoryId, usize>,
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn count(&mut self, row: &Row) {
        for member in row.catching_up.iter() {
            *self.busy.entry(member.directory).or_default() += 1;
        }
        if let Reign::Active { primary, next: Some(next), .. } = &row.reign {
            for member in [primary, next] {
                *self.busy.entry(member.directory).or_default() += 1;
            }
        }
    }

    /// In-sync copies on nodes that have not lost them.
    fn copies_of(&self, row: &Row) -> usize {
        let holders = row.holders().into_iter().flat_map(|holders| holders.iter());
        holders.filter(|member| self.seat_of(*member).is_some()).count()
    }

    fn seat_of(&self, member: Member) -> Option<usize> {
        let seats = &self.problem.seats;
        let at = seats.binary_search_by_key(&member.directory, |seat| seat.member.directory);
        at.ok().filter(|at| seats[*at].member == member)
    }

    fn protect(
        &mut self,
        partition: PartitionId,
        row: &Row,
        target: &[usize],
        primary: Option<usize>,
    ) {
        if let (Reign::Unborn, Some(primary)) = (&row.reign, primary) {
            self.steps.push(Step::Promote(partition, self.problem.seats[primary].member));
            return;
        }
        self.bring_up(partition, row, target);
    }

    /// Moves a partition on by one step at a time: first a copy more, then one less, then the
    /// primary.
    fn balance(
        &mut self,
        partition: PartitionId,
        row: &Row,
        target: &[usize],
        primary: Option<usize>,
    ) {
        let Reign::Active { primary: now, in_sync, next: None, .. } = &row.reign else { return };
        if self.bring_up(partition, row, target) {
            return;
        }
        let member = |seat: &usize| self.problem.seats[*seat].member;
        if !target.iter().all(|seat| in_sync.contains(member(seat))) {
            return; // on their way
        }
        let Some(primary) = primary.map(|seat| member(&seat)) else { return };
        if primary != *now {
            if self.has_room(now.directory) && self.has_room(primary.directory) {
                self.take_part(now.directory);
                self.take_part(primary.directory);
                self.steps.push(Step::HandOver(partition, primary));
            }
            return;
        }
        let stays = |held: &Member| target.iter().any(|seat| member(seat) == *held);
        let surplus =
            in_sync.iter().filter(|held| !stays(held)).map(|held| Step::Shrink(partition, held));
        self.steps.extend(surplus);
    }

    /// Begins what is missing, and ends what is not wanted any more. Returns whether there was
    /// anything: a row takes one step at a time.
    fn bring_up(&mut self, partition: PartitionId, row: &Row, target: &[usize]) -> bool {
        if row.is_armed() {
            return true; // one thing after another
        }
        for member in row.catching_up.iter() {
            let seat = self.seat_of(member);
            if seat.is_none_or(|seat| !target.contains(&seat)) {
                self.steps.push(Step::GiveUp(partition, member));
                return true;
            }
        }
        for seat in target {
            let member = self.problem.seats[*seat].member;
            if row.holds_or_awaits(member)
                || !self.table.is_up(member)
                || !self.has_room(member.directory)
            {
                continue;
            }
            self.take_part(member.directory);
            self.steps.push(Step::CatchUp(partition, member));
            return true;
        }
        false
    }

    fn has_room(&self, node: DirectoryId) -> bool {
        self.busy.get(&node).is_none_or(|busy| *busy < self.pace.moves_per_node_max)
    }

    fn take_part(&mut self, node: DirectoryId) {
        *self.busy.entry(node).or_default() += 1;
    }
}
