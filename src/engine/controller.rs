//! What the controller's leader decides: who is down, who becomes primary, what is moved.
//!
//! It proposes and remembers next to nothing: every command is conditional on what the table says,
//! so a leader that is wrong, late, or not alone does no harm. It goes by the table that its own
//! log has come to, and by whom it hears.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::breakage::{Breakage, is_broken};
use super::id::{Epoch, PartitionId, Position};
use super::instant::Instant;
use super::placement::{Pace, Step, plan};
use super::table::{
    At, Command, DirectoryId, Failing, Member, Members, Node, PartitionTable, Reign, Row,
    RowChange, RowVersion, Status,
};

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    /// For how long a node that was marked down must be heard before it is readmitted.
    pub readmit_after: Duration,
    /// For how long a node must be down before its copies are made anew elsewhere.
    pub protect_after: Duration,
    /// For how long all must be well before anything is moved for balance.
    pub balance_after: Duration,
    pub moves_per_node_max: usize,
    /// A hand-over that takes longer is called off.
    pub hand_over_max: Duration,
    /// For how long a primary that was replaced in place of its backup is not believed in turn.
    pub distrust_for: Duration,
}

/// Who is there, as far as the leader knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Those that are taken for gone (see [`suspicion`](super::suspicion)).
    pub suspected: BTreeSet<Member>,
    /// Those that it hears, itself included.
    pub heard: BTreeSet<Member>,
    /// Those of these that it has heard lately.
    pub lately: BTreeSet<Member>,
    /// By whom each is accused, of those whose word counts.
    pub accusers: BTreeMap<Member, Members>,
    /// What each of these holds of each partition: the place of its last record.
    pub reports: BTreeMap<Member, BTreeMap<PartitionId, Position>>,
}

impl View {
    /// How far a member's copy of a partition goes.
    fn held(&self, member: Member, partition: PartitionId) -> Position {
        let report = self.reports.get(&member).and_then(|report| report.get(&partition));
        report.copied().unwrap_or_default()
    }
}

/// What the leader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// To be proposed, as one entry.
    pub commands: Vec<Command>,
    /// Primaries that should remove a copy, for it is not wanted any more, if the row is still the
    /// one that was seen.
    pub shrinks: Vec<(Member, At, Member)>,
}

/// A primary that had no time.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    primary: Member,
    /// Its last epoch, and who is to reign in the next.
    epoch: Epoch,
    by: Member,
    since: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct Controller {
    delays: Delays,
    down_since: BTreeMap<Member, Instant>,
    /// Since when a node that is down is heard.
    heard_since: BTreeMap<Member, Instant>,
    unwell_at: Instant,
    /// Hand-overs under way: in which version of the row, and since when.
    armed_since: BTreeMap<PartitionId, (RowVersion, Instant)>,
    /// Primaries that are to be replaced in place of their last backups.
    replaced: BTreeMap<PartitionId, Replaced>,
}

impl Controller {
    /// A leader's, from the beginning of its term.
    pub(crate) fn new(delays: Delays, now: Instant) -> Controller {
        Controller {
            delays,
            down_since: BTreeMap::new(),
            heard_since: BTreeMap::new(),
            unwell_at: now,
            armed_since: BTreeMap::new(),
            replaced: BTreeMap::new(),
        }
    }

    /// What is to come into the log of what was proposed to the leader.
    ///
    /// A primary that has no time hears nobody. If it would be rid of its last backup, which nobody
    /// else accuses and which has all that it is known to have, it is the one that is replaced: it
    /// might soon die with everything that it acknowledges alone.
    pub(crate) fn review(
        &mut self,
        now: Instant,
        table: &PartitionTable,
        view: &View,
        command: Command,
    ) -> Command {
        let Command::Row { at, change: RowChange::Shrink { by, remove, why: Failing::Silent } } =
            command
        else {
            return command;
        };
        let is_last = table.at(at.partition) == Some(at) && is_last_backup(table, at, by, remove);
        let accusers = view.accusers.get(&remove);
        let is_accused = accusers.is_some_and(|them| them.iter().any(|accuser| accuser != by));
        let has_reported = [by, remove].iter().all(|it| view.reports.contains_key(it));
        let is_there = table.is_up(remove) && view.lately.contains(&remove) && has_reported;
        let lacks = view.held(remove, at.partition) < view.held(by, at.partition);
        let is_behind = lacks && !is_broken(Breakage::LaggardPromoted);
        let is_obeyed = !is_last
            || !is_there
            || is_accused
            || is_behind
            || self.is_distrusted(now, at, by, remove);
        if is_obeyed || is_broken(Breakage::StarvedObeyed) {
            return command;
        }
        let replaced = Replaced { primary: by, epoch: at.epoch, by: remove, since: now };
        self.replaced.insert(at.partition, replaced);
        Command::Row { at, change: RowChange::Promote(remove) }
    }

