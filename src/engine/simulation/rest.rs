//! The end of a run: what must be once everything is healed.

use super::Simulation;
use super::object::State;
use super::row::RowKey;
use super::store::Store;
use crate::engine::id::PartitionId;
use crate::engine::replica::Scope;
use crate::engine::table::{Member, Reign, Row};

impl Simulation {
    /// What is not at rest yet, if anything.
    pub(super) fn unrest(&self) -> Option<String> {
        let of_row = |(partition, row)| {
            let what = self.unrest_of(partition, row)?;
            Some(format!("{partition} {what}: {row:?}"))
        };
        let rows = self.consensus.table.rows();
        rows.into_iter()
            .find_map(of_row)
            .or_else(|| self.misplaced())
            .or_else(|| self.unrest_of_voters())
    }

    fn unrest_of(&self, partition: PartitionId, row: &Row) -> Option<String> {
        let Reign::Active { primary, in_sync, next: None, .. } = &row.reign else {
            return Some("is not served".to_owned());
        };
        let node = |member: Member| &self.nodes[member.directory.0 as usize];
        if let Some(gone) = in_sync.iter().find(|member| node(*member).member() != *member) {
            return Some(format!("counts on {gone:?}, which is gone"));
        }
        if in_sync.len() != self.plan.copies.min(self.present_data()) {
            return Some(format!("has {} copies", in_sync.len()));
        }
        if node(*primary).copy(partition).serves() != Some(row.epoch) {
            return Some("has a primary that does not know it".to_owned());
        }
        if node(*primary).folded(partition).sent().next().is_some() {
            return Some("has messages on their way".to_owned());
        }
        let stores = match self.plan.replica.scope {
            Scope::Shared => vec![&self.store],
            Scope::Replica => in_sync.iter().map(|member| &node(member).disk).collect(),
        };
        let state = node(*primary).folded(partition);
        if let Some(what) = stores.iter().find_map(|store| unstored(partition, state, store)) {
            return Some(what);
        }
        let last = node(*primary).copy(partition).last();
        let folded = |member: Member| node(member).copy(partition).folded();
        let behind = in_sync.iter().find(|member| folded(*member) != last)?;
        Some(format!("has a copy at {behind:?} that is behind"))
    }

    /// All copies are the same.
    pub(super) fn check_final(&self) -> Result<(), String> {
        for (partition, row) in self.consensus.table.rows() {
            let holders: Vec<Member> =
                row.holders().into_iter().flat_map(|holders| holders.iter()).collect();
            let state = |member: &Member| self.nodes[member.directory.0 as usize].folded(partition);
            let Some((first, others)) = holders.split_first() else { continue };
            if let Some(other) = others.iter().find(|other| state(other) != state(first)) {
                return Err(format!(
                    "{partition}: {first:?} holds {:?}, {other:?} {:?}",
                    state(first),
                    state(other)
                ));
            }
        }
        if self.plan.may_lose { Ok(()) } else { self.check_money() }
    }

    /// Money is moved only.
    fn check_money(&self) -> Result<(), String> {
        let gained = |(partition, row): (PartitionId, &Row)| {
            let primary = row.primary()?;
            Some(self.nodes[primary.directory.0 as usize].folded(partition).gained())
        };
        match self.consensus.table.rows().filter_map(gained).sum::<i64>() {
            0 => Ok(()),
            sum => Err(format!("{sum} more than there was in all accounts")),
        }
    }
}

/// In what a store differs from a partition, if in anything.
fn unstored(partition: PartitionId, state: &State, store: &Store) -> Option<String> {
    let keys: Vec<RowKey> = state.keys().chain(store.keys(partition)).collect();
    let differs = |key: &&RowKey| state.row(**key).as_ref() != store.row(partition, **key);
    let key = keys.iter().find(differs)?;
    let (is, should) = (store.row(partition, *key), state.row(*key));
    Some(format!("has {key:?} stored as {is:?}, and not as {should:?}"))
}
