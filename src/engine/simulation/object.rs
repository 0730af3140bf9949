//! What partitions hold: objects of the history checker's models, each with its recorded answers.
//!
//! What the nodes do with an object is what its model says. So it is the protocol that a history
//! puts to the test, and not the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::execution::{Answers, Session};
use crate::engine::history::Model;
use crate::engine::history::models::{counter, list, register, set, slot};
use crate::engine::id::{PartitionId, Position, SessionId};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::Number;
use crate::engine::replica::Settled;

/// Names an object of a partition; tells its kind, too.
pub(super) type Key = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Register(register::Input),
    Counter(counter::Input),
    List(list::Input),
    Set(set::Input),
    Account(Money),
    Slot(slot::Input),
    /// To append is to be reminded of it: see [`rings_after`].
    Bell(list::Input),
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
        /// No other has the same.
        number: u64,
    },
}

/// What an account has, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub balance: u64,
    /// In the order in which they took effect.
    pub moves: Vec<Move>,
}

/// One side of a transfer, which has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Out(u64),
    In(u64),
}

/// Money on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deposit {
    pub to: PartitionId,
    pub key: Key,
    pub amount: u64,
    pub number: u64,
}

/// What each account has at first.
pub(super) const BALANCE: u64 = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Register(register::Output),
    Counter(u64),
    List(list::Output),
    Set(set::Output),
    Account(Account),
    /// Whether there was enough.
    Moved(bool),
    Slot(slot::Output),
    /// What a bell has rung for.
    Bell(list::Output),
    /// It will ring.
    Reminded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Counter,
    List,
    Set,
    Account,
    Slot,
    Bell,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Register(u64),
    Counter(u64),
    List(Vec<u64>),
    Set(BTreeSet<u64>),
    Account(Account),
    /// What is in it.
    Slot(u64),
    /// What it has rung for.
    Bell(Vec<u64>),
    /// There is none: it was removed, or never was.
    Gone,
}

/// An object as its partition keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub object: Object,
    /// Of the record that changed it last.
    pub written_at: Position,
    /// Of the record that it came with last, changed or not; and the partition's time then.
    pub changed_at: Position,
    pub time: Timestamp,
    /// When it is to be removed, by the partition's time.
    pub expires_at: Option<Timestamp>,
    /// What it is to ring for, and when.
    pub reminders: BTreeMap<u64, Timestamp>,
    pub answers: Answers,
    /// Messages of its own that their receivers may not have yet.
    pub sent: BTreeMap<Number, Deposit>,
    /// The last message from each partition that was applied here, until the partition's own
    /// number has passed it.
    pub applied: BTreeMap<PartitionId, Number>,
    /// What was handed in of it, and is settled.
    pub settled: Settled,
    /// Up to which version it is decided what becomes of what others have written into the store.
    pub decided: Position,
}

/// A whole copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The partition's time, as of the last record.
    pub time: Timestamp,
    pub entities: BTreeMap<Key, Entity>,
    /// With the record in which they last changed.
    pub sessions: BTreeMap<SessionId, (Position, Session)>,
    /// Of each partition, up to which message all is applied and stored; likewise.
    pub inboxes: BTreeMap<PartitionId, (Position, Number)>,
    /// Entities of which not even a tombstone is here any more, and the records that dropped these:
    /// until that is stored.
    pub dropped: BTreeMap<Key, Position>,
}

pub(super) fn kind_of(key: Key) -> Kind {
    const KINDS: [Kind; 7] = [
        Kind::Register,
        Kind::Counter,
        Kind::List,
        Kind::Set,
        Kind::Account,
        Kind::Slot,
        Kind::Bell,
    ];
    KINDS[usize::from(key) % KINDS.len()]
}

/// What is put into a slot stays for so long, or until it is taken.
pub(super) fn lasts_for(value: u64) -> Option<Duration> {
    (!value.is_multiple_of(3)).then(|| Duration::from_millis(200 + value % 7 * 150))
}

/// A bell rings so long after it was asked to.
pub(super) fn rings_after(value: u64) -> Duration {
    Duration::from_millis(value % 11 * 130)
}

