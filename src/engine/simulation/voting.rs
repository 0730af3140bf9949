//! Who votes in the stand-in for the controller's log, and what each voter has on its disk.
//!
//! All logs are beginnings of one, as an entry that is not decided comes to nothing. A voter's disk
//! says how far its own goes, and in which term it has voted; a voter's number is beside it, and is
//! lost with it. Whatever decides is a majority of those that can be reached, each by its disk: an
//! election takes voters whose logs are no longer than the candidate's, an entry voters that have
//! not voted in a later term. The leader runs the engine that says who is to vote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::plan::Plan;
use super::random::Random;
use super::{Happening, Simulation};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::invariant::Invariant;
use crate::engine::table::{Command, DirectoryId, Generation, Member, Node, Role, Status};
use crate::engine::voters::{
    Change, Effect, Event, Membership, Revision, Sight, Standing, Terms, VoterId, Voters,
};

/// How often an entry that cannot be decided is tried again, each 100 ms.
const TRIES_MAX: u8 = 20;

/// What a voter has on its disk.
#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    /// So many entries.
    held: u64,
    /// The last term in which it has voted, or heard of the leader.
    voted: u64,
}

/// What is to come into the log, by the leader of a term.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    term: u64,
    tries: u8,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Table(Vec<Command>),
    Voters(Revision, Change),
}

pub(super) struct Voting {
    /// Of its own: what else a seed draws does not depend on it.
    random: Random,
    terms: Terms,
    /// Who votes, from which entry on.
    memberships: Vec<(u64, Membership)>,
    /// Entries that are decided.
    length: u64,
    term: u64,
    /// Of each term.
    leaders: BTreeMap<u64, (usize, VoterId)>,
    /// The log of each node.
    logs: Vec<VoterId>,
    disks: BTreeMap<VoterId, Disk>,
    /// Which log each life of a node has said that it has.
    said: BTreeMap<Member, VoterId>,
    /// The leader's.
    engine: Voters,
    /// Sets of voters that were exchanged for another.
    changes: u64,
}

impl Voting {
    pub(super) fn new(plan: &Plan, random: &Random) -> Voting {
        let mut random = Random::new(random.clone().next() ^ 0x766f_7465_7273);
        let logs: Vec<VoterId> = (0..plan.nodes).map(|_| VoterId(random.next())).collect();
        let founders = plan.voters.min(plan.nodes);
        let seat = |at: usize| (logs[at], directory(at));
        let membership = Membership::founded_by((0..founders).map(seat).collect());
        let terms = Terms {
            voters_max: plan.voters_max,
            replace_after: plan.voter_replace_after,
            propose_again_after: Duration::from_millis(300),
        };
        let said =
            |at: usize| (Member { directory: directory(at), generation: Generation(1) }, logs[at]);
        Voting {
            random,
            terms,
            engine: Voters::new(terms, membership.clone()),
            memberships: vec![(0, membership)],
            length: 0,
            term: 0,
            leaders: BTreeMap::new(),
            disks: logs.iter().map(|log| (*log, Disk::default())).collect(),
            said: (0..logs.len()).map(said).collect(),
            logs,
            changes: 0,
        }
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Who votes, as it is decided.
    pub(super) fn membership(&self) -> &Membership {
        self.membership_at(self.length)
    }

    /// As a log of so many entries says.
    fn membership_at(&self, length: u64) -> &Membership {
        let known = self.memberships.iter().rev().find(|(from, _)| *from <= length);
        &known.expect("the first is from the beginning").1
    }

    fn disk(&self, voter: VoterId) -> Disk {
        self.disks.get(&voter).copied().unwrap_or_default()
    }

    fn node_of(&self, voter: VoterId) -> Option<usize> {
        self.logs.iter().position(|log| *log == voter)
    }

    /// It has heard of a leader, and has so much of its log.
    fn fill(&mut self, voter: VoterId) {
        let (held, term) = (self.length, self.term);
        let disk = self.disks.entry(voter).or_default();
        *disk = Disk { held, voted: disk.voted.max(term) };
    }

    pub(super) fn draws(&mut self, percent: u64) -> bool {
        self.random.percent(percent)
    }
}

fn directory(node: usize) -> DirectoryId {
    DirectoryId(node as u128)
}

impl Simulation {
    /// Whether a log is where this node reaches it, and is reached from there.
    fn reaches(&self, node: usize, voter: VoterId) -> bool {
        let Some(other) = self.consensus.voting.node_of(voter) else { return false };
        let is_open = node == other || self.network.is_open_both_ways(node, other);
        self.nodes[other].is_running() && is_open
    }

