//! What a script shows.
//!
//! `row`, `primary`, `copies`, `status NODE`,
//! `store NODE` (whose it is), `members` (how many are up), `serving` (whose
//! handlers may run), `entitled` (whose answers may be given), `voters` (and how many of them have
//! lost their log), `value KEY` (committed, at each holder that is there), `held KIND` (how many),
//! `lost` (records that were answered before they were committed, and lost, and those that were
//! handed in), `answers` (those not shown yet). Nodes are shown in the order in which the script
//! has named them; one that it has not is `another`.

use super::super::object::{Key, Object, Output};
use super::super::parcel::Reply;
use super::super::row::RowKey;
use super::{Name, Play, words};
use crate::engine::adoption::StoreRefused;
use crate::engine::history::models::{list, register, set, slot};
use crate::engine::id::PartitionId;
use crate::engine::table::{Members, Reign, Status};

impl Play {
    pub(super) fn show(&mut self, words: &[&str]) -> Result<(), String> {
        let first = PartitionId(0);
        let row = self.simulation.first_row();
        let line = match words {
            ["row"] => format!("row: {}", self.show_row()),
            ["primary"] => format!("primary: {}", self.names_of(row.primary().into_iter())),
            ["copies"] => {
                format!(
                    "copies: {}",
                    self.names_of(row.holders().into_iter().flat_map(Members::iter))
                )
            }
            ["status", node] => {
                let node = self.node(node)?;
                let member = self.simulation.nodes[node].member();
                let status = self.simulation.consensus.table.status(member);
                let status = status.map_or("unknown".to_owned(), |it| format!("{it:?}"));
                format!("{}: {}", self.name_of_member(member), status.to_lowercase())
            }
            ["store", node] => self.show_store(self.node(node)?),
            ["members"] => {
                let nodes = self.simulation.consensus.table.nodes().iter();
                let up = nodes.filter(|(_, node)| node.status == Status::Up);
                format!("members: {}", up.count())
            }
            ["serving"] => {
                let serves = |node: &usize| {
                    let it = &self.simulation.nodes[*node];
                    !it.is_crashed() && it.copy(first).serves().is_some()
                };
                format!("serving: {}", self.those(serves))
            }
            ["entitled"] => {
                let may = |node: &usize| {
                    let it = &self.simulation.nodes[*node];
                    !it.is_crashed() && it.may_answer(self.simulation.now, first)
                };
                format!("entitled: {}", self.those(may))
            }
            ["voters"] => {
                let voting = |node: &usize| self.simulation.has_vote(*node);
                let lost = self.simulation.lost_votes();
                let lost = if lost > 0 { format!(", lost {lost}") } else { String::new() };
                format!("voters: {}{lost}", self.those(voting))
            }
            ["value", key] => self.show_value(key),
            ["held", kind] => {
                let held = self.simulation.script.held.iter().filter(|(held, _)| held == kind);
                format!("held {kind}: {}", held.count())
            }
            ["lost"] => {
                let tails = &self.simulation.tails;
                format!("lost {}, handed in {}", tails.lost(), tails.settled())
            }
            ["answers"] => {
                self.show_answers(None);
                return Ok(());
            }
            words => panic!("nothing to show: {words:?}"),
        };
        self.say(&line);
        Ok(())
    }

    fn those(&self, is_one: impl Fn(&usize) -> bool) -> String {
        let mut nodes: Vec<usize> = (0..self.simulation.nodes.len()).filter(is_one).collect();
        nodes.sort_by_key(|node| self.place_of(*node));
        let names: Vec<String> = nodes.into_iter().map(|node| self.name_of(node)).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    }

    /// Whose a node's store is, its fence, what a register there says, and why it is refused.
    fn show_store(&self, node: usize) -> String {
        let says = self.simulation.says(node);
        let grid = says.grid.map_or("nobody".to_owned(), |grid| format!("{grid:?}"));
        let row = self.simulation.drained_into(node).row(PartitionId(0), RowKey::Entity(0));
        let epoch = row.map_or(0, |row| row.version.epoch.0);
        let refused = self.simulation.refused_store(node);
        let refused = match refused {
            None => String::new(),
            Some(StoreRefused::OtherGrid { found }) => format!(", refused: it is of {found:?}"),
            Some(StoreRefused::HigherFences { .. }) => {
                ", refused: its fences are higher".to_owned()
            }
        };
        let fence = says.highest_fence().0;
        format!("store: of {grid}, fence {fence}, 0 of epoch {epoch}{refused}")
    }

