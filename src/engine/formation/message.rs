//! What is said, kept and refused while a grid is formed.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use crate::engine::adoption::GridId;
use crate::engine::id::NodeId;
use crate::engine::table::DirectoryId;

/// What must be the same at all nodes of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub partitions: u16,
    pub copies: usize,
    /// Version of what nodes say to each other.
    pub wire: u32,
}

/// How a node comes into its first grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bootstrap {
    /// It joins one that is there.
    Join,
    /// It is a grid by itself.
    Single,
    /// It forms one with others, as soon as there are so many.
    Expect(usize),
    /// It forms one with nodes of these names, its own among them.
    Names(BTreeSet<NodeId>),
}

/// A grid that may come to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub grid: GridId,
    /// Its initialiser, who alone decides whether it comes to be.
    pub by: DirectoryId,
    /// Those who must all accept, the initialiser among them.
    pub members: BTreeMap<DirectoryId, NodeId>,
    pub shape: Shape,
}

/// What a directory keeps on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The one formation that it has accepted. Once the grid is there, how it was formed.
    pub bound: Option<Proposal>,
    /// The grid that it is, or once was, part of: never another.
    pub grid: Option<GridId>,
    /// Its own proposals that will never come to be.
    pub withdrawn: BTreeSet<GridId>,
}

/// Between nodes that are in no grid yet, or one is and the other is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Initialiser to member: will you be part of it, and of no other?
    Propose(Proposal),
    /// Member to initialiser: I will, and have written that down.
    Accepted(GridId),
    /// Member to initialiser, or to who would join: no.
    Refused(GridId, Refusal),
    /// Member to initialiser and members: what has become of it?
    Ask { grid: GridId, by: DirectoryId },
    /// It has come to be.
    Formed(GridId),
    /// Initialiser to member: it never will.
    Withdrawn(GridId),
    /// To a node of a grid: may I join?
    Enter { grid: GridId, shape: Shape },
    /// You may.
    Welcome(GridId),
}

/// Why a node will not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A grid of one node has no seeds: whoever names some wants to join.
    SeedsNamed,
    /// There is a grid: it is to be joined.
    GridVisible(GridId),
    /// Two grids can be seen: nobody can tell which is meant.
    TwoGridsVisible(GridId, GridId),
    /// It is part of this grid, and of no other.
    ForeignGrid(GridId),
    /// It has accepted another formation, whose outcome it does not know.
    Bound { grid: GridId, by: DirectoryId },
    /// It expects others to be members.
    OtherMembers,
    /// It has so many partitions.
    Partitions(u16),
    /// It keeps so many copies.
    Copies(usize),
    /// It speaks this version.
    Wire(u32),
    /// Others know of a proposal of this directory that itself does not know: it is an old one,
    /// restored.
    Restored(GridId),
}

impl Shape {
    /// Whether a node of this shape can be with one of that.
    ///
    /// # Errors
    /// What differs, by its own value.
    pub(crate) fn fits(&self, other: &Shape) -> Result<(), Refusal> {
        match () {
            () if self.wire != other.wire => Err(Refusal::Wire(self.wire)),
            () if self.partitions != other.partitions => Err(Refusal::Partitions(self.partitions)),
            () if self.copies != other.copies => Err(Refusal::Copies(self.copies)),
            () => Ok(()),
        }
    }
}