    /// Whether it votes, by its own log, and enough of the others would go along.
    fn is_backed(&self, node: usize, would: impl Fn(Disk) -> bool) -> bool {
        let voting = &self.consensus.voting;
        let own = voting.logs[node];
        let membership = voting.membership_at(voting.disk(own).held);
        let with = |voter, _| self.reaches(node, voter) && would(voting.disk(voter));
        self.nodes[node].is_running()
            && membership.voting().any(|(voter, _)| voter == own)
            && membership.is_decided_by(with)
    }

    /// Whether it hears, and is heard by, a majority.
    pub(super) fn can_lead(&self, node: usize) -> bool {
        self.is_backed(node, |_| true)
    }

    /// Whether a majority would vote for it.
    pub(super) fn can_win(&self, node: usize) -> bool {
        let voting = &self.consensus.voting;
        let own = voting.disk(voting.logs[node]).held;
        self.is_backed(node, |disk| disk.held <= own)
    }

    /// A majority votes for it. It has all that was ever decided.
    pub(super) fn win(&mut self, node: usize) {
        let voting = &self.consensus.voting;
        let own = voting.disk(voting.logs[node]).held;
        let (length, term) = (voting.length, voting.term + 1);
        let votes = |voter: &VoterId| self.reaches(node, *voter) && voting.disk(*voter).held <= own;
        let voters = voting.membership_at(own).voting().map(|(voter, _)| voter);
        let voters: Vec<VoterId> = voters.filter(votes).collect();
        for voter in voters {
            let disk = self.consensus.voting.disks.entry(voter).or_default();
            disk.voted = disk.voted.max(term);
        }
        if own < length {
            let what = format!("{node} leads with {own} of {length} entries");
            self.is_broken(Invariant::DecidedStays, &what);
        }
    }

    /// A term begins.
    pub(super) fn begin_term(&mut self, node: usize) {
        let voting = &mut self.consensus.voting;
        voting.term += 1;
        let own = voting.logs[node];
        voting.leaders.insert(voting.term, (node, own));
        voting.fill(own);
        let mut terms = voting.terms;
        // An operator may want more voters, or fewer.
        if !self.has_healed && voting.random.percent(self.plan.voters_percent) {
            terms.voters_max = voting.random.pick(&[1, 3, 5]) as usize;
        }
        voting.engine = Voters::new(terms, voting.membership().clone());
    }

    /// Commands come into the log, if the leader can have them decided.
    pub(super) fn enter_later(&mut self, wait: Duration, commands: Vec<Command>) {
        let (term, content) = (self.consensus.voting.term, Content::Table(commands));
        self.after(wait, Happening::Enter(Entry { term, tries: 0, content }));
    }

    pub(super) fn enter(&mut self, mut entry: Entry) {
        self.watch_former_leader(entry.term);
        let leader = self.consensus.leader.filter(|leader| self.can_lead(*leader));
        let mut membership = self.consensus.voting.membership().clone();
        if let Content::Voters(at, change) = &entry.content
            && membership.apply(*at, change).is_err()
        {
            return; // it comes late
        }
        if !leader.is_some_and(|leader| self.append(leader, &membership)) {
            entry.tries += 1;
            if entry.tries < TRIES_MAX {
                self.after(Duration::from_millis(100), Happening::Enter(entry));
            }
            return;
        }
        match entry.content {
            Content::Table(commands) => self.commit(&commands),
            Content::Voters(_, change) => {
                self.note(|| format!("voters: {change:?}: {membership:?}"));
                let voting = &mut self.consensus.voting;
                voting.changes += u64::from(change == Change::End);
                voting.memberships.push((voting.length, membership.clone()));
                self.step_voters(Event::Committed(membership));
            }
        }
    }

