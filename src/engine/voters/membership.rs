//! Who votes in the controller's log, as the log's own entries say.
//!
//! Every change carries the revision that its proposer saw, and is refused by any other: what is
//! lost may be proposed again, what comes late or twice does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::table::DirectoryId;

/// Votes that a grid has at the most.
pub(crate) const VOTERS_MAX: usize = 5;

/// A random number, made with a voter's log and kept beside it: who has lost the log has lost this,
/// too, and is somebody else. Says nothing about a node's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VoterId(pub u64);

/// How often it has changed who votes, or learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision(pub u64);

/// Logs, and in which directories they are.
pub(crate) type Seats = BTreeMap<VoterId, DirectoryId>;

/// Who votes, and who is sent the log without a vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    pub revision: Revision,
    pub voters: Seats,
    /// While it is changed who votes: the set that comes. A majority of either decides, until then.
    pub next: Option<Seats>,
    pub learners: Seats,
}

/// A step from one set of voters to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A log that is to be filled.
    Learn(VoterId, DirectoryId),
    /// It is not to be filled any more.
    Unlearn(VoterId),
    /// From now on these decide, too. They were voters, or learners.
    Begin(BTreeSet<VoterId>),
    /// From now on they alone do.
    End,
}

/// Why a change does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// It was decided on what has changed since.
    Stale,
    /// One set is being exchanged for another already.
    Open,
    /// None is.
    NotOpen,
    /// A set of voters is of 1, 3 or 5.
    Even,
    /// It neither votes nor learns.
    Unknown,
    /// The number, or the directory, has its place already.
    Taken,
    /// Nothing would change.
    AlreadySo,
}

impl Membership {
    /// Those who found the grid.
    ///
    /// # Panics
    /// If they are neither 1, 3 nor 5, or one has two logs.
    pub(crate) fn founded_by(voters: Seats) -> Membership {
        assert!(is_fit(&voters), "1, 3 or 5 nodes vote, each once: {voters:?}");
        Membership { voters, ..Membership::default() }
    }

    /// Does a step.
    ///
    /// # Errors
    /// [`Refusal`], and it stays as it is.
    pub(crate) fn apply(&mut self, at: Revision, change: &Change) -> Result<(), Refusal> {
        if at != self.revision {
            return Err(Refusal::Stale);
        }
        match (change, &self.next) {
            (Change::End, Some(next)) => {
                self.voters = next.clone();
                self.next = None;
                self.learners.retain(|voter, _| !self.voters.contains_key(voter));
            }
            (Change::End, None) => return Err(Refusal::NotOpen),
            (_, Some(_)) => return Err(Refusal::Open),
            (Change::Learn(voter, directory), None) => self.learn(*voter, *directory)?,
            (Change::Unlearn(voter), None) => {
                self.learners.remove(voter).ok_or(Refusal::Unknown)?;
            }
            (Change::Begin(to), None) => self.next = Some(self.seats(to)?),
        }
        self.revision = Revision(self.revision.0 + 1);
        Ok(())
    }

    fn learn(&mut self, voter: VoterId, directory: DirectoryId) -> Result<(), Refusal> {
        let is_taken = self.voters.contains_key(&voter)
            || self.learners.contains_key(&voter)
            || self.learners.values().any(|it| *it == directory);
        if is_taken {
            return Err(Refusal::Taken);
        }
        self.learners.insert(voter, directory);
        Ok(())
    }

    fn seats(&self, to: &BTreeSet<VoterId>) -> Result<Seats, Refusal> {
        let seat = |voter: &VoterId| {
            let directory = self.voters.get(voter).or_else(|| self.learners.get(voter));
            directory.map(|directory| (*voter, *directory)).ok_or(Refusal::Unknown)
        };
        let seats = to.iter().map(seat).collect::<Result<Seats, Refusal>>()?;
        match () {
            () if seats.len().is_multiple_of(2) || seats.len() > VOTERS_MAX => Err(Refusal::Even),
            () if seats == self.voters => Err(Refusal::AlreadySo),
            () if !is_fit(&seats) => Err(Refusal::Taken),
            () => Ok(seats),
        }
    }

    /// Whether these are enough to decide: a majority, of both sets while there are two.
    pub(crate) fn is_decided_by(&self, is_with: impl Fn(VoterId, DirectoryId) -> bool) -> bool {
        let is_left_out = self.next.is_some() && is_broken(Breakage::OldVotersIgnored);
        let voters = (!is_left_out).then_some(&self.voters);
        [voters, self.next.as_ref()].into_iter().flatten().all(|seats| {
            let with = seats.iter().filter(|(voter, directory)| is_with(**voter, **directory));
            with.count() > seats.len() / 2
        })
    }

    /// All who vote, of both sets while there are two.
    pub(crate) fn voting(&self) -> impl Iterator<Item = (VoterId, DirectoryId)> {
        let next = self.next.iter().flatten();
        let next = next.filter(|(voter, _)| !self.voters.contains_key(voter));
        self.voters.iter().chain(next).map(|(voter, directory)| (*voter, *directory))
    }
}

/// An odd number, and each directory once.
pub(crate) fn is_fit(seats: &Seats) -> bool {
    let directories: BTreeSet<&DirectoryId> = seats.values().collect();
    seats.len() % 2 == 1 && seats.len() <= VOTERS_MAX && directories.len() == seats.len()
}

impl fmt::Debug for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{:x}", self.0)
    }
}
