//! Where money went: each account tells which transfers it was part of, in their order.
//!
//! At rest, a transfer that was acknowledged has left its account once and reached the other once;
//! one that was refused for lack of money has done neither; one of which nobody could tell has done
//! both once, or neither. What a client has read of an account is what it had at some time: the
//! beginning of what it has at rest, with all that was known before it was asked for, and nothing
//! that was begun only after the answer. All that is so of partitions that have lost no memory.

use std::collections::BTreeMap;

use super::Simulation;
use super::history::{Done, Told};
use super::object::{Account, BALANCE, Input, Key, Money, Move, Object, Output};
use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;

type Place = (PartitionId, Key);

/// A transfer that was asked for.
struct Transfer<'a> {
    from: Place,
    to: Place,
    amount: u64,
    done: &'a Done,
}

struct Books<'a> {
    /// At rest.
    accounts: BTreeMap<Place, Account>,
    transfers: BTreeMap<u64, Transfer<'a>>,
}

impl Simulation {
    /// Each transfer has taken effect as was answered, and each read has seen what was.
    pub(super) fn check_accounts(&self) -> Result<(), String> {
        let books = Books { accounts: self.accounts(), transfers: transfers(&self.history) };
        let is_whole = |place: Place| !self.has_lost(place.0);
        for (number, transfer) in &books.transfers {
            if is_whole(transfer.from) {
                books.check_left(*number, transfer)?;
            }
            if is_whole(transfer.from) && is_whole(transfer.to) {
                books.check_reached(*number, transfer)?;
            }
        }
        for (place, account) in books.accounts.iter().filter(|(place, _)| is_whole(**place)) {
            books.check_balance(*place, account)?;
            let of = |done: &&Done| (done.partition, done.key) == *place;
            let reads: Vec<Read> = self.history.iter().filter(of).filter_map(read).collect();
            reads.iter().try_for_each(|read| books.check_read(*place, account, read))?;
            check_order(&reads)?;
        }
        Ok(())
    }

    fn accounts(&self) -> BTreeMap<Place, Account> {
        let mut accounts = BTreeMap::new();
        for (partition, row) in self.consensus.table.rows() {
            let whole = row.primary().map(|primary| self.whole(primary, partition));
            for (key, entity) in whole.into_iter().flat_map(|whole| whole.entities) {
                if let Object::Account(account) = entity.object {
                    accounts.insert((partition, key), account);
                }
            }
        }
        accounts
    }
}

fn transfers(history: &[Done]) -> BTreeMap<u64, Transfer<'_>> {
    let transfer = |done| match done {
        &Done {
            partition,
            key,
            input: Input::Account(Money::Transfer { to, key: at, amount, number }),
            ..
        } => {
            let transfer = Transfer { from: (partition, key), to: (to, at), amount, done };
            Some((number, transfer))
        }
        _ => None,
    };
    history.iter().filter_map(transfer).collect()
}

/// What was read of an account, and when.
struct Read<'a> {
    began_at: Instant,
    at: Instant,
    account: &'a Account,
}

fn read(done: &Done) -> Option<Read<'_>> {
    match &done.told {
        Told::Done { at, output: Output::Account(account), .. } => {
            Some(Read { began_at: done.began_at, at: *at, account })
        }
        _ => None,
    }
}

impl Books<'_> {
    fn count(&self, place: Place, what: Move) -> usize {
        let moves = self.accounts.get(&place).map_or(&[][..], |account| &account.moves);
        moves.iter().filter(|other| **other == what).count()
    }

    fn check_left(&self, number: u64, transfer: &Transfer<'_>) -> Result<(), String> {
        let count = self.count(transfer.from, Move::Out(number));
        let is_right = match &transfer.done.told {
            Told::Done { output, .. } => count == usize::from(*output == Output::Moved(true)),
            Told::Unknown => count <= 1,
        };
        let what = || format!("{:?} has left its account {count} times", transfer.done);
        is_right.then_some(()).ok_or_else(what)
    }

    fn check_reached(&self, number: u64, transfer: &Transfer<'_>) -> Result<(), String> {
        let left = self.count(transfer.from, Move::Out(number));
        let reached = self.count(transfer.to, Move::In(number));
        let what = || format!("{:?} has left {left} times, reached {reached}", transfer.done);
        (left == reached).then_some(()).ok_or_else(what)
    }

    /// What is there is what its moves make of it.
    fn check_balance(&self, place: Place, account: &Account) -> Result<(), String> {
        let mut balance = BALANCE as i64;
        for it in &account.moves {
            let (Move::Out(number) | Move::In(number)) = *it;
            let transfer = self.transfers.get(&number);
            balance += match (it, transfer) {
                (Move::Out(_), Some(transfer)) if transfer.from == place => {
                    -(transfer.amount as i64)
                }
                (Move::In(_), Some(transfer)) if transfer.to == place => transfer.amount as i64,
                _ => return Err(format!("nobody has asked for {it:?} at {place:?}")),
            };
        }
        let what = || format!("{place:?} should have {balance}: {account:?}");
        (balance == account.balance as i64).then_some(()).ok_or_else(what)
    }

    fn check_read(&self, place: Place, rest: &Account, read: &Read<'_>) -> Result<(), String> {
        let Read { began_at, at, account } = read;
        if !rest.moves.starts_with(&account.moves) {
            return Err(format!("{place:?} was read as {account:?}, and is {rest:?} at rest"));
        }
        self.check_balance(place, account)?;
        for (number, transfer) in &self.transfers {
            let known = match &transfer.done.told {
                Told::Done { at, output: Output::Moved(true), .. } => at < began_at,
                _ => false,
            };
            let is_out = account.moves.contains(&Move::Out(*number));
            let is_in = account.moves.contains(&Move::In(*number));
            let is_early = (is_out || is_in) && transfer.done.began_at > *at;
            if is_early || (transfer.from == place && known && !is_out) {
                let done = transfer.done;
                return Err(format!("{place:?}, read at {at:?}, {account:?}: {done:?}"));
            }
        }
        Ok(())
    }
}

/// What was read later has all that was read before.
fn check_order(reads: &[Read<'_>]) -> Result<(), String> {
    for read in reads {
        let has_less = |other: &&Read<'_>| {
            other.at < read.began_at && other.account.moves.len() > read.account.moves.len()
        };
        if let Some(other) = reads.iter().find(has_less) {
            return Err(format!("{:?} was read, and then {:?}", other.account, read.account));
        }
    }
    Ok(())
}