impl Object {
    fn new(key: Key) -> Object {
        match kind_of(key) {
            Kind::Register => Object::Register(register::Register.initial()),
            Kind::Counter => Object::Counter(counter::Counter.initial()),
            Kind::List => Object::List(list::List.initial()),
            Kind::Set => Object::Set(set::GrowingSet.initial()),
            Kind::Account => Object::Account(Account { balance: BALANCE, moves: Vec::new() }),
            Kind::Slot => Object::Gone,
            Kind::Bell => Object::Bell(list::List.initial()),
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
            (Object::Account(account), Input::Account(input)) => account.step(input),
            (Object::Bell(state), Input::Bell(list::Input::Read)) => {
                Output::Bell(list::List.step(state, &list::Input::Read))
            }
            (Object::Bell(_), Input::Bell(list::Input::Append(_))) => Output::Reminded,
            (object @ (Object::Slot(_) | Object::Gone), Input::Slot(input)) => {
                let mut state = match object {
                    Object::Slot(value) => Some(*value),
                    _ => None,
                };
                let output = slot::Slot.step(&mut state, &input);
                *object = state.map_or(Object::Gone, Object::Slot);
                Output::Slot(output)
            }
            (object, input) => unreachable!("{input:?} of {object:?}"),
        }
    }
}

impl Account {
    fn step(&mut self, input: Money) -> Output {
        let Money::Transfer { amount, number, .. } = input else {
            return Output::Account(self.clone());
        };
        let left = self.balance.checked_sub(amount);
        if let Some(left) = left {
            self.balance = left;
            self.moves.push(Move::Out(number));
        }
        Output::Moved(left.is_some())
    }

    pub(super) fn receive(&mut self, amount: u64, number: u64) {
        self.balance += amount;
        self.moves.push(Move::In(number));
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
            Input::Slot(input) => slot::Slot.is_read(&input),
            Input::Bell(input) => list::List.is_read(&input),
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
            (Input::Slot(input), Output::Slot(output)) => slot::Slot.is_changeless(&input, output),
            (Input::Bell(_), output) => *output != Output::Reminded,
            (input, output) => unreachable!("{output:?} to {input:?}"),
        }
    }
}

impl Entity {
    pub(super) fn new(key: Key) -> Entity {
        Entity {
            object: Object::new(key),
            written_at: Position::default(),
            changed_at: Position::default(),
            time: Timestamp::default(),
            expires_at: None,
            reminders: BTreeMap::new(),
            answers: Answers::new(),
            sent: BTreeMap::new(),
            applied: BTreeMap::new(),
            settled: Settled::default(),
            decided: Position::default(),
        }
    }
}

impl State {
    /// What its accounts have more than at first, and what is on its way from them.
    pub(super) fn gained(&self) -> i64 {
        let gained = |entity: &Entity| match &entity.object {
            Object::Account(account) => account.balance as i64 - BALANCE as i64,
            _ => 0,
        };
        let on_its_way = self.sent().map(|(_, deposit)| deposit.amount as i64);
        self.entities.values().map(gained).chain(on_its_way).sum()
    }

    /// What is still to happen without being asked for.
    pub(super) fn awaits(&self) -> Option<&'static str> {
        let any = |is: fn(&Entity) -> bool| self.entities.values().any(is);
        if any(|entity| !entity.reminders.is_empty()) {
            return Some("has reminders to come");
        }
        any(|entity| entity.expires_at.is_some()).then_some("has entities that are to expire")
    }

    /// Messages that their receivers may not have yet.
    pub(super) fn sent(&self) -> impl Iterator<Item = (Number, &Deposit)> {
        let sent = self.entities.values().flat_map(|entity| &entity.sent);
        sent.map(|(number, deposit)| (*number, deposit))
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
            Output::Slot(slot::Output::Written) => vec![6],
            Output::Slot(slot::Output::Found(None)) => vec![7],
            Output::Slot(slot::Output::Found(Some(value))) => vec![7, *value],
            Output::Reminded => vec![8],
            Output::List(list::Output::Elements(_))
            | Output::Set(set::Output::Elements(_))
            | Output::Bell(_)
            | Output::Account(_) => {
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
            [6] => Output::Slot(slot::Output::Written),
            [7] => Output::Slot(slot::Output::Found(None)),
            [7, value] => Output::Slot(slot::Output::Found(Some(*value))),
            [8] => Output::Reminded,
            other => unreachable!("nothing is recorded as {other:?}"),
        }
    }
}
