//! What one seed is about: each draws its own mix of load, bounds and faults, so that every fault
//! is also met without the others.

use std::time::Duration;

use crate::engine::simulation::random::Random;
use crate::engine::write_behind;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) partitions: u16,
    /// Counters, by number; some are write-through (see [`Plan::delay`]).
    pub(super) counters: u32,
    /// How long the store may lag behind a write-behind counter.
    delay: Duration,
    /// One counter in so many is write-through; 0 for none.
    through_every: u32,
    pub(super) clients: usize,
    /// Asks of each client.
    pub(super) client_asks: u32,
    /// Longest pause of a client between two asks, in milliseconds.
    pub(super) think_max: u64,
    /// Rows of the source that asks under a durable session.
    pub(super) source_rows: u64,
    pub(super) queue: write_behind::Config,
    pub(super) window_max: u64,
    pub(super) session_idle: Duration,
    /// How often idle sessions, and floors that the store does not know, are looked for.
    pub(super) housekeeping_every: Duration,
    pub(super) store: StoreFaults,
    pub(super) net: NetFaults,
    pub(super) crashes: u32,
    /// Events and effects between two crashes, at most.
    pub(super) crash_within: u64,
    /// When all faults end, in milliseconds, but for what the store refuses for good.
    pub(super) heal_after: u64,
}

#[derive(Clone, Debug)]
pub(super) struct StoreFaults {
    /// Longest time of a commit, in milliseconds.
    pub(super) latency_max: u64,
    /// Chance of a commit to fail without having written anything.
    pub(super) fails_percent: u64,
    /// Chance of a commit to fail having written any of its rows.
    pub(super) tears_percent: u64,
    /// The store refuses one record in so many for good; 0 for none.
    pub(super) poison_every: u64,
    /// It says which one that is.
    pub(super) names_poison: bool,
    /// Chance of a dead letter to be refused, until the faults end.
    pub(super) letter_refused_percent: u64,
}

#[derive(Clone, Debug)]
pub(super) struct NetFaults {
    pub(super) delay_max: u64,
    pub(super) lost_percent: u64,
    pub(super) twice_percent: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Plan {
        let plan = Plan::draw_any(random);
        match random.between(1, 10) {
            1 => plan.hot(random),
            2 => plan.late(),
            _ => plan,
        }
    }

    /// A few counters that change all the time, and nothing that keeps the store from being prompt.
    fn hot(self, random: &mut Random) -> Plan {
        Plan {
            counters: random.pick(&[1, 2]),
            delay: Duration::from_millis(random.pick(&[20, 50])),
            clients: 3,
            client_asks: 60,
            think_max: 20,
            queue: write_behind::Config {
                pending_records_max: 1_000,
                pending_bytes_max: 1_000_000,
                ..self.queue
            },
            store: StoreFaults {
                latency_max: 5,
                fails_percent: 0,
                tears_percent: 0,
                poison_every: 0,
                ..self.store
            },
            crashes: 0,
            ..self
        }
    }

    /// A source whose tries come late, also after crashes, when its floor has moved on and nothing
    /// but the counters' rows may know.
    fn late(self) -> Plan {
        Plan {
            counters: 8,
            clients: 3,
            client_asks: 60,
            think_max: 20,
            source_rows: 30,
            window_max: 4,
            session_idle: Duration::from_secs(3_600),
            housekeeping_every: Duration::from_secs(3),
            store: StoreFaults { latency_max: 5, poison_every: 0, ..self.store },
            net: NetFaults { delay_max: 5, lost_percent: 0, twice_percent: 80 },
            crashes: 6,
            crash_within: 1_000,
            heal_after: 5_000,
            ..self
        }
    }

    fn draw_any(random: &mut Random) -> Plan {
        let has_clients = random.percent(85);
        let has_source = !has_clients || random.percent(60);
        Plan {
            partitions: random.pick(&[1, 1, 2, 3]),
            counters: random.pick(&[1, 2, 3, 5, 8]),
            delay: Duration::from_millis(random.pick(&[20, 50, 200, 1_000])),
            through_every: random.pick(&[0, 1, 2, 2, 3]),
            clients: if has_clients { random.pick(&[1, 2, 3]) } else { 0 },
            client_asks: random.pick(&[5, 10, 20]),
            think_max: random.pick(&[5, 20, 100]),
            source_rows: if has_source { random.between(5, 30) } else { 0 },
            queue: queue(random),
            window_max: random.pick(&[4, 8, 16]),
            session_idle: random.pick(&[
                Duration::from_millis(300),
                Duration::from_secs(3_600),
                Duration::from_secs(3_600),
            ]),
            housekeeping_every: Duration::from_millis(random.pick(&[100, 100, 3_000])),
            store: StoreFaults::draw(random),
            net: NetFaults::draw(random),
            crashes: random.pick(&[0, 1, 1, 2, 4]),
            crash_within: random.pick(&[30, 100, 300]),
            heal_after: random.between(500, 5_000),
        }
    }

    /// How long the store may lag behind a counter; zero for write-through.
    pub(super) fn delay(&self, counter: u32) -> Duration {
        if self.is_write_through(counter) { Duration::ZERO } else { self.delay }
    }

    pub(super) fn is_write_through(&self, counter: u32) -> bool {
        self.through_every > 0 && counter.is_multiple_of(self.through_every)
    }

    /// Whether nothing keeps the store from being prompt.
    pub(super) fn is_prompt(&self) -> bool {
        let StoreFaults { latency_max, fails_percent, tears_percent, poison_every, .. } =
            self.store;
        latency_max <= 5 && fails_percent + tears_percent + poison_every == 0 && self.crashes == 0
    }
}

fn queue(random: &mut Random) -> write_behind::Config {
    write_behind::Config {
        batch_records_max: random.pick(&[1, 3, 100]),
        batch_bytes_max: random.pick(&[100, 1_000_000]),
        pending_records_max: random.pick(&[3, 8, 1_000]),
        pending_bytes_max: random.pick(&[500, 1_000_000]),
        pending_age_max: Duration::from_millis(random.pick(&[1_000, 60_000])),
        retry_min: Duration::from_millis(10),
        retry_max: Duration::from_millis(500),
    }
}

impl StoreFaults {
    fn draw(random: &mut Random) -> StoreFaults {
        StoreFaults {
            latency_max: random.pick(&[1, 5, 50, 400]),
            fails_percent: random.pick(&[0, 0, 10, 40]),
            tears_percent: random.pick(&[0, 0, 10, 40]),
            poison_every: random.pick(&[0, 0, 3, 10]),
            names_poison: random.percent(50),
            letter_refused_percent: random.pick(&[0, 0, 50]),
        }
    }
}

impl NetFaults {
    fn draw(random: &mut Random) -> NetFaults {
        NetFaults {
            delay_max: random.pick(&[1, 5, 50]),
            lost_percent: random.pick(&[0, 0, 10, 30]),
            twice_percent: random.pick(&[0, 0, 10, 30]),
        }
    }
}
