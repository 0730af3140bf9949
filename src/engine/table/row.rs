//! One partition's row: who holds it.

use super::member::{Member, Members, RowVersion, TableVersion};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Epoch;

/// Who holds a partition, and who may serve it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// The reign under way, or that is being prepared. Each primary has one of its own.
    pub epoch: Epoch,
    /// Rises with every change of the row.
    pub version: RowVersion,
    pub reign: Reign,
    /// Members that are being brought up to date.
    pub catching_up: Members,
    /// When the row last changed.
    pub changed_at: TableVersion,
}

/// How far a reign has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reign {
    /// Nobody of this grid ever held the partition. If it has an epoch, another has, and it is in
    /// the store that was adopted.
    #[default]
    Unborn,
    /// A primary is named and serves nothing yet: it has the candidates that it keeps join, and
    /// waits out the leases that it gave. Until it is active any candidate may be named instead.
    Preparing {
        /// If it is no candidate, nobody remembers the partition: it puts it together from what is
        /// left in stores.
        primary: Member,
        /// The last in-sync set, or what was left of it to choose from. A place is never lost: what
        /// is proven dead has lost its memory, and may have a disk.
        candidates: Members,
        /// Whom the last primary had removed, as far as it never said that it knew.
        leaving: Members,
    },
    /// The primary serves.
    Active {
        primary: Member,
        /// Whose acks a commit waits for; the primary is one of them.
        in_sync: Members,
        /// Members that were removed, or not taken over from the candidates, until the primary
        /// says that it knows. Before, it has told nobody anything that these do not hold, and it
        /// may be dead already: its last word, to remove them, must not outlive it and leave
        /// nobody.
        leaving: Members,
        /// Armed: who takes over, by its own word. Then nothing else changes in this epoch.
        next: Option<Member>,
    },
}

impl Row {
    /// Who serves, or is to serve.
    pub(crate) fn primary(&self) -> Option<Member> {
        match &self.reign {
            Reign::Unborn => None,
            Reign::Preparing { primary, .. } | Reign::Active { primary, .. } => Some(*primary),
        }
    }

    /// Whether a hand-over is under way: then nothing else changes but by a promotion.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self.reign, Reign::Active { next: Some(_), .. })
    }

    /// Who may have acknowledged writes: the in-sync set, or the candidates.
    pub(crate) fn holders(&self) -> Option<&Members> {
        match &self.reign {
            Reign::Unborn => None,
            Reign::Preparing { candidates: holders, .. }
            | Reign::Active { in_sync: holders, .. } => Some(holders),
        }
    }

    /// Who may hold everything, though it was removed.
    pub(crate) fn leaving(&self) -> Option<&Members> {
        match &self.reign {
            Reign::Unborn => None,
            Reign::Preparing { leaving, .. } | Reign::Active { leaving, .. } => Some(leaving),
        }
    }

    /// Whether what was acknowledged may be in the store of this member's directory: some life of
    /// it holds the partition, or may do so as far as its last primary knew.
    pub(crate) fn may_have_stored(&self, member: Member) -> bool {
        let is_named = |members: &Members| members.of(member.directory).is_some();
        self.holders().is_some_and(is_named) || self.leaving().is_some_and(is_named)
    }

    /// Whether fewer copies are in sync than are wanted.
    pub(crate) fn is_short(&self, copies: usize) -> bool {
        match &self.reign {
            Reign::Active { in_sync, .. } => in_sync.len() < copies,
            Reign::Unborn | Reign::Preparing { .. } => true,
        }
    }

    /// Whether any life of this member's directory holds the partition, or is to.
    pub(crate) fn holds_or_awaits(&self, member: Member) -> bool {
        let is_named = |members: &Members| members.of(member.directory).is_some();
        // One that puts the partition together is no holder yet.
        let is_primary = self.primary().is_some_and(|it| it.directory == member.directory);
        (is_primary && !is_broken(Breakage::TwoCopiesOnOneNode))
            || self.holders().is_some_and(is_named)
            || is_named(&self.catching_up)
    }

    /// Whether the row names any life of this member's directory.
    pub(crate) fn names(&self, member: Member) -> bool {
        self.holds_or_awaits(member) || self.may_have_stored(member)
    }
}
