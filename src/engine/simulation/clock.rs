//! Clocks: each process has one of its own, which began at some moment, and runs at the rate of its
//! host.

#[cfg(test)]
use std::time::Duration;

use super::plan::Plan;
use super::random::Random;
use crate::engine::instant::Instant;

const MILLION: i128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What it showed at the beginning, in nanoseconds.
    began_at: i128,
    /// By how much it is faster than true time, in millionths.
    rate: i128,
}

impl Clock {
    /// That of a process.
    pub(super) fn of(plan: &Plan, node: usize, life: u64) -> Clock {
        let (mut host, node) = (Random::new(plan.clocks), node as u64);
        (0..node).for_each(|_| {
            host.next();
        });
        let drift = i128::from(plan.drift);
        let rate = host.pick(&[-drift, 0, drift]);
        let mut process = Random::new(plan.clocks ^ (node << 32) ^ (life << 40));
        let began_at = i128::from(process.between(1_000_000_000, 10_000_000_000_000));
        Clock { began_at, rate }
    }

    /// What it shows.
    pub(super) fn read(self, now: Instant) -> Instant {
        let elapsed = i128::from(now.as_nanos());
        let nanos = self.began_at + elapsed + elapsed * self.rate / MILLION;
        Instant::from_nanos(u64::try_from(nanos).expect("a simulation is short"))
    }

    /// It shows this now: its process has just begun.
    #[cfg(test)]
    pub(super) fn set(&mut self, now: Instant, shown: Duration) {
        let before = i128::from(self.read(now).as_nanos());
        self.began_at += shown.as_nanos() as i128 - before;
    }

    /// From now on it runs so much faster, in millionths.
    #[cfg(test)]
    pub(super) fn set_rate(&mut self, now: Instant, rate: i64) {
        let shown = i128::from(self.read(now).as_nanos());
        let elapsed = i128::from(now.as_nanos());
        self.rate = i128::from(rate);
        self.began_at = shown - elapsed - elapsed * self.rate / MILLION;
    }
}
