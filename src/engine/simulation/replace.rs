//! Nodes that never come back, and others that come in their place: with a directory of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::Plan;
use super::{Happening, Simulation};
use crate::engine::table::{Command, Member, Status};

/// Nodes that are not there.
pub(super) struct Absent {
    /// Not yet.
    spares: Vec<usize>,
    /// Not any more.
    gone: BTreeSet<usize>,
}

impl Absent {
    pub(super) fn new(plan: &Plan) -> Absent {
        let spares = (plan.nodes - plan.spares..plan.nodes).collect();
        Absent { spares, gone: BTreeSet::new() }
    }

    pub(super) fn contains(&self, node: usize) -> bool {
        self.spares.contains(&node) || self.gone.contains(&node)
    }

    pub(super) fn spares(&self) -> &[usize] {
        &self.spares
    }

    fn len(&self) -> usize {
        self.spares.len() + self.gone.len()
    }
}

impl Simulation {
    /// Nodes that are there, or come back.
    pub(super) fn present(&self) -> usize {
        self.nodes.len() - self.absent.len()
    }

    /// Those of them that hold data.
    pub(super) fn present_data(&self) -> usize {
        let witness = self.plan.witness.filter(|witness| !self.absent.contains(*witness));
        self.present() - usize::from(witness.is_some())
    }

    pub(super) fn replace_sometimes(&mut self, node: usize) {
        let has_spare = !self.absent.spares.is_empty();
        if has_spare && self.consensus.voting.draws(self.plan.replace_percent) {
            self.replace(node);
        }
    }

    /// A node that has crashed is given up, and another comes in its place: as long as there is
    /// one, and a majority of the voters keeps its logs.
    pub(super) fn replace(&mut self, node: usize) {
        let may_go = self.may_be_declared(node) && self.may_lose_log(node);
        if self.absent.contains(node) || self.has_healed || !may_go {
            return;
        }
        let Some(spare) = self.absent.spares.pop() else { return };
        self.note(|| format!("{spare} comes in place of {node}"));
        *self.summary.faults.entry("replace").or_default() += 1;
        self.absent.gone.insert(node);
        self.after(Duration::ZERO, Happening::GiveUp(node));
        self.after(Duration::from_millis(100), Happening::Restart(spare));
    }

    /// An operator says that whatever the table knows of it is dead: again and again, as it may
    /// have asked to join before it died.
    pub(super) fn give_up(&mut self, node: usize) {
        let directory = self.nodes[node].member().directory;
        let known = self.consensus.table.nodes().get(&directory);
        if let Some(known) = known.filter(|known| known.status != Status::Dead) {
            let member = Member { directory, generation: known.generation };
            self.proposed_by_operator(Command::DeclareDead(member));
        }
        self.after(Duration::from_millis(200), Happening::GiveUp(node));
    }
}
