//! What goes wrong: with the network, stores, and processes that stop.

use std::time::Duration;

use super::node::Out;
use super::parcel::{Endpoint, Parcel};
use super::{Happening, Simulation};
use crate::engine::id::{Epoch, PartitionId};
use crate::engine::instant::Instant;
use crate::engine::table::{At, Command, Member, Members, RowChange};

/// The most that a write into a node's own store takes, while that is well.
pub(super) const DISK_TAKES: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Crash,
    /// Crash, and start again at once.
    Restart,
    Pause,
    /// Whatever it does takes long, in bursts.
    Starve,
    /// A primary and all others hear nothing of each other, though clients reach all.
    Isolate,
    CutOne,
    CutOneWay,
    /// A node hears nobody, or nobody hears it.
    Deaf,
    Mute,
    Split,
    Ring,
    Clog,
    HealNetwork,
    /// An operator wants a node's copies elsewhere, or no longer so.
    Drain,
    /// An operator wants another primary.
    Move,
    StoreDown,
    /// A node's own store takes nothing, or is slow.
    DiskFails,
    DiskSlow,
    /// So is the shared one.
    StoreSlow,
    /// All processes end at once, and one may be given up.
    Disaster,
    /// An operator says that a node which has crashed will not come back (as it was).
    Declare,
}

impl Simulation {
    pub(super) fn fault(&mut self) {
        if self.has_healed {
            return;
        }
        let fault = self.draw_fault();
        if let Some(fault) = fault {
            self.note(|| format!("fault {fault:?}"));
            self.make(fault);
        }
        let wait = self.plan.fault_every.mul_f64(self.random.between(20, 200) as f64 / 100.0);
        self.after(wait, Happening::Fault);
    }

    fn draw_fault(&mut self) -> Option<Fault> {
        use Fault::{
            Clog, Crash, CutOne, CutOneWay, Deaf, Declare, Disaster, DiskFails, DiskSlow, Drain,
            HealNetwork, Isolate, Move, Mute, Pause, Restart, Ring, Split, Starve, StoreDown,
            StoreSlow,
        };
        let plan = &self.plan;
        let kinds: [(u64, &[Fault]); 7] = [
            (plan.crash_percent, &[Crash, Restart, Restart]),
            (plan.operator_percent, &[Drain, Declare, Move, Move, Move, StoreDown]),
            (plan.pause_percent, &[Pause, Pause, Starve]),
            (plan.disk_percent, &[DiskFails, DiskSlow, StoreSlow]),
            (plan.disaster_percent, &[Disaster]),
            (plan.isolate_percent, &[Isolate, Isolate, HealNetwork]),
            (
                plan.cut_percent,
                &[CutOne, CutOneWay, Deaf, Mute, Split, Ring, Clog, HealNetwork, HealNetwork],
            ),
        ];
        let from = self.random.between(0, 6) as usize;
        for at in 0..kinds.len() {
            let (percent, faults) = kinds[(from + at) % kinds.len()];
            if self.random.percent(percent) {
                return Some(self.random.pick(faults));
            }
        }
        None
    }

