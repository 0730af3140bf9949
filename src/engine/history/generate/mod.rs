//! Histories made from a seed: clients that ask at the same time, and objects that answer rightly.
//!
//! Each operation takes effect once between its invocation and its return, in a stream of versions
//! whose epochs change. A part of them is indeterminate: half of those take effect, some of them
//! long after their client has gone on. At the end every object is read once more.
//! [`plant`] then puts one fault into it.

pub(in crate::engine) mod plant;
pub(in crate::engine) mod workload;

use std::collections::BTreeMap;

use workload::Workload;

use super::{History, HistoryOf, Model, Operation, Outcome};
use crate::engine::id::Version;
use crate::engine::simulation::random::Random;

/// What a history is to be like.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Shape {
    /// How many operations, without the final reads.
    pub operations: usize,
    /// How many clients ask, each one thing at a time.
    pub clients: u32,
    /// How many objects there are.
    pub objects: u64,
    /// How many of 1,000 operations are indeterminate.
    pub indeterminate_permille: u64,
}

/// A correct history, and how it came about.
#[derive(Clone)]
pub(in crate::engine) struct Generated<M: Model> {
    /// What the clients saw.
    pub history: HistoryOf<M>,
    /// Everything that took effect, by object, in order.
    pub effects: BTreeMap<u64, Vec<Effect>>,
}

/// One operation takes effect.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Effect {
    /// The operation's number.
    pub number: usize,
    /// The version that it makes, if it changes anything.
    pub version: Version,
}

/// Makes a correct history.
pub(in crate::engine) fn generate<M: Workload>(model: &M, shape: Shape, seed: u64) -> Generated<M> {
    let mut grid = Grid {
        model,
        shape,
        random: Random::new(seed),
        events: BTreeMap::new(),
        events_made: 0,
        objects: BTreeMap::new(),
        heard: BTreeMap::new(),
        made: Generated { history: History::default(), effects: BTreeMap::new() },
        version: Version::new(1, 1, 0),
        fresh: 1,
        now: 0,
    };
    grid.run();
    grid.made
}

/// Long enough for some thousand values between two instants.
const STEP: u64 = 1_000;

enum Event {
    /// A client asks.
    Ask(u32),
    /// An operation takes effect, and its client hears of it or not.
    Effect { number: usize, is_heard: bool },
}

/// Where an object stands.
struct Standing<S> {
    state: S,
    version: Version,
}

struct Grid<'m, M: Workload> {
    model: &'m M,
    shape: Shape,
    random: Random,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    objects: BTreeMap<u64, Standing<M::State>>,
    /// What each client has heard last of each object.
    heard: BTreeMap<(u32, u64), M::Output>,
    made: Generated<M>,
    version: Version,
    fresh: u64,
    now: u64,
}

impl<M: Workload> Grid<'_, M> {
    fn run(&mut self) {
        for client in 0..self.shape.clients {
            let after = self.random.between(0, STEP);
            self.push(after, Event::Ask(client));
        }
        while let Some(((now, _), event)) = self.events.pop_first() {
            self.now = now;
            match event {
                Event::Ask(client)
                    if self.made.history.operations.len() < self.shape.operations =>
                {
                    let object = self.random.between(0, self.shape.objects - 1);
                    self.ask(client, object);
                }
                Event::Ask(_) => (),
                Event::Effect { number, is_heard } => self.take_effect(number, is_heard),
            }
        }
        self.read_all();
    }

    fn push(&mut self, after: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((self.now + after, self.events_made), event);
    }

    /// Mostly short, now and then long.
    fn delay(&mut self) -> u64 {
        let most = if self.random.percent(5) { 20 * STEP } else { STEP };
        self.random.between(1, most)
    }

    fn ask(&mut self, client: u32, object: u64) {
        let heard = self.heard.get(&(client, object));
        let input = self.model.draw(&mut self.random, heard, &mut self.fresh);
        let number = self.made.history.operations.len();
        let outcome = Outcome::Indeterminate;
        let invoked_at = self.now;
        let operation = Operation { client, object, input, invoked_at, outcome };
        self.made.history.operations.push(operation);
        let effect_after = self.delay();
        if self.random.next() % 1_000 >= self.shape.indeterminate_permille {
            self.push(effect_after, Event::Effect { number, is_heard: true });
            return;
        }
        let patience = self.delay();
        self.push(patience, Event::Ask(client));
        if self.random.percent(50) {
            let late = if self.random.percent(30) { 50 * STEP } else { 0 };
            self.push(effect_after + late, Event::Effect { number, is_heard: false });
        }
    }

    fn take_effect(&mut self, number: usize, is_heard: bool) {
        let operation = &mut self.made.history.operations[number];
        let (client, id) = (operation.client, operation.object);
        let object = self.objects.entry(id).or_insert_with(|| Standing {
            state: self.model.initial(),
            version: Version::default(),
        });
        let output = self.model.step(&mut object.state, &operation.input);
        if !self.model.is_changeless(&operation.input, &output) {
            object.version = self.version;
        }
        let version = object.version;
        self.made.effects.entry(id).or_default().push(Effect { number, version: self.version });
        self.version = next(self.version, &mut self.random);
        if !is_heard {
            return;
        }
        self.heard.insert((client, id), output.clone());
        let at = self.now + self.delay();
        let outcome = Outcome::Returned { at, output, version };
        self.made.history.operations[number].outcome = outcome;
        let pause = self.random.between(0, STEP);
        self.push(at - self.now + pause, Event::Ask(client));
    }

    /// When everything is over, one client reads every object.
    fn read_all(&mut self) {
        self.now += 100 * STEP;
        for id in 0..self.shape.objects {
            let number = self.made.history.operations.len();
            self.made.history.operations.push(Operation {
                client: self.shape.clients,
                object: id,
                input: self.model.read(),
                invoked_at: self.now,
                outcome: Outcome::Indeterminate,
            });
            self.take_effect(number, true);
            self.now += 100 * STEP;
        }
    }
}

/// The version after `version`: in the same batch, in the next one, or in the next epoch.
fn next(version: Version, random: &mut Random) -> Version {
    let (epoch, seq) = (version.position.epoch.0, version.position.seq.0);
    match random.next() % 1_000 {
        0 => Version::new(epoch + 1, 1, 0),
        1..300 => Version { index: version.index + 1, ..version },
        _ => Version::new(epoch, seq + 1, 0),
    }
}
