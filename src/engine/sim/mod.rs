//! A node without a runtime: all engines of one node, a store, a network and clients, in virtual
//! time, from one seed.
//!
//! The engines are wired as `runtime` wires them (`unit`); everything around them is a model. The
//! store is slow, fails, tears its last commit, refuses rows; the node crashes at any effect and
//! comes back by the recovery rule; clients repeat their asks until they hear. Each seed draws its
//! own mix (`plan`). The checkers (`check`) see what can be seen from outside.
//!
//! To prove that the checkers see, [`Bug`] puts known mistakes into the wiring, one at a time.

mod check;
mod client;
mod deed;
mod handlers;
mod plan;

mod schedule;
mod source;
mod store;
mod unit;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::simulation::random::Random;
use check::{Check, Seen};
use client::Client;
use deed::{Ask, Asker, Deed};
use plan::Plan;
use schedule::{Happening, Schedule};
use source::Source;
use store::Store;
use unit::Unit;

use super::id::PartitionId;

/// Steps after which a run is taken for one without end.
const STEPS_MAX: u64 = 100_000;

/// A known mistake, made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Answers of write-through counters do not wait for the store.
    AckedBeforeStored,
    /// Only the answers of handlers that write do.
    ReadsNotHeld,
    /// A retry runs again, though its answer is known.
    AnswersNotHeard,
    /// Rows hold the state without its answers.
    AnswersNotStored,
    /// Rows hold the answers of sessions, but not which ones were forgotten.
    FloorsNotStored,
    /// Sessions do not come back from the store.
    SessionsForgotten,
    /// The watermark is taken to cover the record after it.
    WatermarkOffByOne,
    /// Each change restarts the delay.
    DelayRestarted,
    /// A restart goes on in the epoch of the crashed node.
    EpochNotRaised,
    /// The store takes batches of an epoch that is over.
    FenceIgnored,
    /// Recovery reads rows only.
    LettersNotRead,
    /// Handlers run though the queue is full.
    NoBackPressure,
    /// A failed commit is taken for a good one.
    FailureUnseen,
}

/// A property that did not hold.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Its name.
    pub(crate) property: &'static str,
    /// What was found, for a person.
    pub(crate) found: String,
    /// Everything that happened until then, a line each.
    pub(crate) trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}: {}", self.property, self.found)
    }
}

/// Runs one seed to its end. Returns its trace.
///
/// # Errors
/// The first property that does not hold.
pub(crate) fn run(seed: u64, bug: Option<Bug>) -> Result<Vec<String>, Broken> {
    let mut node = Node::new(seed, bug);
    match node.run() {
        Ok(()) => Ok(node.trace),
        Err((property, found)) => Err(Broken { property, found, trace: node.trace }),
    }
}