    fn make(&mut self, fault: Fault) {
        let all = self.nodes.len();
        let mut node = self.random.between(0, all as u64 - 1) as usize;
        // Half of the time it is a primary.
        let partitions = u64::from(self.plan.partitions);
        let partition = PartitionId(self.random.between(0, partitions - 1) as u16);
        let primary = self.consensus.table.row(partition).and_then(|row| row.primary());
        let is_aimed = self.random.percent(50) || matches!(fault, Fault::Isolate);
        if let Some(primary) = primary.filter(|_| is_aimed) {
            node = primary.directory.0 as usize;
        }
        let other = (node + self.random.between(1, all as u64 - 1) as usize) % all;
        let name = match fault {
            Fault::Crash | Fault::Restart => {
                let is_quick = matches!(fault, Fault::Restart);
                if !self.crash_for_a_while(node, is_quick) {
                    return;
                }
                if !is_quick {
                    self.replace_sometimes(node);
                }
                if is_quick { "restart" } else { "crash" }
            }
            Fault::Pause => {
                if !self.nodes[node].is_running() {
                    return;
                }
                self.nodes[node].pause();
                let wait = self.random.millis(50, 3000);
                self.after(wait, Happening::Resume(node));
                "pause"
            }
            Fault::Starve => {
                if !self.nodes[node].is_running() || self.nodes[node].is_starved() {
                    return;
                }
                let (pace, bursts) = (self.random.millis(20, 250), self.random.between(1, 4));
                self.starve(node, pace, bursts);
                "starve"
            }
            Fault::Isolate => {
                self.isolate(node);
                "isolate"
            }
            Fault::CutOne => {
                self.network.cut(node, other);
                "cut"
            }
            Fault::CutOneWay => {
                self.network.cuts.insert((node, other));
                "cut one way"
            }
            Fault::Deaf => {
                self.network.cuts.extend((0..all).map(|other| (other, node)));
                "deaf"
            }
            Fault::Mute => {
                self.network.cuts.extend((0..all).map(|other| (node, other)));
                "mute"
            }
            Fault::Split => {
                let side: Vec<bool> = (0..all).map(|_| self.random.percent(50)).collect();
                for one in 0..all {
                    (0..all)
                        .filter(|at| side[*at] != side[one])
                        .for_each(|at| self.network.cut(one, at));
                }
                "split"
            }
            Fault::Ring => {
                // Each sees its neighbours, and no two see the same.
                for one in 0..all {
                    for two in 0..all {
                        let apart = (one + all - two) % all;
                        if apart > 1 && apart < all - 1 {
                            self.network.cut(one, two);
                        }
                    }
                }
                "ring"
            }
            Fault::Clog => {
                let more = self.random.millis(50, 800);
                self.network.clogged.insert((node, other), more);
                "clog"
            }
            Fault::Drain => {
                let member = self.nodes[node].member();
                let is_draining = self.random.percent(50);
                self.proposed_by_operator(Command::Drain { member, is_draining });
                "drain"
            }
            Fault::Move => {
                if !self.move_primary(partition) {
                    return;
                }
                // And back again, before all have understood.
                if self.random.percent(50) {
                    let wait = self.random.millis(20, 400);
                    self.after(wait, Happening::Move(partition));
                }
                "move"
            }
            Fault::StoreDown => {
                self.store.is_down = true;
                let wait = self.random.millis(50, 4000);
                self.after(wait, Happening::StoreUp);
                "store down"
            }
            Fault::DiskFails => {
                self.nodes[node].disk.is_down = true;
                let wait = self.random.millis(50, 4000);
                self.after(wait, Happening::DiskUp(node));
                "disk fails"
            }
            Fault::DiskSlow => {
                let most = self.random.millis(20, 600);
                self.nodes[node].disk_takes = most;
                let wait = self.random.millis(50, 4000);
                self.after(wait, Happening::DiskUp(node));
                "disk slow"
            }
            Fault::StoreSlow => {
                self.network.store_takes = self.random.millis(50, 3000);
                let wait = self.random.millis(500, 4000);
                self.after(wait, Happening::StoreUp);
                "store slow"
            }
            Fault::Disaster => {
                if !(self.plan.durability.writes_through || self.plan.may_lose) {
                    return;
                }
                let is_quick = self.random.percent(50);
                for node in (0..all).filter(|other| *other != node) {
                    self.crash_for_a_while(node, is_quick);
                }
                if is_quick {
                    self.crash_for_a_while(node, is_quick);
                } else {
                    self.crash_and_give_up(node);
                }
                "disaster"
            }
            Fault::Declare => {
                let crashed: Vec<usize> = (0..all).filter(|at| self.may_be_declared(*at)).collect();
                if crashed.is_empty() {
                    return;
                }
                let node = self.random.pick(&crashed);
                self.declare(node);
                self.replace(node);
                "declare dead"
            }
            Fault::HealNetwork => {
                self.network.heal();
                "heal"
            }
        };
        *self.summary.faults.entry(name).or_default() += 1;
    }

