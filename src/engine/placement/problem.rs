//! What is to be placed, in numbers: nodes, partitions, and how much each node is to hold.

use std::collections::BTreeMap;

use crate::engine::id::NodeId;
use crate::engine::table::{DirectoryId, Member, PartitionTable, Reign, Role, Status};

/// A node, as a place for copies.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub member: Member,
    pub zone: usize,
    /// Nought: what it holds is to be moved elsewhere.
    pub weight: u32,
    /// Whether it may be given more. What is down and may come back keeps what it has.
    pub takes: bool,
}

/// Everything that a placement depends on. Nodes and zones are numbered in the order of their
/// names, so that nothing depends on the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Copies of each partition: as many as are wanted, or as there are nodes to hold them.
    pub copies: usize,
    pub seats: Vec<Seat>,
    pub zones: usize,
    /// Most copies of one partition in one zone.
    pub per_zone_max: usize,
    /// By partition: where it is, or is coming to.
    pub held: Vec<Held>,
    /// By node: its share of all copies, and of all primaries.
    pub copies_ideal: Vec<f64>,
    pub primaries_ideal: Vec<f64>,
}

/// Where a partition is: seats, without those that are lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub primary: Option<usize>,
    /// Ascending; those that are being brought up to date are among them.
    pub seats: Vec<usize>,
}

impl Problem {
    /// The problem that a table poses. What is in a later life, dead, or gone for too long to be
    /// waited for, holds nothing.
    pub(crate) fn of(table: &PartitionTable, is_gone: &dyn Fn(Member) -> bool) -> Problem {
        let mut zones: BTreeMap<&NodeId, usize> = BTreeMap::new();
        let holding = table.nodes().iter().filter_map(|(directory, node)| {
            let member = Member { directory: *directory, generation: node.generation };
            let holds = node.role == Role::Data && node.status != Status::Dead && !is_gone(member);
            holds.then_some((member, node))
        });
        let holding: Vec<_> = holding.collect();
        for (_, node) in &holding {
            zones.insert(&node.zone, 0);
        }
        zones.values_mut().zip(0..).for_each(|(zone, number)| *zone = number);
        let seats: Vec<Seat> = holding
            .iter()
            .map(|(member, node)| {
                let weight = if node.is_draining { 0 } else { node.weight };
                let takes = node.status == Status::Up && weight > 0;
                Seat { member: *member, zone: zones[&node.zone], weight, takes }
            })
            .collect();
        let held = held(table, &seats);
        Problem::new(table.copies(), seats, zones.len(), held)
    }

    pub(crate) fn new(wanted: usize, seats: Vec<Seat>, zones: usize, held: Vec<Held>) -> Problem {
        let takers = seats.iter().filter(|seat| seat.weight > 0).count();
        let copies = wanted.min(takers);
        let mut zone_seats = vec![0; zones];
        for seat in seats.iter().filter(|seat| seat.weight > 0) {
            zone_seats[seat.zone] += 1;
        }
        let per_zone_max = fewest_per_zone(copies, &zone_seats);
        let partitions = held.len() as f64;
        let weights: Vec<f64> = seats.iter().map(|seat| f64::from(seat.weight)).collect();
        let mut zone_weights = vec![0.0; zones];
        for seat in &seats {
            zone_weights[seat.zone] += f64::from(seat.weight);
        }
        let zone_caps: Vec<f64> = zone_seats
            .iter()
            .map(|seats: &usize| partitions * (*seats).min(per_zone_max) as f64)
            .collect();
        let zone_ideal = shares(partitions * copies as f64, &zone_weights, &zone_caps);
        let mut copies_ideal = vec![0.0; seats.len()];
        for (zone, ideal) in zone_ideal.iter().enumerate() {
            let of_zone: Vec<usize> =
                (0..seats.len()).filter(|at| seats[*at].zone == zone).collect();
            let weights: Vec<f64> = of_zone.iter().map(|at| weights[*at]).collect();
            let caps = vec![partitions; of_zone.len()];
            for (at, share) in of_zone.iter().zip(shares(*ideal, &weights, &caps)) {
                copies_ideal[*at] = share;
            }
        }
        let has_copies = if copies > 0 { partitions } else { 0.0 };
        let primaries_ideal = shares(has_copies, &weights, &copies_ideal);
        Problem { copies, seats, zones, per_zone_max, held, copies_ideal, primaries_ideal }
    }
}

