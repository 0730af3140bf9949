//! Which nodes hold each partition: what is there stays where it may.

use super::levels::{Levels, mixed};
use super::problem::{Problem, bounds};

/// The nodes of each partition while they are being chosen.
pub(super) struct Replicas<'a> {
    problem: &'a Problem,
    /// By partition, ascending.
    pub(super) rows: Vec<Vec<usize>>,
    /// By node: how many it holds.
    counts: Vec<usize>,
    /// By zone: the nodes that may be given more, those first that lack most.
    nodes: Vec<Levels>,
    /// Zones by the best of their nodes.
    zones: Levels,
}

/// How a node is moved from or to that holds too much or too little.
#[derive(Clone, Copy)]
struct Move {
    partition: usize,
    from: usize,
    to: usize,
}

impl<'a> Replicas<'a> {
    /// Chooses. First what must be: as many copies as are wanted, no two on one node, nor in one
    /// zone where zones suffice. Then balance, by the fewest moves.
    pub(super) fn choose(problem: &'a Problem) -> Replicas<'a> {
        let rows: Vec<Vec<usize>> = problem.held.iter().map(|held| held.seats.clone()).collect();
        let mut counts = vec![0; problem.seats.len()];
        rows.iter().flatten().for_each(|seat| counts[*seat] += 1);
        let nodes = vec![Levels::default(); problem.zones];
        let mut replicas = Replicas { problem, rows, counts, nodes, zones: Levels::default() };
        for seat in 0..problem.seats.len() {
            replicas.rank(seat);
        }
        for partition in 0..replicas.rows.len() {
            replicas.drop_surplus(partition);
        }
        for partition in 0..replicas.rows.len() {
            replicas.fill(partition);
        }
        replicas.relieve();
        replicas.feed();
        replicas
    }

    /// Removes what may not stay: copies on nodes that are to hold none, too many of a zone, and
    /// more than are wanted. Of several, those of the node that has most above its share.
    fn drop_surplus(&mut self, partition: usize) {
        let seats = &self.problem.seats;
        loop {
            let row = &self.rows[partition];
            let crowded = |seat: &usize| {
                let zone = seats[*seat].zone;
                let in_zone = row.iter().filter(|other| seats[**other].zone == zone).count();
                in_zone > self.problem.per_zone_max
            };
            let is_banned = |seat: &usize| seats[*seat].weight == 0;
            let worst = |drop: &dyn Fn(&usize) -> bool| {
                let may_go = row.iter().copied().filter(|seat| drop(seat));
                may_go.max_by(|one, other| self.above(partition, *one, *other))
            };
            let drop = worst(&is_banned)
                .or_else(|| worst(&crowded))
                .or_else(|| if row.len() > self.problem.copies { worst(&|_| true) } else { None });
            let Some(seat) = drop else { return };
            self.remove(partition, seat);
        }
    }

    /// Which of two copies rather goes: that of a node that holds too much, so that it need not be
    /// moved after that; a backup before the primary; that of the node that has more above its
    /// share.
    fn above(&self, partition: usize, one: usize, other: usize) -> std::cmp::Ordering {
        let primary = self.problem.held[partition].primary;
        let is_over = |seat: usize| self.counts[seat] > bounds(self.problem.copies_ideal[seat]).1;
        let key = |seat: usize| (is_over(seat), Some(seat) != primary);
        let excess = self.excess(one).total_cmp(&self.excess(other));
        key(one).cmp(&key(other)).then(excess).then(one.cmp(&other))
    }

    fn excess(&self, seat: usize) -> f64 {
        self.counts[seat] as f64 - self.problem.copies_ideal[seat]
    }

    /// Gives a partition the copies that it lacks.
    fn fill(&mut self, partition: usize) {
        while self.rows[partition].len() < self.problem.copies {
            let Some(seat) = self.best(partition, None) else { return };
            self.add(partition, seat);
        }
    }

    /// The node that lacks most of those that may hold a copy of the partition; with `instead` the
    /// copy there is to go.
    fn best(&self, partition: usize, instead: Option<usize>) -> Option<usize> {
        let (row, seats) = (&self.rows[partition], &self.problem.seats);
        let stays = |seat: &&usize| Some(**seat) != instead;
        let has_room = |zone: usize| {
            let in_zone = row.iter().filter(stays).filter(|seat| seats[**seat].zone == zone);
            in_zone.count() < self.problem.per_zone_max
        };
        let seed = mixed(partition, row.len());
        let node = |zone: usize| self.nodes[zone].pick(seed, |seat| !row.contains(&seat));
        let zone = self.zones.pick(seed, |zone| has_room(zone) && node(zone).is_some())?;
        node(zone)
    }

    /// Takes from nodes that hold more than they may, as long as another lacks it.
    fn relieve(&mut self) {
        let over = |replicas: &Self, seat: usize| {
            replicas.counts[seat] > bounds(replicas.problem.copies_ideal[seat]).1
        };
        let overfull: Vec<usize> =
            (0..self.counts.len()).filter(|seat| over(self, *seat)).collect();
        let of_nodes = self.partitions_of(&overfull);
        for (seat, partitions) in overfull.into_iter().zip(of_nodes) {
            for partition in partitions {
                if !over(self, seat) {
                    break;
                }
                let to = self.best(partition, Some(seat));
                let has_room =
                    |to: &usize| self.counts[*to] < bounds(self.problem.copies_ideal[*to]).1;
                if let Some(to) = to.filter(has_room) {
                    self.carry_out(Move { partition, from: seat, to });
                }
            }
        }
    }

    /// Gives to nodes that hold less than they should, from those that have most.
    fn feed(&mut self) {
        let under = |replicas: &Self, seat: usize| {
            let is_open = replicas.problem.seats[seat].takes;
            is_open && replicas.counts[seat] < bounds(replicas.problem.copies_ideal[seat]).0
        };
        let hungry: Vec<usize> = (0..self.counts.len()).filter(|seat| under(self, *seat)).collect();
        if hungry.is_empty() {
            return;
        }
        let all: Vec<usize> = (0..self.counts.len()).collect();
        let of_nodes = self.partitions_of(&all);
        for to in hungry {
            let mut givers: Vec<usize> = all.iter().copied().filter(|seat| *seat != to).collect();
            givers.sort_by(|one, other| {
                let excess = self.excess(*other).total_cmp(&self.excess(*one));
                excess.then(mixed(*one, to).cmp(&mixed(*other, to)))
            });
            // Each gives in turn, so that none is left with less than the others.
            let mut next = vec![0; givers.len()];
            let mut has_given = true;
            while has_given && under(self, to) {
                has_given = false;
                for (turn, from) in givers.iter().enumerate() {
                    let (low, _) = bounds(self.problem.copies_ideal[*from]);
                    if !under(self, to) || self.counts[*from] <= low {
                        continue;
                    }
                    let left = &of_nodes[*from][next[turn]..];
                    let fits = left.iter().position(|at| self.may_move(*at, *from, to));
                    let Some(at) = fits else { continue };
                    let partition = left[at];
                    next[turn] += at + 1;
                    self.carry_out(Move { partition, from: *from, to });
                    has_given = true;
                }
            }
        }
    }

    /// By node: the partitions that it holds, backups first, in an order that looks like chance.
    fn partitions_of(&self, nodes: &[usize]) -> Vec<Vec<usize>> {
        let mut number = vec![None; self.counts.len()];
        for (at, node) in nodes.iter().enumerate() {
            number[*node] = Some(at);
        }
        let mut of_nodes = vec![Vec::new(); nodes.len()];
        for (partition, row) in self.rows.iter().enumerate() {
            for seat in row {
                if let Some(at) = number[*seat] {
                    of_nodes[at].push(partition);
                }
            }
        }
        for (node, partitions) in nodes.iter().zip(&mut of_nodes) {
            let is_primary = |at: &usize| self.problem.held[*at].primary == Some(*node);
            partitions.sort_by_key(|at| (is_primary(at), mixed(*at, *node)));
        }
        of_nodes
    }

    fn may_move(&self, partition: usize, from: usize, to: usize) -> bool {
        let (row, seats) = (&self.rows[partition], &self.problem.seats);
        if !row.contains(&from) || row.contains(&to) {
            return false;
        }
        let zone = seats[to].zone;
        let others = row.iter().filter(|seat| **seat != from && seats[**seat].zone == zone);
        others.count() < self.problem.per_zone_max
    }

    fn carry_out(&mut self, Move { partition, from, to }: Move) {
        self.remove(partition, from);
        self.add(partition, to);
    }

    fn add(&mut self, partition: usize, seat: usize) {
        let row = &mut self.rows[partition];
        row.insert(row.partition_point(|other| *other < seat), seat);
        self.counts[seat] += 1;
        self.rank(seat);
    }

    fn remove(&mut self, partition: usize, seat: usize) {
        self.rows[partition].retain(|other| *other != seat);
        self.counts[seat] -= 1;
        self.rank(seat);
    }

    fn rank(&mut self, seat: usize) {
        let at = &self.problem.seats[seat];
        if !at.takes {
            return;
        }
        // Whole copies that it lacks: finer steps would take equals in turn.
        let level = (self.problem.copies_ideal[seat] - self.counts[seat] as f64).floor() as i64;
        self.nodes[at.zone].set(seat, level);
        if let Some(top) = self.nodes[at.zone].top() {
            self.zones.set(at.zone, top);
        }
    }
}
