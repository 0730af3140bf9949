//! How scripts are read: the grid, nodes, asks.

use std::time::Duration;

use super::super::Simulation;
use super::super::asynchronous::Asynchronous;
use super::super::object::{Input, Key, Kind, Money, kind_of};
use super::super::others::Winner;
use super::super::plan::{Plan, patience, terms};
use super::{Name, Play};
use crate::engine::controller::Delays;
use crate::engine::history::models::{counter, list, register, set, slot};
use crate::engine::id::PartitionId;
use crate::engine::replica::{Chunks, Config, Durability, Scope, Timing, UnderReplicated};
use crate::engine::table::{Member, Members, Reign, Row};

/// Clients from here on are a script's: A, B, and so on.
pub(super) const CLIENTS: usize = 1000;

/// Reads everything, at the end.
pub(super) const READER: usize = CLIENTS + 25;

/// Numbers from here on are those of opens: times the partition's number, from 1.
pub(super) const OPEN: u64 = 1_000_000;

/// `grid nodes=3 copies=2 ...`: the plan. All times are in milliseconds.
pub(super) fn plan(line: &str) -> Plan {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("grid"), "a script begins with its grid");
    let mut plan = calm();
    for word in words {
        let (name, value) = word.split_once('=').expect("name=value");
        let value: u64 = value.parse().expect("a number");
        let millis = Duration::from_millis(value);
        match name {
            "nodes" => plan.nodes = value as usize,
            "zones" => plan.zones = value as usize,
            "witness" => plan.witness = Some(value as usize),
            "voters" => (plan.voters, plan.voters_max) = (value as usize, value as usize),
            "replace" => plan.voter_replace_after = millis,
            "copies" => plan.copies = value as usize,
            "partitions" => plan.partitions = value as u16,
            "lease" => plan.terms.lease = millis,
            "evict" => plan.evict_every = Some(millis),
            "margin" => plan.terms.margin = millis,
            "suspect" => plan.patience = patience(millis),
            "protect" => plan.delays.protect_after = millis,
            "balance" => plan.delays.balance_after = millis,
            "readmit" => plan.delays.readmit_after = millis,
            "handover" => plan.delays.hand_over_max = millis,
            "rejoin" => plan.replica.timing.rejoin_after = millis,
            "patience" => plan.replica.timing.join_patience = millis,
            "timeout" => plan.replica.timing.replica_timeout = millis,
            "rows" => plan.replica.chunks.rows_max = value as usize,
            "window" => plan.replica.chunks.window = value as usize,
            "pace" => plan.replica.chunks.pace = millis,
            "tail" => plan.replica.chunks.tail_min = value as usize,
            "kept" => plan.replica.kept_max = value as usize,
            "through" => plan.durability.writes_through = value == 1,
            // With too few copies.
            "short" => {
                use UnderReplicated::{Degrade, Refuse, WriteThrough};
                let policies = [Degrade, WriteThrough, Refuse];
                plan.durability.under_replicated = policies[value as usize];
            }
            // So many records of registers and sets may be answered and not be committed.
            "async" => {
                let keys =
                    (0..plan.keys).filter(|it| [Kind::Register, Kind::Set].contains(&kind_of(*it)));
                plan.asynchronous = Asynchronous { keys: keys.collect(), lag_max: value as usize };
                plan.replica.lag_max = value as usize;
            }
            // Others write into the shared store, and memory wins, or they do.
            "others" => plan.others = Some([Winner::Memory, Winner::Store][value as usize]),
            "may-lose" => plan.may_lose = value == 1,
            "own-stores" => plan.replica.scope = [Scope::Shared, Scope::Replica][value as usize],
            name => panic!("no such word of a grid: {name}"),
        }
    }
    plan
}

fn calm() -> Plan {
    let millis = Duration::from_millis;
    Plan {
        nodes: 3,
        zones: 1,
        witness: None,
        spares: 0,
        replace_percent: 0,
        voters: 3,
        voters_max: 3,
        voter_replace_after: millis(3_600_000),
        log_loss_percent: 0,
        lag_percent: 0,
        voters_percent: 0,
        partitions: 1,
        copies: 2,
        clients: 0,
        retry_max: Duration::from_millis(600),
        keys: 8,
        terms: terms(millis(900)),
        patience: patience(millis(600)),
        pause_max: millis(200),
        replica: Config {
            timing: Timing {
                replica_timeout: millis(500),
                heartbeat: millis(100),
                send_again_after: millis(100),
                send_copy_again_after: millis(300),
                propose_again_after: millis(200),
                join_patience: millis(1000),
                store_patience: millis(10_000),
                rejoin_after: millis(100),
                window_max: 1000,
            },
            kept_max: 1000,
            lag_max: 0,
            scope: Scope::Shared,
            chunks: Chunks { rows_max: 1000, window: 2, pace: millis(5), tail_min: 64 },
        },
        evict_every: None,
        durability: Durability {
            writes_through: false,
            under_replicated: UnderReplicated::Degrade,
        },
        asynchronous: Asynchronous::default(),
        may_lose: false,
        delays: Delays {
            readmit_after: millis(300),
            protect_after: millis(3_600_000),
            balance_after: millis(3_600_000),
            moves_per_node_max: 4,
            hand_over_max: millis(2000),
            distrust_for: millis(10_000),
        },
        delay_max: millis(5),
        loss_percent: 0,
        twice_percent: 0,
        news_loss_percent: 0,
        late_commit_percent: 0,
        fault_every: millis(3_600_000),
        faults_until: millis(7_200_000),
        rest_within: Duration::from_secs(30),
        crash_percent: 0,
        crash_at_shrink_percent: 0,
        move_back_percent: 0,
        pause_percent: 0,
        operator_percent: 0,
        disk_percent: 0,
        refuse_percent: 0,
        others: None,
        disaster_percent: 0,
        isolate_percent: 0,
        cut_percent: 0,
        whim_percent: 0,
        clocks: 0,
        drift: 0,
    }
}

