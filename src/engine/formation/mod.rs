//! How a grid comes to be, and how a node comes into it: decided by each node for itself.
//!
//! In two phases. An initialiser writes down what it proposes, a new grid's number and its members;
//! each member writes down that it accepts, one formation only; when all have, the initialiser
//! writes down that the grid is there, and says so. Before that it may write down that it
//! withdraws, which frees those who have accepted: they ask until they know. A node that sees a
//! grid forms none, and asks to join.
//!
//! Always: what is said was written down before; a directory is part of one grid in all of its
//! lives; no two grids have a member in common. Of two initialisers that want the same member, the
//! one with the larger directory id gives way. Everything that was lost is said again.

mod hear;
mod message;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use message::{Bootstrap, GridId, Kept, Message, Proposal, Refusal, Shape};

use super::id::NodeId;
use super::instant::Instant;
use super::table::DirectoryId;

/// After so many proposals of one directory it makes another seldom: each that was withdrawn is
/// remembered, 16 bytes of it.
const ATTEMPTS_MANY: usize = 1000;

/// So many times its patience lie between two of these.
const SELDOM: u32 = 720;

/// How often the wait between two of them doubles.
const DOUBLINGS_MAX: usize = 8;

/// What a node is told by its user.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub directory: DirectoryId,
    pub name: NodeId,
    pub shape: Shape,
    pub bootstrap: Bootstrap,
    /// Whether it is told of nodes that it may find a grid by.
    pub has_seeds: bool,
    /// How long an initialiser waits for all to accept.
    pub patience: Duration,
    pub send_again_after: Duration,
}

/// Another node, as far as can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub name: NodeId,
    pub grid: Option<GridId>,
}

/// What has happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// These can be seen now.
    Visible(BTreeMap<DirectoryId, Peer>),
    Heard {
        from: DirectoryId,
        message: Message,
    },
    /// What was to be kept is on the disk.
    Persisted,
    /// Time has passed. A random number comes along, for the grid that may be proposed.
    Tick {
        fresh: GridId,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// In place of what was kept. Until it is there nothing else happens.
    Persist(Kept),
    Send {
        to: DirectoryId,
        message: Message,
    },
    /// The node is part of a grid. If it has founded it: with whom; the initialiser begins the log.
    /// Comes again after a restart.
    InGrid {
        grid: GridId,
        founded: Option<Proposal>,
    },
    /// For the operator. The node goes on, and tries again where that may help.
    Report {
        from: DirectoryId,
        why: Refusal,
    },
    /// For the operator: the node does nothing more.
    Stop(Refusal),
}

/// A node's.
#[derive(Clone, Debug)]
pub(crate) struct Formation {
    terms: Terms,
    /// As it is on the disk.
    kept: Kept,
    /// On its way to the disk.
    writing: Option<Kept>,
    visible: BTreeMap<DirectoryId, Peer>,
    /// Whether it was told what can be seen.
    has_looked: bool,
    /// Who has accepted its own proposal.
    accepted: BTreeSet<DirectoryId>,
    /// Since when it could begin, or has begun.
    since: Option<Instant>,
    sent_at: Option<Instant>,
    fresh: Option<GridId>,
    reported: BTreeMap<DirectoryId, Refusal>,
    looked_at: Instant,
    is_stopped: bool,
}

impl Formation {
    /// A process's, with what is on its disk.
    ///
    /// # Errors
    /// [`Refusal::SeedsNamed`]: then nothing was done.
    pub(crate) fn new(terms: Terms, kept: Kept) -> Result<(Formation, Vec<Effect>), Refusal> {
        if terms.bootstrap == Bootstrap::Single && terms.has_seeds {
            return Err(Refusal::SeedsNamed);
        }
        let formation = Formation {
            terms,
            kept,
            writing: None,
            visible: BTreeMap::new(),
            has_looked: false,
            accepted: BTreeSet::new(),
            since: None,
            sent_at: None,
            fresh: None,
            reported: BTreeMap::new(),
            looked_at: Instant::default(),
            is_stopped: false,
        };
        let mut effects = Vec::new();
        effects.extend(formation.in_grid());
        Ok((formation, effects))
    }

    /// The grid that it is part of, once that is on its disk: to be shown to others.
    pub(crate) fn grid(&self) -> Option<GridId> {
        self.kept.grid
    }

