//! What the lines of a script do.
//!
//! * `let NAME NODE`: from now on this node is called so.
//! * `until CONDITION`, `expect CONDITION`, `run 300ms`, `show THING`, `rest`.
//! * `crash|kill|restart|pause|resume|isolate|deaf|mute NODE`, `restore NODE GENERATION`,
//!   `starve NODE 90ms BURSTS` (each thing takes as long), `feed NODE`;
//!   `rate NODE 1000` (its clock is faster, in millionths), `clock NODE 5` (its wall clock), `shows
//!   NODE 1s` (its own, at its start).
//! * `lead NODE`
//!   (from now on it votes, and nodes rather that hold no copies), `wipe NODE` (it crashes, and its
//!   log is lost).
//! * `fill NODE` (its own store takes nothing), `free NODE`, `store down|up` (the shared one).
//! * `refuse VALUE [at NODE] [whole]`: the shared store (or a node's own) takes no entity any more
//!   that is this, or ends in it; and does not say which one of a batch it is. `accept NODE`: the
//!   store that it drains into takes everything again. `replay`: an operator has all dead letters
//!   replayed.
//! * `intrude KEY N`: somebody else writes 199, 299, .. into the shared store, in a version that is
//!   newer by so many; `compare`: all rows there are compared with memory.
//! * `cut A B`, `oneway A B` (nothing comes from A to B), `split A B | C D`, `ring`, `heal`.
//! * `hold KIND [from A] [to B]`, `lose KIND ..`, `release KIND`, `forget KIND`: parcels and
//!   proposals (`hooks` names their kinds) come later, or never; `pass KIND`: from now on such ones
//!   come at once, and those that are held back do not yet.
//! * `propose arm|promote|catch-up|declare|drain|undrain|mark-down|readmit NODE`,
//!   `propose enter NODE GENERATION`, `propose impostor NODE`: an operator's command, decided at
//!   once.
//! * `found g2`: another grid is formed of the same nodes, with nothing but the shared store of
//!   the one before (the first is `g1`); `adopt g1`: an operator has it take over the store of that
//!   one; `disk NODE g9`: it crashes, and its own store is another grid's from now on.
//! * `open A [at NODE]`, `write KEY VALUE as A#1 [at NODE] [floor 0]`, `read KEY as A#2 [at NODE]`,
//!   `write-many COUNT as A#1` (into so many objects, under this number and the next ones), `take
//!   KEY as A#3` (what is in a slot), `retry A#1 [at NODE]`, `done A#1`: again and again,
//!   where the primary is, until it is done.

use std::time::Duration;

use super::super::object::{Input, Key};
use super::super::parcel::{Ask, Consistency, Endpoint, Parcel};
use super::hooks::Filter;
use super::{Asked, Name, Play, words};
use crate::engine::adoption::GridId;
use crate::engine::history::models::slot;
use crate::engine::id::{NodeId, PartitionId};
use crate::engine::instant::Timestamp;
use crate::engine::table::{Command, DirectoryId, Generation, Member, RowChange};