pub(super) fn duration(word: &str) -> Duration {
    match word.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().expect("a number")),
        None => {
            let seconds = word.strip_suffix('s').expect("`s` or `ms`");
            Duration::from_secs(seconds.parse().expect("a number"))
        }
    }
}

/// `A#3`: the third ask of client A.
pub(super) fn name(word: &str) -> Name {
    let (client, number) = word.split_once('#').expect("client#number");
    let letter = client.bytes().next().expect("a letter");
    (CLIENTS + usize::from(letter - b'A'), number.parse().expect("a number"))
}

pub(super) fn read(key: Key) -> Input {
    match kind_of(key) {
        Kind::Register => Input::Register(register::Input::Read),
        Kind::Counter => Input::Counter(counter::Input::Read),
        Kind::List => Input::List(list::Input::Read),
        Kind::Set => Input::Set(set::Input::Read),
        Kind::Account => Input::Account(Money::Read),
        Kind::Slot => Input::Slot(slot::Input::Read),
        Kind::Bell => Input::Bell(list::Input::Read),
    }
}

/// Whether that is an object which only its clients change.
pub(super) fn is_lasting(key: Key) -> bool {
    matches!(kind_of(key), Kind::Register | Kind::Counter | Kind::List | Kind::Set)
}

pub(super) fn write(key: Key, value: u64) -> Input {
    match kind_of(key) {
        Kind::Register => Input::Register(register::Input::Write(value)),
        Kind::Counter => Input::Counter(counter::Input::Add(value)),
        Kind::List => Input::List(list::Input::Append(value)),
        Kind::Set => Input::Set(set::Input::Add(value)),
        Kind::Slot => Input::Slot(slot::Input::Put(value)),
        Kind::Bell => Input::Bell(list::Input::Append(value)),
        // To itself: it leaves, and comes back by a message.
        Kind::Account => Input::Account(Money::Transfer {
            to: PartitionId(0),
            key,
            amount: value,
            number: value,
        }),
    }
}

/// `KEY` of the first partition, or `PARTITION/KEY`.
pub(super) fn key(word: &str) -> (PartitionId, Key) {
    let (partition, key) = word.split_once('/').unwrap_or(("0", word));
    let partition = PartitionId(partition.parse().expect("a partition's number"));
    (partition, key.parse().expect("a key is a number"))
}

pub(super) fn index(member: Member) -> usize {
    member.directory.0 as usize
}

impl Simulation {
    pub(super) fn first_row(&self) -> &Row {
        self.consensus.table.row(PartitionId(0)).expect("there is one")
    }
}

impl Play {
    /// A node by its number, by the name that the script gave it, or by its role in the first
    /// partition.
    pub(super) fn node(&self, word: &str) -> Result<usize, String> {
        if let Ok(node) = word.parse() {
            return Ok(node);
        }
        if let Some((_, node)) = self.names.iter().find(|(name, _)| name == word) {
            return Ok(*node);
        }
        let row = self.simulation.first_row();
        let primary = row.primary();
        let holders = || row.holders().into_iter().flat_map(Members::iter);
        let is_unnamed = |node: &usize| self.names.iter().all(|(_, named)| named != node);
        let node = match word {
            "primary" => primary.map(index),
            "backup" => holders().filter(|it| Some(*it) != primary).map(index).find(is_unnamed),
            "spare" => {
                let holds = |node: &usize| holders().any(|member| index(member) == *node);
                let all = 0..self.simulation.nodes.len();
                all.into_iter().filter(|node| !holds(node)).find(is_unnamed)
            }
            "other" => (0..self.simulation.nodes.len()).find(is_unnamed),
            "leader" => self.simulation.consensus.leader,
            "next" => match row.reign {
                Reign::Active { next, .. } => next.map(index),
                _ => None,
            },
            word => panic!("no such node: {word}"),
        };
        node.ok_or_else(|| format!("there is no {word}: {row:?}"))
    }

    /// As the script calls it, or `another`.
    pub(super) fn name_of(&self, node: usize) -> String {
        let known = self.names.iter().find(|(_, named)| *named == node);
        known.map_or_else(|| "another".to_owned(), |(name, _)| name.clone())
    }

    /// Whom the script has named first.
    pub(super) fn place_of(&self, node: usize) -> usize {
        let place = self.names.iter().position(|(_, named)| *named == node);
        place.unwrap_or(usize::MAX)
    }

    /// Later lives are marked so.
    pub(super) fn name_of_member(&self, member: Member) -> String {
        let name = self.name_of(index(member));
        match member.generation.0 {
            1 => name,
            generation => format!("{name}/{generation}"),
        }
    }

    pub(super) fn names_of(&self, members: impl Iterator<Item = Member>) -> String {
        let mut members: Vec<Member> = members.collect();
        members.sort_by_key(|member| self.place_of(index(*member)));
        let names = members.iter().map(|member| self.name_of_member(*member));
        let names: Vec<String> = names.collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    }
}
