//! Where copies are at rest: on no witness, and in as many zones as there are.

use std::collections::BTreeSet;

use super::Simulation;
use crate::engine::id::{NodeId, PartitionId};
use crate::engine::placement::check::judge;
use crate::engine::placement::{Placement, Problem};
use crate::engine::table::{Member, Members, Role, Row, Status};

impl Simulation {
    /// A copy that is where none is to be.
    pub(super) fn misplaced(&self) -> Option<String> {
        let table = &self.consensus.table;
        let mut rows = table.rows().map(|(partition, row)| (partition, holders(row)));
        rows.find_map(|(partition, row)| self.misplaced_of(partition, &row))
            .or_else(|| self.faults_of_placement())
    }

    fn misplaced_of(&self, partition: PartitionId, row: &[Member]) -> Option<String> {
        let nodes = self.consensus.table.nodes();
        let able = nodes.values().filter(|it| it.role == Role::Data && it.status == Status::Up);
        let there: BTreeSet<&NodeId> = able.map(|node| &node.zone).collect();
        let node = |member: &Member| nodes.get(&member.directory);
        let is_witness = |it: &&Member| node(it).is_some_and(|node| node.role == Role::Witness);
        if let Some(witness) = row.iter().find(is_witness) {
            return Some(format!("{partition} is on {witness:?}, which is a witness"));
        }
        let used: BTreeSet<&NodeId> = row.iter().filter_map(node).map(|node| &node.zone).collect();
        let is_crowded = used.len() < there.len().min(row.len());
        is_crowded.then(|| format!("{partition} is in {used:?}, of {there:?}: {row:?}"))
    }

    /// What the placement's judge has to say.
    fn faults_of_placement(&self) -> Option<String> {
        let table = &self.consensus.table;
        let problem = Problem::of(table, &|_| false);
        let seat_of = |member: Member| problem.seats.iter().position(|seat| seat.member == member);
        let seats = |row: &Row| holders(row).into_iter().filter_map(seat_of).collect();
        let placement = Placement {
            rows: table.rows().map(|(_, row)| seats(row)).collect(),
            primaries: table.rows().map(|(_, row)| row.primary().and_then(seat_of)).collect(),
        };
        judge(&problem, &placement).faults.into_iter().next()
    }
}

fn holders(row: &Row) -> Vec<Member> {
    row.holders().into_iter().flat_map(Members::iter).collect()
}