type Property = (&'static str, String);

struct Node {
    plan: Plan,
    bug: Option<Bug>,
    schedule: Schedule,
    store: Store,
    /// Empty while the node is down.
    units: BTreeMap<PartitionId, Unit>,
    /// Asks that have reached a partition and are not yet taken in.
    inboxes: BTreeMap<PartitionId, Vec<Ask>>,
    clients: Vec<Client>,
    source: Source,
    crashes_left: u32,
    /// Events and effects until the next crash.
    fuse: u64,
    checks: Vec<Box<dyn Check>>,
    trace: Vec<String>,
}

impl Node {
    fn new(seed: u64, bug: Option<Bug>) -> Node {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let fuse = random.between(1, plan.crash_within);
        let mut schedule = Schedule::new(plan.net.clone(), random);
        schedule.anyway_after(Default::default(), Happening::Restart);
        schedule.anyway_after(std::time::Duration::from_millis(plan.heal_after), Happening::Heal);
        Node {
            bug,
            schedule,
            store: Store::new(plan.store.clone(), bug),
            units: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            clients: (0..plan.clients).map(|index| Client::new(index, &plan)).collect(),
            source: Source::new(),
            crashes_left: plan.crashes,
            fuse,
            checks: check::all(&plan),
            trace: vec![format!("{plan:?}")],
            plan,
        }
    }

    fn run(&mut self) -> Result<(), Property> {
        for _ in 0..STEPS_MAX {
            if self.is_over() {
                return self.lose_power();
            }
            let deadlines = self.units.values().filter_map(Unit::next_deadline);
            let Some(next) = deadlines.chain(self.schedule.first_at()).min() else {
                return Err(("everything ends", "nothing will ever happen".to_owned()));
            };
            self.schedule.now = self.schedule.now.max(next);
            while let Some(happening) = self.schedule.pop_due() {
                self.happen(happening)?;
            }
            self.settle()?;
        }
        Err(("everything ends", format!("not after {STEPS_MAX} steps")))
    }

    fn is_over(&self) -> bool {
        !self.units.is_empty()
            && self.source.is_done(&self.plan)
            && self.clients.iter().all(Client::is_done)
            && self.units.values().all(|unit| unit.pending().0 == 0)
    }

    /// With everything persisted, a last crash takes nothing.
    fn lose_power(&mut self) -> Result<(), Property> {
        self.crash();
        self.restart()?;
        self.see(&Seen::Over)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Property> {
        self.note(&happening);
        if !self.units.is_empty() && self.burns() {
            self.crash();
            // What reaches the store or ends the faults is not the node's.
            let is_outside = matches!(happening, Happening::Heal | Happening::LateBatches(_));
            if !is_outside {
                return Ok(());
            }
        }
        let now = self.schedule.now;
        match happening {
            Happening::Ask(_) if self.units.is_empty() => (), // a late try of the source
            Happening::Ask(ask) => {
                self.see(&Seen::Asked(&ask))?;
                let partition = client::home(&self.plan, ask.counter);
                self.inboxes.entry(partition).or_default().push(ask);
            }
            Happening::Open { asker, partition, session } => {
                let durable = asker == Asker::Source;
                self.unit(partition).open(now, asker, session, durable);
            }
            Happening::Persist(partition) => self.unit(partition).persist(now),
            Happening::Heard { asker: Asker::Client(client), id, reply } => {
                self.clients[client].heard(&self.plan, id, reply);
            }
            Happening::Heard { asker: Asker::Source, id, reply } => self.source.heard(id, reply),
            Happening::HeardOpened { asker: Asker::Client(client), partition, opening } => {
                self.clients[client].opened(partition, opening);
            }
            Happening::HeardOpened { asker: Asker::Source, partition, opening } => {
                self.source.opened(partition, opening);
            }
            Happening::HeardPersisted(partition) => self.source.persisted(partition),
            Happening::Think(Asker::Client(client)) => {
                self.clients[client].think(&self.plan, &mut self.schedule);
            }
            Happening::Think(Asker::Source) => {
                self.source.think(&self.plan, &mut self.schedule);
            }
            Happening::Timeout { asker: Asker::Client(client), id } => {
                self.clients[client].timeout(&self.plan, id, &mut self.schedule);
            }
            Happening::Timeout { asker: Asker::Source, id } => {
                self.source.timeout(&self.plan, id, &mut self.schedule);
            }
            Happening::CommitEnds => self.end_commit()?,
            Happening::LateBatches(batches) => {
                self.store.late(&batches);
                self.see_written()?;
            }
            Happening::Restart => self.restart()?,
            Happening::Heal => {
                self.crashes_left = 0;
                self.store.heal();
                self.schedule.heal();
            }
        }
        Ok(())
    }

    /// Whether the node crashes before its next event or effect.
    fn burns(&mut self) -> bool {
        self.fuse = self.fuse.saturating_sub(1);
        self.fuse == 0 && self.crashes_left > 0
    }

    fn crash(&mut self) {
        self.trace.push("crash".to_owned());
        self.crashes_left = self.crashes_left.saturating_sub(1);
        self.fuse = self.schedule.random.between(1, self.plan.crash_within);
        self.units.clear();
        self.inboxes.clear();
        let life = self.schedule.end_life();
        for client in &mut self.clients {
            client.restart(life);
        }
        self.source.restart();
        let random = &mut self.schedule.random;
        let late = self.store.tear(random);
        let (late_after, restart_after) = (random.millis(0, 300), random.millis(1, 200));
        if !late.is_empty() {
            self.schedule.anyway_after(late_after, Happening::LateBatches(late));
        }
        self.schedule.anyway_after(restart_after, Happening::Restart);
    }

    fn restart(&mut self) -> Result<(), Property> {
        self.see_written()?;
        let now = self.schedule.now;
        for partition in (0..self.plan.partitions).map(PartitionId) {
            let epoch = self.store.raise_fence(partition);
            let rows = self.store.scan(partition);
            let unit = Unit::recover(partition, epoch, &self.plan, self.bug, now, rows);
            self.see(&Seen::Recovered { partition, epoch, memory: &unit.memory() })?;
            self.units.insert(partition, unit);
        }
        for client in 0..self.clients.len() {
            let pause = self.schedule.random.millis(0, self.plan.think_max);
            self.schedule.after(pause, Happening::Think(Asker::Client(client)));
        }
        // The source has to find the node again; its late tries may be there first.
        let longest = self.schedule.random.pick(&[10, 1_000]);
        let pause = self.schedule.random.millis(0, longest);
        self.schedule.after(pause, Happening::Think(Asker::Source));
        Ok(())
    }

    fn end_commit(&mut self) -> Result<(), Property> {
        let answers = self.store.end(&mut self.schedule.random);
        self.see_written()?;
        let now = self.schedule.now;
        for (partition, event) in answers {
            self.unit(partition).stored(now, event);
        }
        if self.store.begin() {
            self.begin_commit();
        }
        Ok(())
    }

    fn begin_commit(&mut self) {
        let takes = self.schedule.random.millis(0, self.plan.store.latency_max);
        self.schedule.after(takes, Happening::CommitEnds);
    }

    fn settle(&mut self) -> Result<(), Property> {
        let now = self.schedule.now;
        let partitions: Vec<_> = self.units.keys().copied().collect();
        for partition in partitions {
            let asks = self.inboxes.remove(&partition).unwrap_or_default();
            let (records, bytes) = self.unit(partition).pending();
            self.see(&Seen::Pending { partition, records, bytes })?;
            let unit = self.unit(partition);
            unit.execute(now, asks);
            self.perform(partition)?;
            if self.units.is_empty() {
                return Ok(()); // crashed
            }
            let (records, bytes) = self.unit(partition).pending();
            self.see(&Seen::Pending { partition, records, bytes })?;
            self.unit(partition).settle(now);
            self.perform(partition)?;
            if self.units.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Does in order what a unit wants done, unless the node crashes in between.
    fn perform(&mut self, partition: PartitionId) -> Result<(), Property> {
        for deed in self.unit(partition).take_deeds() {
            if self.burns() {
                self.crash();
                return Ok(());
            }
            self.note(&deed);
            self.see(&Seen::Deed(partition, &deed))?;
            match deed {
                Deed::Answered { ask: Ask { asker, id, .. }, reply, .. } => {
                    self.schedule.send(Happening::Heard { asker, id, reply });
                }
                Deed::Opened { asker, opening, .. } => {
                    let opening = opening.opening;
                    self.schedule.send(Happening::HeardOpened { asker, partition, opening });
                }
                Deed::Write(batch) => {
                    if self.store.submit(batch) {
                        self.begin_commit();
                    }
                }
                Deed::PersistDone => {
                    self.schedule.after(Default::default(), Happening::HeardPersisted(partition));
                }
                Deed::Stopped { why } => return Err(("nobody else writes", why)),
                Deed::Ran
                | Deed::Committed { .. }
                | Deed::Stored { .. }
                | Deed::Parked { .. }
                | Deed::Persisted { .. } => (),
            }
        }
        Ok(())
    }

    fn unit(&mut self, partition: PartitionId) -> &mut Unit {
        self.units.get_mut(&partition).expect("events of a life end with it")
    }

    fn see_written(&mut self) -> Result<(), Property> {
        for (row, by) in self.store.take_written() {
            self.see(&Seen::Written { row: &row, by })?;
        }
        Ok(())
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Property> {
        for check in &mut self.checks {
            let ok = check.see(self.schedule.now, seen, &self.store);
            ok.map_err(|found| (check.name(), found))?;
        }
        Ok(())
    }

    fn note(&mut self, what: &impl fmt::Debug) {
        let millis = self.schedule.now.as_nanos() / 1_000_000;
        self.trace.push(format!("{millis} {what:?}"));
    }
}
