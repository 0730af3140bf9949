//! Nodes that have little time: whatever one does takes long, though it is never stopped.
//!
//! What comes waits in its inbox, and it takes one thing after another: what came, and by turns
//! with it what is due by the clock.

use std::time::Duration;

use super::node::{Node, Out, Process};
use super::parcel::{Endpoint, Parcel};
use super::{Happening, Simulation};

/// How little time a node has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hunger {
    /// What each thing takes.
    pace: Duration,
    /// Whether it is to look around, as it does again and again.
    is_tick_due: bool,
    has_ticked: bool,
}

enum Work {
    Tick,
    Parcel(Endpoint, Box<Parcel>),
}

impl Node {
    pub(super) fn is_starved(&self) -> bool {
        matches!(self.process, Process::Starved(_))
    }

    fn starve(&mut self, pace: Duration) {
        let hunger = Hunger { pace, is_tick_due: false, has_ticked: false };
        self.process = Process::Starved(hunger);
    }

    pub(super) fn put_off_tick(&mut self) {
        if let Process::Starved(hunger) = &mut self.process {
            hunger.is_tick_due = true;
        }
    }

    /// What it does next, and how long that takes.
    fn next_work(&mut self) -> Option<(Duration, Option<Work>)> {
        let Process::Starved(hunger) = &mut self.process else { return None };
        let is_tick = hunger.is_tick_due && (!hunger.has_ticked || self.inbox.is_empty());
        hunger.has_ticked = is_tick;
        if is_tick {
            hunger.is_tick_due = false;
            return Some((hunger.pace, Some(Work::Tick)));
        }
        let next = self.inbox.pop_front();
        Some((hunger.pace, next.map(|(from, parcel)| Work::Parcel(from, Box::new(parcel)))))
    }
}

impl Simulation {
    /// For some time whatever a node does takes as long as `pace`; then again, after a breath, as
    /// often as there are `bursts`.
    pub(super) fn starve(&mut self, node: usize, pace: Duration, bursts: u64) {
        if self.has_healed || !self.nodes[node].is_running() || self.nodes[node].is_starved() {
            return;
        }
        self.note(|| format!("{node} has no time: {pace:?}"));
        let life = self.nodes[node].life();
        self.nodes[node].starve(pace);
        self.after(pace, Happening::Work { node, life });
        let lasts = self.random.millis(200, 1500);
        self.after(lasts, Happening::Feed { node, life });
        if bursts > 1 {
            let wait = lasts + self.random.millis(20, 300);
            self.after(wait, Happening::Starve { node, pace, bursts: bursts - 1 });
        }
    }

    /// It has all the time it needs.
    pub(super) fn feed(&mut self, node: usize) {
        if self.nodes[node].is_starved() {
            self.nodes[node].pause();
            self.resume(node);
        }
    }

    /// A starved node does one thing.
    pub(super) fn work(&mut self, node: usize, life: u64) {
        if self.nodes[node].life() != life {
            return;
        }
        let Some((pace, work)) = self.nodes[node].next_work() else { return };
        let mut out = Out::default();
        match work {
            Some(Work::Tick) => self.nodes[node].tick(self.now, &mut out),
            Some(Work::Parcel(from, parcel)) => match *parcel {
                Parcel::Propose(commands) => self.proposed(node, commands),
                parcel => self.nodes[node].take_in(self.now, from, parcel, &mut out),
            },
            None => (),
        }
        self.send_all(node, out);
        self.after(pace, Happening::Work { node, life });
    }
}