    /// Whether a member was a primary lately that had no time, and `by` has replaced it: or the two
    /// would take turns. What was proposed and never decided says nothing.
    fn is_distrusted(&self, now: Instant, at: At, by: Member, member: Member) -> bool {
        let replaced = self.replaced.get(&at.partition);
        replaced.is_some_and(|last| {
            let is_decided = at.epoch > last.epoch && by == last.by;
            let is_fresh = now.saturating_since(last.since) < self.delays.distrust_for;
            last.primary == member && is_decided && is_fresh
        })
    }

    /// Looks at everything, and decides.
    pub(crate) fn decide(&mut self, now: Instant, table: &PartitionTable, view: &View) -> Orders {
        let mut orders = Orders::default();
        let down = self.judge_nodes(now, table, view, &mut orders);
        let is_able = |member: Member| table.is_up(member) && !down.contains(&member);
        // Whom the leader does not hear could not tell it that it has begun.
        let may_begin = |member: Member| is_able(member) && view.heard.contains(&member);
        let mut is_well = down.is_empty();
        for (partition, row) in table.rows() {
            let Some(at) = table.at(partition) else { continue };
            let is_late = self.is_late(now, partition, row);
            let late = row.primary().filter(|primary| is_late && may_begin(*primary));
            let chosen = match is_served(row, &is_able) {
                true => None,
                false => choose_primary(partition, row, table, view, &may_begin),
            };
            let member = chosen.or(late);
            if let Some(member) = member {
                is_well = false;
                orders.commands.push(command(at, RowChange::Promote(member)));
            }
        }
        // Whoever has been away for so long is not waited for any more.
        let is_awaited = |(directory, node): (&DirectoryId, &Node)| {
            let member = Member { directory: *directory, generation: node.generation };
            node.status == Status::Down && !self.is_gone(now, member)
        };
        if !is_well || table.nodes().iter().any(is_awaited) {
            self.unwell_at = now;
        }
        // One thing after another: what is planned now may be another thing then.
        if orders.commands.is_empty() {
            self.plan(now, table, &mut orders);
        }
        orders
    }

    /// Whether a hand-over takes so long that it is to be called off.
    fn is_late(&mut self, now: Instant, partition: PartitionId, row: &Row) -> bool {
        if !matches!(row.reign, Reign::Active { next: Some(_), .. }) {
            self.armed_since.remove(&partition);
            return false;
        }
        let known = self.armed_since.entry(partition).or_insert((row.version, now));
        if known.0 != row.version {
            *known = (row.version, now);
        }
        now.saturating_since(known.1) >= self.delays.hand_over_max
    }

    /// Takes duties from who is suspected, and gives them back. Returns who has none from now on.
    fn judge_nodes(
        &mut self,
        now: Instant,
        table: &PartitionTable,
        view: &View,
        orders: &mut Orders,
    ) -> BTreeSet<Member> {
        let mut down = BTreeSet::new();
        for (directory, node) in table.nodes() {
            let member = Member { directory: *directory, generation: node.generation };
            let is_suspected = view.suspected.contains(&member);
            match node.status {
                Status::Up if is_suspected => {
                    orders.commands.push(Command::MarkDown(member));
                    down.insert(member);
                }
                Status::Down if is_suspected => {
                    self.heard_since.remove(&member);
                }
                Status::Down => {
                    let since = *self.heard_since.entry(member).or_insert(now);
                    let is_due = now.saturating_since(since) >= self.delays.readmit_after;
                    if is_due && !table.has_other_of_name(*directory, &node.name) {
                        orders.commands.push(Command::Readmit(member));
                    }
                }
                Status::Dead if table.rows().all(|(_, row)| !row.names(member)) => {
                    orders.commands.push(Command::Forget(*directory));
                }
                Status::Up | Status::Dead => {
                    self.heard_since.remove(&member);
                }
            }
            if node.status == Status::Up {
                self.down_since.remove(&member);
            } else {
                self.down_since.entry(member).or_insert(now);
            }
        }
        let is_known = |member: &Member| table.status(*member).is_some();
        self.down_since.retain(|member, _| is_known(member));
        self.heard_since.retain(|member, _| is_known(member));
        down
    }

    /// Whether it has been away for so long that its copies are made anew elsewhere.
    fn is_gone(&self, now: Instant, member: Member) -> bool {
        let since = self.down_since.get(&member);
        since.is_some_and(|since| now.saturating_since(*since) >= self.delays.protect_after)
    }