impl Play {
    pub(super) fn act(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, rest) = words.split_first().expect("the line is not empty");
        match *verb {
            "let" => {
                let node = self.node(rest[1])?;
                self.names.push((rest[0].to_owned(), node));
            }
            "until" => {
                let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
                let is_so = |play: &Play| {
                    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
                    play.is_so(&rest)
                };
                self.until(line, is_so)?;
                if rest[0] == "answer" {
                    self.show_answers(Some(words::name(&rest[1])));
                }
            }
            "expect" => {
                if !self.is_so(rest) {
                    return Err(format!("it is not so, of {:?}", self.simulation.first_row()));
                }
            }
            "run" => self.run_for(words::duration(rest[0]))?,
            "show" => self.show(rest)?,
            "rest" => self.rest()?,
            "cut" | "oneway" | "split" | "ring" | "heal" => self.change_network(verb, rest)?,
            "found" => self.simulation.found_anew(grid(rest[0])),
            "adopt" => self.adopt(rest),
            "store" => match rest[0] {
                "down" => self.simulation.store.is_down = true,
                _ => self.simulation.store_up(),
            },
            "refuse" => self.refuse(rest)?,
            "replay" => self.simulation.replay(),
            "compare" => self.simulation.compare_rows(),
            "intrude" => {
                let (partition, key) = words::key(rest[0]);
                let more = rest[1].parse().expect("a number");
                self.simulation.write_as_another(partition, key, more);
            }
            "hold" | "lose" => self.filter(*verb == "hold", rest)?,
            "release" => self.simulation.script_release(rest[0]),
            "pass" => self.simulation.script.filters.retain(|filter| filter.kind != rest[0]),
            "forget" => self.forget(rest[0]),
            "propose" => self.propose(rest)?,
            "write-many" => self.write_many(rest)?,
            "open" | "write" | "read" | "take" | "retry" | "done" => {
                self.act_as_client(verb, rest)?
            }
            _ => self.act_on_node(verb, rest)?,
        }
        self.check_step()
    }

    fn act_on_node(&mut self, verb: &str, rest: &[&str]) -> Result<(), String> {
        let node = self.node(rest[0])?;
        let simulation = &mut self.simulation;
        let others = (0..simulation.nodes.len()).filter(|other| *other != node);
        match verb {
            "crash" => simulation.crash(node),
            "kill" => {
                simulation.crash(node);
                simulation.nodes[node].refuse();
            }
            "restart" => simulation.restart(node),
            "restore" => {
                let generation = rest[1].parse().expect("a generation");
                simulation.crash(node);
                simulation.nodes[node].restore(generation);
                let life = simulation.nodes[node].life();
                simulation.after(Duration::ZERO, super::super::Happening::Tick { node, life });
            }
            "pause" => simulation.nodes[node].pause(),
            "resume" => simulation.resume(node),
            "starve" => {
                let bursts = rest[2].parse().expect("a number of bursts");
                simulation.starve(node, words::duration(rest[1]), bursts);
            }
            "feed" => simulation.feed(node),
            "rate" => {
                let rate = rest[1].parse().expect("millionths");
                simulation.nodes[node].clock.set_rate(simulation.now, rate);
            }
            "shows" => {
                let shown = words::duration(rest[1]);
                simulation.nodes[node].clock.set(simulation.now, shown);
            }
            "clock" => {
                let micros = rest[1].parse().expect("microseconds");
                simulation.nodes[node].wall_clock = Timestamp::from_micros(micros);
            }
            "fill" => simulation.nodes[node].disk.is_down = true,
            "disk" => {
                simulation.crash(node);
                simulation.nodes[node].disk.take(grid(rest[1]), &[]);
            }
            "free" => simulation.disk_up(node),
            "accept" => simulation.accept_all(node),
            "isolate" => simulation.isolate(node),
            "deaf" => simulation.network.cuts.extend(others.map(|other| (other, node))),
            "mute" => simulation.network.cuts.extend(others.map(|other| (node, other))),
            "lead" => {
                simulation.give_vote(node);
                simulation.lead(node);
            }
            "wipe" => {
                simulation.crash(node);
                simulation.lose_log(node);
            }
            verb => panic!("no such command: {verb}"),
        }
        Ok(())
    }

    fn change_network(&mut self, verb: &str, rest: &[&str]) -> Result<(), String> {
        let all = self.simulation.nodes.len();
        match verb {
            "cut" => {
                let (one, other) = (self.node(rest[0])?, self.node(rest[1])?);
                self.simulation.network.cut(one, other);
            }
            "oneway" => {
                let way = (self.node(rest[0])?, self.node(rest[1])?);
                self.simulation.network.cuts.insert(way);
            }
            "split" => {
                let at = rest.iter().position(|word| *word == "|").expect("two sides");
                for one in &rest[..at] {
                    for other in &rest[at + 1..] {
                        let (one, other) = (self.node(one)?, self.node(other)?);
                        self.simulation.network.cut(one, other);
                    }
                }
            }
            "ring" => {
                for one in 0..all {
                    for other in
                        (0..all).filter(|it| (2..all - 1).contains(&((one + all - it) % all)))
                    {
                        self.simulation.network.cut(one, other);
                    }
                }
            }
            _ => self.simulation.network.heal(),
        }
        Ok(())
    }

    fn filter(&mut self, holds: bool, rest: &[&str]) -> Result<(), String> {
        let end = |word: &str| match after(rest, word) {
            Some(node) => self.node(node).map(Some),
            None => Ok(None),
        };
        let (from, to) = (end("from")?, end("to")?);
        let filter = Filter { kind: rest[0].to_owned(), from, to, holds };
        self.simulation.script.filters.push(filter);
        Ok(())
    }

    fn refuse(&mut self, rest: &[&str]) -> Result<(), String> {
        let node = after(rest, "at").map(|node| self.node(node)).transpose()?;
        let mark = rest[0].parse().expect("a value is a number");
        self.simulation.refuse_content(node, mark, !rest.contains(&"whole"));
        Ok(())
    }

    fn forget(&mut self, kind: &str) {
        self.simulation.script.held.retain(|(held, _)| held != kind);
        self.simulation.script.filters.retain(|filter| filter.kind != kind);
    }

    fn adopt(&mut self, rest: &[&str]) {
        let store = grid(rest[0]);
        let highest = self.simulation.says(0).highest_fence();
        self.decide(Command::AdoptStore { store, highest });
    }

    fn propose(&mut self, rest: &[&str]) -> Result<(), String> {
        let node = self.node(rest[1])?;
        let member = self.simulation.nodes[node].member();
        let table = &self.simulation.consensus.table;
        let known = table.nodes().get(&member.directory).map(|it| it.generation);
        let listed = Member { generation: known.unwrap_or(member.generation), ..member };
        let at = table.at(PartitionId(0)).expect("there is one");
        let row = |change| Command::Row { at, change };
        let command = match rest[0] {
            "arm" => row(RowChange::Arm { next: listed }),
            "promote" => row(RowChange::Promote(listed)),
            "catch-up" => row(RowChange::CatchUp(listed)),
            "declare" => Command::DeclareDead(listed),
            "drain" => Command::Drain { member: listed, is_draining: true },
            "undrain" => Command::Drain { member: listed, is_draining: false },
            "mark-down" => Command::MarkDown(listed),
            "readmit" => Command::Readmit(listed),
            "enter" | "impostor" => {
                let Command::Join(mut join) = self.simulation.nodes[node].join() else {
                    unreachable!("that is how it comes");
                };
                if rest[0] == "enter" {
                    join.member.generation = Generation(rest[2].parse().expect("a number"));
                } else {
                    join.member = Member { directory: DirectoryId(99), generation: Generation(1) };
                    join.name = NodeId::new(&format!("n{node}"));
                }
                Command::Join(join)
            }
            word => panic!("nobody proposes {word}"),
        };
        self.decide(command);
        Ok(())
    }

    /// If it is not refused.
    fn decide(&mut self, command: Command) {
        let table = &self.simulation.consensus.table;
        let applied = table.clone().apply(std::slice::from_ref(&command));
        if let Some((_, refusal)) = applied.refused.first() {
            self.say(&format!("refused: {refusal:?}"));
        } else {
            self.simulation.commit(&[command]);
        }
    }

    fn act_as_client(&mut self, verb: &str, rest: &[&str]) -> Result<(), String> {
        let at = after(rest, "at").map(|node| self.node(node)).transpose()?;
        match verb {
            "open" => return self.open(rest[0]),
            "done" => {
                let name = words::name(rest[0]);
                self.insist(name)?;
                self.show_answers(Some(name));
                return Ok(());
            }
            "retry" => return self.attempt(words::name(rest[0]), at),
            _ => (),
        }
        let (partition, key) = words::key(rest[0]);
        let input = match verb {
            "read" => words::read(key),
            "take" => Input::Slot(slot::Input::Take),
            _ => words::write(key, rest[1].parse().expect("a value is a number")),
        };
        let name = words::name(after(rest, "as").expect("as whom"));
        let floor = after(rest, "floor").map_or(name.1 - 1, |it| it.parse().expect("a number"));
        self.ask(name, partition, key, input, floor);
        self.attempt(name, at)
    }

    pub(super) fn ask(
        &mut self,
        name: Name,
        partition: PartitionId,
        key: Key,
        input: Input,
        floor: u64,
    ) {
        let began_at = self.simulation.now;
        let asked = Asked { partition, key, input, floor, began_at, answer: None };
        let known = self.asked.insert(name, asked);
        assert!(known.is_none(), "each number is used once: {name:?}");
    }

    /// Each of them once, and then all until they are done.
    fn write_many(&mut self, rest: &[&str]) -> Result<(), String> {
        let count: usize = rest[0].parse().expect("a number");
        let (client, first) = words::name(after(rest, "as").expect("as whom"));
        let names: Vec<Name> = (first..).take(count).map(|number| (client, number)).collect();
        for (name, key) in names.iter().zip((0..).filter(|key| words::is_lasting(*key))) {
            let input = words::write(key, 1000 + u64::from(key));
            self.ask(*name, PartitionId(0), key, input, first - 1);
            self.attempt(*name, None)?;
        }
        for name in &names {
            self.insist(*name)?;
        }
        self.heard.retain(|(heard, _)| !names.contains(heard));
        self.say(&format!("{count} written"));
        Ok(())
    }

    /// One try, at the primary if not elsewhere.
    fn attempt(&mut self, name: Name, at: Option<usize>) -> Result<(), String> {
        let (client, number) = name;
        let asked = &self.asked[&name];
        let (partition, key, input) = (asked.partition, asked.key, asked.input);
        let ask = if input.is_read() {
            Ask::Read(key, input, Consistency::Leased)
        } else {
            let opening = *self.openings.get(&(client, partition)).expect("its session is open");
            Ask::Write { key, input, opening, floor: asked.floor }
        };
        self.send_ask(client, number, partition, ask, at)
    }

    fn send_ask(
        &mut self,
        client: usize,
        number: u64,
        partition: PartitionId,
        ask: Ask,
        at: Option<usize>,
    ) -> Result<(), String> {
        let row = self.simulation.consensus.table.row(partition).expect("there is one");
        let primary = row.primary().map(words::index);
        let node = at.or(primary).ok_or("there is no primary")?;
        let parcel = Parcel::Ask { number, partition, ask };
        self.simulation.send(Endpoint::Client(client), Endpoint::Node(node), parcel);
        Ok(())
    }

    /// Opens sessions in all partitions.
    fn open(&mut self, letter: &str) -> Result<(), String> {
        let (client, _) = words::name(&format!("{letter}#0"));
        for partition in (0..self.simulation.plan.partitions).map(PartitionId) {
            while !self.openings.contains_key(&(client, partition)) {
                let number = (u64::from(partition.0) + 1) * words::OPEN;
                self.send_ask(client, number, partition, Ask::Open, None)?;
                self.run_for(Duration::from_millis(100))?;
            }
        }
        Ok(())
    }

    /// Tries until it is answered.
    pub(super) fn insist(&mut self, name: Name) -> Result<(), String> {
        let end = self.simulation.now + super::PATIENCE;
        while self.asked[&name].answer.is_none() {
            if self.simulation.now >= end {
                let row = self.simulation.first_row();
                return Err(format!("no answer to {}: {row:?}", super::show::name(name)));
            }
            self.run_for(Duration::from_millis(100))?;
            if self.asked[&name].answer.is_none() {
                // While nobody is named there is nobody to ask.
                let _ = self.attempt(name, None);
            }
        }
        // Of all that was heard of it, one answer is shown.
        let answer = self.asked[&name].answer.as_ref().map(super::show::output);
        self.heard.retain(|(heard, _)| *heard != name);
        if name.0 != words::READER {
            let line = format!("{} {}", super::show::name(name), answer.unwrap_or_default());
            self.heard.push((name, line));
        }
        Ok(())
    }
}

/// `g2`.
fn grid(word: &str) -> GridId {
    GridId(word.trim_start_matches('g').parse().expect("a grid's number"))
}

/// The word after another.
fn after<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    let at = words.iter().position(|it| *it == word)?;
    words.get(at + 1).copied()
}
