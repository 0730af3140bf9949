//! Snapshots: a partition's rows, some at a time, on their way to a copy that lacks them.

use std::collections::BTreeSet;

use super::object::State;
use super::part::Part;
use super::record::Record;
use super::row::RowKey;
use super::store::Store;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::EntityId;
use crate::engine::replica::{Cursor, Entry, Message, Place, Scope};
use crate::engine::table::Member;

impl Part {
    /// What of a snapshot may be sent now, in its order. None if the copy is the primary's no more.
    pub(super) fn chunks(&mut self, to: Member, store: &Store) -> Vec<Message<Record, State>> {
        let state = match self.scope {
            Scope::Shared => self.folded.clone(),
            Scope::Replica => self.whole(store),
        };
        let mut next = || self.copy.chunk(to, |after, max| state.rows_after(after, max));
        std::iter::from_fn(&mut next).collect()
    }

    /// Puts another copy together: records, and then rows as of after these.
    pub(super) fn stage(&mut self, is_first: bool, entries: Vec<Entry<Record>>, rows: State) {
        if is_first {
            self.staged = None;
        }
        let staged = self.staged.get_or_insert_default();
        for Entry { position, mut record } in entries {
            // This node's own store may not have what the primary's has.
            record.evicted = record.evicted.filter(|_| self.scope == Scope::Shared);
            staged.write(position, &record);
        }
        staged.put(&rows);
    }

    /// The other copy is whole.
    pub(super) fn install_staged(&mut self, store: &Store) {
        let mut copy = self.staged.take().unwrap_or_default();
        if is_broken(Breakage::UnnamedKept) {
            copy.merge(&self.folded);
        }
        self.install(copy, store);
    }

    pub(super) fn unstage(&mut self) {
        self.staged = None;
    }
}

impl RowKey {
    /// Where it comes in a walk.
    fn place(self) -> Place {
        let EntityId { kind, slot } = self.id();
        Place(u128::from(kind) << 32 | u128::from(slot))
    }
}

impl State {
    /// So many rows, at the most, that come after a place, with what is remembered of those that
    /// are not there any more; and up to where they are.
    fn rows_after(&self, after: Cursor, max: usize) -> (State, Cursor) {
        let dropped = self.dropped.keys().map(|key| RowKey::Entity(*key));
        let names: BTreeSet<RowKey> = self.keys().chain(dropped).collect();
        let mut names = names.into_iter().filter(|name| Cursor::After(name.place()) > after);
        let taken: Vec<RowKey> = names.by_ref().take(max).collect();
        let upto = match taken.last() {
            _ if names.next().is_none() => Cursor::End,
            Some(last) => Cursor::After(last.place()),
            None => after,
        };
        let mut rows = State { time: self.time, ..State::default() };
        for name in taken {
            if let Some(row) = self.row(name) {
                rows.read(name, row);
            } else if let RowKey::Entity(key) = name {
                rows.dropped.insert(key, self.dropped[&key]);
            }
        }
        (rows, upto)
    }

    /// Puts in rows that are as new as what is here, or newer.
    fn put(&mut self, rows: &State) {
        self.time = self.time.max(rows.time);
        self.merge(rows);
        for (key, at) in &rows.dropped {
            self.entities.remove(key);
            self.dropped.insert(*key, *at);
        }
    }
}
