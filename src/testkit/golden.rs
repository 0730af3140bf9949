//! Bytes that were stored or sent once, and must be readable, and written alike, for ever.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use super::encoding::{encoded, survive};
use super::lines::{Line, Lines, Mode, from_hex, to_hex};
use super::stored_row::StoredRow;
use crate::engine::id::PartitionId;
use crate::entity::{Entity, MessageTo, StoredState};
use crate::store::RowKey;

/// Holds an entity type to a file of golden bytes: of its states in every version that it had, of
/// its messages and its replies. `path` is relative to the folder of the package.
///
/// Each stored state in the file must be readable by today's build, migrated where it is of an
/// older version. Each value that `check` names must be encoded, byte for byte, as it was when its
/// line was written. And each line of a message, a reply or a state of today's version must be
/// named: a message that was renamed is noticed.
///
/// Lines are never changed. Those that are missing are added when the environment variable
/// `FASTNESS_GOLDEN` is `write`; otherwise they are an error.
///
/// ```no_run
/// # use fastness::prelude::*;
/// # #[derive(Entity, Clone, Default, Serialize, Deserialize)]
/// # #[entity(key = String)]
/// # struct Account { cents: i64 }
/// # #[handlers]
/// # impl Account { fn withdraw(&mut self, cents: i64) -> i64 { self.cents -= cents; self.cents } }
/// fastness::testkit::golden::<Account>("tests/golden/account.txt", |golden| {
///     golden.state("rich", &Account { cents: 1_000_000 });
///     golden.message("a_little", &AccountWithdraw { cents: 5 });
///     golden.reply::<AccountWithdraw>("a_little", &7);
/// });
/// ```
///
/// # Panics
/// When something of that does not hold, with the line and what to do.
#[track_caller]
pub fn golden<E: Entity>(path: impl AsRef<Path>, check: impl FnOnce(&mut Golden<E>)) {
    hold(path.as_ref(), Mode::of_environment(), check);
}

/// Golden bytes of an entity type; see [`golden()`].
pub struct Golden<E> {
    lines: Lines,
    of: PhantomData<fn() -> E>,
}

#[track_caller]
fn hold<E: Entity>(path: &Path, mode: Mode, check: impl FnOnce(&mut Golden<E>)) {
    let mut golden = Golden { lines: Lines::read(path, mode), of: PhantomData };
    golden.read_states();
    check(&mut golden);
    golden.find_unchecked();
    golden.lines.save();
}

impl<E: Entity> Golden<E> {
    /// Holds that this state is encoded as it was, in the type's present version.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn state(&mut self, name: &str, state: &E) {
        let bytes = encoded(format_args!("state of `{}`", E::NAME), state);
        self.lines.check(&["state", &E::VERSION.to_string(), name], &bytes);
    }

    /// The state of that name that was stored in that version, as today's build reads it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn stored(&self, version: u32, name: &str) -> E {
        let words = ["state", &version.to_string(), name];
        let Some(line) = self.lines.find(&words) else {
            panic!("the golden file has no `{}`", words.join(" "));
        };
        let state = StoredState::new(version, &line.bytes).into_entity();
        state.unwrap_or_else(|error| panic!("{}: {error}", self.lines.place(line)))
    }

    /// Holds that this message is encoded as it was, under its wire name.
    ///
    /// # Panics
    /// When it is not, or when today's build cannot read it back.
    #[track_caller]
    pub fn message<M: MessageTo<E>>(&mut self, name: &str, message: &M) {
        let (_, bytes) = survive(format_args!("message `{}`", M::NAME), message);
        self.lines.check(&["message", M::NAME, name], &bytes);
    }

    /// Holds that this reply to messages `M` is encoded as it was: replies are kept for retries.
    ///
    /// # Panics
    /// When it is not, or when today's build cannot read it back.
    #[track_caller]
    pub fn reply<M: MessageTo<E>>(&mut self, name: &str, reply: &M::Reply) {
        let what = format_args!("reply to `{}`", M::NAME);
        let (_, bytes) = survive(what, reply);
        self.lines.check(&["reply", M::NAME, name], &bytes);
    }

    /// Reads every state in the file.
    #[track_caller]
    fn read_states(&mut self) {
        let mut unreadable = Vec::new();
        for line in self.lines.iter().filter(|line| line.words[0] == "state") {
            let version = line.words.get(1).and_then(|word| word.parse().ok());
            let Some(version) = version.filter(|_| line.words.len() == 3) else {
                panic!("{}: a state has a version and a name", self.lines.place(line));
            };
            if let Err(error) = StoredState::new(version, &line.bytes).into_entity::<E>() {
                unreadable.push(format!("{}: {error}", self.lines.place(line)));
            }
        }
        let (type_name, found) = (type_name::<E>(), unreadable.join("\n"));
        assert!(unreadable.is_empty(), "stored states that `{type_name}` cannot read:\n{found}");
        let present = E::VERSION.to_string();
        for line in self.lines.iter_mut() {
            line.is_checked = line.words[0] == "state" && line.words[1] != present;
        }
    }

    /// Fails for lines that nothing holds any more.
    #[track_caller]
    fn find_unchecked(&self) {
        let unchecked = self.lines.iter().filter(|line| !line.is_checked);
        let names = unchecked.map(|line| {
            format!("{}: nothing checks `{}`", self.lines.place(line), line.words.join(" "))
        });
        let names: Vec<String> = names.collect();
        assert!(
            names.is_empty(),
            "{}\nif a message was renamed, give it its wire name back with `#[message(name = ..)]`",
            names.join("\n")
        );
    }
}

