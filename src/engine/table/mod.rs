//! The partition table: who holds what, and the one way to change it.
//!
//! The controller's log holds commands; each node applies them in their order, and so comes to the
//! same table. Every change of a row carries the row's epoch and version, so that a command which
//! was decided on what has changed since is refused, however late it comes: a leader that was
//! frozen, an answer that was lost, can do nothing twice.
//!
//! What keeps acknowledged writes: only a holder (a member of the in-sync set, or before activation
//! a candidate) becomes primary, or, when all are dead, whoever puts the partition together; inside
//! an epoch only the active primary changes the in-sync set; each new primary has a higher epoch;
//! nothing removes the last copy that is not proven dead.

mod adopt;
mod command;
mod delta;
mod member;
mod row;

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::breakage::{Breakage, is_broken};
use crate::engine::adoption::GridId;
use crate::engine::id::{Epoch, NodeId, PartitionId};

pub(crate) use command::{At, Command, Failing, Join, Refusal, RowChange};
pub(crate) use delta::Delta;
#[cfg(test)]
pub(crate) use delta::Gap;
pub(crate) use member::{
    DirectoryId, Generation, Member, Members, Node, Role, RowVersion, Status, TableVersion,
};
pub(crate) use row::{Reign, Row};

/// Members of one row that are brought up to date at once.
const CATCHING_UP_MAX: usize = 8;

/// Who holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionTable {
    version: TableVersion,
    /// Copies of each partition, the primary's included.
    copies: usize,
    nodes: BTreeMap<DirectoryId, Node>,
    /// The last generations of nodes that are no longer among these.
    forgotten: BTreeMap<DirectoryId, Generation>,
    /// When the nodes last changed.
    nodes_changed_at: TableVersion,
    /// Whose store is to be this grid's.
    adopts: Option<GridId>,
    /// By partition.
    rows: Vec<Row>,
}

/// What came of a list of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Partitions whose rows have changed, ascending.
    pub rows: Vec<PartitionId>,
    pub has_nodes_changed: bool,
    /// Which commands were refused, by their places in the list.
    pub refused: Vec<(usize, Refusal)>,
}

impl PartitionTable {
    /// The table of a grid that is being formed.
    ///
    /// # Panics
    /// If a partition is to have no copy.
    pub(crate) fn new(partitions: u16, copies: usize) -> PartitionTable {
        assert!(copies > 0, "a partition has at least one copy");
        PartitionTable {
            version: TableVersion(0),
            copies,
            nodes: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            nodes_changed_at: TableVersion(0),
            adopts: None,
            rows: vec![Row::default(); usize::from(partitions)],
        }
    }

    pub(crate) fn version(&self) -> TableVersion {
        self.version
    }

    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    pub(crate) fn nodes(&self) -> &BTreeMap<DirectoryId, Node> {
        &self.nodes
    }

    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = (PartitionId, &Row)> {
        let named = |(partition, row)| (PartitionId(partition as u16), row);
        self.rows.iter().enumerate().map(named)
    }

    pub(crate) fn row(&self, partition: PartitionId) -> Option<&Row> {
        self.rows.get(usize::from(partition.0))
    }

    /// Names a row as it is now.
    pub(crate) fn at(&self, partition: PartitionId) -> Option<At> {
        let row = self.row(partition)?;
        Some(At { partition, epoch: row.epoch, version: row.version })
    }

    /// Whether this very life of a node has duties.
    pub(crate) fn is_up(&self, member: Member) -> bool {
        self.status(member) == Some(Status::Up)
    }

    /// Whether this life's memory is gone for certain.
    pub(crate) fn is_dead(&self, member: Member) -> bool {
        if is_broken(Breakage::DownTakenForDead) {
            return !self.is_up(member);
        }
        match self.nodes.get(&member.directory) {
            Some(node) if node.generation == member.generation => node.status == Status::Dead,
            // A later life was seen.
            Some(node) => node.generation > member.generation,
            None => self.forgotten.get(&member.directory) >= Some(&member.generation),
        }
    }

    /// What is known of this very life of a node.
    pub(crate) fn status(&self, member: Member) -> Option<Status> {
        let node = self.nodes.get(&member.directory)?;
        (node.generation == member.generation).then_some(node.status)
    }

