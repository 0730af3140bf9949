//! Rows of a shared store that others write: whoever has its password, and knows nothing of grids.
//!
//! What such a writer leaves is newer than what the grid has stored, and is no reason to take a
//! write of the grid's own for done: that is *superseded*, stays pending, and is *reconciled*. So
//! is what is found in the store, by who loads an entity or looks through the rows, in a version
//! that is newer than the one in memory. Memory wins: the entity is written again, by a record; or
//! the store does: what it has is a record of the primary, which says up to which version that is
//! decided: so it wins once, and not over what is written since. Either way a newer version than
//! the one that was found comes of it, once there have been enough records.
//!
//! What others write is a write of nobody's that may have taken effect at any time later, or never.
//! It is checked as that: of registers (what is written is all that counts), and of lists and sets
//! in which memory wins: there the store may only win where memory has nothing, and a writer who
//! adds to what is stored has left out nothing.

use std::time::Duration;

use super::history::{Done, Told};
use super::object::{Entity, Input, Key, Kind, kind_of};
use super::parcel::{Endpoint, Parcel};
use super::part::Part;
use super::random::Random;
use super::record::Record;
use super::row::{Content, Row, RowKey};
use super::{Happening, Simulation};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::history::models::{list, register, set};
use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::instant::Instant;

/// As which client they are known to the history.
const CLIENT: usize = 99;

/// What is drawn of it, apart.
pub(super) struct Others {
    random: Random,
    written: u64,
}

impl Others {
    pub(super) fn new(random: &Random) -> Others {
        Others { random: Random::new(random.clone().next() ^ 0x6f74_6865_7273), written: 0 }
    }
}

/// Whether others may write it.
pub(super) fn is_open(key: Key) -> bool {
    matches!(kind_of(key), Kind::Register | Kind::List | Kind::Set)
}

impl Part {
    /// Looks whether the store has an entity as it is here, in the epoch of this copy's reign.
    pub(super) fn compare(&mut self, now: Instant, epoch: Epoch, key: Key) {
        self.go_live(now, epoch);
        if self.live().state.entities.contains_key(&key) {
            self.live().loads.begin(key);
        }
    }

    /// Reconciles what the store has refused as it has something newer.
    pub(super) fn settle_conflicts(&mut self) {
        let conflicts = self.backlog.as_mut().map(|backlog| backlog.take_conflicts());
        for key in conflicts.into_iter().flatten() {
            match key {
                RowKey::Entity(key) if self.store_wins(key) => self.live().loads.begin(key),
                RowKey::Entity(key) => self.write_again(key),
                RowKey::Session(_) | RowKey::Inbox(_) => (), // nobody else writes these
            }
        }
    }

    fn store_wins(&self, key: Key) -> bool {
        self.others == Some(Winner::Store) && kind_of(key) == Kind::Register
    }

    /// An entity as it is here is a new record.
    pub(super) fn write_again(&mut self, key: Key) {
        let known = self.live().state.entities.get(&key).cloned();
        if let Some(entity) = known.filter(|_| self.copy.has_room()) {
            self.execute(Record { entity: Some((key, entity)), ..Record::default() });
        }
    }

    /// Takes in what was loaded, if somebody else has written it. Returns it if not.
    pub(super) fn reconcile(&mut self, key: Key, row: Row) -> Option<Row> {
        let persisted = self.copy.persisted();
        let known = self.live().state.entities.get(&key).cloned();
        let is_newer = match &known {
            Some(known) => row.version > known.changed_at,
            // What has left memory was stored by then.
            None => row.version > persisted,
        };
        let is_installed = known.is_none() && is_broken(Breakage::FoundUnrecorded);
        if !is_newer || is_installed || self.others.is_none() {
            return Some(row);
        }
        let is_decided = |entity: &Entity| {
            row.version <= entity.decided && !is_broken(Breakage::DecisionForgotten)
        };
        if known.is_some() && (!self.store_wins(key) || known.as_ref().is_some_and(is_decided)) {
            self.write_again(key);
            return None;
        }
        let Content::Entity(theirs) = row.content else { return None };
        let mut entity = known.unwrap_or_else(|| theirs.clone());
        (entity.object, entity.written_at) = (theirs.object, self.next());
        entity.decided = row.version;
        self.execute(Record { entity: Some((key, entity)), ..Record::default() });
        None
    }
}

/// Whose version counts where others have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Winner {
    Memory,
    Store,
}

impl Simulation {
    pub(super) fn begin_others(&mut self) {
        if self.plan.others.is_some() {
            self.after(self.plan.fault_every, Happening::Intrude);
        }
    }

    /// Somebody else writes into the shared store; now and then somebody compares it with memory.
    pub(super) fn intrude(&mut self) {
        if self.has_healed {
            return;
        }
        let random = &mut self.others.random;
        let wait = self.plan.fault_every.mul_f64(random.between(10, 100) as f64 / 100.0);
        let partition = random.between(0, u64::from(self.plan.partitions) - 1);
        let key = random.between(0, u64::from(self.plan.keys) - 1) as Key;
        let (more, compares) = (random.between(1, 15), random.percent(10));
        self.write_as_another(PartitionId(partition as u16), key, more);
        if compares {
            self.compare_rows();
        }
        self.after(wait, Happening::Intrude);
    }

    /// Somebody else changes a row, in a version that is so much newer, if there is one that is all
    /// that the store has.
    pub(super) fn write_as_another(&mut self, partition: PartitionId, key: Key, more: u64) {
        let (at, began_at) = (RowKey::Entity(key), self.now);
        let is_parked = self.store.letters(partition).iter().any(|(parked, _)| *parked == at);
        let row = self.store.accepted(partition, at).filter(|_| is_open(key) && !is_parked);
        let Some(Row { version, content: Content::Entity(entity) }) = row.cloned() else { return };
        self.others.written += 1;
        let value = self.others.written * 100 + CLIENT as u64;
        let input = match kind_of(key) {
            Kind::Register => Input::Register(register::Input::Write(value)),
            Kind::List => Input::List(list::Input::Append(value)),
            _ => Input::Set(set::Input::Add(value)),
        };
        let mut entity = entity;
        entity.object.step(input);
        let version = Position { seq: Seq(version.seq.0 + more), ..version };
        (entity.changed_at, entity.written_at) = (version, version);
        self.note(|| format!("another writes {key} of {partition}: {input:?} as {version:?}"));
        self.store.overwrite((partition, at), Row { version, content: Content::Entity(entity) });
        *self.summary.faults.entry("others write").or_default() += 1;
        let told = Told::Unknown;
        self.history.push(Done { client: CLIENT, partition, key, input, began_at, told });
    }

    /// Has all rows compared that are newer than they are in memory.
    pub(super) fn compare_rows(&mut self) {
        let mut parcels = Vec::new();
        for (partition, row) in self.consensus.table.rows() {
            let Some(primary) = row.primary() else { continue };
            let node = primary.directory.0 as usize;
            let folded = self.nodes[node].folded(partition);
            for key in self.store.keys(partition) {
                let stored = self.store.row(partition, key).map(|row| row.version);
                if let RowKey::Entity(entity) = key
                    && folded.version(key).is_some_and(|known| stored > Some(known))
                {
                    let parcel = Parcel::Compare { partition, key: entity };
                    parcels.push((Endpoint::Node(node), Box::new(parcel)));
                }
            }
        }
        for (to, parcel) in parcels {
            self.after(Duration::ZERO, Happening::Deliver { from: to, to, parcel });
        }
    }
}
