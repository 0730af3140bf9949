//! Random commands, in their order and late, against what must hold of every table.

use std::collections::BTreeSet;

use super::*;
use crate::engine::id::NodeId;
use crate::engine::simulation::random::Random;

const DIRECTORIES: u64 = 6;
const PARTITIONS: u16 = 3;

/// A grid's table, what proposers have seen of it, and copies of it that lag behind.
struct World {
    random: Random,
    table: PartitionTable,
    /// Rows as they once were, for commands that come late.
    seen: Vec<At>,
    /// The last generation that each directory has begun.
    generations: Vec<u64>,
    lagging: Vec<PartitionTable>,
}

impl World {
    fn new(seed: u64) -> World {
        let table = PartitionTable::new(PARTITIONS, 3);
        let lagging = vec![table.clone(); 3];
        let generations = vec![0; DIRECTORIES as usize];
        World { random: Random::new(seed), table, seen: Vec::new(), generations, lagging }
    }

    fn step(&mut self) -> Applied {
        let commands = [self.command()];
        let before = self.table.clone();
        let applied = self.table.apply(&commands);
        check_step(&before, &self.table, &applied);
        check_table(&self.table);
        for partition in &applied.rows {
            self.seen.extend(self.table.at(*partition));
        }
        self.follow();
        applied
    }

    fn command(&mut self) -> Command {
        if self.random.percent(30) {
            return self.node_command();
        }
        let partition = PartitionId(self.random.between(0, u64::from(PARTITIONS)) as u16);
        let late = self.random.percent(15).then(|| self.random.next() as usize);
        let seen = late.and_then(|at| self.seen.get(at % self.seen.len().max(1)).copied());
        let unknown = At { partition, epoch: Epoch(0), version: RowVersion(0) };
        let at = seen.or_else(|| self.table.at(partition)).unwrap_or(unknown);
        Command::Row { at, change: self.row_change(at.partition) }
    }

    fn node_command(&mut self) -> Command {
        let member = self.member();
        match self.random.between(0, 9) {
            0..=3 => {
                let at = member.directory.0 as usize;
                // Now and then one that is restored, or copied.
                self.generations[at] += self.random.between(0, 1);
                let generation = Generation(self.generations[at]);
                let name = NodeId::new(self.random.pick(&["a", "b", "c", "d", "e", "f", "g"]));
                let member = Member { generation, ..member };
                let role = if self.random.percent(5) { Role::Witness } else { Role::Data };
                Command::Join(Join { member, name, role, zone: NodeId::new("z"), weight: 1 })
            }
            4..=5 => Command::MarkDown(member),
            6..=7 => Command::Readmit(member),
            8 if self.random.percent(30) => Command::DeclareDead(member),
            8 => Command::Forget(member.directory),
            _ => Command::Drain { member, is_draining: self.random.percent(50) },
        }
    }

    fn row_change(&mut self, partition: PartitionId) -> RowChange {
        let row = self.table.row(partition).cloned().unwrap_or_default();
        let any = self.member();
        let by = if self.random.percent(90) { row.primary().unwrap_or(any) } else { any };
        let holders: Vec<Member> = row.holders().into_iter().flat_map(Members::iter).collect();
        let holder = if holders.is_empty() { any } else { self.random.pick(&holders) };
        let caught_up = row.catching_up.iter().next().unwrap_or(any);
        let likely = if self.random.percent(80) { holder } else { any };
        match self.random.between(0, 10) {
            0..=1 => RowChange::Promote(likely),
            2..=3 => {
                let kept = holders.into_iter().filter(|_| self.random.percent(80));
                RowChange::Activate { by, joined: kept.chain([by]).collect() }
            }
            4 => RowChange::Shrink { by, remove: likely, why: Failing::Silent },
            5 => RowChange::Grow { by, add: caught_up },
            6 => RowChange::CatchUp(any),
            7 => RowChange::Arm { next: likely },
            8 => match row.reign {
                Reign::Active { next: Some(next), .. } => RowChange::TakeOver { by: next },
                _ => RowChange::TakeOver { by: likely },
            },
            9 => RowChange::Settle { by },
            _ => RowChange::GiveUp(caught_up),
        }
    }

