//! Who hears whom, and whom the leader believes.
//!
//! Each node beats every other one, and takes an answer for the only sign of life: bytes that came
//! back to it. Silence makes it suspect ([`Hearing`]), and so does a connection that broke and did
//! not come back, or what gossip says; gossip clears nobody, as a node may gossip with a dead data
//! port. What it suspects it says in its answers to the leader's beats ([`Words`]). One that stood
//! still has heard nothing because of itself, and accuses nobody for as long as it would wait.
//!
//! The leader ([`judge`]) asks its *witnesses*: the members that are up and that it hears, itself
//! included, but none that hears nobody besides the leader while there are two it might hear: that
//! one's ears are dead, not the others. A member that is up loses its duties if
//!
//! 1. more than half of the witnesses accuse it: those it might serve do not reach it; or
//! 2. the leader accuses it, and it has something to tell the log, which it cannot: a reign to
//!    begin or to hand over, or a copy to be rid of, as a holder of one of its partitions accuses
//!    it too, or is not heard; or
//! 3. the leader has heard nothing of it for `alone_after`: it may serve without the log for some
//!    time, not for ever.
//!
//! So one cut link to the leader takes no primary from backups that hear it, and a primary that
//! reaches neither the leader nor a backup does not wait for a majority. With two nodes one word is
//! enough. A member that is down is given nothing as long as the leader does not hear it, or 1
//! holds.

mod hearing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::breakage::{Breakage, is_broken};
use super::instant::Instant;
use super::table::{Member, Members, PartitionTable, Reign, Row, Status};
pub(crate) use hearing::{Hearing, Word, Words};

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Silence after which a node is suspected.
    pub suspect_after: Duration,
    /// For how long after a sign of life a node is certainly there: longer than from beat to beat,
    /// and shorter than anybody takes to complain of its silence.
    pub lately: Duration,
    /// How long a connection may be broken before its node is suspected.
    pub grace: Duration,
    /// Silence towards the leader after which it needs nobody else's word.
    pub alone_after: Duration,
}

/// What the leader makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Those that are to have no duties.
    pub suspected: BTreeSet<Member>,
    /// Those that the leader itself hears, and itself.
    pub heard: BTreeSet<Member>,
    /// Those of these that it has heard lately.
    pub lately: BTreeSet<Member>,
    /// By whom each is accused, of those whose word counts.
    pub accusers: BTreeMap<Member, Members>,
}

/// Whom the leader takes for gone: `hearing` is its own, `words` are the others'.
pub(crate) fn judge(
    now: Instant,
    table: &PartitionTable,
    hearing: &Hearing,
    words: &Words,
) -> Verdict {
    let own = hearing.word(now);
    let is_heard = |member: &Member| !own.suspects.contains(*member);
    let heard: BTreeSet<Member> = members(table).filter(is_heard).collect();
    let is_there = |member: &Member| hearing.silence(*member, now) < hearing.patience.lately;
    let lately = heard.iter().copied().filter(is_there).collect();
    let witnesses = witnesses(table, hearing.me, &own, words);
    let court = Court { now, table, hearing, witnesses };
    let accusers = court.accusers();
    let is_suspected = |member: &Member| {
        let by = accusers.get(member);
        match table.status(*member) {
            Some(Status::Up) => court.is_to_lose_duties(*member, by),
            Some(Status::Down) => !is_heard(member) || court.is_majority(*member, by),
            _ => false,
        }
    };
    let suspected = members(table).filter(is_suspected).collect();
    Verdict { suspected, heard, lately, accusers }
}

/// Those whose word counts, and what they say, if they have said anything yet: what was not said is
/// no accusation.
fn witnesses<'a>(
    table: &PartitionTable,
    leader: Member,
    own: &'a Word,
    words: &'a Words,
) -> BTreeMap<Member, Option<&'a Word>> {
    let up: Vec<Member> = members(table).filter(|member| table.is_up(*member)).collect();
    let word = |member: Member| if member == leader { Some(own) } else { words.of(member) };
    // All fall silent at nearly the same time to one whose ears are dead.
    let is_deaf = |member: Member| {
        let mut others = up.iter().filter(|other| **other != member && **other != leader);
        let hears_none =
            word(member).is_some_and(|word| others.clone().all(|it| word.quiet.contains(*it)));
        hears_none && others.nth(1).is_some() && !is_broken(Breakage::DeafHeeded)
    };
    let counts = |member: &Member| !own.suspects.contains(*member) && !is_deaf(*member);
    up.iter().copied().filter(counts).map(|member| (member, word(member))).collect()
}

struct Court<'a> {
    now: Instant,
    table: &'a PartitionTable,
    hearing: &'a Hearing,
    witnesses: BTreeMap<Member, Option<&'a Word>>,
}

impl Court<'_> {
    fn accusers(&self) -> BTreeMap<Member, Members> {
        let mut accusers: BTreeMap<Member, Members> = BTreeMap::new();
        for (witness, word) in &self.witnesses {
            for member in word.iter().flat_map(|word| word.suspects.iter()) {
                accusers.entry(member).or_default().insert(*witness);
            }
        }
        accusers
    }

    fn is_to_lose_duties(&self, member: Member, by: Option<&Members>) -> bool {
        let leader = self.hearing.me;
        if member == leader {
            return !self.hearing.has_stood_still(self.now) && self.is_majority(member, by);
        }
        let is_leaders_word = by.is_some_and(|by| by.contains(leader));
        if is_broken(Breakage::LeaderAloneJudges) {
            return self.hearing.is_suspected(member, self.now);
        }
        let is_silent = || {
            self.hearing.is_suspected(member, self.now)
                && self.hearing.silence(member, self.now) >= self.hearing.patience.alone_after
        };
        self.is_majority(member, by)
            || (is_leaders_word && self.needs_log(member, by) && !is_broken(Breakage::LogNotNeeded))
            || is_silent()
    }

    /// Whether more than half of the witnesses accuse it.
    fn is_majority(&self, member: Member, by: Option<&Members>) -> bool {
        let others = self.witnesses.len() - usize::from(self.witnesses.contains_key(&member));
        by.is_some_and(|by| by.len() * 2 > others)
    }

    /// Whether it has something to propose.
    fn needs_log(&self, member: Member, by: Option<&Members>) -> bool {
        let hears_it = |holder: Member| {
            self.witnesses.contains_key(&holder) && by.is_none_or(|by| !by.contains(holder))
        };
        let needs = |row: &Row| match &row.reign {
            Reign::Unborn => false,
            Reign::Preparing { primary, .. } => *primary == member,
            Reign::Active { primary, next: Some(next), .. } => [primary, next].contains(&&member),
            Reign::Active { primary, in_sync, .. } => {
                *primary == member
                    && in_sync.iter().any(|holder| holder != member && !hears_it(holder))
            }
        };
        self.table.rows().any(|(_, row)| needs(row))
    }
}

/// All nodes' last lives.
fn members(table: &PartitionTable) -> impl Iterator<Item = Member> + '_ {
    let member = |(directory, node): (&_, &super::table::Node)| Member {
        directory: *directory,
        generation: node.generation,
    };
    table.nodes().iter().map(member)
}

fn may_live(table: &PartitionTable, member: Member) -> bool {
    matches!(table.status(member), Some(Status::Up | Status::Down))
}
