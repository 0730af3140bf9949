//! Scripts: what happens to a grid step by step, and what is to be seen of it.
//!
//! A script has one command a line (see `acts`), and is run on a grid in which nothing goes wrong
//! but what the script says. What it shows is its output, which is compared as a whole. After each
//! step the grid's invariants are checked; `rest` heals everything and checks all that must be
//! then. A case also names rules that it fails without, and how.

mod acts;
mod adoption;
mod asynchronous;
mod clocks;
mod conditions;
mod durability;
mod handover;
mod hooks;
mod letters;
mod life;
mod membership;
mod network;
mod others;
mod promotion;
mod recovery;
mod replication;
mod retries;
mod show;
mod snapshots;
mod stores;
mod suspicion;
mod voters;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Simulation;
use super::history::{Done, Told};
use super::object::{Input, Key, Output};
use super::parcel::Reply;
use super::random::Random;
use crate::engine::breakage::{self, Breakage};
use crate::engine::id::{PartitionId, Position};
use crate::engine::instant::Instant;
pub(super) use hooks::Hooks;

/// How long `until` waits, in virtual time.
const PATIENCE: Duration = Duration::from_secs(15);

/// By so many seeds a script shows the same: they draw how long everything takes.
const SEEDS: u64 = 10;

/// One ask of a script's client: which client, and its number.
type Name = (usize, u64);

/// What a client asks under one number.
struct Asked {
    partition: PartitionId,
    key: Key,
    input: Input,
    floor: u64,
    began_at: Instant,
    answer: Option<Output>,
}

/// A script under way.
struct Play {
    simulation: Simulation,
    /// Nodes as the script calls them.
    names: Vec<(String, usize)>,
    asked: BTreeMap<Name, Asked>,
    openings: BTreeMap<(usize, PartitionId), Position>,
    /// What was heard and not shown.
    heard: Vec<(Name, String)>,
    output: String,
}

/// Runs a script, by a seed. Returns what it shows.
///
/// # Errors
/// What must not be, and where.
fn play(script: &str, seed: u64) -> Result<String, String> {
    let work = || {
        let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
        let plan = words::plan(lines.next().expect("a script begins with its grid"));
        let simulation = Simulation::of(plan, Random::new(seed), None);
        let mut play = Play {
            simulation,
            names: Vec::new(),
            asked: BTreeMap::new(),
            openings: BTreeMap::new(),
            heard: Vec::new(),
            output: String::new(),
        };
        for line in lines {
            if let Err(what) = play.act(line) {
                return Err(format!("{}at `{line}`: {what}", play.output));
            }
        }
        Ok(play.output)
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs a script, which shows what is expected, whatever the seed; and once more without each of
/// the rules: then what it comes to contains what is said there, and is another.
fn check(script: &str, expected: &str, rules: &[(Breakage, &str)]) {
    let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
    let expected: String = lines.map(|line| format!("{line}\n")).collect();
    for seed in 1..=SEEDS {
        match play(script, seed) {
            Ok(output) => assert_eq!(output, expected, "by seed {seed}\n{output}"),
            Err(what) => panic!("by seed {seed}: {what}"),
        }
    }
    for (rule, sign) in rules {
        let found = breakage::with(Some(*rule), || play(script, 1));
        assert_ne!(found.as_ref(), Ok(&expected), "without {rule:?}");
        let text = found.unwrap_or_else(|what| what);
        assert!(text.contains(sign), "without {rule:?}: {text}");
    }
}

impl Play {
    /// The next thing happens.
    fn step(&mut self) -> Result<(), String> {
        let simulation = &mut self.simulation;
        let ((at, _), happening) = simulation.queue.pop_first().expect("nodes always tick");
        simulation.now = at;
        simulation.happen(happening);
        self.check_step()
    }

    fn check_step(&mut self) -> Result<(), String> {
        if let Some(failure) = self.simulation.failure.take() {
            return Err(failure);
        }
        for (at, client, number, reply) in std::mem::take(&mut self.simulation.script.replies) {
            self.hear(at, client, number, reply)?;
        }
        Ok(())
    }

    fn hear(
        &mut self,
        at: Instant,
        client: usize,
        number: u64,
        reply: Reply,
    ) -> Result<(), String> {
        let name = (client, number);
        if let Reply::Opened(position) = reply {
            let partition = PartitionId((number / words::OPEN) as u16 - 1);
            let known = *self.openings.entry((client, partition)).or_insert(position);
            return if known == position { Ok(()) } else { Err("opened twice".to_owned()) };
        }
        if number >= words::OPEN {
            return Ok(()); // of an open: it is said again
        }
        self.heard.push((name, show::reply(name, &reply)));
        let Reply::Done { output, version } = reply else { return Ok(()) };
        let asked = self.asked.get_mut(&name).expect("only what was asked is answered");
        match &asked.answer {
            Some(known) if asked.input.is_read() || *known == output => return Ok(()),
            Some(known) => return Err(format!("{known:?} was answered, and then {output:?}")),
            None => asked.answer = Some(output.clone()),
        }
        let told = Told::Done { at, output, version };
        let Asked { partition, key, input, began_at, .. } = *asked;
        self.simulation.history.push(Done { client, partition, key, input, began_at, told });
        Ok(())
    }

    /// Steps until something is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Play) -> bool) -> Result<(), String> {
        let end = self.simulation.now + PATIENCE;
        while !is_so(self) {
            if self.simulation.now >= end {
                let rows: Vec<_> = self.simulation.consensus.table.rows().collect();
                return Err(format!("it is never so: {what}, of {rows:?}"));
            }
            self.step()?;
        }
        Ok(())
    }

    fn run_for(&mut self, wait: Duration) -> Result<(), String> {
        let end = self.simulation.now + wait;
        while self.simulation.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step()?;
        }
        self.simulation.now = end;
        Ok(())
    }

    /// Everything is healed, and what was held back comes late. Then all copies are equal, and all
    /// that was answered can be read.
    fn rest(&mut self) -> Result<(), String> {
        let simulation = &mut self.simulation;
        simulation.plan.faults_until = simulation.now.saturating_since(Instant::default());
        simulation.script_release("all");
        simulation.heal();
        self.until_rest()?;
        let keys: Vec<_> = self.asked.values().map(|asked| (asked.partition, asked.key)).collect();
        for (at, (partition, key)) in keys.into_iter().enumerate() {
            let name = (words::READER, at as u64 + 1);
            self.ask(name, partition, key, words::read(key), 0);
            self.insist(name)?;
        }
        self.until_rest()?;
        let unanswered = self.asked.iter().filter(|(_, asked)| asked.answer.is_none());
        for ((client, _), asked) in unanswered {
            let Asked { partition, key, input, began_at, .. } = *asked;
            let (client, told) = (*client, Told::Unknown);
            let done = Done { client, partition, key, input, began_at, told };
            self.simulation.history.push(done);
        }
        self.simulation.check_history()?;
        self.simulation.check_final()?;
        self.say("at rest");
        Ok(())
    }

    fn until_rest(&mut self) -> Result<(), String> {
        let result = self.until("rest", |play| play.simulation.unrest().is_none());
        result.map_err(|what| {
            format!("no rest: {}; {what}", self.simulation.unrest().unwrap_or_default())
        })
    }

    fn say(&mut self, line: &str) {
        writeln!(self.output, "{line}").expect("a string takes all");
    }
}
