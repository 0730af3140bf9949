//! When the units of one thread want to be woken: one task sleeps until the earliest.

use std::cell::RefCell;
use std::collections::BTreeSet;

use tokio::sync::Notify;

use crate::engine::instant::Instant;

use super::clock::Clock;

pub(crate) struct Timer {
    clock: Clock,
    deadlines: RefCell<Deadlines>,
    earlier: Notify,
}

struct Deadlines {
    of_unit: Vec<Option<Instant>>,
    ordered: BTreeSet<(Instant, usize)>,
}

impl Timer {
    pub(crate) fn new(clock: Clock, units: usize) -> Timer {
        let deadlines = Deadlines { of_unit: vec![None; units], ordered: BTreeSet::new() };
        Timer { clock, deadlines: RefCell::new(deadlines), earlier: Notify::new() }
    }

    /// Unit `unit` wants to be woken at `deadline`, and at no other time.
    pub(crate) fn set(&self, unit: usize, deadline: Option<Instant>) {
        let mut deadlines = self.deadlines.borrow_mut();
        let known = std::mem::replace(&mut deadlines.of_unit[unit], deadline);
        if known == deadline {
            return;
        }
        if let Some(known) = known {
            deadlines.ordered.remove(&(known, unit));
        }
        if let Some(deadline) = deadline {
            let first = deadlines.ordered.first().copied();
            deadlines.ordered.insert((deadline, unit));
            if first.is_none_or(|(first, _)| deadline < first) {
                self.earlier.notify_one();
            }
        }
    }

    /// Waits until a unit is to be woken, and returns it.
    pub(crate) async fn due(&self) -> usize {
        loop {
            let first = self.deadlines.borrow().ordered.first().copied();
            match first {
                Some((at, unit)) if at <= self.clock.now() => {
                    let mut deadlines = self.deadlines.borrow_mut();
                    deadlines.ordered.remove(&(at, unit));
                    deadlines.of_unit[unit] = None;
                    return unit;
                }
                Some((at, _)) => {
                    tokio::select! {
                        biased;
                        () = self.earlier.notified() => {}
                        () = self.clock.sleep_until(at) => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }
}
