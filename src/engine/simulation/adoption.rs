//! Whose the stores are: each node asks its store before it joins, once in each life that is let.

use std::collections::BTreeMap;

use super::Simulation;
use super::node::Out;
use super::store::Store;
use crate::engine::adoption::{GridId, Opening, Says, StoreRefused, judge};
use crate::engine::replica::Scope;
use crate::engine::table::Command;

pub(super) struct Openings {
    pub(super) grid: GridId,
    /// What came of it, of which life of a node.
    done: BTreeMap<usize, (u64, Result<(), StoreRefused>)>,
}

impl Openings {
    pub(super) fn new(grid: GridId) -> Openings {
        Openings { grid, done: BTreeMap::new() }
    }
}

impl Simulation {
    /// The store that a node drains into.
    pub(super) fn drained_into(&self, node: usize) -> &Store {
        match self.plan.replica.scope {
            Scope::Shared => &self.store,
            Scope::Replica => &self.nodes[node].disk,
        }
    }

    fn drained_into_mut(&mut self, node: usize) -> &mut Store {
        match self.plan.replica.scope {
            Scope::Shared => &mut self.store,
            Scope::Replica => &mut self.nodes[node].disk,
        }
    }

    pub(super) fn says(&self, node: usize) -> Says {
        self.drained_into(node).says()
    }

    /// A node whose store is refused does not ask to join: it stays out, and nothing of its store
    /// is used.
    pub(super) fn join_only_with_store(&mut self, node: usize, out: &mut Out) {
        let is_join = |command: &Command| matches!(command, Command::Join(_));
        if out.proposals.iter().any(is_join) && self.open_store(node).is_err() {
            out.proposals.retain(|command| !is_join(command));
        }
    }

    /// What the store says is judged by what is committed: a node reads it from the log for this.
    fn open_store(&mut self, node: usize) -> Result<(), StoreRefused> {
        let life = self.nodes[node].life();
        if self.openings.done.get(&node) == Some(&(life, Ok(()))) {
            return Ok(());
        }
        let (says, grid) = (self.says(node), self.openings.grid);
        let result = judge(&says, grid, &self.consensus.table);
        let epochs: Vec<_> = match result {
            Ok(Opening::Adopted) => {
                let rows = self.consensus.table.rows();
                rows.map(|(partition, row)| (partition, row.epoch)).collect()
            }
            _ => Vec::new(),
        };
        if let Ok(Opening::Free | Opening::Adopted) = result {
            self.drained_into_mut(node).take(grid, &epochs);
        }
        let result = result.map(|_| ());
        self.openings.done.insert(node, (life, result.clone()));
        result
    }

    /// Why a node stays out, if it does.
    #[cfg(test)]
    pub(super) fn refused_store(&self, node: usize) -> Option<&StoreRefused> {
        let (life, result) = self.openings.done.get(&node)?;
        result.as_ref().err().filter(|_| *life == self.nodes[node].life())
    }

    /// Another grid is formed of the same nodes, which have forgotten everything: the shared store
    /// is as the one before has left it.
    #[cfg(test)]
    pub(super) fn found_anew(&mut self, grid: GridId) {
        use super::{Happening, TICK};
        use crate::engine::table::PartitionTable;

        self.openings = Openings::new(grid);
        self.consensus.table = PartitionTable::new(self.plan.partitions, self.plan.copies);
        self.consensus.acknowledged_by.clear();
        self.primaries.clear();
        for node in 0..self.nodes.len() {
            self.crash(node);
            self.nodes[node].begin(1, Store::default());
            let life = self.nodes[node].life();
            self.after(TICK, Happening::Tick { node, life });
        }
        if let Some(leader) = self.consensus.leader {
            self.nodes[leader].set_leader(true, self.now);
        }
    }
}
