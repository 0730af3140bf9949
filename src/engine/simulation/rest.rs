//! The end of a run: what must be once everything is healed.

use std::collections::BTreeMap;

use super::Simulation;
use super::history::Done;
use super::object::{Input, Object, State};
use super::row::RowKey;
use super::store::Store;
use crate::engine::history::models::list;
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
            .or_else(|| self.unrest_of_hand_ins())
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
        if let Some(what) = node(*primary).folded(partition).awaits() {
            return Some(what.to_owned());
        }
        let stores = match self.plan.replica.scope {
            Scope::Shared => vec![&self.store],
            Scope::Replica => in_sync.iter().map(|member| &node(member).disk).collect(),
        };
        let state = node(*primary).folded(partition);
        let evicts = self.plan.evict_every.is_some();
        let unstored = |store: &&Store| unstored(partition, state, store, evicts);
        if let Some(what) = stores.iter().find_map(unstored) {
            return Some(what);
        }
        if row.leaving().is_some_and(|leaving| leaving.len() > 0) {
            return Some("has not settled".to_owned());
        }
        if let Some(letter) = stores.iter().find_map(|store| store.letters(partition).pop()) {
            return Some(format!("has a dead letter of {letter:?}"));
        }
        let last = node(*primary).copy(partition).last();
        let folded = |member: Member| node(member).copy(partition).folded();
        let behind = in_sync.iter().find(|member| folded(*member) != last)?;
        Some(format!("has a copy at {behind:?} that is behind"))
    }

    /// What a copy has in memory and in the store that it drains into.
    pub(super) fn whole(&self, member: Member, partition: PartitionId) -> State {
        let node = member.directory.0 as usize;
        self.nodes[node].part(partition).whole(self.drained_into(node))
    }

    /// All copies are the same.
    pub(super) fn check_final(&self) -> Result<(), String> {
        for (partition, row) in self.consensus.table.rows() {
            let holders: Vec<Member> =
                row.holders().into_iter().flat_map(|holders| holders.iter()).collect();
            let Some((first, others)) = holders.split_first() else { continue };
            let of_first = self.whole(*first, partition);
            for other in others {
                let of_other = self.whole(*other, partition);
                if of_first.rows().ne(of_other.rows()) {
                    return Err(format!(
                        "{partition}: {first:?} holds {of_first:?}, {other:?} {of_other:?}"
                    ));
                }
            }
        }
        self.check_settled()?;
        self.check_money()?;
        self.check_accounts()?;
        self.check_bells()
    }

    /// What somebody was promised to be reminded of, has rung.
    fn check_bells(&self) -> Result<(), String> {
        let mut rung = BTreeMap::new();
        for (partition, row) in self.consensus.table.rows() {
            let whole = row.primary().map(|primary| self.whole(primary, partition));
            for (key, entity) in whole.into_iter().flat_map(|whole| whole.entities) {
                if let Object::Bell(values) = entity.object {
                    rung.insert((partition, key), values);
                }
            }
        }
        let has_rung = |done: &Done, value: u64| {
            rung.get(&(done.partition, done.key)).is_some_and(|rung| rung.contains(&value))
        };
        let missing = |done: &&Done| match done.input {
            Input::Bell(list::Input::Append(value)) => {
                done.is_returned() && !has_rung(done, value) && !self.has_lost(done.partition)
            }
            _ => false,
        };
        match self.history.iter().find(missing) {
            None => Ok(()),
            Some(Done { partition, key, input, .. }) => {
                Err(format!("{key} of {partition} never rang for {input:?}"))
            }
        }
    }

    /// Money is moved only. What one partition lost may be missing at another.
    fn check_money(&self) -> Result<(), String> {
        if self.consensus.table.rows().any(|(partition, _)| self.has_lost(partition)) {
            return Ok(());
        }
        let gained = |(partition, row): (PartitionId, &Row)| {
            let primary = row.primary()?;
            Some(self.whole(primary, partition).gained())
        };
        match self.consensus.table.rows().filter_map(gained).sum::<i64>() {
            0 => Ok(()),
            sum => Err(format!("{sum} more than there was in all accounts")),
        }
    }
}

/// In what a store differs from a partition, if in anything.
fn unstored(partition: PartitionId, state: &State, store: &Store, evicts: bool) -> Option<String> {
    let keys: Vec<RowKey> = state.keys().chain(store.keys(partition)).collect();
    // What is only there was evicted.
    let differs = |key: &&RowKey| match (state.row(**key), store.row(partition, **key)) {
        (None, Some(row)) => row.is_tombstone() || !evicts || !matches!(key, RowKey::Entity(_)),
        (here, there) => here.as_ref() != there,
    };
    let key = keys.iter().find(differs)?;
    let (is, should) = (store.row(partition, *key), state.row(*key));
    Some(format!("has {key:?} stored as {is:?}, and not as {should:?}"))
}