    /// Has another holder take over a partition.
    pub(super) fn move_primary(&mut self, partition: PartitionId) -> bool {
        let (Some(at), Some(row)) =
            (self.consensus.table.at(partition), self.consensus.table.row(partition))
        else {
            return false;
        };
        let holders = row.holders().into_iter().flat_map(Members::iter);
        let others: Vec<Member> = holders.filter(|it| Some(*it) != row.primary()).collect();
        if others.is_empty() || self.has_healed {
            return false;
        }
        let next = self.random.pick(&others);
        self.arm(at, next);
        // Now and then it is cut off as soon as it serves.
        if self.random.percent(self.plan.isolate_percent) {
            let wait = self.random.millis(5, 200);
            self.after(wait, Happening::Isolate(next.directory.0 as usize));
        }
        true
    }

    fn arm(&mut self, at: At, next: Member) {
        self.proposed_by_operator(Command::Row { at, change: RowChange::Arm { next } });
    }

    /// Another primary reigns in place of one that lives. Now and then that one is to reign again,
    /// as soon as it is in sync: with all that it may have kept of its time.
    pub(super) fn move_back_sometimes(&mut self, partition: PartitionId, epoch: Epoch) {
        let mut reigns = self.primaries.range((partition, Epoch(0))..=(partition, epoch)).rev();
        let (Some((_, now)), Some((_, before))) = (reigns.next(), reigns.next()) else { return };
        if now != before && self.losses.random.percent(self.plan.move_back_percent) {
            let (to, wait) = (*before, self.losses.random.millis(20, 400));
            self.after(wait, Happening::MoveBack { partition, to, tries: 10 });
        }
    }

    pub(super) fn move_back(&mut self, partition: PartitionId, to: Member, tries: u32) {
        let table = &self.consensus.table;
        let (Some(at), Some(row)) = (table.at(partition), table.row(partition)) else { return };
        if self.has_healed || tries == 0 || row.primary() == Some(to) {
            return;
        }
        if row.holders().is_some_and(|holders| holders.contains(to)) {
            self.arm(at, to);
            *self.summary.faults.entry("move back").or_default() += 1;
        } else {
            let wait = self.losses.random.millis(50, 600);
            self.after(wait, Happening::MoveBack { partition, to, tries: tries - 1 });
        }
    }

    pub(super) fn isolate(&mut self, node: usize) {
        if !self.has_healed {
            let others = (0..self.nodes.len()).filter(|at| *at != node);
            others.for_each(|at| self.network.cut(node, at));
        }
    }

    /// Says so until it is so, and some time longer: what was said before may come into the log
    /// late.
    pub(super) fn undrain(&mut self, member: Member) {
        let node = self.consensus.table.nodes().get(&member.directory);
        if node.is_some_and(|node| node.is_draining && node.generation == member.generation) {
            self.proposed_by_operator(Command::Drain { member, is_draining: false });
        }
        let healed_at = Instant::default() + self.plan.faults_until;
        if self.now.saturating_since(healed_at) < Duration::from_secs(5) {
            self.after(Duration::from_millis(200), Happening::Undrain(member));
        }
    }

    pub(super) fn proposed_by_operator(&mut self, command: Command) {
        if let Some(leader) = self.consensus.leader {
            self.proposed(leader, vec![command]);
        }
    }

    /// An operator says that a node will not come back (as it was), before it does.
    fn crash_and_give_up(&mut self, node: usize) {
        if self.nodes[node].is_crashed() {
            return;
        }
        self.crash(node);
        let wait = self.random.millis(1000, 5000);
        self.after(wait, Happening::Restart(node));
        if self.random.percent(50) {
            self.after(wait.mul_f64(0.8), Happening::Declare(node));
        }
    }

    pub(super) fn declare(&mut self, node: usize) {
        if self.may_be_declared(node) {
            let member = self.nodes[node].member();
            self.proposed_by_operator(Command::DeclareDead(member));
        }
    }