fn held(table: &PartitionTable, seats: &[Seat]) -> Vec<Held> {
    let numbers: BTreeMap<DirectoryId, usize> =
        seats.iter().enumerate().map(|(at, seat)| (seat.member.directory, at)).collect();
    let seat_of = |member: Member| {
        let at = *numbers.get(&member.directory)?;
        (seats[at].member == member).then_some(at)
    };
    let of_row = |(_, row): (_, &crate::engine::table::Row)| {
        let holders = row.holders().into_iter().flat_map(|holders| holders.iter());
        let mut at: Vec<usize> =
            holders.chain(row.catching_up.iter()).filter_map(seat_of).collect();
        at.sort_unstable();
        at.dedup();
        let next = match row.reign {
            Reign::Active { next, .. } => next,
            Reign::Unborn | Reign::Preparing { .. } => None,
        };
        Held { primary: next.or(row.primary()).and_then(seat_of), seats: at }
    };
    table.rows().map(of_row).collect()
}

/// The least number of copies that a zone must be allowed, so that all can be placed.
fn fewest_per_zone(copies: usize, zone_seats: &[usize]) -> usize {
    let fits =
        |most: &usize| zone_seats.iter().map(|seats| seats.min(most)).sum::<usize>() >= copies;
    (1..=copies).find(fits).unwrap_or(copies.max(1))
}

/// Shares of `total` by weight, none above its cap: what a cap cuts off goes to the others.
fn shares(total: f64, weights: &[f64], caps: &[f64]) -> Vec<f64> {
    let mut shares = vec![0.0; weights.len()];
    let mut is_full = vec![false; weights.len()];
    loop {
        let open = |at: &usize| !is_full[*at];
        let used: f64 = (0..weights.len()).filter(|at| is_full[*at]).map(|at| caps[at]).sum();
        let weight: f64 = (0..weights.len()).filter(open).map(|at| weights[at]).sum();
        if weight <= 0.0 {
            return shares;
        }
        let rest = (total - used).max(0.0);
        let mut is_any_cut = false;
        for at in 0..weights.len() {
            if is_full[at] {
                continue;
            }
            shares[at] = rest * weights[at] / weight;
            if shares[at] > caps[at] {
                shares[at] = caps[at];
                is_full[at] = true;
                is_any_cut = true;
            }
        }
        if !is_any_cut {
            return shares;
        }
    }
}

/// The fewest and the most that are within 1 of an ideal.
pub(super) fn bounds(ideal: f64) -> (usize, usize) {
    // What is a whole number up to the rounding of the shares is one.
    const CLOSE: f64 = 1e-6;
    let (low, high) = ((ideal - 1.0 - CLOSE).ceil().max(0.0), (ideal + 1.0 + CLOSE).floor());
    (low as usize, if ideal > 0.0 { high as usize } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_weights_up_to_the_caps() {
        assert_eq!(shares(12.0, &[1.0, 2.0, 3.0], &[9.0; 3]), [2.0, 4.0, 6.0]);
        assert_eq!(shares(12.0, &[1.0, 2.0, 3.0], &[9.0, 9.0, 3.0]), [3.0, 6.0, 3.0]);
        assert_eq!(shares(12.0, &[1.0, 0.0], &[5.0, 5.0]), [5.0, 0.0]);
    }

    #[test]
    fn a_zone_holds_more_than_one_copy_only_where_zones_are_too_few() {
        assert_eq!(fewest_per_zone(3, &[5, 5, 5, 5]), 1);
        assert_eq!(fewest_per_zone(3, &[5, 5]), 2);
        assert_eq!(fewest_per_zone(3, &[9, 1]), 2);
        assert_eq!(fewest_per_zone(3, &[9]), 3);
    }

    #[test]
    fn bounds_are_within_one() {
        assert_eq!((bounds(16.384), bounds(16.0), bounds(0.4)), ((16, 17), (15, 17), (0, 1)));
        assert_eq!(bounds(0.0), (0, 0));
    }
}