    fn show_row(&self) -> String {
        let row = self.simulation.first_row();
        let mut text = format!("epoch {}", row.epoch.0);
        let mut add = |what: &str, members: &Members| {
            if members.len() > 0 {
                text += &format!(", {what} {}", self.names_of(members.iter()));
            }
        };
        match &row.reign {
            Reign::Unborn => (),
            Reign::Preparing { primary, candidates, leaving } => {
                add("preparing", &Members::one(*primary));
                add("candidates", candidates);
                add("leaving", leaving);
            }
            Reign::Active { primary, in_sync, leaving, next } => {
                add("primary", &Members::one(*primary));
                add("in sync", in_sync);
                add("leaving", leaving);
                add("next", &next.iter().copied().collect());
            }
        }
        add("catching up", &row.catching_up);
        text
    }

    fn show_value(&self, word: &str) -> String {
        let (partition, key) = words::key(word);
        let row = self.simulation.consensus.table.row(partition).expect("there is one");
        let holders = row.holders().into_iter().flat_map(Members::iter);
        let is_there = |node: &usize| !self.simulation.nodes[*node].is_crashed();
        let mut nodes: Vec<usize> = holders.map(words::index).filter(is_there).collect();
        nodes.sort_by_key(|node| self.place_of(*node));
        let values: Vec<String> = nodes
            .into_iter()
            .map(|node| format!("{} {}", self.name_of(node), self.value(node, partition, key)))
            .collect();
        format!("value {word}: {}", values.join(", "))
    }

    fn value(&self, node: usize, partition: PartitionId, key: Key) -> String {
        let entity = self.simulation.nodes[node].folded(partition).entities.get(&key);
        match entity.map(|entity| &entity.object) {
            None => "nothing".to_owned(),
            Some(Object::Register(value) | Object::Counter(value)) => value.to_string(),
            Some(Object::Account(account)) => account.balance.to_string(),
            Some(Object::Slot(value)) => value.to_string(),
            Some(Object::Bell(values)) => format!("{values:?}"),
            Some(Object::Gone) => "a tombstone".to_owned(),
            Some(Object::List(values)) => format!("{values:?}"),
            Some(Object::Set(values)) => format!("{values:?}"),
        }
    }

    /// Those to one ask, or all that are left.
    pub(super) fn show_answers(&mut self, of: Option<Name>) {
        let is_meant = |name: Name| of.is_none_or(|of| of == name);
        let heard = std::mem::take(&mut self.heard);
        let (shown, left) = heard.into_iter().partition(|(name, _)| is_meant(*name));
        self.heard = left;
        shown.into_iter().for_each(|(_, line): (Name, String)| self.say(&line));
    }
}

pub(super) fn name((client, number): Name) -> String {
    let letter = char::from(b'A' + (client - words::CLIENTS) as u8);
    format!("{letter}#{number}")
}

pub(super) fn reply(of: Name, reply: &Reply) -> String {
    let what = match reply {
        Reply::Opened(_) => "opened".to_owned(),
        Reply::Refused => "refused".to_owned(),
        Reply::Unknown => "unknown".to_owned(),
        Reply::NotOpen => "not open".to_owned(),
        Reply::Expired => "expired".to_owned(),
        Reply::Done { output: done, .. } => output(done),
    };
    format!("{} {what}", name(of))
}

pub(super) fn output(output: &Output) -> String {
    match output {
        Output::Register(register::Output::Written) => "written".to_owned(),
        Output::Register(register::Output::Found(value)) => format!("found {value}"),
        Output::Counter(count) => format!("counted {count}"),
        Output::List(list::Output::Length(length)) => format!("length {length}"),
        Output::List(list::Output::Elements(elements)) => format!("found {elements:?}"),
        Output::Set(set::Output::Added(true)) => "added".to_owned(),
        Output::Set(set::Output::Added(false)) => "was there".to_owned(),
        Output::Set(set::Output::Elements(elements)) => format!("found {elements:?}"),
        Output::Account(account) => format!("has {}", account.balance),
        Output::Slot(slot::Output::Written) => "put".to_owned(),
        Output::Slot(slot::Output::Found(Some(value))) => format!("found {value}"),
        Output::Slot(slot::Output::Found(None)) => "found nothing".to_owned(),
        Output::Bell(list::Output::Elements(rung)) => format!("has rung for {rung:?}"),
        Output::Bell(list::Output::Length(_)) => unreachable!("no bell says so"),
        Output::Reminded => "will ring".to_owned(),
        Output::Moved(true) => "moved".to_owned(),
        Output::Moved(false) => "too little".to_owned(),
    }
}
