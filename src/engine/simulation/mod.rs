//! A whole grid without a runtime: nodes of all engines, a network, processes that stop, clients,
//! in virtual time, from one seed.
//!
//! Each seed draws its own grid and its own mix of faults ([`Plan`]). For a while everything goes
//! wrong that may; then all is healed, and the grid must come to rest: every partition served by as
//! many equal copies as are wanted. What the clients were told is a history, which must be
//! linearizable, with nothing acknowledged lost.
//!
//! The consensus log is a stand-in (`consensus`) that does what openraft may do to us: leaders that
//! do not know that they are none, answers that are lost, entries that come twice.

mod accounts;
mod adoption;
mod asynchronous;
mod backlog;
mod beats;
mod client;
mod clock;
mod consensus;
mod faults;
mod history;
mod lapse;
mod life;
mod lines;
mod load;
mod loss;
mod mail;
mod network;
mod node;
mod object;
mod others;
mod out;
mod parcel;
mod part;
mod plan;
pub(crate) mod random;
mod reconcile;
mod record;
mod refusal;
mod replace;
mod rest;
mod row;
#[cfg(test)]
mod script;
mod serve;
mod stage;
mod starvation;
mod store;
#[cfg(test)]
mod tests;
mod voting;
mod watch;
mod zones;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use adoption::Openings;
use asynchronous::Tails;
use client::Client;
use consensus::Consensus;
pub use history::Decided;
use history::Done;
use lines::Lines;
use loss::Losses;
use network::Network;
use node::{Node, Out};
use others::Others;
use parcel::{Endpoint, Parcel};
pub(crate) use plan::Plan;
use refusal::Refusals;
use replace::Absent;
use store::Store;
use voting::Entry;

