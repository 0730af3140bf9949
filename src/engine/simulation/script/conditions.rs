//! What a script may wait for, or expect.
//!
//! `served [by NODE]`, `preparing`, `armed`, `epoch N`, `N copies`, `held KIND`, `leading NODE`,
//! `led` (by one that a majority hears), `voting NODE` (alone, and not while it is changed),
//! `in-sync|leaving|catching NODE`, `up|down|dead NODE`, `serving NODE`, `reigning NODE`,
//! `entitled NODE` (its answers may be given), `holds NODE KEY`, `stored NODE KEY` (in the store
//! that it drains into), `accepted NODE KEY` (as a row), `parked NODE KEY` (as a dead letter), `all
//! stored` (of both), `has NODE N` (records), `knows NODE` (the whole table), `answer A#1`
//! (anything that was not shown yet), `answered A#1`,
//! `refused NODE` (its store, so it stays out);
//! each after `not`, too. Of rows: the first
//! partition's, where not all are meant.

use super::super::row::RowKey;
use super::{Play, words};
use crate::engine::id::{Epoch, PartitionId};
use crate::engine::table::{Members, Reign, Row, Status};

impl Play {
    pub(super) fn is_so(&self, words: &[&str]) -> bool {
        match words {
            ["not", rest @ ..] => !self.is_so(rest),
            ["served"] => self.rows().all(|(partition, row)| self.is_served(partition, row)),
            ["served", "by", node] => {
                let row = self.simulation.first_row();
                let primary = row.primary().map(words::index);
                self.is_served(PartitionId(0), row) && primary == self.node(node).ok()
            }
            ["all", "stored"] => {
                self.rows().all(|(partition, row)| self.is_all_stored(partition, row))
            }
            ["preparing"] => {
                matches!(self.simulation.first_row().reign, Reign::Preparing { .. })
            }
            ["led"] => self.simulation.is_led(),
            ["armed"] => self.simulation.first_row().is_armed(),
            ["epoch", epoch] => self.simulation.first_row().epoch == Epoch(number(epoch)),
            [count, "copies"] => {
                let is_so = |row: &Row| {
                    let Reign::Active { in_sync, .. } = &row.reign else { return false };
                    in_sync.len() as u64 == number(count)
                };
                self.rows().all(|(_, row)| is_so(row))
            }
            ["held", kind] => self.simulation.script.held.iter().any(|(held, _)| held == kind),
            ["answer", name] => {
                let name = words::name(name);
                self.heard.iter().any(|(heard, _)| *heard == name)
            }
            ["answered", name] => self.asked[&words::name(name)].answer.is_some(),
            [what, node, rest @ ..] => {
                self.node(node).is_ok_and(|node| self.is_node(what, node, rest))
            }
            words => panic!("no such condition: {words:?}"),
        }
    }

    fn rows(&self) -> impl Iterator<Item = (PartitionId, &Row)> {
        self.simulation.consensus.table.rows()
    }

    fn is_served(&self, partition: PartitionId, row: &Row) -> bool {
        let Reign::Active { primary, next: None, .. } = row.reign else { return false };
        let node = &self.simulation.nodes[words::index(primary)];
        node.is_running()
            && node.member() == primary
            && node.copy(partition).serves() == Some(row.epoch)
            && node.may_answer(self.simulation.now, partition)
    }

    /// Whether all that is committed is stored, for good or as a dead letter.
    fn is_all_stored(&self, partition: PartitionId, row: &Row) -> bool {
        let primary = row
            .primary()
            .map(|primary| self.simulation.nodes[words::index(primary)].copy(partition));
        primary.is_some_and(|copy| Some(copy.persisted()) >= copy.committed())
    }

    fn is_node(&self, what: &str, node: usize, rest: &[&str]) -> bool {
        let simulation = &self.simulation;
        let (it, first) = (&simulation.nodes[node], PartitionId(0));
        let (member, row) = (it.member(), simulation.first_row());
        let is_in = |members: Option<&Members>| members.is_some_and(|it| it.contains(member));
        let status = simulation.consensus.table.status(member);
        match what {
            "in-sync" => is_in(row.holders()),
            "leaving" => is_in(row.leaving()),
            "catching" => row.catching_up.contains(member),
            "up" => status == Some(Status::Up),
            "down" => status == Some(Status::Down),
            "dead" => simulation.consensus.table.is_dead(member),
            "serving" => it.copy(first).serves().is_some(),
            "reigning" => it.copy(first).reigns().is_some(),
            "entitled" => !it.is_crashed() && it.may_answer(simulation.now, first),
            "holds" => {
                let (partition, key) = words::key(rest[0]);
                it.folded(partition).entities.contains_key(&key)
            }
            "stored" | "accepted" | "parked" => {
                let (partition, key) = words::key(rest[0]);
                let (store, key) = (simulation.drained_into(node), RowKey::Entity(key));
                match what {
                    "stored" => store.row(partition, key).is_some(),
                    "accepted" => store.accepted(partition, key).is_some(),
                    _ => store.letters(partition).iter().any(|(parked, _)| *parked == key),
                }
            }
            "has" => it.copy(first).last().seq.0 >= number(rest[0]),
            "knows" => it.table == simulation.consensus.table,
            "voting" => simulation.has_vote(node),
            "refused" => simulation.refused_store(node).is_some(),
            "leading" => simulation.consensus.leader == Some(node),
            what => panic!("no such condition: {what}"),
        }
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}