    /// Returns whether it may be.
    pub(super) fn crash_for_a_while(&mut self, node: usize, is_quick: bool) -> bool {
        let may_crash = !self.has_healed && self.may_crash(node);
        if may_crash {
            self.crash(node);
            // Without its host, or with it.
            if is_quick || self.random.percent(50) {
                self.nodes[node].refuse();
            }
            let wait = if is_quick { (5, 80) } else { (300, 4000) };
            let wait = self.random.millis(wait.0, wait.1);
            self.after(wait, Happening::Restart(node));
        }
        may_crash
    }

    /// The process is gone. What it was writing is in its store in part.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].crash();
        let disk = Endpoint::Disk(node);
        let is_of_disk = |_: &(Instant, u64), happening: &mut Happening| match happening {
            Happening::Deliver { from, to, .. } => *from == disk || *to == disk,
            _ => false,
        };
        let lost: Vec<_> = self.queue.extract_if(.., is_of_disk).collect();
        for (_, happening) in lost {
            if let Happening::Deliver { parcel, .. } = happening
                && let Parcel::Write(batch) = *parcel
                && !self.nodes[node].disk.is_down
            {
                self.nodes[node].disk.tear(batch, &mut self.random);
            }
        }
    }

    pub(super) fn store_up(&mut self) {
        self.store.is_down = false;
        self.network.store_takes = Duration::ZERO;
    }

    pub(super) fn disk_up(&mut self, node: usize) {
        self.nodes[node].disk.is_down = false;
        self.nodes[node].disk_takes = DISK_TAKES;
    }

    /// When a node's own store has done with what it is told now: one thing after another.
    pub(super) fn disk_done_after(&mut self, node: usize) -> Duration {
        let node = &mut self.nodes[node];
        let takes = self.random.between(100, node.disk_takes.as_micros() as u64);
        let from = node.disk_busy_until.max(self.now);
        node.disk_busy_until = from + Duration::from_micros(takes);
        node.disk_busy_until.saturating_since(self.now)
    }

    pub(super) fn resume(&mut self, node: usize) {
        if self.nodes[node].is_running() || self.nodes[node].is_crashed() {
            return;
        }
        self.note(|| format!("{node} goes on"));
        for (from, parcel) in self.nodes[node].resume() {
            let to = Endpoint::Node(node);
            let parcel = Box::new(parcel);
            self.after(Duration::from_micros(1), Happening::Deliver { from, to, parcel });
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        if !self.nodes[node].is_crashed() || self.absent.contains(node) {
            return;
        }
        self.reopen_log(node);
        self.nodes[node].restart();
        self.say_log(node);
        let life = self.nodes[node].life();
        self.note(|| format!("{node} starts again"));
        let mut out = Out::default();
        out.proposals.push(self.nodes[node].join());
        self.send_all(node, out);
        if self.consensus.leader == Some(node) {
            // Its log is on its disk: it may lead on in the same term.
            let now = self.now;
            self.nodes[node].set_leader(true, now);
            let delta = self.consensus.table.since(self.nodes[node].table.version());
            let mut out = Out::default();
            self.nodes[node].learn(now, &delta, &mut out);
            self.send_all(node, out);
        }
        let wait = self.random.millis(1, 50);
        self.after(wait, Happening::Tick { node, life });
    }

    pub(super) fn heal(&mut self) {
        self.has_healed = true;
        self.note(|| "healed".to_owned());
        for node in 0..self.nodes.len() {
            let member = self.nodes[node].member();
            self.after(Duration::from_millis(1), Happening::Undrain(member));
        }
        self.store_up();
        self.heal_refusals();
        self.heal_voters();
        self.network.heal();
        (self.network.loss_percent, self.network.news_loss_percent) = (0, 0);
        self.network.twice_percent = 0;
        for node in 0..self.nodes.len() {
            self.disk_up(node);
            self.feed(node);
            self.resume(node);
            self.restart(node);
        }
    }
}
