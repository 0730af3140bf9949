//! What may be asked of the table, and why it may refuse.

use super::member::{DirectoryId, Generation, Member, Members, Role, RowVersion};
use crate::engine::adoption::GridId;
use crate::engine::id::{Epoch, NodeId, PartitionId};

/// A change of the table, by its effect: never "the row shall be this", always "add", "remove",
/// "promote". It names members, not nodes, so that nothing is done to a later life by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A node comes, or comes back in a new life.
    Join(Join),
    /// A node that was marked down was alive all the time. Changes no row.
    Readmit(Member),
    /// Takes a node's duties, not its copies.
    MarkDown(Member),
    /// A node's memory is gone: it has left for good, or an operator says so.
    DeclareDead(Member),
    /// Whether a node's copies are to be moved elsewhere.
    Drain { member: Member, is_draining: bool },
    /// Forgets a dead node that no row names.
    Forget(DirectoryId),
    /// A grid that has served nothing yet takes over a store of this grid, in which no fence is
    /// above the highest one: an operator says so.
    #[cfg_attr(not(test), expect(dead_code, reason = "no operator says so yet but in tests"))]
    AdoptStore { store: GridId, highest: Epoch },
    /// A change of one row, if the row is still the one that was seen.
    Row { at: At, change: RowChange },
}

/// A node as it introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    pub member: Member,
    pub name: NodeId,
    pub role: Role,
    pub zone: NodeId,
    pub weight: u32,
}

/// A row in the state in which a proposer has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub version: RowVersion,
}

/// Why a primary gives up on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It is not heard, or does not take in what it is sent.
    Silent,
    /// Its own store takes in nothing.
    Unstored,
    /// The planner does not want it any more.
    Unwanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    /// Names the primary of a new epoch, which has to activate.
    Promote(Member),
    /// The named primary serves from now on, with those that joined.
    Activate { by: Member, joined: Members },
    /// The primary gives up on a member of the in-sync set.
    Shrink { by: Member, remove: Member, why: Failing },
    /// The primary takes one in that has acked everything.
    Grow { by: Member, add: Member },
    /// The primary knows whom it has removed, and goes on without them.
    Settle { by: Member },
    /// Prepares a hand-over.
    Arm { next: Member },
    /// The armed member serves the next epoch already.
    TakeOver { by: Member },
    /// Begins to bring a member up to date.
    CatchUp(Member),
    /// No longer brings it up to date.
    GiveUp(Member),
}

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Some partition has had a primary: what is in another store belongs to another past.
    HasReigned,
    /// There is no such partition.
    UnknownPartition,
    /// The row has changed since.
    Stale { epoch: Epoch, version: RowVersion },
    /// The table knows no such node, or only another life of it.
    UnknownMember,
    /// The directory has had this generation, or a later one: it was restored, or copied.
    OldGeneration { last: Generation },
    /// Another node that is up has the name.
    NameTaken,
    /// It is not up.
    NotUp,
    /// Nothing is to be changed: it is so already.
    AlreadySo,
    /// It is proven dead.
    Dead,
    /// It may live, and come back.
    NotDead,
    /// Some row still names it.
    StillNamed,
    /// It is a witness, or of no weight.
    HoldsNothing,
    /// Only the row's primary may say that.
    NotThePrimary,
    /// Only while a primary is active, or only while none is.
    WrongReign,
    /// A hand-over is under way.
    Armed,
    /// None is.
    NotArmed,
    /// It is not one of those that may be chosen.
    NotAHolder,
    /// It is not being brought up to date.
    NotCatchingUp,
    /// Another life of it is named in the row.
    AlreadyNamed,
    /// No copy would be left that is not proven dead.
    LastCopy,
    /// A copy is left that is not proven dead: it is waited for.
    CopyLeft,
    /// As many as may be are brought up to date already.
    TooManyCatchingUp,
}