    fn plan(&self, now: Instant, table: &PartitionTable, orders: &mut Orders) {
        let is_gone = |member: Member| self.is_gone(now, member);
        let well_for = now.saturating_since(self.unwell_at);
        let pace = Pace {
            moves_per_node_max: self.delays.moves_per_node_max,
            may_balance: well_for >= self.delays.balance_after,
        };
        for step in plan(table, &is_gone, pace) {
            let (partition, change) = match step {
                Step::Promote(partition, member) => (partition, RowChange::Promote(member)),
                Step::CatchUp(partition, member) => (partition, RowChange::CatchUp(member)),
                Step::GiveUp(partition, member) => (partition, RowChange::GiveUp(member)),
                Step::HandOver(partition, next) => (partition, RowChange::Arm { next }),
                Step::Shrink(partition, remove) => {
                    let primary = table.row(partition).and_then(Row::primary);
                    let named = primary.zip(table.at(partition));
                    orders.shrinks.extend(named.map(|(primary, at)| (primary, at, remove)));
                    continue;
                }
            };
            orders.commands.extend(table.at(partition).map(|at| command(at, change)));
        }
    }
}

fn command(at: At, change: RowChange) -> Command {
    Command::Row { at, change }
}

/// Whether without it the primary would be alone, where several copies are wanted.
fn is_last_backup(table: &PartitionTable, at: At, by: Member, member: Member) -> bool {
    let Some(row) = table.row(at.partition) else { return false };
    let Reign::Active { primary, in_sync, next: None, .. } = &row.reign else { return false };
    let is_pair = in_sync.len() == 2 && in_sync.contains(by) && in_sync.contains(member);
    is_pair && *primary == by && member != by && table.copies() > 1
}

/// Whether whoever is to serve, or to end a hand-over, is able to.
fn is_served(row: &Row, is_able: &dyn Fn(Member) -> bool) -> bool {
    match &row.reign {
        Reign::Unborn => true, // the planner chooses
        Reign::Preparing { primary, .. } | Reign::Active { primary, next: None, .. } => {
            is_able(*primary)
        }
        Reign::Active { primary, next: Some(next), .. } => is_able(*primary) && is_able(*next),
    }
}