    /// When it wants to be woken, if nothing else happens: as long as it is in no grid, it looks
    /// around now and then.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let is_done = self.is_stopped || self.writing.is_some() || self.kept.grid.is_some();
        (!is_done).then(|| self.looked_at + self.terms.send_again_after)
    }

    /// Whether a node that says so of itself may be talked to about anything but formation.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, grid: Option<GridId>, shape: &Shape) -> Result<(), Refusal> {
        self.terms.shape.fits(shape)?;
        match (self.kept.grid, grid) {
            (Some(own), Some(grid)) if own != grid => Err(Refusal::ForeignGrid(own)),
            _ => Ok(()),
        }
    }

    pub(crate) fn step(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        if self.is_stopped {
            return;
        }
        self.looked_at = now;
        match event {
            Event::Visible(visible) => {
                (self.visible, self.has_looked) = (visible, true);
                let Formation { reported, visible, terms, .. } = self;
                reported.retain(|it, _| visible.contains_key(it) || *it == terms.directory);
            }
            Event::Tick { fresh } => self.fresh = Some(fresh),
            Event::Persisted => {
                if let Some(kept) = self.writing.take() {
                    self.written(now, kept, effects);
                }
            }
            // While something is on its way to the disk, nobody can tell what may be said.
            Event::Heard { from, message } if self.writing.is_none() => {
                self.heard(from, message, effects);
            }
            Event::Heard { .. } => (),
        }
        if self.writing.is_none() && !self.is_stopped {
            self.go_on(now, effects);
        }
    }

    fn write(&mut self, change: impl FnOnce(&mut Kept), effects: &mut Vec<Effect>) {
        let mut kept = self.kept.clone();
        change(&mut kept);
        self.writing = Some(kept.clone());
        effects.push(Effect::Persist(kept));
    }

    /// What was kept is on the disk: now others may know.
    fn written(&mut self, now: Instant, kept: Kept, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.kept, kept);
        (self.since, self.sent_at) = (Some(now), None);
        self.accepted.clear();
        let withdrawn = before.bound.filter(|_| self.kept.bound.is_none());
        if let Some(own) = withdrawn.filter(|bound| bound.by == self.terms.directory) {
            self.tell_members(&own, &Message::Withdrawn(own.grid), effects);
        }
        if before.grid.is_none() {
            effects.extend(self.in_grid());
        }
        let Some(bound) = &self.kept.bound else { return };
        if bound.by != self.terms.directory {
            let message = Message::Accepted(bound.grid);
            effects
                .extend(self.kept.grid.is_none().then_some(Effect::Send { to: bound.by, message }));
        } else if self.kept.grid.is_some() {
            self.tell_members(bound, &Message::Formed(bound.grid), effects);
        }
    }

    fn in_grid(&self) -> Option<Effect> {
        let grid = self.kept.grid?;
        let founded = self.kept.bound.clone().filter(|bound| bound.grid == grid);
        Some(Effect::InGrid { grid, founded })
    }

    fn tell_members(&self, proposal: &Proposal, message: &Message, effects: &mut Vec<Effect>) {
        let others = proposal.members.keys().filter(|member| **member != self.terms.directory);
        effects.extend(others.map(|to| Effect::Send { to: *to, message: message.clone() }));
    }

    /// Its own proposal, while it may still be withdrawn.
    fn undecided(&self) -> Option<&Proposal> {
        let bound = self.kept.bound.as_ref().filter(|_| self.kept.grid.is_none());
        bound.filter(|bound| bound.by == self.terms.directory)
    }

    fn report(&mut self, from: DirectoryId, why: Refusal, effects: &mut Vec<Effect>) {
        if self.reported.get(&from) != Some(&why) {
            self.reported.insert(from, why.clone());
            effects.push(Effect::Report { from, why });
        }
    }

    fn withdraw(&mut self, effects: &mut Vec<Effect>) {
        let withdraw = |kept: &mut Kept| {
            let bound = kept.bound.take();
            kept.withdrawn.extend(bound.map(|own| own.grid));
        };
        self.write(withdraw, effects);
    }

    fn stop(&mut self, why: Refusal, effects: &mut Vec<Effect>) {
        self.is_stopped = true;
        effects.push(Effect::Stop(why));
    }

    /// Says again, begins, gives up: whatever is due.
    fn go_on(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let grids = self.visible.values().filter_map(|peer| peer.grid);
        let grids: BTreeSet<GridId> = grids.collect();
        if let Some(own) = self.kept.grid {
            self.report_foreign(own, effects);
            return;
        }
        let Some(bound) = self.kept.bound.clone() else {
            return self.go_on_free(now, &grids, effects);
        };
        if grids.contains(&bound.grid) {
            // Whoever is part of it knows that it has come to be.
            return self.write(|kept| kept.grid = Some(bound.grid), effects);
        }
        if bound.by != self.terms.directory {
            if self.is_due(now) {
                let message = Message::Ask { grid: bound.grid, by: bound.by };
                self.tell_members(&bound, &message, effects);
            }
            return;
        }
        let since = *self.since.get_or_insert(now);
        let mut others = bound.members.keys().filter(|it| **it != self.terms.directory);
        match () {
            () if !grids.is_empty() => self.withdraw(effects),
            () if others.all(|other| self.accepted.contains(other)) => {
                self.write(|kept| kept.grid = Some(bound.grid), effects);
            }
            () if now.saturating_since(since) >= self.terms.patience => self.withdraw(effects),
            () if self.is_due(now) => {
                self.tell_members(&bound, &Message::Propose(bound.clone()), effects);
            }
            () => (),
        }
    }

    /// Whether it is time to say again what may have been lost. If so, it is said.
    fn is_due(&mut self, now: Instant) -> bool {
        let again_after = self.terms.send_again_after;
        let is_due = self.sent_at.is_none_or(|at| now.saturating_since(at) >= again_after);
        if is_due {
            self.sent_at = Some(now);
        }
        is_due
    }

    fn report_foreign(&mut self, own: GridId, effects: &mut Vec<Effect>) {
        let foreign = |(directory, peer): (&DirectoryId, &Peer)| {
            let grid = peer.grid.filter(|grid| *grid != own)?;
            Some((*directory, grid))
        };
        let foreign: Vec<(DirectoryId, GridId)> = self.visible.iter().filter_map(foreign).collect();
        for (directory, grid) in foreign {
            self.report(directory, Refusal::ForeignGrid(grid), effects);
        }
    }

    /// It is in no grid, and has accepted none.
    fn go_on_free(&mut self, now: Instant, grids: &BTreeSet<GridId>, effects: &mut Vec<Effect>) {
        let mut seen = grids.iter().copied();
        match (seen.next(), seen.next()) {
            (Some(one), Some(other)) => {
                let why = Refusal::TwoGridsVisible(one, other);
                self.report(self.terms.directory, why, effects);
            }
            (Some(grid), None) if self.terms.bootstrap == Bootstrap::Single => {
                self.stop(Refusal::GridVisible(grid), effects);
            }
            (Some(grid), None) => {
                if self.is_due(now) {
                    let shape = self.terms.shape;
                    let there = self.visible.iter().filter(|(_, peer)| peer.grid.is_some());
                    let message = Message::Enter { grid, shape };
                    let enter =
                        |to: &DirectoryId| Effect::Send { to: *to, message: message.clone() };
                    effects.extend(there.map(|(to, _)| enter(to)));
                }
            }
            (None, _) if self.has_looked => self.begin(now, effects),
            (None, _) => (),
        }
    }

    /// Proposes a grid, if that is for it to do.
    fn begin(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let (Some(members), Some(grid)) = (self.members(), self.fresh) else {
            self.since = None;
            return;
        };
        // The first of them at once, the others only if it does not.
        let rank = members.keys().filter(|it| **it < self.terms.directory).count();
        let since = *self.since.get_or_insert(now);
        let waits = self.terms.patience * u32::try_from(rank).unwrap_or(u32::MAX);
        let is_alone = members.len() == 1;
        // What was refused before may be refused again: more and more seldom.
        let failures = self.kept.withdrawn.len().min(DOUBLINGS_MAX);
        let again = self.terms.send_again_after * (1 << failures);
        let seldom = self.terms.patience * SELDOM;
        let is_seldom = self.kept.withdrawn.len() >= ATTEMPTS_MANY;
        let waits = waits + if is_seldom { again.max(seldom) } else { again };
        if !is_alone && now.saturating_since(since) < waits {
            return;
        }
        self.fresh = None;
        let (by, shape) = (self.terms.directory, self.terms.shape);
        let proposal = Proposal { grid, by, members, shape };
        self.write(|kept| kept.bound = Some(proposal), effects);
    }

    /// With whom it would form a grid, if they are all there.
    fn members(&self) -> Option<BTreeMap<DirectoryId, NodeId>> {
        let own = (self.terms.directory, self.terms.name.clone());
        let others = self.visible.iter().map(|(directory, peer)| (*directory, peer.name.clone()));
        let there: BTreeMap<DirectoryId, NodeId> = others.chain([own]).collect();
        match &self.terms.bootstrap {
            Bootstrap::Join => None,
            Bootstrap::Single => Some([(self.terms.directory, self.terms.name.clone())].into()),
            Bootstrap::Expect(count) => {
                let members: BTreeMap<_, _> = there.into_iter().take(*count).collect();
                let is_member = members.contains_key(&self.terms.directory);
                (is_member && members.len() == *count).then_some(members)
            }
            Bootstrap::Names(names) => {
                let named = there.into_iter().filter(|(_, name)| names.contains(name));
                let members: BTreeMap<_, _> = named.collect();
                let found: BTreeSet<&NodeId> = members.values().collect();
                let is_exact = found.len() == names.len() && members.len() == names.len();
                let is_member = members.contains_key(&self.terms.directory);
                (is_exact && is_member).then_some(members)
            }
        }
    }
}