    /// A member as it is, or another life of it.
    fn member(&mut self) -> Member {
        let directory = self.random.between(0, DIRECTORIES - 1);
        let last = self.generations[directory as usize];
        let earlier = if self.random.percent(10) { self.random.between(0, 2) } else { 0 };
        let generation = Generation(last.saturating_sub(earlier));
        Member { directory: DirectoryId(u128::from(directory)), generation }
    }

    /// Copies of the table take in what has changed, some sooner than others.
    fn follow(&mut self) {
        for copy in 0..self.lagging.len() {
            if self.random.percent(20) {
                let delta = self.table.since(self.lagging[copy].version());
                self.lagging[copy].merge(&delta).expect("it begins where the copy ends");
                self.lagging[copy].merge(&delta).expect("and does nothing twice");
                assert_eq!(self.lagging[copy], self.table);
            }
        }
    }
}

fn check_step(before: &PartitionTable, after: &PartitionTable, applied: &Applied) {
    let is_changed = !applied.rows.is_empty() || applied.has_nodes_changed;
    assert_eq!(after.version.0 - before.version.0, u64::from(is_changed));
    for ((partition, was), (_, is)) in before.rows().zip(after.rows()) {
        if !applied.rows.contains(&partition) {
            assert_eq!(was, is, "{partition} has not changed");
            continue;
        }
        assert!(is.version > was.version && is.epoch >= was.epoch, "{was:?} {is:?}");
        assert_eq!(is.changed_at, after.version);
        if is.epoch == was.epoch && is.primary() != was.primary() {
            panic!("one epoch has two primaries: {was:?} {is:?}");
        }
        // Whoever is named comes from those who may hold what was acknowledged, as long as any of
        // them may live.
        let live = |row: &Row| -> Vec<Member> {
            let holders = row.holders().into_iter().flat_map(Members::iter);
            holders.filter(|holder| !after.is_dead(*holder)).collect()
        };
        let is_lost = live(was).is_empty();
        assert!(is_lost || !live(is).is_empty(), "the last copy is gone: {was:?} {is:?}");
    }
}

fn check_table(table: &PartitionTable) {
    for (partition, row) in table.rows() {
        let holders: Vec<Member> = row.holders().into_iter().flat_map(Members::iter).collect();
        match &row.reign {
            Reign::Unborn => assert_eq!(row.epoch, Epoch(0)),
            Reign::Preparing { primary, candidates, .. } => {
                let is_lost = candidates.iter().all(|candidate| table.is_dead(candidate));
                assert!(candidates.contains(*primary) || is_lost, "{partition}: {row:?}");
            }
            Reign::Active { primary, in_sync, next, .. } => {
                assert!(in_sync.contains(*primary), "{partition}: {row:?}");
                assert!(next.is_none_or(|next| next != *primary && in_sync.contains(next)));
                let directories: BTreeSet<DirectoryId> =
                    holders.iter().map(|holder| holder.directory).collect();
                assert_eq!(directories.len(), in_sync.len(), "two copies on one node: {row:?}");
            }
        }
        for member in row.catching_up.iter() {
            let is_held = holders.iter().any(|holder| holder.directory == member.directory);
            assert!(!is_held, "{partition}: {row:?}");
        }
        assert!(row.catching_up.len() <= CATCHING_UP_MAX);
        for member in holders.into_iter().chain(row.catching_up.iter()) {
            assert!(table.nodes.contains_key(&member.directory), "{member:?} was forgotten");
        }
    }
    let up = table.nodes.values().filter(|node| node.status == Status::Up);
    let names: Vec<&NodeId> = up.map(|node| &node.name).collect();
    let distinct: BTreeSet<&&NodeId> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "two nodes of one name are up");
}

#[test]
fn no_sequence_of_commands_reaches_an_invalid_table() {
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            let applied = world.step();
            refused.extend(applied.refused.iter().map(|(_, why)| kind(&format!("{why:?}"))));
        }
        for (_, row) in world.table.rows() {
            done.insert(kind(&format!("{:?}", row.reign)));
        }
    }
    // The test is worth what it has come across.
    assert_eq!(done.len(), 3, "{done:?}");
    assert!(refused.len() >= 18, "{refused:?}");
}

/// The name of a variant.
fn kind(debug: &str) -> String {
    debug.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}