    /// Has an entry decided by a majority: not all that could take it have it at once.
    fn append(&mut self, leader: usize, deciding: &Membership) -> bool {
        let lag = self.plan.lag_percent;
        let own = self.consensus.voting.logs[leader];
        let reached = deciding.voting().map(|(voter, _)| voter);
        let mut reached: Vec<VoterId> =
            reached.filter(|voter| *voter != own && self.reaches(leader, *voter)).collect();
        let voting = &mut self.consensus.voting;
        let mut holders = BTreeSet::from([own]);
        while !reached.is_empty() {
            let at = voting.random.between(0, reached.len() as u64 - 1) as usize;
            let voter = reached.swap_remove(at);
            let is_needed = !deciding.is_decided_by(|voter, _| holders.contains(&voter));
            if is_needed || !voting.draws(lag) {
                holders.insert(voter);
            }
        }
        let is_decided = deciding.is_decided_by(|voter, _| holders.contains(&voter));
        if is_decided {
            voting.length += 1;
            holders.into_iter().for_each(|voter| voting.fill(voter));
        }
        is_decided
    }

    /// A leader of an earlier term, which may not know that it is none, has nothing decided any
    /// more.
    fn watch_former_leader(&mut self, term: u64) {
        let voting = &self.consensus.voting;
        let Some((node, own)) = voting.leaders.get(&term).copied() else { return };
        let is_there = voting.logs[node] == own && term < voting.term;
        if is_there && self.is_backed(node, |disk| disk.voted <= term) {
            let what = format!("{node} decides in term {term}, in {}", voting.term);
            self.is_broken(Invariant::DecidedStays, &what);
        }
    }

    /// The leader sends what others lack, looks around, and says who is to vote.
    pub(super) fn tend_voters(&mut self) {
        let Some(leader) = self.consensus.leader.filter(|leader| self.can_lead(*leader)) else {
            return;
        };
        let membership = self.consensus.voting.membership().clone();
        let others = membership.voting().map(|(voter, _)| voter);
        let others: Vec<VoterId> = others.chain(membership.learners.keys().copied()).collect();
        for voter in others {
            let is_left_out = self.consensus.voting.draws(self.plan.lag_percent);
            if !is_left_out && self.reaches(leader, voter) {
                self.consensus.voting.fill(voter);
                self.step_voters(Event::CaughtUp(voter));
            }
        }
        if self.consensus.voting.engine.next_deadline().is_some_and(|at| at <= self.now) {
            self.step_voters(Event::Tick);
        }
        let sights = self.sights(leader);
        self.step_voters(Event::Seen(sights));
    }

    fn step_voters(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.consensus.voting.engine.step(self.now, event, &mut effects);
        for Effect::Propose { at, change } in effects {
            let voting = &mut self.consensus.voting;
            let (term, content) = (voting.term, Content::Voters(at, change));
            let entry = Entry { term, tries: 0, content };
            let wait = voting.random.millis(2, 25);
            let late = wait + voting.random.millis(1, 1500);
            if voting.random.percent(self.plan.late_commit_percent) {
                self.after(late, Happening::Enter(entry.clone()));
            }
            self.after(wait, Happening::Enter(entry));
        }
    }

    /// The nodes, as the leader's table and their own last words say.
    fn sights(&self, leader: usize) -> BTreeMap<DirectoryId, Sight> {
        let table = &self.nodes[leader].table;
        let sight = |(directory, node): (&DirectoryId, &Node)| {
            let member = Member { directory: *directory, generation: node.generation };
            let sight = Sight {
                standing: match node.status {
                    Status::Up => Standing::Up,
                    Status::Down => Standing::Down,
                    Status::Dead => Standing::Dead,
                },
                zone: node.zone.clone(),
                is_witness: node.role == Role::Witness,
                is_draining: node.is_draining,
                voter: self.consensus.voting.said.get(&member).copied(),
            };
            (*directory, sight)
        };
        let mut sights: BTreeMap<DirectoryId, Sight> = table.nodes().iter().map(sight).collect();
        for (_, directory) in self.consensus.voting.membership().voting() {
            // Of those that are forgotten, only the last generation is known.
            if table.is_dead(Member { directory, generation: Generation(0) }) {
                sights.entry(directory).or_insert_with(Sight::dead);
            }
        }
        sights
    }

