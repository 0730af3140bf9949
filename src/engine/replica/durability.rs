//! How safe a change must be before its ask is answered: what a type asks for, and what holds while
//! a partition has fewer copies in sync than are wanted.
//!
//! The first time that a primary sees too few of them in the row, the next failure may take the
//! last one. From then on what a type has chosen decides; what was answered before is as safe as it
//! was.

use crate::engine::breakage::{Breakage, is_broken};

/// What becomes of asks while a partition has fewer copies in sync than are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnderReplicated {
    /// Each answer waits until what it depends on is stored, and everything pending is due at once:
    /// a second failure loses nothing that was answered since the first was seen.
    WriteThrough,
    /// The copies that are there are enough.
    Degrade,
    /// New changes are refused. Of those that were under way the answers wait for the copies.
    Refuse,
}

/// What a type asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durability {
    /// Whether all that is answered, or leaves otherwise, is stored before.
    pub writes_through: bool,
    pub under_replicated: UnderReplicated,
}

impl Durability {
    /// Whether answers and messages wait for the store. `is_short`: there are too few copies.
    pub(crate) fn stores_first(self, is_short: bool) -> bool {
        let is_exposed = is_short && self.under_replicated == UnderReplicated::WriteThrough;
        let is_stored = self.writes_through && !is_broken(Breakage::AnsweredBeforeStored);
        is_stored || (is_exposed && !is_broken(Breakage::ShortNotStored))
    }

    /// Whether what is to be stored waits for nothing.
    pub(crate) fn is_hurried(self, is_short: bool) -> bool {
        let is_exposed = is_short && self.under_replicated == UnderReplicated::WriteThrough;
        self.writes_through || is_exposed
    }

    /// Whether a handler that may change something may run.
    pub(crate) fn admits(self, is_short: bool) -> bool {
        !is_short || self.under_replicated != UnderReplicated::Refuse
    }

    /// Whether the answer to one may be given, when what it depends on is as safe as it is to be.
    pub(crate) fn answers(self, is_short: bool) -> bool {
        self.admits(is_short) || is_broken(Breakage::ShortAnswered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(writes_through: bool, under_replicated: UnderReplicated) -> Durability {
        Durability { writes_through, under_replicated }
    }

    #[test]
    fn with_too_few_copies_the_store_takes_their_place() {
        let behind = of(false, UnderReplicated::WriteThrough);
        assert!(!behind.stores_first(false) && !behind.is_hurried(false));
        assert!(behind.stores_first(true) && behind.is_hurried(true) && behind.admits(true));
        let through = of(true, UnderReplicated::Degrade);
        assert!([false, true].iter().all(|it| through.stores_first(*it)));
    }

    #[test]
    fn what_is_there_may_be_enough_or_not() {
        let degraded = of(false, UnderReplicated::Degrade);
        assert!(!degraded.stores_first(true) && degraded.admits(true) && degraded.answers(true));
        let refused = of(false, UnderReplicated::Refuse);
        assert!(refused.admits(false) && refused.answers(false));
        assert!(!refused.admits(true) && !refused.answers(true));
    }
}
