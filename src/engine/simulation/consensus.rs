//! Stands in for the controller's log: what is proposed to its leader comes into it, sooner or
//! later, once or twice, or not at all; and the leader changes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::node::Out;
use super::parcel::{Endpoint, Parcel};
use super::plan::Plan;
use super::random::Random;
use super::voting::Voting;
use super::{Happening, Simulation};
use crate::engine::id::{Epoch, PartitionId};
use crate::engine::instant::Instant;
use crate::engine::table::{Command, Members, PartitionTable, Refusal, RowChange, TableVersion};

pub(super) struct Consensus {
    /// What is committed.
    pub(super) table: PartitionTable,
    pub(super) leader: Option<usize>,
    /// Since when the leader has had no majority.
    lost_at: Option<Instant>,
    pub(super) voting: Voting,
    pub(super) promotions: u64,
    /// Who holds what was acknowledged: the in-sync set as the primary of the last epoch that was
    /// active knows it, or knew it last. What is changed without its knowledge changes nothing.
    pub(super) acknowledged_by: BTreeMap<PartitionId, (Epoch, Members)>,
}

impl Consensus {
    pub(super) fn new(plan: &Plan, random: &Random) -> Consensus {
        let table = PartitionTable::new(plan.partitions, plan.copies);
        let (voting, acknowledged_by) = (Voting::new(plan, random), BTreeMap::new());
        Consensus { table, leader: None, lost_at: None, voting, promotions: 0, acknowledged_by }
    }
}

impl Simulation {
    /// A node takes in proposals for the log: it leads, or passes them on.
    pub(super) fn proposed(&mut self, node: usize, commands: Vec<Command>) {
        match self.consensus.leader {
            Some(leader) if leader == node => {
                if !self.can_lead(node) {
                    return; // it comes to nothing
                }
                let commands = self.nodes[node].review(self.now, commands);
                #[cfg(test)]
                let commands = self.script.sieve(commands);
                let wait = self.random.millis(2, 25);
                if self.random.percent(self.plan.late_commit_percent) {
                    let later = wait + self.random.millis(1, 1500);
                    self.enter_later(later, commands.clone());
                }
                self.enter_later(wait, commands);
            }
            Some(leader) => {
                let (from, to) = (Endpoint::Node(node), Endpoint::Node(leader));
                self.send(from, to, Parcel::Propose(commands));
            }
            None => (),
        }
    }

    pub(super) fn commit(&mut self, commands: &[Command]) {
        let before = self.consensus.table.version();
        let applied = self.consensus.table.apply(commands);
        self.note(|| format!("commit {commands:?}: {applied:?}"));
        let is_promotion = |(at, command): (usize, &Command)| {
            let is_taken = !applied.refused.iter().any(|(refused, _)| *refused == at);
            let promotes = matches!(command, Command::Row { change: RowChange::Promote(_), .. });
            is_taken && promotes
        };
        self.crash_at_shrinks(commands, &applied.refused);
        let promotions = commands.iter().enumerate().filter(|it| is_promotion(*it)).count();
        self.consensus.promotions += promotions as u64;
        for partition in &applied.rows {
            self.watch_row(*partition);
        }
        if self.consensus.table.version() > before {
            self.publish(before);
        }
    }

    /// A primary has removed a copy, which that may not know: nor may the primary ever.
    fn crash_at_shrinks(&mut self, commands: &[Command], refused: &[(usize, Refusal)]) {
        for (at, command) in commands.iter().enumerate() {
            if let Command::Row { change: RowChange::Shrink { by, .. }, .. } = command
                && refused.iter().all(|(refused, _)| *refused != at)
            {
                let primary = by.directory.0 as usize;
                if self.random.percent(self.plan.crash_at_shrink_percent) {
                    let wait = self.random.millis(0, 40);
                    self.after(wait, Happening::Crash(primary));
                }
                self.crash_the_last_soon(primary);
            }
        }
    }

    /// The leader has what is committed, and tells the others, who may not hear it.
    fn publish(&mut self, from: TableVersion) {
        let Some(leader) = self.consensus.leader else { return };
        if !self.nodes[leader].is_running() {
            return;
        }
        let known = self.nodes[leader].table.version();
        let delta = self.consensus.table.since(known.min(from));
        let mut out = Out::default();
        self.nodes[leader].learn(self.now, &delta, &mut out);
        for node in (0..self.nodes.len()).filter(|node| *node != leader) {
            out.parcels.push((Endpoint::Node(node), Parcel::Delta(delta.clone())));
        }
        self.send_all(leader, out);
    }

    pub(super) fn elect(&mut self) {
        let is_led = self.is_led();
        let able: Vec<usize> = (0..self.nodes.len()).filter(|at| self.can_win(*at)).collect();
        if is_led {
            self.consensus.lost_at = None;
            // Now and then the lead changes without need.
            if !self.has_healed && self.random.percent(self.plan.whim_percent) {
                self.consensus.lost_at = Some(Instant::default());
            }
        }
        let lost_at = match (is_led, self.consensus.lost_at) {
            (true, None) => None,
            (_, at) => Some(at.unwrap_or(self.now)),
        };
        self.consensus.lost_at = lost_at;
        let is_due =
            lost_at.is_some_and(|at| self.now.saturating_since(at) >= Duration::from_millis(300));
        if (is_due || self.consensus.leader.is_none()) && !able.is_empty() {
            let leader = self.random.pick(&able);
            self.win(leader);
            self.lead(leader);
        }
        self.tend_voters();
        self.catch_up_leader();
        self.after(Duration::from_millis(100), Happening::Elect);
    }

    /// Its log goes on while it is stopped.
    fn catch_up_leader(&mut self) {
        if let Some(leader) =
            self.consensus.leader.filter(|leader| self.nodes[*leader].is_running())
        {
            let known = self.nodes[leader].table.version();
            if known < self.consensus.table.version() {
                self.publish(known);
            }
        }
    }

    pub(super) fn lead(&mut self, leader: usize) {
        self.consensus.lost_at = None;
        if let Some(before) = self.consensus.leader.replace(leader).filter(|it| *it != leader) {
            // It finds out later.
            let wait = self.random.millis(0, 600);
            self.after(wait, Happening::Depose(before));
        }
        self.note(|| format!("{leader} leads"));
        self.begin_term(leader);
        self.nodes[leader].set_leader(true, self.now);
        let known = self.nodes[leader].table.version();
        let delta = self.consensus.table.since(known);
        let mut out = Out::default();
        self.nodes[leader].learn(self.now, &delta, &mut out);
        self.send_all(leader, out);
    }
}