use crate::engine::adoption::GridId;
use crate::engine::id::{Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
#[cfg(test)]
use crate::engine::table::Command;
use crate::engine::table::Member;
use random::Random;

/// How often a node looks around.
const TICK: Duration = Duration::from_millis(50);

/// Steps after which a run is taken for one without end.
const STEPS_MAX: u64 = 3_000_000;

/// Something that happens at its time.
enum Happening {
    Deliver {
        from: Endpoint,
        to: Endpoint,
        parcel: Box<Parcel>,
    },
    Tick {
        node: usize,
        life: u64,
    },
    /// A client asks, or gives up.
    Client(usize),
    /// The log takes in commands, whatever becomes of it.
    #[cfg(test)]
    Commit(Vec<Command>),
    /// The log's leader has something decided.
    Enter(Entry),
    Elect,
    Depose(usize),
    Fault,
    Isolate(usize),
    Move(PartitionId),
    /// An operator wants a primary back that was replaced.
    MoveBack {
        partition: PartitionId,
        to: Member,
        tries: u32,
    },
    /// The store is there again.
    StoreUp,
    /// A node's own store is well again.
    DiskUp(usize),
    /// A store begins to refuse something.
    Refuse,
    /// A node's own takes everything again, or the shared one.
    Accept(Option<usize>),
    /// Somebody else writes into the shared store.
    Intrude,
    /// An operator has replayed what was refused.
    Replay,
    Resume(usize),
    Crash(usize),
    /// An operator does not expect a node back as it was.
    Declare(usize),
    /// A node has less time than it needs, in bursts.
    Starve {
        node: usize,
        pace: Duration,
        bursts: u64,
    },
    /// It does one thing.
    Work {
        node: usize,
        life: u64,
    },
    Feed {
        node: usize,
        life: u64,
    },
    Restart(usize),
    /// An operator wants a node's copies back where they were.
    Undrain(Member),
    /// An operator does not wait for a node any more.
    GiveUp(usize),
    /// No fault from now on.
    Heal,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Things that happened.
    pub steps: u64,
    /// Asks that were answered.
    pub acknowledged: usize,
    /// Asks of which nobody could tell.
    pub indeterminate: usize,
    /// Primaries that were named.
    pub promotions: u64,
    /// How often it has changed who votes.
    pub voter_changes: u64,
    /// How often what went wrong.
    pub faults: BTreeMap<&'static str, u64>,
    /// Of how many objects it could be told whether they are linearizable.
    pub histories: Decided,
    /// Of everything that happened: equal runs have equal ones.
    pub fingerprint: u64,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which seed runs into it again.
    pub seed: u64,
    /// For a person.
    pub what: String,
}

/// Who is told what happens.
pub type Trace = Box<dyn FnMut(&str)>;

/// One run.
pub(crate) struct Simulation {
    plan: Plan,
    random: Random,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    happenings: u64,
    nodes: Vec<Node>,
    consensus: Consensus,
    absent: Absent,
    network: Network,
    store: Store,
    clients: Vec<Client>,
    history: Vec<Done>,
    /// Up to where each partition has answered.
    answered: BTreeMap<PartitionId, Position>,
    losses: Losses,
    tails: Tails,
    refusals: Refusals,
    others: Others,
    openings: Openings,
    lines: Lines,
    /// Who has reigned when.
    primaries: BTreeMap<(PartitionId, Epoch), Member>,
    summary: Summary,
    has_healed: bool,
    /// What must not be, and was seen at once.
    failure: Option<String>,
    trace: Option<Trace>,
    #[cfg(test)]
    script: script::Hooks,
}

/// Runs one seed.
///
/// # Errors
/// The first thing that must not be.
pub(crate) fn run(seed: u64, trace: Option<Trace>) -> Result<Summary, Failure> {
    let work = || Simulation::new(seed, trace).run();
    // An engine that finds itself broken panics here.
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    result.map_err(|what| Failure { seed, what })
}

impl Simulation {
    fn new(seed: u64, trace: Option<Trace>) -> Simulation {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        Simulation::of(plan, random, trace)
    }

    fn of(plan: Plan, random: Random, trace: Option<Trace>) -> Simulation {
        let consensus = Consensus::new(&plan, &random);
        let nodes: Vec<Node> =
            (0..plan.nodes).map(|at| Node::new(at, 1, &plan, Store::default())).collect();
        let clients = (0..plan.clients).map(|_| Client::default()).collect();
        let mut simulation = Simulation {
            absent: Absent::new(&plan),
            network: Network::new(&plan),
            losses: Losses::new(&random),
            tails: Tails::default(),
            refusals: Refusals::new(&random),
            others: Others::new(&random),
            openings: Openings::new(GridId(1)),
            lines: Lines::default(),
            store: Store::default(),
            plan,
            random,
            now: Instant::default(),
            queue: BTreeMap::new(),
            happenings: 0,
            nodes,
            consensus,
            clients,
            history: Vec::new(),
            answered: BTreeMap::new(),
            primaries: BTreeMap::new(),
            summary: Summary::default(),
            has_healed: false,
            failure: None,
            trace,
            #[cfg(test)]
            script: script::Hooks::default(),
        };
        simulation.begin();
        simulation
    }

    fn begin(&mut self) {
        self.absent.spares().iter().for_each(|spare| self.nodes[*spare].crash());
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life();
            self.after(TICK, Happening::Tick { node, life });
        }
        self.after(Duration::ZERO, Happening::Elect);
        for client in 0..self.clients.len() {
            self.after(Duration::from_millis(500), Happening::Client(client));
        }
        self.after(self.plan.fault_every * 2, Happening::Fault);
        self.begin_refusals();
        self.begin_others();
        self.after(self.plan.faults_until, Happening::Heal);
    }

    fn run(&mut self) -> Result<Summary, String> {
        let end = Instant::default() + self.plan.faults_until + self.plan.rest_within;
        let mut look_at = Instant::default() + self.plan.faults_until;
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            self.summary.steps += 1;
            self.happen(happening);
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.has_healed && self.now >= look_at {
                look_at = self.now + Duration::from_millis(100);
                match self.unrest() {
                    None if self.is_all_asked() => break,
                    Some(what) if self.now >= end => {
                        let rows: Vec<_> = self.consensus.table.rows().collect();
                        return Err(format!("no rest: {what}, of {rows:?}"));
                    }
                    None if self.now >= end => return Err("no rest: asks go on".to_owned()),
                    _ => (),
                }
            }
            if self.summary.steps > STEPS_MAX {
                return Err("no rest: too many steps".to_owned());
            }
        }
        self.summary.promotions = self.consensus.promotions;
        self.check_history()?;
        self.summary.voter_changes = self.consensus.voting.changes();
        self.check_final()?;
        self.summary.acknowledged = self.history.iter().filter(|done| done.is_returned()).count();
        self.summary.indeterminate = self.history.len() - self.summary.acknowledged;
        Ok(self.summary.clone())
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.happenings += 1;
        self.queue.insert((self.now + wait, self.happenings), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { from, to, parcel } => self.deliver(from, to, *parcel),
            Happening::Tick { node, life } => {
                if self.nodes[node].life() != life {
                    return; // it was that of a process that is no more
                }
                if self.nodes[node].is_starved() {
                    self.nodes[node].put_off_tick();
                } else if self.nodes[node].is_running() {
                    let mut out = Out::default();
                    self.nodes[node].tick(self.now, &mut out);
                    self.send_all(node, out);
                }
                self.after(TICK, Happening::Tick { node, life });
            }
            Happening::Client(client) => self.client_acts(client),
            #[cfg(test)]
            Happening::Commit(commands) => self.commit(&commands),
            Happening::Enter(entry) => self.enter(entry),
            Happening::Elect => self.elect(),
            Happening::Depose(node) => {
                if self.consensus.leader != Some(node) {
                    self.nodes[node].set_leader(false, self.now);
                }
            }
            Happening::Fault => self.fault(),
            Happening::Isolate(node) => self.isolate(node),
            Happening::StoreUp => self.store_up(),
            Happening::DiskUp(node) => self.disk_up(node),
            Happening::Refuse => self.refuse(),
            Happening::Intrude => self.intrude(),
            Happening::Accept(node) => self.accept(node),
            Happening::Replay => self.replay_on(),
            Happening::Move(partition) => {
                self.move_primary(partition);
            }
            Happening::MoveBack { partition, to, tries } => self.move_back(partition, to, tries),
            Happening::Crash(node) => {
                self.crash_for_a_while(node, false);
            }
            Happening::Declare(node) => self.declare(node),
            Happening::Resume(node) => self.resume(node),
            Happening::Starve { node, pace, bursts } => self.starve(node, pace, bursts),
            Happening::Work { node, life } => self.work(node, life),
            Happening::Feed { node, life } => {
                if self.nodes[node].life() == life {
                    self.feed(node);
                }
            }
            Happening::Restart(node) => self.restart(node),
            Happening::Undrain(member) => self.undrain(member),
            Happening::GiveUp(node) => self.give_up(node),
            Happening::Heal => self.heal(),
        }
    }

    fn deliver(&mut self, from: Endpoint, to: Endpoint, parcel: Parcel) {
        self.note(|| format!("{from:?} -> {to:?}: {parcel:?}"));
        #[cfg(test)]
        if self.script.hears(self.now, to, &parcel) {
            return;
        }
        match (to, parcel) {
            (Endpoint::Client(client), parcel) => self.client_hears(client, parcel),
            (Endpoint::Store, Parcel::Write(batch)) => {
                let stored = self.store.write(batch);
                self.send(Endpoint::Store, from, Parcel::Stored(stored));
            }
            (Endpoint::Store, Parcel::Scan { partition, epoch }) => {
                if let Some(found) = self.store.scan(partition, epoch) {
                    let scanned = Parcel::Scanned { partition, epoch, found };
                    self.send(Endpoint::Store, from, scanned);
                }
            }
            (Endpoint::Disk(node), Parcel::Write(batch)) => {
                let stored = self.nodes[node].disk.write(batch);
                self.send(Endpoint::Disk(node), from, Parcel::Stored(stored));
            }
            (Endpoint::Store, Parcel::Load(load)) => {
                if let Some(loaded) = self.store.load(load) {
                    self.send(to, from, Parcel::Loaded(loaded));
                }
            }
            (Endpoint::Disk(node), Parcel::Load(load)) => {
                if let Some(loaded) = self.nodes[node].disk.load(load) {
                    self.send(to, from, Parcel::Loaded(loaded));
                }
            }
            (Endpoint::Store | Endpoint::Disk(_), _) => (), // nobody says anything else to it
            (Endpoint::Node(node), Parcel::Beat { .. }) if self.nodes[node].is_refusing() => {
                self.send(to, from, Parcel::Refused { by: node });
            }
            (Endpoint::Node(node), Parcel::Propose(commands)) => {
                if self.nodes[node].is_running() && !self.nodes[node].is_starved() {
                    self.proposed(node, commands);
                } else {
                    self.nodes[node].keep(from, Parcel::Propose(commands));
                }
            }
            (Endpoint::Node(node), parcel) => {
                let mut out = Out::default();
                self.nodes[node].receive(self.now, from, parcel, &mut out);
                self.send_all(node, out);
            }
        }
    }

    fn send_all(&mut self, node: usize, mut out: Out) {
        self.join_only_with_store(node, &mut out);
        self.watch(node, &out);
        for (to, parcel) in out.parcels {
            self.send(Endpoint::Node(node), to, parcel);
        }
        if !out.proposals.is_empty() {
            match self.consensus.leader {
                Some(leader) if leader == node => self.proposed(node, out.proposals),
                Some(leader) => {
                    let to = Endpoint::Node(leader);
                    self.send(Endpoint::Node(node), to, Parcel::Propose(out.proposals));
                }
                None => (), // nobody to propose to: it is said again
            }
        }
    }

    fn send(&mut self, from: Endpoint, to: Endpoint, parcel: Parcel) {
        #[cfg(test)]
        if self.script.takes(from, to, &parcel) {
            return;
        }
        // That is no network.
        let waits = match (from, to) {
            (_, Endpoint::Disk(node)) => vec![self.disk_done_after(node)],
            (Endpoint::Disk(_), _) => vec![Duration::from_micros(50)],
            _ => self.network.carry(from, to, &parcel, &mut self.random),
        };
        for wait in waits {
            self.after(wait, Happening::Deliver { from, to, parcel: Box::new(parcel.clone()) });
        }
    }

    /// Takes note of what happens: for a person, and for the fingerprint.
    fn note(&mut self, what: impl FnOnce() -> String) {
        let mixed = self.summary.fingerprint.rotate_left(5) ^ self.now.as_nanos();
        self.summary.fingerprint = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.happenings;
        if let Some(trace) = &mut self.trace {
            let micros = self.now.as_nanos() / 1000;
            trace(&format!("{micros:>9} {}", what()));
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}
