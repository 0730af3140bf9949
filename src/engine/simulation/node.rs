//! One node: its table, its copies, its leases, and the controller while it leads.
//!
//! What the shell does in production is done here in the same order: read the clock, step the
//! engines, perform what they want.

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::Clock;
use super::faults::DISK_TAKES;
use super::object::State;
pub(super) use super::out::Out;
use super::parcel::{Ask, Endpoint, Parcel, Reply};
use super::part::Part;
use super::plan::Plan;
use super::record::Record;
use super::starvation::Hunger;
use super::store::{Batch, Store};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::controller::Controller;
use crate::engine::id::{NodeId, PartitionId};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::lease::{Given, Pulse, Taken};
use crate::engine::replica::{Copy, Effect, Message, Scope};
use crate::engine::report::{Reporter, Reports};
use crate::engine::suspicion::{Hearing, Words};
use crate::engine::table::{
    Command, Delta, DirectoryId, Failing, Generation, Join, Member, PartitionTable, Role, RowChange,
};

#[derive(Clone, Copy, Debug)]
pub(super) enum Process {
    Running,
    /// It goes on, and is slow.
    Starved(Hunger),
    /// What comes waits for it.
    Paused,
    Crashed,
    /// Its host is there, and says that it is not.
    Gone,
}

pub(super) struct Node {
    pub(super) index: usize,
    generation: u64,
    /// Which start of the process it is.
    life: u64,
    pub(super) process: Process,
    pub(super) plan: Plan,
    /// Of this process.
    pub(super) clock: Clock,
    /// Of its host: for generations only.
    pub(super) wall_clock: Timestamp,
    pub(super) table: PartitionTable,
    pub(super) parts: Vec<Part>,
    /// What is left of it when the process is gone.
    pub(super) disk: Store,
    /// The most that a write into it takes, and until when it is busy.
    pub(super) disk_takes: Duration,
    pub(super) disk_busy_until: Instant,
    pub(super) hearing: Hearing,
    pub(super) words: Words,
    pub(super) taken: Taken,
    pub(super) given: Given,
    /// What this node has said of its copies, and, while it leads, others of theirs.
    pub(super) reporter: Reporter,
    pub(super) reports: Reports,
    pub(super) controller: Option<Controller>,
    pub(super) pulse: Pulse,
    pub(super) ticks: u64,
    pub(super) inbox: VecDeque<(Endpoint, Parcel)>,
}

impl Node {
    pub(super) fn new(index: usize, generation: u64, plan: &Plan, disk: Store) -> Node {
        let member =
            Member { directory: DirectoryId(index as u128), generation: Generation(generation) };
        let part = |at| Part::of_store(PartitionId(at), member, plan, &disk);
        Node {
            index,
            generation,
            life: generation,
            process: Process::Running,
            plan: plan.clone(),
            clock: Clock::of(plan, index, generation),
            wall_clock: Timestamp::default(),
            table: PartitionTable::new(plan.partitions, plan.copies),
            parts: (0..plan.partitions).map(part).collect(),
            disk,
            disk_takes: DISK_TAKES,
            disk_busy_until: Instant::default(),
            hearing: Hearing::new(member, plan.patience),
            words: Words::default(),
            taken: Taken::default(),
            given: Given::new(plan.partitions),
            reporter: Reporter::default(),
            reports: Reports::default(),
            controller: None,
            pulse: Pulse::default(),
            ticks: 0,
            inbox: VecDeque::new(),
        }
    }

    pub(super) fn member(&self) -> Member {
        let directory = DirectoryId(self.index as u128);
        Member { directory, generation: Generation(self.generation) }
    }

    /// How it introduces itself.
    pub(super) fn join(&self) -> Command {
        let name = NodeId::new(&format!("n{}", self.index));
        let zone = NodeId::new(&format!("z{}", self.index % self.plan.zones));
        let role = match self.plan.witness == Some(self.index) {
            true => Role::Witness,
            false => Role::Data,
        };
        Command::Join(Join { member: self.member(), name, role, zone, weight: 1 })
    }

