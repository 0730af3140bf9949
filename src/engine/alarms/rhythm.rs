//! When a reminder is due, again and again, and what becomes of firings that were missed.

use std::time::Duration;

use crate::engine::instant::Timestamp;

/// What becomes of a repeated reminder's firings whose successors are due, too: after a crash, say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// All of them together are one firing.
    #[default]
    Once,
    /// Each fires; of more than so many, only the last so many.
    Each(u32),
    /// None of them fires: the next firing is the next that is in time.
    Skip,
}

/// When one reminder is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    pub(crate) due_at: Timestamp,
    /// How long after that the next one is due, if it repeats.
    pub(crate) every: Option<Duration>,
    pub(crate) missed: Missed,
}

/// What is to be done with a reminder that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) fires: bool,
    /// Firings that are passed over.
    pub(crate) missed: u64,
    /// When it is due after that.
    pub(crate) next: Option<Timestamp>,
}

impl Rhythm {
    /// What the reminder, which is due, comes to now.
    pub(crate) fn turn(self, now: Timestamp) -> Turn {
        let Some(every) = self.every.map(|every| every.max(Duration::from_micros(1))) else {
            return Turn { fires: true, missed: 0, next: None };
        };
        let every = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        let late = now.as_micros().saturating_sub(self.due_at.as_micros());
        // Firings whose successors are due, too.
        let behind = late / every;
        let after = |firings: u64| {
            let later = every.saturating_mul(firings);
            Some(Timestamp::from_micros(self.due_at.as_micros().saturating_add(later)))
        };
        match self.missed {
            Missed::Skip if behind > 0 => {
                Turn { fires: false, missed: behind + 1, next: after(behind + 1) }
            }
            Missed::Each(most) if behind < u64::from(most.max(1)) => {
                Turn { fires: true, missed: 0, next: after(1) }
            }
            Missed::Each(most) => {
                let missed = behind + 1 - u64::from(most.max(1));
                Turn { fires: true, missed, next: after(missed + 1) }
            }
            Missed::Once | Missed::Skip => {
                Turn { fires: true, missed: behind, next: after(behind + 1) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(missed: Missed, now: u64) -> (bool, u64, Option<u64>) {
        let every = Some(Duration::from_micros(10));
        let rhythm = Rhythm { due_at: Timestamp::from_micros(100), every, missed };
        let turn = rhythm.turn(Timestamp::from_micros(now));
        (turn.fires, turn.missed, turn.next.map(Timestamp::as_micros))
    }

    #[test]
    fn in_time_all_policies_are_alike() {
        for missed in [Missed::Once, Missed::Each(3), Missed::Skip] {
            assert_eq!(at(missed, 100), (true, 0, Some(110)));
            assert_eq!(at(missed, 109), (true, 0, Some(110)));
        }
    }

    #[test]
    fn what_was_missed_is_one_firing_or_each_or_none() {
        assert_eq!(at(Missed::Once, 135), (true, 3, Some(140)));
        assert_eq!(at(Missed::Skip, 135), (false, 4, Some(140)));
        assert_eq!(at(Missed::Each(4), 135), (true, 0, Some(110)), "three are behind it");
        assert_eq!(at(Missed::Each(2), 135), (true, 2, Some(130)), "the last two: 120 and 130");
        assert_eq!(at(Missed::Each(0), 135), (true, 3, Some(140)));
    }
}