    /// Applies commands in their order, each for itself. If any changes the table, its version
    /// rises by one.
    pub(crate) fn apply(&mut self, commands: &[Command]) -> Applied {
        let version = TableVersion(self.version.0 + 1);
        let mut applied = Applied::default();
        for (at, command) in commands.iter().enumerate() {
            let done = match command {
                Command::Row { at, change } => self.apply_to_row(*at, change, version).map(|()| {
                    applied.rows.push(at.partition);
                }),
                Command::AdoptStore { store, highest } => {
                    self.adopt(*store, *highest, version).map(|()| {
                        applied.rows.extend(self.rows().map(|(partition, _)| partition));
                        applied.has_nodes_changed = true;
                    })
                }
                command => self.apply_to_nodes(command).map(|()| {
                    applied.has_nodes_changed = true;
                }),
            };
            if let Err(refusal) = done {
                applied.refused.push((at, refusal));
            }
        }
        applied.rows.sort_unstable();
        applied.rows.dedup();
        if applied.has_nodes_changed {
            self.nodes_changed_at = version;
        }
        if applied.has_nodes_changed || !applied.rows.is_empty() {
            self.version = version;
        }
        applied
    }

    fn apply_to_nodes(&mut self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Join(join) => self.join(join),
            Command::Readmit(member) => self.set_status(*member, Status::Down, Status::Up),
            Command::MarkDown(member) => self.set_status(*member, Status::Up, Status::Down),
            Command::DeclareDead(member) => {
                let node = self.node_mut(*member)?;
                if node.status == Status::Dead {
                    return Err(Refusal::AlreadySo);
                }
                node.status = Status::Dead;
                Ok(())
            }
            Command::Drain { member, is_draining } => {
                let node = self.node_mut(*member)?;
                if node.is_draining == *is_draining {
                    return Err(Refusal::AlreadySo);
                }
                node.is_draining = *is_draining;
                Ok(())
            }
            Command::Forget(directory) => self.forget(*directory),
            Command::Row { .. } | Command::AdoptStore { .. } => unreachable!("that is of rows"),
        }
    }

    /// Whether another node of this name is up.
    pub(crate) fn has_other_of_name(&self, directory: DirectoryId, name: &NodeId) -> bool {
        let is_it = |(other, node): (&DirectoryId, &Node)| {
            *other != directory && node.name == *name && node.status == Status::Up
        };
        self.nodes.iter().any(is_it)
    }

    fn join(&mut self, join: &Join) -> Result<(), Refusal> {
        let Join { member, name, role, zone, weight } = join;
        if self.has_other_of_name(member.directory, name) && !is_broken(Breakage::NameShared) {
            return Err(Refusal::NameTaken);
        }
        let known = self.nodes.get(&member.directory).map(|node| node.generation);
        let last = known.or_else(|| self.forgotten.get(&member.directory).copied());
        if let Some(last) =
            last.filter(|last| *last >= member.generation && !is_broken(Breakage::GenerationReused))
        {
            return Err(Refusal::OldGeneration { last });
        }
        let node = Node {
            name: name.clone(),
            generation: member.generation,
            status: Status::Up,
            role: *role,
            zone: zone.clone(),
            weight: *weight,
            is_draining: false,
        };
        self.nodes.insert(member.directory, node);
        self.forgotten.remove(&member.directory);
        Ok(())
    }

    fn set_status(&mut self, member: Member, from: Status, to: Status) -> Result<(), Refusal> {
        if to == Status::Up {
            let name = self.node_mut(member)?.name.clone();
            if self.has_other_of_name(member.directory, &name) {
                return Err(Refusal::NameTaken);
            }
        }
        let node = self.node_mut(member)?;
        match node.status {
            Status::Dead => Err(Refusal::Dead),
            status if status == from => {
                node.status = to;
                Ok(())
            }
            _ => Err(Refusal::AlreadySo),
        }
    }

    fn forget(&mut self, directory: DirectoryId) -> Result<(), Refusal> {
        let node = self.nodes.get(&directory).ok_or(Refusal::UnknownMember)?;
        let member = Member { directory, generation: node.generation };
        if node.status != Status::Dead {
            return Err(Refusal::NotDead);
        }
        if self.rows.iter().any(|row| row.names(member)) {
            return Err(Refusal::StillNamed);
        }
        self.nodes.remove(&directory);
        // A command of that life may still be on its way.
        self.forgotten.insert(directory, member.generation);
        Ok(())
    }

    fn node_mut(&mut self, member: Member) -> Result<&mut Node, Refusal> {
        let node = self.nodes.get_mut(&member.directory);
        node.filter(|node| node.generation == member.generation).ok_or(Refusal::UnknownMember)
    }

    fn apply_to_row(
        &mut self,
        at: At,
        change: &RowChange,
        version: TableVersion,
    ) -> Result<(), Refusal> {
        let row = self.row(at.partition).ok_or(Refusal::UnknownPartition)?;
        let is_seen = (row.epoch, row.version) == (at.epoch, at.version);
        if !is_seen && !is_broken(Breakage::NoRowVersion) {
            return Err(Refusal::Stale { epoch: row.epoch, version: row.version });
        }
        let mut row = self.changed(row, change)?;
        row.version = RowVersion(row.version.0 + 1);
        row.changed_at = version;
        self.rows[usize::from(at.partition.0)] = row;
        Ok(())
    }

    /// The row after a change, if that is allowed.
    fn changed(&self, row: &Row, change: &RowChange) -> Result<Row, Refusal> {
        let mut row = row.clone();
        match change {
            RowChange::Promote(member) => self.promote(&mut row, *member)?,
            RowChange::Activate { by, joined } => self.activate(&mut row, *by, joined)?,
            RowChange::CatchUp(_) | RowChange::GiveUp(_) if row.is_armed() => {
                return Err(Refusal::Armed);
            }
            RowChange::CatchUp(member) => self.catch_up(&mut row, *member)?,
            RowChange::GiveUp(member) => {
                if !row.catching_up.remove(*member) {
                    return Err(Refusal::NotCatchingUp);
                }
            }
            RowChange::Shrink { .. }
            | RowChange::Grow { .. }
            | RowChange::Settle { .. }
            | RowChange::Arm { .. }
            | RowChange::TakeOver { .. } => self.change_active(&mut row, change)?,
        }
        Ok(row)
    }

    fn promote(&self, row: &mut Row, member: Member) -> Result<(), Refusal> {
        self.expect_able(member)?;
        let is_armed = row.is_armed();
        let mut candidates = row.holders().cloned().unwrap_or_default();
        let mut leaving = row.leaving().cloned().unwrap_or_default();
        if is_broken(Breakage::NoCandidates) && candidates.contains(member) {
            (candidates, leaving) = (Members::one(member), Members::default());
        }
        if is_broken(Breakage::PromotedOutOfSync) {
            candidates.insert(member);
        }
        if !candidates.contains(member) {
            // When no memory is left that has everything for certain, any: it puts the partition
            // together from what is left elsewhere, and holds nothing itself till then.
            if candidates.iter().any(|candidate| !self.is_dead(candidate)) {
                return Err(Refusal::CopyLeft);
            }
            // What is in an adopted store nobody holds.
            let is_new = row.epoch == Epoch(0) || is_broken(Breakage::AdoptedUnread);
            if row.reign == Reign::Unborn && is_new {
                candidates.insert(member);
            }
        }
        // An armed row's next epoch may be served already.
        let is_spent = is_armed && !is_broken(Breakage::ArmedEpochReused);
        let raised = u64::from(!is_broken(Breakage::EpochKept) || row.epoch == Epoch(0));
        row.epoch = Epoch(row.epoch.0 + raised + u64::from(is_spent));
        if let Some(earlier) = row.catching_up.of(member.directory) {
            row.catching_up.remove(earlier);
        }
        row.reign = Reign::Preparing { primary: member, candidates, leaving };
        Ok(())
    }

    fn activate(&self, row: &mut Row, by: Member, joined: &Members) -> Result<(), Refusal> {
        let Reign::Preparing { primary, candidates, leaving } = &row.reign else {
            return Err(Refusal::WrongReign);
        };
        if by != *primary {
            return Err(Refusal::NotThePrimary);
        }
        let is_put_together = *joined == Members::one(by)
            && candidates.iter().all(|candidate| self.is_dead(candidate));
        if !joined.contains(by) || !(joined.is_subset(candidates) || is_put_together) {
            return Err(Refusal::NotAHolder);
        }
        if joined.iter().any(|member| self.is_dead(member)) {
            return Err(Refusal::Dead);
        }
        let dropped = candidates.iter().filter(|candidate| !joined.contains(*candidate));
        let left = leaving.iter().chain(dropped).filter(|member| !joined.contains(*member));
        let in_sync = joined.clone();
        // Of a directory the last life is enough: the memory of earlier ones is gone.
        let mut leaving = Members::default();
        left.for_each(|member| leaving.replace(member));
        let leaving = if is_broken(Breakage::RemovedAtOnce) { Members::default() } else { leaving };
        row.reign = Reign::Active { primary: by, in_sync, leaving, next: None };
        Ok(())
    }

    fn catch_up(&self, row: &mut Row, member: Member) -> Result<(), Refusal> {
        self.expect_able(member)?;
        if row.holds_or_awaits(member) {
            return Err(Refusal::AlreadyNamed);
        }
        if row.catching_up.len() >= CATCHING_UP_MAX {
            return Err(Refusal::TooManyCatchingUp);
        }
        row.catching_up.insert(member);
        Ok(())
    }

    fn change_active(&self, row: &mut Row, change: &RowChange) -> Result<(), Refusal> {
        let Reign::Active { primary, in_sync, leaving, next } = &mut row.reign else {
            return Err(Refusal::WrongReign);
        };
        match change {
            RowChange::Shrink { by, remove, why: _ } => {
                self.expect_primary(*by, *primary, *next)?;
                if remove == primary || !in_sync.remove(*remove) {
                    return Err(Refusal::NotAHolder);
                }
                if in_sync.iter().all(|left| self.is_dead(left)) {
                    return Err(Refusal::LastCopy);
                }
                if !is_broken(Breakage::RemovedAtOnce) {
                    leaving.replace(*remove);
                }
            }
            RowChange::Grow { by, add } => {
                self.expect_primary(*by, *primary, *next)?;
                if self.is_dead(*add) {
                    return Err(Refusal::Dead);
                }
                if !row.catching_up.remove(*add) {
                    return Err(Refusal::NotCatchingUp);
                }
                leaving.remove(*add);
                in_sync.insert(*add);
            }
            RowChange::Settle { by } => {
                self.expect_primary(*by, *primary, *next)?;
                if leaving.len() == 0 {
                    return Err(Refusal::AlreadySo);
                }
                *leaving = Members::default();
            }
            RowChange::Arm { next: member } => {
                self.expect_able(*member)?;
                if next.is_some() {
                    return Err(Refusal::Armed);
                }
                if member == primary || !in_sync.contains(*member) {
                    return Err(Refusal::NotAHolder);
                }
                *next = Some(*member);
            }
            RowChange::TakeOver { by } => {
                if *next != Some(*by) {
                    return Err(if next.is_none() { Refusal::NotArmed } else { Refusal::Armed });
                }
                // Down or not: it serves since it has the token, and the former primary never
                // will again.
                (*primary, *next) = (*by, None);
                row.epoch = row.epoch.next();
            }
            _ => unreachable!("the others do not need an active primary"),
        }
        Ok(())
    }

    /// Whether it may be given something to do: it is up, no witness, and of some weight.
    pub(crate) fn is_able(&self, member: Member) -> bool {
        self.expect_able(member).is_ok()
    }

    /// A node to which duties may be given.
    fn expect_able(&self, member: Member) -> Result<(), Refusal> {
        let node = self.nodes.get(&member.directory);
        let node = node.filter(|node| node.generation == member.generation);
        let node = node.ok_or(Refusal::UnknownMember)?;
        match node.status {
            Status::Dead => Err(Refusal::Dead),
            Status::Down => Err(Refusal::NotUp),
            Status::Up if node.role == Role::Witness || node.weight == 0 => {
                Err(Refusal::HoldsNothing)
            }
            Status::Up => Ok(()),
        }
    }

    /// Inside an epoch only the active primary changes the in-sync set, and only while it has its
    /// duties: one that lost them and lives must not shed its healthy backups.
    fn expect_primary(
        &self,
        by: Member,
        primary: Member,
        next: Option<Member>,
    ) -> Result<(), Refusal> {
        if by != primary {
            return Err(Refusal::NotThePrimary);
        }
        if next.is_some() {
            return Err(Refusal::Armed);
        }
        if self.is_up(by) { Ok(()) } else { Err(Refusal::NotUp) }
    }
}
