//! What partitions hold: objects of the history checker's models, each with its recorded answers.
//!
//! What the nodes do with an object is what its model says. So it is the protocol that a history
//! puts to the test, and not the objects.

use std::collections::{BTreeMap, BTreeSet};

use super::row::RowKey;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::execution::{Answers, Session};
use crate::engine::history::Model;
use crate::engine::history::models::{counter, list, register, set};
use crate::engine::id::{PartitionId, Position, SessionId};
use crate::engine::outbox::Number;

/// Names an object of a partition; tells its kind, too.
pub(super) type Key = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Register(register::Input),
    Counter(counter::Input),
    List(list::Input),
    Set(set::Input),
    Account(Money),
}

/// What is asked of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Money {
    Read,
    /// To another account, of any partition, by a message.
    Transfer {
        to: PartitionId,
        key: Key,
        amount: u64,
    },
}

/// Money on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deposit {
    pub to: PartitionId,
    pub key: Key,
    pub amount: u64,
}

/// What each account has at first.
pub(super) const BALANCE: u64 = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Register(register::Output),
    Counter(u64),
    List(list::Output),
    Set(set::Output),
    Balance(u64),
    /// Whether there was enough.
    Moved(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Counter,
    List,
    Set,
    Account,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Register(u64),
    Counter(u64),
    List(Vec<u64>),
    Set(BTreeSet<u64>),
    Account(u64),
}

/// An object as its partition keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub object: Object,
    /// Of the record that changed it last.
    pub written_at: Position,
    /// Of the record that it came with last, changed or not.
    pub changed_at: Position,
    pub answers: Answers,
    /// Messages of its own that their receivers may not have yet.
    pub sent: BTreeMap<Number, Deposit>,
    /// The last message from each partition that was applied here, until the partition's own
    /// number has passed it.
    pub applied: BTreeMap<PartitionId, Number>,
}

/// A whole copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub entities: BTreeMap<Key, Entity>,
    /// With the record in which they last changed.
    pub sessions: BTreeMap<SessionId, (Position, Session)>,
    /// Of each partition, up to which message all is applied and stored; likewise.
    pub inboxes: BTreeMap<PartitionId, (Position, Number)>,
}

/// What one ask has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub entity: Option<(Key, Entity)>,
    pub session: Option<(SessionId, Session)>,
    pub inbox: Option<(PartitionId, Number)>,
}

pub(super) fn kind_of(key: Key) -> Kind {
    const KINDS: [Kind; 5] = [Kind::Register, Kind::Counter, Kind::List, Kind::Set, Kind::Account];
    KINDS[usize::from(key) % KINDS.len()]
}

impl Object {
    fn new(key: Key) -> Object {
        match kind_of(key) {
            Kind::Register => Object::Register(register::Register.initial()),
            Kind::Counter => Object::Counter(counter::Counter.initial()),
            Kind::List => Object::List(list::List.initial()),
            Kind::Set => Object::Set(set::GrowingSet.initial()),
            Kind::Account => Object::Account(BALANCE),
        }
    }

    pub(super) fn step(&mut self, input: Input) -> Output {
        match (self, input) {
            (Object::Register(state), Input::Register(input)) => {
                Output::Register(register::Register.step(state, &input))
            }
            (Object::Counter(state), Input::Counter(input)) => {
                Output::Counter(counter::Counter.step(state, &input))
            }
            (Object::List(state), Input::List(input)) => {
                Output::List(list::List.step(state, &input))
            }
            (Object::Set(state), Input::Set(input)) => {
                Output::Set(set::GrowingSet.step(state, &input))
            }
            (Object::Account(balance), Input::Account(Money::Read)) => Output::Balance(*balance),
            (Object::Account(balance), Input::Account(Money::Transfer { amount, .. })) => {
                let left = balance.checked_sub(amount);
                *balance = left.unwrap_or(*balance);
                Output::Moved(left.is_some())
            }
            (object, input) => unreachable!("{input:?} of {object:?}"),
        }
    }
}

impl Input {
    pub(super) fn is_read(self) -> bool {
        match self {
            Input::Register(input) => register::Register.is_read(&input),
            Input::Counter(input) => counter::Counter.is_read(&input),
            Input::List(input) => list::List.is_read(&input),
            Input::Set(input) => set::GrowingSet.is_read(&input),
            Input::Account(input) => input == Money::Read,
        }
    }

