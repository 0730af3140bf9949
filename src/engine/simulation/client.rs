//! Clients: each asks one thing after another, wherever it thinks that the partition is.

use std::time::Duration;

use super::history::{Done, Told};
use super::parcel::{Ask, Endpoint, Parcel, Reply};
use super::{Happening, Simulation};
use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;

/// What a client waits for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    partition: PartitionId,
    ask: Ask,
    began_at: Instant,
    deadline: Instant,
    /// Whether a try is under way whose end is not known.
    is_out: bool,
}

#[derive(Default)]
pub(super) struct Client {
    number: u64,
    asked: Option<Asked>,
    /// What it saw last, to swap.
    seen: u64,
}

impl Simulation {
    /// A client's time has come: it asks, asks again, or gives up.
    pub(super) fn client_acts(&mut self, client: usize) {
        match self.clients[client].asked {
            Some(asked) if self.now >= asked.deadline => {
                if asked.is_out {
                    self.told(asked, Told::Unknown);
                }
                self.clients[client].asked = None;
                self.ask_next(client);
            }
            Some(asked) if !asked.is_out => self.try_ask(client, asked),
            Some(_) => (),
            None => self.ask_next(client),
        }
    }

    pub(super) fn client_hears(&mut self, client: usize, parcel: Parcel) {
        let Parcel::Reply { number, reply } = parcel else { return };
        let Some(asked) =
            self.clients[client].asked.filter(|_| self.clients[client].number == number)
        else {
            return;
        };
        match reply {
            Reply::Refused => {
                if let Some(asked) = &mut self.clients[client].asked {
                    asked.is_out = false;
                }
                let wait = self.random.millis(5, 60);
                self.after(wait, Happening::Client(client));
                return;
            }
            Reply::Unknown => self.told(asked, Told::Unknown),
            Reply::Done { found, version } => {
                self.clients[client].seen = found;
                let at = self.now;
                self.told(asked, Told::Done { at, found, version });
            }
        }
        self.clients[client].asked = None;
        let wait = self.random.millis(0, 40);
        self.after(wait, Happening::Client(client));
    }

    fn told(&mut self, asked: Asked, told: Told) {
        let Asked { partition, ask, began_at, .. } = asked;
        self.history.push(Done { partition, ask, began_at, told });
    }

    fn ask_next(&mut self, client: usize) {
        if self.has_healed
            && self.now > Instant::default() + self.plan.faults_until + Duration::from_secs(3)
        {
            return; // enough
        }
        let key = self.random.between(0, u64::from(self.plan.keys) - 1) as u8;
        // No value is written twice.
        let value = (self.clients[client].number + 1) * 100 + client as u64;
        let ask = match self.random.between(0, 9) {
            0..=3 => Ask::Read(key),
            4..=7 => Ask::Write(key, value),
            _ => Ask::Swap(key, self.clients[client].seen, value),
        };
        let partition =
            PartitionId(self.random.between(0, u64::from(self.plan.partitions) - 1) as u16);
        let deadline = self.now + self.random.millis(200, 2500);
        let asked = Asked { partition, ask, began_at: self.now, deadline, is_out: false };
        self.clients[client].asked = Some(asked);
        let until = deadline.saturating_since(self.now);
        self.after(until, Happening::Client(client));
        self.try_ask(client, asked);
    }

    fn try_ask(&mut self, client: usize, asked: Asked) {
        let owner = self.consensus.table.row(asked.partition).and_then(|row| row.primary());
        // Mostly it knows; sometimes it goes by what it knew, or by what another says.
        let serving = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].copy(asked.partition).serves().is_some())
            .collect::<Vec<_>>();
        let node = match owner {
            Some(owner) if self.random.percent(60) => owner.directory.0 as usize,
            _ if !serving.is_empty() => self.random.pick(&serving),
            _ => self.random.between(0, self.nodes.len() as u64 - 1) as usize,
        };
        let state = &mut self.clients[client];
        state.number += 1;
        if let Some(asked) = &mut state.asked {
            asked.is_out = true;
        }
        let (number, partition, ask) = (state.number, asked.partition, asked.ask);
        let parcel = Parcel::Ask { number, partition, ask };
        self.send(Endpoint::Client(client), Endpoint::Node(node), parcel);
    }

    pub(super) fn is_all_asked(&self) -> bool {
        self.clients.iter().all(|client| client.asked.is_none())
    }
}
