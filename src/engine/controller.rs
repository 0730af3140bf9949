//! What the controller's leader decides: who is down, who becomes primary, what is moved.
//!
//! It proposes and remembers next to nothing: every command is conditional on what the table says,
//! so a leader that is wrong, late, or not alone does no harm. It goes by the table that its own
//! log has come to, and by whom it hears.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::breakage::{Breakage, is_broken};
use super::id::{PartitionId, Position};
use super::instant::Instant;
use super::placement::{Pace, Step, plan};
use super::table::{
    At, Command, DirectoryId, Member, Members, Node, PartitionTable, Reign, Row, RowChange,
    RowVersion, Status,
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
}

/// Who is there, as far as the leader knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Those that are taken for gone (see [`suspicion`](super::suspicion)).
    pub suspected: BTreeSet<Member>,
    /// Those that it hears, itself included.
    pub heard: BTreeSet<Member>,
    /// What each of these holds of each partition: the place of its last record.
    pub reports: BTreeMap<Member, BTreeMap<PartitionId, Position>>,
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

#[derive(Clone, Debug)]
pub(crate) struct Controller {
    delays: Delays,
    down_since: BTreeMap<Member, Instant>,
    /// Since when a node that is down is heard.
    heard_since: BTreeMap<Member, Instant>,
    unwell_at: Instant,
    /// Hand-overs under way: in which version of the row, and since when.
    armed_since: BTreeMap<PartitionId, (RowVersion, Instant)>,
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
        }
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
/// proven dead, whoever holds most.
fn choose_primary(
    partition: PartitionId,
    row: &Row,
    table: &PartitionTable,
    view: &View,
    is_able: &dyn Fn(Member) -> bool,
) -> Option<Member> {
    let held = |member: Member| {
        let report = view.reports.get(&member).and_then(|report| report.get(&partition));
        report.copied().unwrap_or_default()
    };
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
    // Whom the last primary removed without knowing it has all that was acknowledged. Others that
    // are leaving have not: so it takes all of them to know which.
    let leaving = || row.leaving().into_iter().flat_map(Members::iter);
    let may_live = |holder: &Member| match is_broken(Breakage::LeavingNotAwaited) {
        true => is_able(*holder),
        false => !table.is_dead(*holder),
    };
    let living: Vec<Member> = leaving().filter(may_live).collect();
    if !living.is_empty() {
        return most(&living, view, &held).filter(|best| is_able(*best));
    }
    let member = |(directory, node): (&DirectoryId, &Node)| {
        let member = Member { directory: *directory, generation: node.generation };
        (node.holds_data() && is_able(member)).then_some(member)
    };
    let up: Vec<Member> = table.nodes().iter().filter_map(member).collect();
    most(&up, view, &held)
}

/// Who holds most, once all have said what they hold.
fn most(members: &[Member], view: &View, held: &dyn Fn(Member) -> Position) -> Option<Member> {
    let have_reported = members.iter().all(|member| view.reports.contains_key(member));
    let most = members.iter().copied().max_by_key(|member| (held(*member), *member));
    most.filter(|_| have_reported)
}