    /// Whether nothing has changed, as it was answered so.
    pub(super) fn is_changeless(self, output: &Output) -> bool {
        match (self, output) {
            (Input::Register(input), Output::Register(output)) => {
                register::Register.is_changeless(&input, output)
            }
            (Input::Counter(input), Output::Counter(output)) => {
                counter::Counter.is_changeless(&input, output)
            }
            (Input::List(input), Output::List(output)) => list::List.is_changeless(&input, output),
            (Input::Set(input), Output::Set(output)) => {
                set::GrowingSet.is_changeless(&input, output)
            }
            (Input::Account(_), output) => *output != Output::Moved(true),
            (input, output) => unreachable!("{output:?} to {input:?}"),
        }
    }
}

impl Entity {
    pub(super) fn new(key: Key) -> Entity {
        let (object, answers) = (Object::new(key), Answers::new());
        let never = Position::default();
        let (sent, applied) = (BTreeMap::new(), BTreeMap::new());
        Entity { object, written_at: never, changed_at: never, answers, sent, applied }
    }
}

impl State {
    /// What its accounts have more than at first, and what is on its way from them.
    pub(super) fn gained(&self) -> i64 {
        let gained = |entity: &Entity| match entity.object {
            Object::Account(balance) => balance as i64 - BALANCE as i64,
            _ => 0,
        };
        let on_its_way = self.sent().map(|(_, deposit)| deposit.amount as i64);
        self.entities.values().map(gained).chain(on_its_way).sum()
    }

    /// Messages that their receivers may not have yet.
    pub(super) fn sent(&self) -> impl Iterator<Item = (Number, &Deposit)> {
        let sent = self.entities.values().flat_map(|entity| &entity.sent);
        sent.map(|(number, deposit)| (*number, deposit))
    }

    /// Makes the changes of a record. What is newer already stays: a copy that was read from a
    /// store hears once more of what has led to it.
    pub(super) fn write(&mut self, position: Position, record: &Record) {
        for key in record.keys() {
            let is_newer = self.version(key).is_none_or(|known| known < position);
            match key {
                _ if !is_newer => (),
                RowKey::Entity(key) => {
                    self.entities.extend(record.entity.clone().filter(|it| it.0 == key))
                }
                RowKey::Session(_) => {
                    self.sessions
                        .extend(record.session.map(|(id, session)| (id, (position, session))));
                }
                RowKey::Inbox(_) => {
                    self.inboxes
                        .extend(record.inbox.map(|(from, number)| (from, (position, number))));
                }
            }
        }
    }
}

impl Record {
    /// The rows that it changes.
    pub(super) fn keys(&self) -> Vec<RowKey> {
        let entity = self.entity.iter().map(|(key, _)| RowKey::Entity(*key));
        let session = self.session.iter().map(|(id, _)| RowKey::Session(*id));
        let inbox = self.inbox.iter().map(|(from, _)| RowKey::Inbox(*from));
        entity.chain(session).chain(inbox).collect()
    }

    /// As the other copies get it.
    pub(super) fn replicated(mut self) -> Record {
        if is_broken(Breakage::AnswersNotReplicated)
            && let Some((_, entity)) = &mut self.entity
        {
            entity.answers = Answers::new();
        }
        if is_broken(Breakage::AppliedNotReplicated)
            && let Some((_, entity)) = &mut self.entity
        {
            entity.applied.clear();
        }
        if is_broken(Breakage::SessionsNotReplicated) {
            self.session = None;
        }
        if is_broken(Breakage::FloorsNotReplicated)
            && let Some((_, session)) = &mut self.session
        {
            session.floor = 0;
        }
        self
    }
}

impl Output {
    /// What is recorded of it: numbers.
    pub(super) fn to_words(&self) -> Vec<u64> {
        match self {
            Output::Register(register::Output::Written) => vec![0],
            Output::Register(register::Output::Found(value)) => vec![1, *value],
            Output::Counter(count) => vec![2, *count],
            Output::List(list::Output::Length(length)) => vec![3, *length as u64],
            Output::Set(set::Output::Added(is_new)) => vec![4, u64::from(*is_new)],
            Output::Moved(is_moved) => vec![5, u64::from(*is_moved)],
            Output::List(list::Output::Elements(_))
            | Output::Set(set::Output::Elements(_))
            | Output::Balance(_) => {
                unreachable!("what reads find is not recorded")
            }
        }
    }

    pub(super) fn from_words(words: &[u64]) -> Output {
        match words {
            [0] => Output::Register(register::Output::Written),
            [1, value] => Output::Register(register::Output::Found(*value)),
            [2, count] => Output::Counter(*count),
            [3, length] => Output::List(list::Output::Length(*length as usize)),
            [4, is_new] => Output::Set(set::Output::Added(*is_new == 1)),
            [5, is_moved] => Output::Moved(*is_moved == 1),
            other => unreachable!("nothing is recorded as {other:?}"),
        }
    }
}
