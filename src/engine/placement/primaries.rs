//! Which of a partition's nodes is its primary: who is, stays, where it may.

use std::collections::VecDeque;

use super::levels::mixed;
use super::problem::{Problem, bounds};

pub(super) struct Primaries<'a> {
    problem: &'a Problem,
    rows: &'a [Vec<usize>],
    /// By partition.
    pub(super) chosen: Vec<Option<usize>>,
    /// By node: how many partitions it is the primary of.
    counts: Vec<usize>,
    /// By node: which partitions it holds.
    partitions: Vec<Vec<usize>>,
}

impl<'a> Primaries<'a> {
    pub(super) fn choose(problem: &'a Problem, rows: &'a [Vec<usize>]) -> Primaries<'a> {
        let seats = problem.seats.len();
        let mut partitions = vec![Vec::new(); seats];
        for (partition, row) in rows.iter().enumerate() {
            row.iter().for_each(|seat| partitions[*seat].push(partition));
        }
        for (node, partitions) in partitions.iter_mut().enumerate() {
            partitions.sort_by_key(|at| mixed(*at, node));
        }
        let chosen = vec![None; rows.len()];
        let counts = vec![0; seats];
        let mut primaries = Primaries { problem, rows, chosen, counts, partitions };
        for (partition, row) in rows.iter().enumerate() {
            let primary = problem.held[partition].primary;
            if let Some(primary) = primary.filter(|primary| row.contains(primary)) {
                primaries.set(partition, primary);
            }
        }
        for (partition, row) in rows.iter().enumerate() {
            if primaries.chosen[partition].is_none() {
                let open = row.iter().copied().filter(|seat| problem.seats[*seat].takes);
                let least = open.min_by(|one, other| {
                    let excess = primaries.excess(*one).total_cmp(&primaries.excess(*other));
                    excess.then(mixed(*one, partition).cmp(&mixed(*other, partition)))
                });
                if let Some(least) = least {
                    primaries.set(partition, least);
                }
            }
        }
        primaries.balance();
        primaries
    }

    /// Moves along chains of partitions: from a node that leads too many to one that leads too few,
    /// each time the shortest chain.
    fn balance(&mut self) {
        for node in 0..self.counts.len() {
            let (_, high) = bounds(self.problem.primaries_ideal[node]);
            while self.counts[node] > high {
                // Ends where one more is still within the bounds, best where one is lacking.
                let takes = |at: usize, own: &Self| own.problem.seats[at].takes;
                let lacks = |at: usize, own: &Self| takes(at, own) && own.excess(at) <= -1.0;
                let fits = |at: usize, own: &Self| {
                    let (_, high) = bounds(own.problem.primaries_ideal[at]);
                    takes(at, own) && own.counts[at] < high
                };
                if !self.give_away(node, &lacks) && !self.give_away(node, &fits) {
                    break;
                }
            }
        }
        for node in 0..self.counts.len() {
            let (low, _) = bounds(self.problem.primaries_ideal[node]);
            while self.problem.seats[node].takes && self.counts[node] < low {
                let spares = |at: usize, own: &Self| {
                    let (low, _) = bounds(own.problem.primaries_ideal[at]);
                    own.counts[at] > low
                };
                let has_most = |at: usize, own: &Self| spares(at, own) && own.excess(at) >= 0.0;
                if !self.take(node, &has_most) && !self.take(node, &spares) {
                    break;
                }
            }
        }
    }

    fn excess(&self, node: usize) -> f64 {
        self.counts[node] as f64 - self.problem.primaries_ideal[node]
    }

    /// Passes one partition's primary on from `node`, over others, to a node that is wanted.
    fn give_away(&mut self, node: usize, is_wanted: &dyn Fn(usize, &Self) -> bool) -> bool {
        let mut came_by = vec![None; self.counts.len()];
        let mut queue = VecDeque::from([node]);
        while let Some(at) = queue.pop_front() {
            for partition in &self.partitions[at] {
                if self.chosen[*partition] != Some(at) {
                    continue;
                }
                for other in &self.rows[*partition] {
                    let takes = self.problem.seats[*other].takes;
                    if *other == node || came_by[*other].is_some() || !takes {
                        continue;
                    }
                    came_by[*other] = Some((at, *partition));
                    if is_wanted(*other, self) {
                        self.pass_along(node, *other, &came_by);
                        return true;
                    }
                    queue.push_back(*other);
                }
            }
        }
        false
    }

    /// Each node on the chain takes the partition over which it was reached.
    fn pass_along(&mut self, from: usize, to: usize, came_by: &[Option<(usize, usize)>]) {
        let mut at = to;
        while at != from {
            let Some((before, partition)) = came_by[at] else { return };
            self.set(partition, at);
            at = before;
        }
    }

    /// Gets one partition's primary for `node`, over others, from a node that has one to spare.
    fn take(&mut self, node: usize, spares: &dyn Fn(usize, &Self) -> bool) -> bool {
        let mut goes_to = vec![None; self.counts.len()];
        let mut queue = VecDeque::from([node]);
        while let Some(at) = queue.pop_front() {
            for partition in &self.partitions[at] {
                let Some(leader) = self.chosen[*partition] else { continue };
                if leader == node || leader == at || goes_to[leader].is_some() {
                    continue;
                }
                goes_to[leader] = Some((at, *partition));
                if spares(leader, self) {
                    self.draw_along(leader, node, &goes_to);
                    return true;
                }
                if self.problem.seats[leader].takes {
                    queue.push_back(leader);
                }
            }
        }
        false
    }

    fn draw_along(&mut self, from: usize, to: usize, goes_to: &[Option<(usize, usize)>]) {
        let mut at = from;
        while at != to {
            let Some((after, partition)) = goes_to[at] else { return };
            self.set(partition, after);
            at = after;
        }
    }

    fn set(&mut self, partition: usize, node: usize) {
        if let Some(before) = self.chosen[partition].replace(node) {
            self.counts[before] -= 1;
        }
        self.counts[node] += 1;
    }
}
