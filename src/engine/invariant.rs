//! What must always be true, by name.
//!
//! An engine checks itself after each step. What it finds broken is a [`Violation`]: in builds with
//! debug assertions (tests, simulation) finding one panics; in others it goes out as an effect, the
//! engine does nothing more, and the shell counts it by name, logs it and stops the partition.

use std::fmt;

/// Every property that an engine checks of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// The changes of an entity are offered to the store in the order of their versions.
    VersionsOnlyGrow,
    /// Nothing at or under the persisted watermark is still to be stored.
    PersistedIsDurable,
    /// The persisted watermark never goes back.
    PersistedMonotonic,
    /// A batch holds no more records and bytes than allowed, save one record that is too large.
    BatchBounded,
    /// The counted records and bytes are those of the pending entities.
    PendingAccounted,
    /// Each pending entity is in the one order that its stage names, and in no other.
    PendingOrdered,
    // Of a grid as a whole, which only a simulator sees at one moment.
    /// An epoch of a partition has one primary.
    #[cfg(any(test, feature = "simulation"))]
    OnePrimaryPerEpoch,
    /// While a primary answers, nobody else may answer for its partition.
    #[cfg(any(test, feature = "simulation"))]
    OneAnswers,
    /// Whoever may be named primary holds everything that was answered.
    #[cfg(any(test, feature = "simulation"))]
    InSyncHoldsAnswered,
    /// What a new primary lacks of what was answered, it says before it serves.
    #[cfg(any(test, feature = "simulation"))]
    LossReported,
    /// What was handed in is done with once.
    #[cfg(any(test, feature = "simulation"))]
    SettledOnce,
    /// No node is named twice in a row.
    #[cfg(any(test, feature = "simulation"))]
    OneCopyPerNode,
    /// What is decided in the controller's log stays there.
    #[cfg(any(test, feature = "simulation"))]
    DecidedStays,
}

impl Invariant {
    /// The name under which violations are counted.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Invariant::VersionsOnlyGrow => "versions_only_grow",
            Invariant::PersistedIsDurable => "persisted_is_durable",
            Invariant::PersistedMonotonic => "persisted_monotonic",
            Invariant::BatchBounded => "batch_bounded",
            Invariant::PendingAccounted => "pending_accounted",
            Invariant::PendingOrdered => "pending_ordered",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::OnePrimaryPerEpoch => "one_primary_per_epoch",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::OneAnswers => "one_answers",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::InSyncHoldsAnswered => "in_sync_holds_answered",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::LossReported => "loss_reported",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::SettledOnce => "settled_once",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::OneCopyPerNode => "one_copy_per_node",
            #[cfg(any(test, feature = "simulation"))]
            Invariant::DecidedStays => "decided_stays",
        }
    }
}

/// An invariant that was found broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which.
    pub(crate) invariant: Invariant,
    /// What was found, for a person.
    pub(crate) found: String,
}

impl Violation {
    /// Takes note of a broken invariant.
    ///
    /// # Panics
    /// In builds with debug assertions: there, a broken invariant fails the test.
    #[must_use]
    pub(crate) fn new(invariant: Invariant, found: fmt::Arguments<'_>) -> Violation {
        let violation = Violation { invariant, found: found.to_string() };
        if cfg!(debug_assertions) {
            panic!("{violation}");
        }
        violation
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} is broken: {}", self.invariant.name(), self.found)
    }
}

/// `invariant!(Name, condition, "what was found {}", ..)` in a function that returns
/// `Result<_, Violation>`: returns the violation if the condition does not hold.
macro_rules! invariant {
    ($name:ident, $condition:expr, $($found:tt)+) => {
        if !$condition {
            return Err($crate::engine::invariant::Violation::new(
                $crate::engine::invariant::Invariant::$name,
                format_args!($($found)+),
            ));
        }
    };
}

pub(crate) use invariant;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: usize) -> Result<(), Violation> {
        invariant!(PendingAccounted, records < 3, "{records} records");
        Ok(())
    }

    #[test]
    fn a_broken_invariant_panics_in_tests_and_is_returned_in_production() {
        assert_eq!(check(2), Ok(()));
        let message = match std::panic::catch_unwind(|| check(3)) {
            Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
            Ok(returned) => returned.unwrap_err().to_string(),
        };
        assert_eq!(message, "invariant pending_accounted is broken: 3 records");
    }
}
