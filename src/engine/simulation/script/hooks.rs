//! Where a script reaches into the grid: parcels and proposals that it holds back or loses, and
//! what its clients hear.

use std::time::Duration;

use super::super::node::Node;
use super::super::parcel::{Endpoint, Parcel, Reply};
use super::super::store::Store;
use super::super::{Happening, Simulation};
use crate::engine::instant::Instant;
use crate::engine::replica::Message;
use crate::engine::table::{Command, RowChange};

#[derive(Default)]
pub(in super::super) struct Hooks {
    pub(super) filters: Vec<Filter>,
    /// Parcels that are held back, by the names of their filters.
    pub(super) held: Vec<(String, Held)>,
    /// When who heard what of which number.
    pub(super) replies: Vec<(Instant, usize, u64, Reply)>,
}

pub(super) struct Filter {
    pub kind: String,
    pub from: Option<usize>,
    pub to: Option<usize>,
    /// Or loses it.
    pub holds: bool,
}

pub(super) enum Held {
    Parcel(Endpoint, Endpoint, Box<Parcel>),
    Command(Command),
}

impl Hooks {
    /// Whether a filter has taken this.
    pub(in super::super) fn takes(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        parcel: &Parcel,
    ) -> bool {
        let is_at = |at: Option<usize>, end| at.is_none_or(|at| end == Endpoint::Node(at));
        let fits = |filter: &&Filter| {
            is_at(filter.from, from) && is_at(filter.to, to) && is_of(&filter.kind, parcel)
        };
        let Some(filter) = self.filters.iter().find(fits) else { return false };
        if filter.holds {
            self.held.push((filter.kind.clone(), Held::Parcel(from, to, Box::new(parcel.clone()))));
        }
        true
    }

    /// What is left of proposals that have come to the leader.
    pub(in super::super) fn sieve(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let (held, filters) = (&mut self.held, &self.filters);
        let mut keep = |command: &Command| {
            let filter = filters.iter().find(|filter| filter.kind == kind_of_command(command));
            if let Some(filter) = filter.filter(|filter| filter.holds) {
                held.push((filter.kind.clone(), Held::Command(command.clone())));
            }
            filter.is_none()
        };
        commands.into_iter().filter(|command| keep(command)).collect()
    }

    /// Whether that is a script's client.
    pub(in super::super) fn hears(&mut self, now: Instant, to: Endpoint, parcel: &Parcel) -> bool {
        match (to, parcel) {
            (Endpoint::Client(client), Parcel::Reply { number, reply })
                if client >= super::words::CLIENTS =>
            {
                self.replies.push((now, client, *number, reply.clone()));
                true
            }
            _ => false,
        }
    }
}

impl Node {
    /// A process of an earlier life of the directory, as after its data was restored.
    pub(super) fn restore(&mut self, generation: u64) {
        self.begin(generation, Store::default());
    }
}

impl Simulation {
    /// No longer holds back or loses a kind (or `all`); what was held back is on its way again.
    pub(super) fn script_release(&mut self, kind: &str) {
        let is_meant = |it: &str| kind == "all" || kind == it;
        self.script.filters.retain(|filter| !is_meant(&filter.kind));
        let held = std::mem::take(&mut self.script.held);
        let (released, kept) = held.into_iter().partition(|(kind, _)| is_meant(kind));
        self.script.held = kept;
        for (_, held) in released {
            let happening = match held {
                Held::Parcel(from, to, parcel) => Happening::Deliver { from, to, parcel },
                Held::Command(command) => Happening::Commit(vec![command]),
            };
            self.after(Duration::from_millis(1), happening);
        }
    }
}

fn is_of(kind: &str, parcel: &Parcel) -> bool {
    let name = kind_of(parcel);
    match kind {
        "all" => true,
        "data" => matches!(parcel, Parcel::Copy { .. }),
        "requests" => [
            "join",
            "records",
            "heartbeat",
            "snapshot",
            "token",
            "beat",
            "news",
            "ask",
            "pull",
            "letter",
            "propose",
        ]
        .contains(&name),
        "append" => ["records", "heartbeat"].contains(&name),
        kind => kind == name,
    }
}

fn kind_of(parcel: &Parcel) -> &'static str {
    match parcel {
        Parcel::Copy { message, .. } => match message {
            Message::Join { .. } => "join",
            Message::Joined { .. } => "joined",
            Message::Parted { .. } => "parted",
            Message::Append { entries, .. } if entries.is_empty() => "heartbeat",
            Message::Append { .. } => "records",
            Message::Ack { .. } => "ack",
            Message::NotJoined { .. } => "not-joined",
            Message::Newer { .. } => "newer",
            Message::Token { .. } => "token",
            Message::Snapshot { .. } => "snapshot",
            Message::Taken { .. } => "taken",
            Message::Recall { .. } => "recall",
            Message::Recalled { .. } => "recalled",
        },
        Parcel::Beat { .. } => "beat",
        Parcel::BeatAnswer { .. } => "answer",
        Parcel::Refused { .. } => "refused",
        Parcel::Letter { .. } => "letter",
        Parcel::HandIn { .. } => "hand-in",
        Parcel::Settled { .. } => "settled",
        Parcel::Write(_) => "write",
        Parcel::Stored(_) => "stored",
        Parcel::Load(_) => "load",
        Parcel::Loaded(_) => "loaded",
        Parcel::Scan { .. } => "scan",
        Parcel::Scanned { .. } => "scanned",
        Parcel::Pull(_) => "pull",
        Parcel::Delta(_) => "news",
        Parcel::Propose(_) => "propose",
        Parcel::Shrink { .. } => "unwanted",
        Parcel::Replay { .. } => "replay",
        Parcel::Compare { .. } => "compare",
        Parcel::Ask { .. } => "ask",
        Parcel::Reply { .. } => "reply",
    }
}

fn kind_of_command(command: &Command) -> &'static str {
    match command {
        Command::Join(_) => "enter",
        Command::Readmit(_) => "readmit",
        Command::MarkDown(_) => "mark-down",
        Command::DeclareDead(_) => "declare",
        Command::Drain { .. } => "drain",
        Command::Forget(_) => "forget",
        Command::AdoptStore { .. } => "adopt",
        Command::Row { change, .. } => match change {
            RowChange::Promote(_) => "promote",
            RowChange::Activate { .. } => "activate",
            RowChange::Shrink { .. } => "shrink",
            RowChange::Grow { .. } => "grow",
            RowChange::Settle { .. } => "settle",
            RowChange::Arm { .. } => "arm",
            RowChange::TakeOver { .. } => "take-over",
            RowChange::CatchUp(_) => "catch-up",
            RowChange::GiveUp(_) => "give-up",
        },
    }
}
