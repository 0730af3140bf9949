//! Which nodes vote in the controller's log: decided by its leader, made so by the log itself.
//!
//! 1, 3 or 5 logs vote, spread over as many zones as there are. A voter that has been down for
//! `replace_after` is replaced; one that has left for good, or whose directory lives on without the
//! log that voted, at once. Whoever comes in has learned first: it is sent the log, and votes when
//! it has caught up. What is proposed is conditional on the revision that was seen, so that a
//! leader which is wrong, late, or not alone does nothing twice.
//!
//! Always: an odd number votes; no log and no directory votes twice; one change is under way at a
//! time, and a leader that finds one ends it first; no change lets fewer voters be reached than a
//! majority of those who vote then, and while one cannot be reached, only repairs are made; a set
//! becomes smaller only if no other node could ever vote, or fewer are wanted. When nothing happens
//! any more, nothing is changed any more.

mod choice;
mod membership;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use choice::{Candidate, Class, choose, size};
pub(crate) use membership::{Change, Membership, Revision, VoterId};
#[cfg(test)]
use membership::{Refusal, VOTERS_MAX, is_fit};

use super::breakage::{Breakage, is_broken};
use super::id::NodeId;
use super::instant::Instant;
use super::table::DirectoryId;

/// How many vote, and how long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// 1, 3 or 5: more never vote.
    pub voters_max: usize,
    /// For how long a voter must be down before another takes its place.
    pub replace_after: Duration,
    /// What has not come into the log by then is proposed again.
    pub propose_again_after: Duration,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is heard, and can be reached.
    Up,
    Down,
    /// It has left for good, or an operator says so.
    Dead,
}

/// A node that might vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub standing: Standing,
    pub zone: NodeId,
    /// It holds no data, and is there to vote.
    pub is_witness: bool,
    pub is_draining: bool,
    /// The log that its last known life has, once that life has said so.
    pub voter: Option<VoterId>,
}

impl Sight {
    /// One of which nothing is known but that it is dead.
    pub(crate) fn dead() -> Sight {
        Sight {
            standing: Standing::Dead,
            zone: NodeId::new(""),
            is_witness: false,
            is_draining: false,
            voter: None,
        }
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The nodes as they are now. Whoever votes and is not among them counts as down: those that
    /// are forgotten are to be among them, as dead.
    Seen(BTreeMap<DirectoryId, Sight>),
    /// A learner lacks next to nothing of the log.
    CaughtUp(VoterId),
    /// The log says now that these vote.
    Committed(Membership),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// To be proposed to the log, which refuses it by any other revision.
    Propose { at: Revision, change: Change },
}

/// A leader's, for one term.
#[derive(Clone, Debug)]
pub(crate) struct Voters {
    terms: Terms,
    membership: Membership,
    sights: BTreeMap<DirectoryId, Sight>,
    /// Learners that have nearly all of the log.
    caught_up: BTreeSet<VoterId>,
    /// Directories that vote.
    down_since: BTreeMap<DirectoryId, Instant>,
    proposed_at: Option<Instant>,
    stepped_at: Instant,
}

impl Voters {
    /// All waits begin anew with a term.
    pub(crate) fn new(terms: Terms, membership: Membership) -> Voters {
        Voters {
            terms,
            membership,
            sights: BTreeMap::new(),
            caught_up: BTreeSet::new(),
            down_since: BTreeMap::new(),
            proposed_at: None,
            stepped_at: Instant::default(),
        }
    }

    /// When it wants to be woken, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let replace = self.down_since.values().map(|since| *since + self.terms.replace_after);
        let again = self.proposed_at.map(|at| at + self.terms.propose_again_after);
        replace.chain(again).filter(|at| *at > self.stepped_at).min()
    }

    pub(crate) fn step(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        self.stepped_at = now;
        match event {
            Event::Seen(sights) => self.sights = sights,
            Event::CaughtUp(voter) => {
                if self.membership.learners.contains_key(&voter) {
                    self.caught_up.insert(voter);
                }
            }
            Event::Committed(membership) => {
                if membership.revision > self.membership.revision {
                    self.membership = membership;
                    self.proposed_at = None;
                }
            }
            Event::Tick => (),
        }
        let learners = &self.membership.learners;
        self.caught_up.retain(|voter| learners.contains_key(voter));
        self.note_down(now);
        let again_after = self.terms.propose_again_after;
        if self.proposed_at.is_some_and(|at| now.saturating_since(at) < again_after) {
            return;
        }
        let change = self.wish(now);
        self.proposed_at = change.is_some().then_some(now);
        let at = self.membership.revision;
        effects.extend(change.map(|change| Effect::Propose { at, change }));
    }

    fn note_down(&mut self, now: Instant) {
        let voting: BTreeSet<DirectoryId> =
            self.membership.voting().map(|(_, directory)| directory).collect();
        for directory in &voting {
            if self.standing(*directory) == Standing::Up {
                self.down_since.remove(directory);
            } else {
                self.down_since.entry(*directory).or_insert(now);
            }
        }
        self.down_since.retain(|directory, _| voting.contains(directory));
    }

