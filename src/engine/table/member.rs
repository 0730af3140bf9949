//! Who takes part in a grid, and how often its table has changed.

use std::fmt;

use super::super::breakage::{Breakage, is_broken};
use super::super::id::NodeId;
use super::super::instant::Timestamp;

/// A data directory's random number, made with it: what tells two processes of one name apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DirectoryId(pub u128);

/// One life of a directory's process. Larger after each restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Generation(pub u64);

impl Generation {
    /// That of a process that starts: `kept` is the last that its directory knows. Whatever the
    /// wall clock says, it is larger; and at least the clock, for a directory that knows an older
    /// one than it should.
    pub(crate) fn next(kept: Generation, clock: Timestamp) -> Generation {
        if is_broken(Breakage::ClockBelieved) {
            return Generation(clock.as_micros());
        }
        Generation((kept.0 + 1).max(clock.as_micros()))
    }
}

/// One memory: a directory's process in one of its lives. What restarts is another member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    /// Which directory's process.
    pub directory: DirectoryId,
    /// In which of its lives.
    pub generation: Generation,
}

/// How often the partition table has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableVersion(pub u64);

/// How often one row of it has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowVersion(pub u64);

/// What a node does in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds copies, and may vote.
    Data,
    /// Votes, and holds nothing.
    Witness,
}

/// What is known of a node's last generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has duties.
    Up,
    /// A commit took its duties away. Its memory may well be there.
    Down,
    /// Proven dead: it left, or an operator has said so. Its memory is gone.
    Dead,
}

/// A node, as the table knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name, for people. Two nodes that are up have two names.
    pub name: NodeId,
    /// Its last generation. All before are proven dead.
    pub generation: Generation,
    /// Of that generation.
    pub status: Status,
    /// What it does.
    pub role: Role,
    /// What fails together with it: copies of a partition are kept in several zones.
    pub zone: NodeId,
    /// Its share of the partitions, against that of others; a node of none holds none.
    pub weight: u32,
    /// Its copies are to be moved elsewhere.
    pub is_draining: bool,
}

impl Node {
    /// Whether it may hold copies at all.
    pub(crate) fn holds_data(&self) -> bool {
        self.role == Role::Data && self.weight > 0
    }
}

/// A few members, ascending: a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(Vec<Member>);

impl Members {
    pub(crate) fn one(member: Member) -> Members {
        Members(vec![member])
    }

    pub(crate) fn contains(&self, member: Member) -> bool {
        self.0.binary_search(&member).is_ok()
    }

    /// The member of this directory, in whichever life.
    pub(crate) fn of(&self, directory: DirectoryId) -> Option<Member> {
        self.0.iter().copied().find(|member| member.directory == directory)
    }

    /// Returns whether it was not there.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        let place = self.0.binary_search(&member);
        if let Err(at) = place {
            self.0.insert(at, member);
        }
        place.is_err()
    }

    /// In place of any earlier life of the same directory.
    pub(crate) fn replace(&mut self, member: Member) {
        let is_earlier = |other: &Member| other.directory == member.directory && *other < member;
        self.0.retain(|other| !is_earlier(other));
        if self.of(member.directory).is_none() {
            self.insert(member);
        }
    }

    /// Returns whether it was there.
    pub(crate) fn remove(&mut self, member: Member) -> bool {
        let place = self.0.binary_search(&member);
        if let Ok(at) = place {
            self.0.remove(at);
        }
        place.is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Member> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_subset(&self, of: &Members) -> bool {
        self.iter().all(|member| of.contains(member))
    }
}

impl FromIterator<Member> for Members {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Members {
        let mut members: Vec<Member> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        Members(members)
    }
}

impl fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{:x}", self.0)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.directory, self.generation.0)
    }
}
