//! Some entities with a reminder each, handlers that fail, loads that take their time, and a
//! partition that does not run for a while: beside a count of what was due.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Alarms, Config, Missed, Rhythm};
use crate::engine::instant::Timestamp;

const ATTEMPTS: u32 = 3;

fn config() -> Config {
    let (retry_min, retry_max) = (Duration::from_micros(2), Duration::from_micros(5));
    Config { attempts_max: ATTEMPTS, retry_min, retry_max }
}

/// A reminder as its entity's row has it, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Sleeper {
    rhythm: Rhythm,
    since: u64,
    is_over: bool,
    /// Fired, or given up.
    fired: u64,
    missed: u64,
    is_loading: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Set {
        sleeper: u8,
        after: u64,
        every: Option<u64>,
        missed: Missed,
    },
    Cancel {
        sleeper: u8,
    },
    /// Time passes, and the partition runs.
    Run {
        micros: u64,
        fails: bool,
        loads: bool,
    },
    Loaded {
        sleeper: u8,
    },
    /// The partition does not run, and starts again from the rows.
    Restart {
        micros: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let missed = || {
        let each = (0..5u32).prop_map(Missed::Each);
        prop_oneof![Just(Missed::Once), each, Just(Missed::Skip)]
    };
    let set = (0..4u8, 0..30u64, prop::option::of(1..20u64), missed());
    let step = prop_oneof![
        3 => set.prop_map(|(sleeper, after, every, missed)| {
            Step::Set { sleeper, after, every, missed }
        }),
        1 => (0..4u8).prop_map(|sleeper| Step::Cancel { sleeper }),
        6 => (0..15u64, prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(micros, fails, loads)| Step::Run { micros, fails, loads }),
        2 => (0..4u8).prop_map(|sleeper| Step::Loaded { sleeper }),
        1 => (0..100u64).prop_map(|micros| Step::Restart { micros }),
    ];
    prop::collection::vec(step, 1..100)
}

struct World {
    now: u64,
    alarms: Alarms<u8>,
    sleepers: BTreeMap<u8, Sleeper>,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Set { sleeper, after, every, missed } => {
                let due_at = Timestamp::from_micros(self.now + after);
                let every = every.map(Duration::from_micros);
                let rhythm = Rhythm { due_at, every, missed };
                let since = due_at.as_micros();
                let (is_over, is_loading, fired, missed) = (false, false, 0, 0);
                let known = Sleeper { rhythm, since, is_over, fired, missed, is_loading };
                self.sleepers.insert(sleeper, known);
                self.alarms.set(&sleeper, Some(due_at));
            }
            Step::Cancel { sleeper } => {
                self.sleepers.remove(&sleeper);
                self.alarms.set(&sleeper, None);
            }
            Step::Run { micros, fails, loads } => {
                self.now += micros;
                self.run(fails, loads);
            }
            Step::Loaded { sleeper } => self.loaded(sleeper, false),
            Step::Restart { micros } => {
                self.now += micros;
                self.alarms = Alarms::new(config());
                for (name, sleeper) in &mut self.sleepers {
                    sleeper.is_loading = false;
                    let due_at = (!sleeper.is_over).then_some(sleeper.rhythm.due_at);
                    self.alarms.set(name, due_at);
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    fn run(&mut self, fails: bool, loads: bool) {
        while let Some(name) = self.alarms.due(self.now()) {
            assert!(self.alarms.next_at().is_some_and(|at| at <= self.now()));
            if loads {
                self.alarms.wait(&name);
                self.sleepers.get_mut(&name).unwrap().is_loading = true;
            } else {
                self.fire(name, fails);
            }
        }
        assert!(self.alarms.next_at().is_none_or(|at| at > self.now()));
    }

    fn loaded(&mut self, name: u8, fails: bool) {
        self.alarms.wake(&name, None);
        let Some(sleeper) = self.sleepers.get_mut(&name) else { return };
        if std::mem::take(&mut sleeper.is_loading) && self.alarms.is_due(&name, self.now()) {
            self.fire(name, fails);
        }
    }

    fn fire(&mut self, name: u8, fails: bool) {
        let now = self.now();
        let sleeper = self.sleepers.get_mut(&name).unwrap();
        assert!(!sleeper.is_loading && !sleeper.is_over);
        assert!(sleeper.rhythm.due_at <= now, "it comes too early");
        let turn = sleeper.rhythm.turn(now);
        if fails && turn.fires {
            match self.alarms.failed(&name, now) {
                None => return,
                Some(failures) => assert_eq!(failures, ATTEMPTS),
            }
        }
        if let (Missed::Skip, Some(every)) = (sleeper.rhythm.missed, sleeper.rhythm.every) {
            let is_late = sleeper.rhythm.due_at + every <= now;
            assert_eq!(turn.fires, !is_late, "only what is in time");
        }
        sleeper.fired += u64::from(turn.fires);
        sleeper.missed += turn.missed;
        sleeper.is_over = turn.next.is_none();
        sleeper.rhythm.due_at = turn.next.unwrap_or(sleeper.rhythm.due_at);
        self.alarms.set(&name, turn.next);
    }

    /// Nothing fails any more, and everything is done.
    fn heal(&mut self) {
        for name in 0..4 {
            self.loaded(name, false);
        }
        self.now += 10; // what waited for being tried again
        self.run(false, false);
    }

    /// Each time at which a reminder was due is one firing, or one that was missed.
    fn check(&self) {
        for (name, sleeper) in &self.sleepers {
            let due = match sleeper.rhythm.every {
                _ if self.now < sleeper.since => 0,
                None => 1,
                Some(every) => (self.now - sleeper.since) / every.as_micros() as u64 + 1,
            };
            assert_eq!(sleeper.fired + sleeper.missed, due, "{name}: {sleeper:?} at {}", self.now);
            assert!(sleeper.is_over || sleeper.rhythm.due_at > self.now());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn every_time_that_is_due_fires_or_is_missed(steps in steps()) {
        let alarms = Alarms::new(config());
        let mut world = World { now: 0, alarms, sleepers: BTreeMap::new() };
        for step in steps {
            world.step(step);
        }
        world.heal();
        world.check();
    }

    #[test]
    fn after_a_pause_the_policy_decides(
        every in 1..50u64, pause in 0..2000u64, most in 0..20u32, which in 0..3u8,
    ) {
        let missed = match which {
            0 => Missed::Once,
            1 => Missed::Each(most),
            _ => Missed::Skip,
        };
        let mut world =
            World { now: 0, alarms: Alarms::new(config()), sleepers: BTreeMap::new() };
        world.step(Step::Set { sleeper: 0, after: 0, every: Some(every), missed });
        world.step(Step::Restart { micros: pause });
        world.run(false, false);
        world.check();
        let due = pause / every + 1;
        let wanted = match missed {
            Missed::Once => 1,
            Missed::Each(most) => due.min(u64::from(most.max(1))),
            Missed::Skip => u64::from(due == 1),
        };
        prop_assert_eq!(world.sleepers[&0].fired, wanted);
    }
}