/// Who is to be primary, of those who may begin. A holder, as long as any may live; when all are
/// proven dead, any: it puts the partition together.
fn choose_primary(
    partition: PartitionId,
    row: &Row,
    table: &PartitionTable,
    view: &View,
    is_able: &dyn Fn(Member) -> bool,
) -> Option<Member> {
    let held = |member: Member| view.held(member, partition);
    if is_broken(Breakage::PromotedOutOfSync) {
        let up = table
            .nodes()
            .iter()
            .map(|(directory, node)| Member { directory: *directory, generation: node.generation });
        return up.filter(|member| is_able(*member)).max();
    }
    let holders = || row.holders().into_iter().flat_map(Members::iter);
    let best = holders().filter(|holder| is_able(*holder)).max_by_key(|it| (held(*it), *it));
    if best.is_some() {
        return best;
    }
    if !holders().all(|holder| table.is_dead(holder)) {
        return None; // it is waited for
    }
    let member = |(directory, node): (&DirectoryId, &Node)| {
        let member = Member { directory: *directory, generation: node.generation };
        (node.holds_data() && is_able(member)).then_some(member)
    };
    let up: Vec<Member> = table.nodes().iter().filter_map(member).collect();
    // It puts the partition together: best where some of it may be already.
    up.into_iter().max_by_key(|member| (row.may_have_stored(*member), held(*member), *member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::{NodeId, Seq};
    use crate::engine::table::{Generation, Join, Role};

    const P0: PartitionId = PartitionId(0);

    fn member(directory: u128) -> Member {
        Member { directory: DirectoryId(directory), generation: Generation(1) }
    }

    fn at(millis: u64) -> Instant {
        Instant::default() + Duration::from_millis(millis)
    }

    /// Three nodes, of which the first two hold the one partition.
    fn table(copies: usize) -> PartitionTable {
        let mut table = PartitionTable::new(1, copies);
        for directory in 0..3 {
            let name = NodeId::new(&format!("n{directory}"));
            let (role, zone, weight) = (Role::Data, NodeId::new("z"), 1);
            let member = member(directory);
            table.apply(&[Command::Join(Join { member, name, role, zone, weight })]);
        }
        let (by, add) = (member(0), member(1));
        change(&mut table, RowChange::Promote(by));
        change(&mut table, RowChange::Activate { by, joined: Members::one(by) });
        change(&mut table, RowChange::CatchUp(add));
        change(&mut table, RowChange::Grow { by, add });
        table
    }

    fn change(table: &mut PartitionTable, change: RowChange) {
        let at = table.at(P0).unwrap();
        assert_eq!(table.apply(&[Command::Row { at, change }]).refused, []);
    }

    /// All are heard, nobody is accused, and each holds so many records.
    fn view(held: [u64; 3]) -> View {
        let mut view = View::default();
        for (directory, seq) in held.into_iter().enumerate() {
            let position = Position { epoch: Epoch(1), seq: Seq(seq) };
            view.heard.insert(member(directory as u128));
            view.lately.insert(member(directory as u128));
            view.reports.insert(member(directory as u128), BTreeMap::from([(P0, position)]));
        }
        view
    }

    fn controller() -> Controller {
        let delays = Delays {
            readmit_after: Duration::ZERO,
            protect_after: Duration::ZERO,
            balance_after: Duration::ZERO,
            moves_per_node_max: 1,
            hand_over_max: Duration::ZERO,
            distrust_for: Duration::from_secs(10),
        };
        Controller::new(delays, at(0))
    }

    /// What becomes of it that one wants to be rid of the other.
    fn reviewed(
        controller: &mut Controller,
        now: Instant,
        table: &PartitionTable,
        view: &View,
        (by, remove): (u128, u128),
    ) -> RowChange {
        let shrink =
            RowChange::Shrink { by: member(by), remove: member(remove), why: Failing::Silent };
        let command = Command::Row { at: table.at(P0).unwrap(), change: shrink };
        match controller.review(now, table, view, command) {
            Command::Row { at, change } if table.at(P0) == Some(at) => change,
            command => panic!("{command:?}"),
        }
    }

    fn is_obeyed(table: &PartitionTable, view: &View) -> bool {
        let change = reviewed(&mut controller(), at(1), table, view, (0, 1));
        assert!(matches!(change, RowChange::Shrink { .. } | RowChange::Promote(_)));
        assert!(!matches!(change, RowChange::Promote(it) if it != member(1)));
        matches!(change, RowChange::Shrink { .. })
    }

    #[test]
    fn a_backup_that_nobody_else_accuses_is_promoted() {
        assert!(!is_obeyed(&table(2), &view([5, 5, 0])));
        let mut view = view([5, 6, 0]);
        view.accusers.insert(member(1), Members::one(member(0)));
        assert!(!is_obeyed(&table(2), &view));
    }

    #[test]
    fn a_backup_that_is_accused_or_silent_or_behind_is_removed() {
        let mut accused = view([5, 5, 0]);
        accused.accusers.insert(member(1), [member(0), member(2)].into_iter().collect());
        assert!(is_obeyed(&table(2), &accused));
        let mut silent = view([5, 5, 0]);
        silent.lately.remove(&member(1));
        assert!(is_obeyed(&table(2), &silent));
        assert!(is_obeyed(&table(2), &view([6, 5, 0])));
        let mut unknown = view([5, 5, 0]);
        unknown.reports.remove(&member(1));
        assert!(is_obeyed(&table(2), &unknown));
        let mut down = table(2);
        down.apply(&[Command::MarkDown(member(1))]);
        assert!(is_obeyed(&down, &view([5, 5, 0])));
    }

    #[test]
    fn a_copy_that_is_not_the_last_or_not_wanted_is_removed() {
        assert!(is_obeyed(&table(1), &view([5, 5, 0])), "one copy is enough");
        let mut three = table(3);
        change(&mut three, RowChange::CatchUp(member(2)));
        change(&mut three, RowChange::Grow { by: member(0), add: member(2) });
        assert!(is_obeyed(&three, &view([5, 5, 5])));
    }

    #[test]
    fn a_promotion_that_was_never_decided_makes_nobody_distrusted() {
        let (mut controller, mut table) = (controller(), table(2));
        let promoted = reviewed(&mut controller, at(1), &table, &view([5, 5, 0]), (0, 1));
        assert_eq!(promoted, RowChange::Promote(member(1)));
        // It comes to nothing: the other is removed later, comes back, and another reign begins.
        change(&mut table, RowChange::Promote(member(0)));
        let joined = [member(0), member(1)].into_iter().collect();
        change(&mut table, RowChange::Activate { by: member(0), joined });
        let again = reviewed(&mut controller, at(2), &table, &view([5, 5, 0]), (0, 1));
        assert_eq!(again, RowChange::Promote(member(1)));
    }

    #[test]
    fn the_two_do_not_take_turns() {
        let (mut controller, mut table) = (controller(), table(2));
        let promoted = reviewed(&mut controller, at(1), &table, &view([5, 5, 0]), (0, 1));
        assert_eq!(promoted, RowChange::Promote(member(1)));
        change(&mut table, promoted);
        let joined = [member(0), member(1)].into_iter().collect();
        change(&mut table, RowChange::Activate { by: member(1), joined });
        let mut again =
            |millis| reviewed(&mut controller, at(millis), &table, &view([5, 5, 0]), (1, 0));
        assert!(matches!(again(5000), RowChange::Shrink { .. }));
        assert_eq!(again(10_001), RowChange::Promote(member(0)));
    }
}