impl<E: Entity> fmt::Debug for Golden<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Golden").field("entity_type", &E::NAME).finish_non_exhaustive()
    }
}

/// Holds that these rows are, record and all, byte for byte those in a file of golden bytes (but
/// for their versions, and so their checksums). [`TestGridBuilder::rows`] puts that file into a
/// store. `path` is relative to the folder of the package.
///
/// [`TestGridBuilder::rows`]: super::TestGridBuilder::rows
///
/// A test that makes them does so under the testkit's clock, of entity types that are
/// [`at_most_once`](crate::EntityOptions::at_most_once), or within a durable session: other answers
/// belong to a session of random name.
///
/// Lines are never changed. Those that are missing are added when the environment variable
/// `FASTNESS_GOLDEN` is `write`; otherwise they are an error.
///
/// # Panics
/// When something of that does not hold, with the line and what to do.
#[track_caller]
pub fn golden_rows(path: impl AsRef<Path>, rows: &[StoredRow]) {
    let mut lines = Lines::read(path.as_ref(), Mode::of_environment());
    for row in rows {
        let (partition, key) = (row.partition().0.to_string(), to_hex(&row.row_key().key));
        let words = ["row", &partition, row.entity_type(), &key];
        let stored = lines.find(&words).map(|line| line.bytes.clone());
        match stored.filter(|stored| without_version(stored) == without_version(row.record())) {
            Some(stored) => lines.check(&words, &stored),
            None => lines.check(&words, row.record()),
        }
    }
    if let Some(line) = lines.iter().find(|line| !line.is_checked) {
        panic!("{}: `{}` was not stored today", lines.place(line), line.words.join(" "));
    }
    lines.save();
}

/// A record but for its checksum and its version, which number the changes of a partition.
fn without_version(record: &[u8]) -> (&[u8], &[u8]) {
    const CHECKSUM_AT: usize = 5;
    const BODY_AT: usize = 29;
    (&record[..CHECKSUM_AT.min(record.len())], record.get(BODY_AT..).unwrap_or_default())
}

/// The rows in a file of golden bytes.
#[track_caller]
pub(super) fn read_rows(path: &Path) -> Vec<StoredRow> {
    let lines = Lines::read(path, Mode::Check);
    let row = |line: &Line| {
        let row = match &line.words[..] {
            [row, partition, entity_type, key] if row == "row" => {
                partition.parse().ok().zip(from_hex(key)).and_then(|(partition, key)| {
                    let key = RowKey { entity_type: (**entity_type).into(), key: key.into() };
                    StoredRow::read(PartitionId(partition), key, line.bytes.clone()).ok()
                })
            }
            _ => None,
        };
        row.unwrap_or_else(|| panic!("{}: no row, or a damaged one", lines.place(line)))
    };
    lines.iter().map(row).collect()
}

#[cfg(test)]
mod tests;