    /// A process starts again. Now and then its log is lost: as long as a majority has its own.
    pub(super) fn reopen_log(&mut self, node: usize) {
        let percent = self.plan.log_loss_percent;
        if percent > 0 && self.consensus.voting.draws(percent) && self.may_lose_log(node) {
            self.lose_log(node);
            *self.summary.faults.entry("log lost").or_default() += 1;
        }
    }

    /// Whoever has lost its log is somebody else.
    pub(super) fn lose_log(&mut self, node: usize) {
        self.note(|| format!("{node} has lost its log"));
        if self.consensus.leader == Some(node) {
            self.consensus.leader = None;
        }
        let voting = &mut self.consensus.voting;
        voting.disks.remove(&voting.logs[node]);
        if !is_broken(Breakage::VoterForgot) {
            voting.logs[node] = VoterId(voting.random.next());
        }
    }

    /// How a life introduces itself.
    pub(super) fn say_log(&mut self, node: usize) {
        let member = self.nodes[node].member();
        let voting = &mut self.consensus.voting;
        voting.said.insert(member, voting.logs[node]);
    }

    /// From now on as many vote as are to in the end.
    pub(super) fn heal_voters(&mut self) {
        let voting = &mut self.consensus.voting;
        voting.engine = Voters::new(voting.terms, voting.membership().clone());
    }

    pub(super) fn may_lose_log(&self, node: usize) -> bool {
        let voting = &self.consensus.voting;
        let is_there = |it: usize| it != node && !self.absent.contains(it);
        let is_kept = |voter, _| voting.node_of(voter).is_some_and(is_there);
        voting.membership().is_decided_by(is_kept)
    }

    /// Gives a node a vote, and others that hold no copy of the first partition, as far as there
    /// are any, in place of those that have one.
    #[cfg(test)]
    pub(super) fn give_vote(&mut self, node: usize) {
        let row = self.consensus.table.rows().next().expect("there is one").1;
        let holds = |at: usize| row.holders().is_some_and(|it| it.of(directory(at)).is_some());
        let mut nodes: Vec<usize> = (0..self.nodes.len()).collect();
        nodes.sort_by_key(|at| (*at != node, holds(*at), *at));
        let voting = &mut self.consensus.voting;
        let Membership { revision, voters, .. } = voting.membership().clone();
        let seats = nodes.into_iter().take(voters.len()).map(|at| (voting.logs[at], directory(at)));
        let seats: Vec<(VoterId, DirectoryId)> = seats.collect();
        seats.iter().for_each(|(voter, _)| voting.fill(*voter));
        let mut membership = Membership::founded_by(seats.into_iter().collect());
        membership.revision = Revision(revision.0 + 1);
        voting.memberships.push((voting.length, membership));
    }

    #[cfg(test)]
    pub(super) fn has_vote(&self, node: usize) -> bool {
        let voting = &self.consensus.voting;
        let Membership { voters, next, .. } = voting.membership();
        next.is_none() && voters.contains_key(&voting.logs[node])
    }

    /// How many vote with a log that nobody has any more.
    #[cfg(test)]
    pub(super) fn lost_votes(&self) -> usize {
        let voting = &self.consensus.voting;
        let voters = voting.membership().voters.keys();
        voters.filter(|voter| voting.node_of(**voter).is_none()).count()
    }

    pub(super) fn is_led(&self) -> bool {
        self.consensus.leader.is_some_and(|leader| self.can_lead(leader))
    }

    /// In what the voters are not as they should be, once everything is healed.
    pub(super) fn unrest_of_voters(&self) -> Option<String> {
        let voting = &self.consensus.voting;
        let membership = voting.membership();
        let fits = self.present().min(self.plan.voters_max);
        let is_there = |voter: &VoterId| {
            voting.node_of(*voter).is_some_and(|node| self.nodes[node].is_running())
        };
        let is_well = membership.next.is_none()
            && membership.learners.is_empty()
            && membership.voters.len() == fits - usize::from(fits.is_multiple_of(2))
            && membership.voters.keys().all(is_there)
            && self.is_led();
        (!is_well).then(|| format!("voters are not at rest: {membership:?}"))
    }
}
