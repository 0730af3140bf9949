//! What has changed since a version: how a table gets from node to node.

use std::collections::BTreeMap;

use super::PartitionTable;
use super::member::{DirectoryId, Generation, Node, TableVersion};
use super::row::Row;
use crate::engine::adoption::GridId;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::PartitionId;

/// Everything that has changed between two versions of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    /// The version that it is to be put on, or any after it up to `to`.
    pub from: TableVersion,
    /// The version that comes of it.
    pub to: TableVersion,
    /// All nodes, if any has changed: they are few, and change rarely.
    pub nodes: Option<Nodes>,
    /// The rows that have changed, ascending.
    pub rows: Vec<(PartitionId, Row)>,
}

/// All nodes, and when they last changed; and whose store is to be this grid's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nodes {
    changed_at: TableVersion,
    nodes: BTreeMap<DirectoryId, Node>,
    forgotten: BTreeMap<DirectoryId, Generation>,
    adopts: Option<GridId>,
}

/// A delta that begins after what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The version that is there.
    pub at: TableVersion,
}

impl PartitionTable {
    /// What has changed since `from`.
    pub(crate) fn since(&self, from: TableVersion) -> Delta {
        let changed = |(_, row): &(PartitionId, &Row)| row.changed_at > from;
        Delta {
            from,
            to: self.version,
            nodes: (self.nodes_changed_at > from).then(|| Nodes {
                changed_at: self.nodes_changed_at,
                nodes: self.nodes.clone(),
                forgotten: self.forgotten.clone(),
                adopts: self.adopts,
            }),
            rows: self.rows().filter(changed).map(|(id, row)| (id, row.clone())).collect(),
        }
    }

    /// Takes in what has changed elsewhere. Of an old delta, or one that came twice, nothing.
    ///
    /// # Errors
    /// [`Gap`] if there are changes that neither this table nor the delta has.
    pub(crate) fn merge(&mut self, delta: &Delta) -> Result<(), Gap> {
        if delta.from > self.version && !is_broken(Breakage::GapIgnored) {
            return Err(Gap { at: self.version });
        }
        if delta.to <= self.version {
            return Ok(());
        }
        if let Some(Nodes { changed_at, nodes, forgotten, adopts }) = &delta.nodes {
            self.nodes.clone_from(nodes);
            self.forgotten.clone_from(forgotten);
            (self.nodes_changed_at, self.adopts) = (*changed_at, *adopts);
        }
        for (partition, row) in &delta.rows {
            if let Some(known) = self.rows.get_mut(usize::from(partition.0)) {
                known.clone_from(row);
            }
        }
        self.version = delta.to;
        Ok(())
    }
}
