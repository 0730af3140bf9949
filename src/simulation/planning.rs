//! The planner at full size, for the benchmark.

use std::collections::BTreeSet;

use crate::engine::id::{NodeId, PartitionId};
use crate::engine::placement::check::judge;
use crate::engine::placement::{Pace, Problem, place, plan};
use crate::engine::table::{
    Command, DirectoryId, Failing, Generation, Join, Member, Members, PartitionTable, Role,
    RowChange,
};

/// A grid's table and planner, without a grid.
pub struct Planning {
    table: PartitionTable,
    gone: BTreeSet<Member>,
}

/// What a placement is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Copies that are put where none was.
    pub moves: usize,
    /// Fewer cannot do.
    pub moves_min: usize,
    /// How far the worst node is from its share.
    pub copies_off: f64,
    /// The same of primaries.
    pub primaries_off: f64,
}

impl Planning {
    /// Nodes of one weight in so many zones, and partitions that nobody has held.
    #[must_use]
    pub fn new(nodes: u64, zones: u64, partitions: u16, copies: usize) -> Planning {
        let mut table = PartitionTable::new(partitions, copies);
        let joins = (0..nodes).map(|node| {
            let zone = NodeId::new(&format!("z{}", node % zones));
            let name = NodeId::new(&format!("n{node}"));
            Command::Join(Join { member: member(node), name, role: Role::Data, zone, weight: 1 })
        });
        table.apply(&joins.collect::<Vec<_>>());
        Planning { table, gone: BTreeSet::new() }
    }

    /// Plans; returns how many steps there are to be done next.
    #[must_use]
    pub fn plan(&self) -> usize {
        let pace = Pace { moves_per_node_max: 4, may_balance: true };
        plan(&self.table, &|member| self.gone.contains(&member), pace).len()
    }

    /// What the placement is worth that is planned.
    ///
    /// # Panics
    /// If it breaks a rule.
    #[must_use]
    pub fn judge(&self) -> Placed {
        let problem = Problem::of(&self.table, &|member| self.gone.contains(&member));
        let judgement = judge(&problem, &place(&problem));
        assert!(judgement.faults.is_empty(), "{:?}", judgement.faults);
        Placed {
            moves: judgement.moves,
            moves_min: judgement.moves_min,
            copies_off: judgement.copies_off,
            primaries_off: judgement.primaries_off,
        }
    }

    /// Carries out the whole placement at once.
    pub fn carry_out(&mut self) {
        let problem = Problem::of(&self.table, &|member| self.gone.contains(&member));
        let placement = place(&problem);
        for (partition, (row, primary)) in
            placement.rows.iter().zip(placement.primaries).enumerate()
        {
            let member = |seat: usize| problem.seats[seat].member;
            let Some(by) = primary.map(member) else { continue };
            let partition = PartitionId(partition as u16);
            self.change(partition, RowChange::Promote(by));
            self.change(partition, RowChange::Activate { by, joined: Members::one(by) });
            for add in row.iter().map(|seat| member(*seat)).filter(|add| *add != by) {
                self.change(partition, RowChange::CatchUp(add));
                self.change(partition, RowChange::Grow { by, add });
            }
        }
    }

    /// A node is gone; where it was the primary, another of its partition's copies is.
    pub fn lose(&mut self, node: u64) {
        let lost = member(node);
        self.table.apply(&[Command::MarkDown(lost)]);
        self.gone.insert(lost);
        let rows: Vec<_> = self.table.rows().map(|(id, row)| (id, row.clone())).collect();
        for (partition, row) in rows {
            let Some(holders) = row.holders().filter(|holders| holders.contains(lost)) else {
                continue;
            };
            let others: Members = holders.iter().filter(|holder| *holder != lost).collect();
            let first = others.iter().next();
            match (row.primary(), first) {
                (Some(primary), Some(by)) if primary == lost => {
                    self.change(partition, RowChange::Promote(by));
                    self.change(partition, RowChange::Activate { by, joined: others });
                }
                (Some(by), _) => self.change(
                    partition,
                    RowChange::Shrink { by, remove: lost, why: Failing::Silent },
                ),
                (None, _) => (),
            }
        }
    }

    fn change(&mut self, partition: PartitionId, change: RowChange) {
        let at = self.table.at(partition).expect("the partition exists");
        let applied = self.table.apply(&[Command::Row { at, change }]);
        debug_assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    }
}

fn member(node: u64) -> Member {
    Member { directory: DirectoryId(u128::from(node)), generation: Generation(1) }
}
