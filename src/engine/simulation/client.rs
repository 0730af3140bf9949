//! Clients: each asks one thing after another, wherever it thinks that the partition is, again and
//! again under the same number until it hears an answer or has no more patience.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Done, Told};
use super::object::{Input, Key, Kind, Money, Output, kind_of};
use super::parcel::{Ask, Consistency, Endpoint, Parcel, Reply};
use super::{Happening, Simulation};
use crate::engine::history::models::{counter, list, register, set, slot};
use crate::engine::id::{PartitionId, Position};
use crate::engine::instant::Instant;

/// What a client waits for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    partition: PartitionId,
    key: Key,
    input: Input,
    began_at: Instant,
    deadline: Instant,
    /// When it tries again, should nothing have been heard.
    again_at: Instant,
}

#[derive(Default)]
pub(super) struct Client {
    number: u64,
    asked: Option<Asked>,
    /// Where its session was opened.
    openings: BTreeMap<PartitionId, Position>,
    /// What it saw last in a register, to set another in its place.
    seen: u64,
}

impl Simulation {
    /// A client's time has come: it asks, asks again, or gives up.
    pub(super) fn client_acts(&mut self, client: usize) {
        match self.clients[client].asked {
            Some(asked) if self.now >= asked.deadline => {
                self.told(client, asked, Told::Unknown);
                self.ask_next(client);
            }
            Some(asked) if self.now >= asked.again_at => self.try_ask(client, asked),
            Some(_) => (),
            None => self.ask_next(client),
        }
    }

    pub(super) fn client_hears(&mut self, client: usize, parcel: Parcel) {
        let Parcel::Reply { number, reply } = parcel else { return };
        let state = &mut self.clients[client];
        let Some(asked) = state.asked.filter(|_| state.number == number) else { return };
        match reply {
            Reply::Opened(position) => {
                let is_known = state.openings.insert(asked.partition, position);
                if is_known.is_none() {
                    self.try_ask(client, asked);
                } else if is_known != Some(position) && !self.has_lost(asked.partition) {
                    self.failure =
                        Some(format!("{client}'s session is opened twice: {position:?}"));
                }
            }
            Reply::Refused | Reply::Unknown => {
                let wait = self.random.millis(5, 60);
                self.ask_again_after(client, wait);
            }
            Reply::NotOpen | Reply::Expired if self.has_lost(asked.partition) => {
                self.clients[client].openings.remove(&asked.partition);
                self.told(client, asked, Told::Unknown);
                self.ask_next(client);
            }
            Reply::NotOpen | Reply::Expired => {
                self.failure = Some(format!("{client} hears {reply:?} of number {number}"));
            }
            Reply::Done { output, version } => {
                if let Output::Register(register::Output::Found(value)) = output {
                    self.clients[client].seen = value;
                }
                let at = self.now;
                self.told(client, asked, Told::Done { at, output, version });
                let wait = self.random.millis(0, 40);
                self.after(wait, Happening::Client(client));
            }
        }
    }

    fn ask_again_after(&mut self, client: usize, wait: Duration) {
        if let Some(asked) = &mut self.clients[client].asked {
            asked.again_at = self.now + wait;
        }
        self.after(wait, Happening::Client(client));
    }

    fn told(&mut self, client: usize, asked: Asked, told: Told) {
        let Asked { partition, key, input, began_at, .. } = asked;
        self.history.push(Done { client, partition, key, input, began_at, told });
        self.clients[client].asked = None;
    }

    fn ask_next(&mut self, client: usize) {
        if self.has_healed
            && self.now > Instant::default() + self.plan.faults_until + Duration::from_secs(3)
        {
            return; // enough
        }
        self.clients[client].number += 1;
        let key = self.random.between(0, u64::from(self.plan.keys) - 1) as u8;
        let input = self.draw_input(client, key);
        let partition =
            PartitionId(self.random.between(0, u64::from(self.plan.partitions) - 1) as u16);
        let until = self.random.millis(200, 1900 + self.plan.retry_max.as_millis() as u64);
        let (began_at, deadline) = (self.now, self.now + until);
        let asked = Asked { partition, key, input, began_at, deadline, again_at: self.now };
        self.clients[client].asked = Some(asked);
        self.after(until, Happening::Client(client));
        self.try_ask(client, asked);
    }

    fn draw_input(&mut self, client: usize, key: Key) -> Input {
        let is_read = self.random.percent(40);
        // No value is written twice.
        let value = self.clients[client].number * 100 + client as u64;
        match kind_of(key) {
            Kind::Register if is_read => Input::Register(register::Input::Read),
            Kind::Register if self.random.percent(30) => {
                let from = self.clients[client].seen;
                Input::Register(register::Input::CompareAndSet { from, to: value })
            }
            Kind::Register => Input::Register(register::Input::Write(value)),
            Kind::Counter if is_read => Input::Counter(counter::Input::Read),
            Kind::Counter => Input::Counter(counter::Input::Add(value)),
            Kind::List if is_read => Input::List(list::Input::Read),
            Kind::List => Input::List(list::Input::Append(value)),
            Kind::Account if is_read => Input::Account(Money::Read),
            Kind::Account => {
                let accounts: Vec<Key> =
                    (0..self.plan.keys).filter(|key| kind_of(*key) == Kind::Account).collect();
                let partitions = u64::from(self.plan.partitions);
                let to = PartitionId(self.random.between(0, partitions - 1) as u16);
                let key = self.random.pick(&accounts);
                Input::Account(Money::Transfer { to, key, amount: value % 97, number: value })
            }
            Kind::Slot if is_read => Input::Slot(slot::Input::Read),
            Kind::Slot if self.random.percent(30) => Input::Slot(slot::Input::Take),
            Kind::Slot => Input::Slot(slot::Input::Put(value)),
            Kind::Bell if is_read => Input::Bell(list::Input::Read),
            Kind::Bell => Input::Bell(list::Input::Append(value)),
            Kind::Set if is_read => Input::Set(set::Input::Read),
            Kind::Set => Input::Set(set::Input::Add(value)),
        }
    }

    fn try_ask(&mut self, client: usize, asked: Asked) {
        let node = self.guess_owner(asked.partition);
        let consistency = match self.random.percent(30) {
            true => Consistency::Confirmed,
            false => Consistency::Leased,
        };
        let state = &self.clients[client];
        let (number, partition) = (state.number, asked.partition);
        let Asked { key, input, .. } = asked;
        let ask = match state.openings.get(&partition) {
            _ if input.is_read() => Ask::Read(key, input, consistency),
            None => Ask::Open,
            // It asks one thing at a time: all before it are closed.
            Some(opening) => Ask::Write { key, input, opening: *opening, floor: number - 1 },
        };
        let parcel = Parcel::Ask { number, partition, ask };
        self.send(Endpoint::Client(client), Endpoint::Node(node), parcel);
        let wait = self.random.millis(80, self.plan.retry_max.as_millis() as u64);
        self.ask_again_after(client, wait);
    }

    /// Mostly it knows; sometimes it goes by what it knew, or by what another says.
    fn guess_owner(&mut self, partition: PartitionId) -> usize {
        let owner = self.consensus.table.row(partition).and_then(|row| row.primary());
        let serving: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].copy(partition).serves().is_some())
            .collect();
        match owner {
            Some(owner) if self.random.percent(60) => owner.directory.0 as usize,
            _ if !serving.is_empty() => self.random.pick(&serving),
            _ => self.random.between(0, self.nodes.len() as u64 - 1) as usize,
        }
    }

    pub(super) fn is_all_asked(&self) -> bool {
        self.clients.iter().all(|client| client.asked.is_none())
    }
}