    pub(super) fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.process, Process::Running | Process::Starved(_))
    }

    pub(super) fn is_crashed(&self) -> bool {
        matches!(self.process, Process::Crashed | Process::Gone)
    }

    /// Whether its host says that there is no such process.
    pub(super) fn is_refusing(&self) -> bool {
        matches!(self.process, Process::Gone)
    }

    pub(super) fn folded(&self, partition: PartitionId) -> &State {
        &self.parts[usize::from(partition.0)].folded
    }

    pub(super) fn copy(&self, partition: PartitionId) -> &Copy<Record> {
        &self.parts[usize::from(partition.0)].copy
    }

    pub(super) fn part(&self, partition: PartitionId) -> &Part {
        &self.parts[usize::from(partition.0)]
    }

    pub(super) fn pause(&mut self) {
        self.process = Process::Paused;
    }

    pub(super) fn crash(&mut self) {
        self.process = Process::Crashed;
        self.inbox.clear();
    }

    /// It has crashed, and its host says so.
    pub(super) fn refuse(&mut self) {
        self.process = Process::Gone;
    }

    /// A new process of the same directory: its memory is gone.
    pub(super) fn restart(&mut self) {
        let kept = Generation(self.generation);
        let generation = match is_broken(Breakage::IdentityKept) {
            true => kept,
            false => Generation::next(kept, self.wall_clock),
        };
        let mut disk = std::mem::take(&mut self.disk);
        disk.reopen();
        self.begin(generation.0, disk);
    }

    pub(super) fn begin(&mut self, generation: u64, disk: Store) {
        let (life, wall_clock) = (self.life + 1, self.wall_clock);
        *self = Node::new(self.index, generation, &self.plan, disk);
        (self.life, self.wall_clock) = (life, wall_clock);
        self.clock = Clock::of(&self.plan, self.index, life);
    }

    /// Goes on after a pause. Returns what came meanwhile.
    pub(super) fn resume(&mut self) -> VecDeque<(Endpoint, Parcel)> {
        self.process = Process::Running;
        std::mem::take(&mut self.inbox)
    }

    /// What comes while it is paused, or slow.
    pub(super) fn keep(&mut self, from: Endpoint, parcel: Parcel) {
        let is_waiting = matches!(self.process, Process::Paused | Process::Starved(_));
        if is_waiting && self.inbox.len() < 10_000 {
            self.inbox.push_back((from, parcel));
        }
    }

    pub(super) fn set_leader(&mut self, leads: bool, now: Instant) {
        let (delays, now) = (self.plan.delays, self.clock.read(now));
        self.controller = leads.then(|| Controller::new(delays, now));
        self.words.forget();
        self.reports.forget();
    }

    /// The table has changed elsewhere.
    pub(super) fn learn(&mut self, now: Instant, delta: &Delta, out: &mut Out) {
        self.merge(self.clock.read(now), delta, out);
    }

    fn merge(&mut self, now: Instant, delta: &Delta, out: &mut Out) {
        let before = self.table.version();
        if self.table.merge(delta).is_err() || self.table.version() == before {
            return;
        }
        let table = &self.table;
        self.taken.learn(table);
        self.hearing.learn(table, now);
        self.words.learn(table);
        self.reports.learn(table);
        for partition in 0..self.parts.len() {
            self.see_row(now, PartitionId(partition as u16), out);
        }
    }

    fn see_row(&mut self, now: Instant, partition: PartitionId, out: &mut Out) {
        let (Some(at), Some(row)) = (self.table.at(partition), self.table.row(partition)) else {
            return;
        };
        let me = self.member();
        let part = &mut self.parts[usize::from(partition.0)];
        let given_until = self.given.until(partition);
        let may_activate_at =
            if is_broken(Breakage::LeaseNotWaited) { now } else { given_until.max(now) };
        part.is_short = row.is_short(self.table.copies());
        part.left_out(me, row);
        let mut effects = Vec::new();
        part.copy.seen(at, row, may_activate_at, now, &mut effects);
        self.perform(partition, effects, out);
        self.go_on(now, partition, out);
    }

    pub(super) fn receive(&mut self, now: Instant, from: Endpoint, parcel: Parcel, out: &mut Out) {
        match self.process {
            Process::Running => self.take_in(now, from, parcel, out),
            Process::Paused | Process::Starved(_) => self.keep(from, parcel),
            Process::Crashed | Process::Gone => (),
        }
    }

    pub(super) fn take_in(&mut self, now: Instant, from: Endpoint, parcel: Parcel, out: &mut Out) {
        let now = self.clock.read(now);
        // Before anything is concluded from what comes first.
        let is_late = self.pulse.look(now, self.plan.pause_max);
        self.notice_pause(now, is_late);
        match parcel {
            Parcel::Copy { partition, from, to, message } => {
                if to == self.member() {
                    self.heard_copy(now, partition, from, message, out);
                }
            }
            Parcel::Beat { from, sent_at, version, leads } => {
                self.heard_beat(now, from, (sent_at, version), leads, out);
            }
            // What an earlier life has asked it has asked by another clock.
            Parcel::BeatAnswer { to, .. }
                if to != self.member() && !is_broken(Breakage::EarlierLifeAnswered) => {}
            Parcel::BeatAnswer { from, asked_at, version, told, .. } => {
                self.heard_answer(now, from, (asked_at, version), told, out);
            }
            Parcel::Refused { by } => self.refused(now, by),
            Parcel::Pull(version) => {
                if self.table.version() > version {
                    out.parcels.push((from, Parcel::Delta(self.table.since(version))));
                }
            }
            Parcel::Delta(delta) => self.merge(now, &delta, out),
            Parcel::Shrink { at, remove } => {
                let part = &self.parts[usize::from(at.partition.0)];
                if part.copy.at() == Some(at) {
                    let change =
                        RowChange::Shrink { by: self.member(), remove, why: Failing::Unwanted };
                    out.proposals.push(Command::Row { at, change });
                }
            }
            Parcel::Stored(stored) => {
                let part = &mut self.parts[usize::from(stored.partition.0)];
                let batch = part.stored(now, stored);
                self.write(batch, out);
            }
            Parcel::Scanned { partition, epoch, found } => {
                self.parts[usize::from(partition.0)].scanned(epoch, found);
                self.go_on(now, partition, out);
            }
            Parcel::Loaded(loaded) => {
                let partition = loaded.load.partition;
                for (waiting, reply) in self.parts[usize::from(partition.0)].loaded(loaded) {
                    let reply = Parcel::Reply { number: waiting.number, reply };
                    out.parcels.push((Endpoint::Client(waiting.client), reply));
                }
                self.go_on(now, partition, out);
            }
            Parcel::Letter { from, to, letter } => {
                let part = &mut self.parts[usize::from(to.0)];
                if part.copy.serves().is_some() {
                    part.receive(now, from, letter);
                    self.go_on(now, to, out);
                }
            }
            Parcel::HandIn { partition, entries } => {
                self.handed_in(now, from, partition, entries, out);
            }
            Parcel::Settled { partition, settled } => {
                self.parts[usize::from(partition.0)].hand_in.settled(&settled);
            }
            Parcel::Replay { partition, key, version } => {
                let part = &mut self.parts[usize::from(partition.0)];
                if let Some(epoch) = part.copy.serves() {
                    part.replay(now, epoch, key, version);
                    self.go_on(now, partition, out);
                }
            }
            Parcel::Compare { partition, key } => {
                let part = &mut self.parts[usize::from(partition.0)];
                if let Some(epoch) = part.copy.serves() {
                    part.compare(now, epoch, key);
                    self.go_on(now, partition, out);
                }
            }
            Parcel::Ask { number, partition, ask } => {
                self.asked(now, from, number, partition, ask, out);
            }
            // These are for others.
            Parcel::Propose(_)
            | Parcel::Reply { .. }
            | Parcel::Write(_)
            | Parcel::Scan { .. }
            | Parcel::Load(_) => {}
        }
    }

    fn heard_copy(
        &mut self,
        now: Instant,
        partition: PartitionId,
        from: Member,
        message: Message<Record, State>,
        out: &mut Out,
    ) {
        let part = &mut self.parts[usize::from(partition.0)];
        let mut effects = Vec::new();
        part.copy.heard(from, message, now, &mut effects);
        self.perform(partition, effects, out);
        self.go_on(now, partition, out);
    }

    fn asked(
        &mut self,
        now: Instant,
        from: Endpoint,
        number: u64,
        partition: PartitionId,
        ask: Ask,
        out: &mut Out,
    ) {
        let part = &mut self.parts[usize::from(partition.0)];
        let (Some(epoch), Endpoint::Client(client)) = (part.copy.serves(), from) else {
            out.parcels.push((from, Parcel::Reply { number, reply: Reply::Refused }));
            return;
        };
        if let Some(reply) = part.ask(now, epoch, client, number, ask) {
            out.parcels.push((from, Parcel::Reply { number, reply }));
        }
        self.go_on(now, partition, out);
    }

    /// Does what is due at a partition.
    pub(super) fn go_on(&mut self, now: Instant, partition: PartitionId, out: &mut Out) {
        self.settle(now, partition, out);
        let mut effects = Vec::new();
        self.parts[usize::from(partition.0)].copy.drive(&self.table, now, &mut effects);
        self.perform(partition, effects, out);
        self.release(now, partition, out);
        let part = &mut self.parts[usize::from(partition.0)];
        let serves = part.copy.serves();
        let letters = serves.map(|epoch| part.exchange(now, epoch));
        let loads = serves.map(|epoch| part.take_loads(now, epoch)).unwrap_or_default();
        let batch = part.drain(now);
        self.write(batch, out);
        self.hand_in(now, partition, out);
        let loads = loads.into_iter().map(|load| (self.store(), Parcel::Load(load)));
        out.parcels.extend(loads.collect::<Vec<_>>());
        for (to, letter) in letters.into_iter().flatten() {
            self.post(partition, to, letter, out);
        }
    }

    /// The store that copies drain into.
    fn store(&self) -> Endpoint {
        match self.plan.replica.scope {
            Scope::Shared => Endpoint::Store,
            Scope::Replica => Endpoint::Disk(self.index),
        }
    }

    fn write(&self, batch: Option<Batch>, out: &mut Out) {
        out.parcels.extend(batch.map(|batch| (self.store(), Parcel::Write(batch))));
    }

    fn perform(
        &mut self,
        partition: PartitionId,
        effects: Vec<Effect<Record, State>>,
        out: &mut Out,
    ) {
        let from = self.member();
        let part = &mut self.parts[usize::from(partition.0)];
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let node = Endpoint::Node(to.directory.0 as usize);
                    out.parcels.push((node, Parcel::Copy { partition, from, to, message }));
                }
                Effect::SendCopy { to } => {
                    let node = Endpoint::Node(to.directory.0 as usize);
                    let parcel = |message| Parcel::Copy { partition, from, to, message };
                    let chunks = part.chunks(to, &self.disk).into_iter();
                    out.parcels.extend(chunks.map(|message| (node, parcel(message))));
                }
                Effect::Propose { at, change } => out.proposals.push(Command::Row { at, change }),
                Effect::Fold(entries) => {
                    part.fold(entries);
                }
                Effect::Cut(entries) => {
                    let cut = entries.iter().map(|entry| (partition, entry.position));
                    out.cut.extend(cut);
                    part.lacks(entries);
                }
                Effect::Stage { is_first, entries, rows } => part.stage(is_first, entries, rows),
                Effect::Install => part.install_staged(&self.disk),
                Effect::Unstage => part.unstage(),
                Effect::Recall { to, epoch } => {
                    let message = part.recalled(epoch, &self.disk);
                    let node = Endpoint::Node(to.directory.0 as usize);
                    out.parcels.push((node, Parcel::Copy { partition, from, to, message }));
                }
                Effect::Scan { epoch } => {
                    out.parcels.push((Endpoint::Store, Parcel::Scan { partition, epoch }));
                }
                Effect::Found { from, memory, store } => part.found(from, memory, store),
                Effect::Recovered(recovered) => {
                    part.recover(&recovered, &self.disk);
                    let versions = part.folded.versions();
                    out.recovered.push((part.id, part.copy.joined(), recovered.gap, versions));
                }
                Effect::Committed(_) => (),
                Effect::Over => {
                    for (client, number, reply) in part.end() {
                        let reply = Parcel::Reply { number, reply };
                        out.parcels.push((Endpoint::Client(client), reply));
                    }
                }
            }
        }
    }

    /// Gives the answers that may be given.
    pub(super) fn release(&mut self, now: Instant, partition: PartitionId, out: &mut Out) {
        let part = &self.parts[usize::from(partition.0)];
        let Some(committed) = part.copy.committed() else { return };
        let has_lease = self.is_let(now, partition);
        for held in self.parts[usize::from(partition.0)].take_ready(committed, has_lease) {
            let answered = if held.is_early { &mut out.early } else { &mut out.answered };
            answered.push((partition, held.waits_for));
            out.leased.extend(held.round.is_none().then_some(partition));
            let parcel = Parcel::Reply { number: held.number, reply: held.reply };
            out.parcels.push((Endpoint::Client(held.client), parcel));
        }
    }

    /// Whether nobody else can be the primary yet: the leases of the whole ack set run, given by
    /// nodes that knew the row as it is.
    pub(super) fn may_answer(&self, now: Instant, partition: PartitionId) -> bool {
        self.is_let(self.clock.read(now), partition)
    }

    fn is_let(&self, now: Instant, partition: PartitionId) -> bool {
        let copy = &self.parts[usize::from(partition.0)].copy;
        let (Some(row), Some(lease_set)) = (self.table.row(partition), copy.lease_set()) else {
            return false;
        };
        let is_row_own = row.primary() == Some(self.member()) && Some(row.epoch) == copy.reigns();
        let is_let = || lease_set.iter().all(|member| self.taken.is_let_by(member, row, now));
        (is_row_own || is_broken(Breakage::RowNotAsked))
            && (is_broken(Breakage::LeaseNotChecked) || is_let())
    }
}