    fn standing(&self, directory: DirectoryId) -> Standing {
        self.sights.get(&directory).map_or(Standing::Down, |sight| sight.standing)
    }

    /// The next change, if any is wanted.
    fn wish(&self, now: Instant) -> Option<Change> {
        if self.membership.next.is_some() {
            return Some(Change::End);
        }
        let all = self.candidates(now);
        let (voting, nodes) = (self.membership.voters.len(), self.not_dead());
        let best = |candidates: Vec<Candidate>| {
            let size = size(&candidates, voting, nodes, self.terms.voters_max);
            choose(candidates, size)
        };
        let ideal = best(all.clone());
        let has_log = |it: &Candidate| it.is_voter || self.caught_up.contains(&it.voter);
        let chosen = best(all.into_iter().filter(has_log).collect());
        if !chosen.iter().eq(self.membership.voters.keys()) && self.is_safe(&chosen) {
            return Some(Change::Begin(chosen));
        }
        self.wish_of_learners(&ideal)
    }

    /// How many nodes there are that have not left for good.
    fn not_dead(&self) -> usize {
        let voting = self.membership.voters.values();
        let known: BTreeSet<&DirectoryId> = self.sights.keys().chain(voting).collect();
        known.into_iter().filter(|it| self.standing(**it) != Standing::Dead).count()
    }

    /// Whether a majority of them can be reached. As long as a voter cannot, nothing is changed but
    /// what leaves fewer such: until it is done, a change needs more to be there than either set.
    fn is_safe(&self, chosen: &BTreeSet<VoterId>) -> bool {
        let Membership { voters, learners, .. } = &self.membership;
        let is_missing = |voter: &&VoterId| {
            let directory = voters.get(voter).or_else(|| learners.get(voter));
            !directory.is_some_and(|directory| self.sees_up(**voter, *directory))
        };
        let now = voters.keys().filter(is_missing).count();
        let then = chosen.iter().filter(is_missing).count();
        then * 2 < chosen.len() && (now == 0 || then < now)
    }

    /// Whether it is heard, and has not said that it has another log.
    fn sees_up(&self, voter: VoterId, directory: DirectoryId) -> bool {
        let has_it = |sight: &Sight| sight.voter.is_none_or(|it| it == voter);
        let sight = self.sights.get(&directory);
        sight.is_some_and(|sight| sight.standing == Standing::Up && has_it(sight))
    }

    /// Who is to be sent the log, and who no more.
    fn wish_of_learners(&self, ideal: &BTreeSet<VoterId>) -> Option<Change> {
        let Membership { voters, learners, .. } = &self.membership;
        let needless = learners.keys().find(|learner| !ideal.contains(learner));
        if let Some(needless) = needless {
            return Some(Change::Unlearn(*needless));
        }
        let new = |voter: &&VoterId| !voters.contains_key(voter) && !learners.contains_key(voter);
        let voter = *ideal.iter().find(new)?;
        let has_it = |(_, sight): &(&DirectoryId, &Sight)| sight.voter == Some(voter);
        let (directory, _) = self.sights.iter().find(has_it)?;
        Some(Change::Learn(voter, *directory))
    }

    /// Who votes, and who might: it is up, and has said which log it has.
    fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let voters = &self.membership.voters;
        let mut candidates: Vec<Candidate> = Vec::new();
        for (voter, directory) in voters {
            let sight = self.sights.get(directory);
            candidates.push(Candidate {
                voter: *voter,
                directory: *directory,
                zone: sight.map_or_else(|| NodeId::new(""), |sight| sight.zone.clone()),
                class: self.class(now, *voter, *directory),
                is_witness: sight.is_some_and(|sight| sight.is_witness),
                is_voter: true,
            });
        }
        let is_up = |(_, sight): &(&DirectoryId, &Sight)| sight.standing == Standing::Up;
        // A directory that was copied has its log's number from elsewhere.
        let mut known: BTreeSet<VoterId> = voters.keys().copied().collect();
        for (directory, sight) in self.sights.iter().filter(is_up) {
            let Some(voter) = sight.voter.filter(|voter| known.insert(*voter)) else { continue };
            candidates.push(Candidate {
                voter,
                directory: *directory,
                zone: sight.zone.clone(),
                class: if sight.is_draining { Class::Draining } else { Class::Well },
                is_witness: sight.is_witness,
                is_voter: false,
            });
        }
        candidates
    }

    fn class(&self, now: Instant, voter: VoterId, directory: DirectoryId) -> Class {
        let sight = self.sights.get(&directory);
        let is_lost = |sight: &Sight| {
            sight.standing == Standing::Dead || sight.voter.is_some_and(|it| it != voter)
        };
        let since = self.down_since.get(&directory);
        let is_due = |since: &Instant| {
            now.saturating_since(*since) >= self.terms.replace_after
                && !is_broken(Breakage::GoneVoterKept)
        };
        match () {
            () if sight.is_some_and(is_lost) => Class::Lost,
            () if since.is_some_and(is_due) => Class::Away,
            () if sight.is_some_and(|sight| sight.is_draining) => Class::Draining,
            () => Class::Well,
        }
    }
}
