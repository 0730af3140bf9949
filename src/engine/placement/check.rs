//! Judges a placement, by its own arithmetic: what is wrong with it, and how many moves it takes.

use std::collections::BTreeSet;

use super::{Placement, Problem};

/// What a placement is worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    /// Breaches of what must be, for a person.
    pub faults: Vec<String>,
    /// How far the worst node is from its share: copies, and primaries.
    pub copies_off: f64,
    pub primaries_off: f64,
    /// Copies that are put where none was.
    pub moves: usize,
    /// Fewer cannot do: copies that are missing or may not stay, and what nodes hold above what is
    /// within 1 of their shares, or below it.
    pub moves_min: usize,
}

pub(crate) fn judge(problem: &Problem, placement: &Placement) -> Judgement {
    let mut judgement = Judgement::default();
    let seats = &problem.seats;
    let (mut copies, mut primaries) = (vec![0usize; seats.len()], vec![0usize; seats.len()]);
    for (partition, row) in placement.rows.iter().enumerate() {
        let distinct: BTreeSet<&usize> = row.iter().collect();
        let mut fault = |what: String| judgement.faults.push(format!("p{partition}: {what}"));
        if row.len() != problem.copies || distinct.len() != row.len() {
            fault(format!("{row:?} are no {} copies", problem.copies));
        }
        for zone in 0..problem.zones {
            let of_zone = row.iter().filter(|seat| seats[**seat].zone == zone).count();
            if of_zone > problem.per_zone_max {
                fault(format!("{of_zone} copies in zone {zone}"));
            }
        }
        for seat in row {
            copies[*seat] += 1;
            let was_there = problem.held[partition].seats.contains(seat);
            judgement.moves += usize::from(!was_there);
            if seats[*seat].weight == 0 || (!was_there && !seats[*seat].takes) {
                fault(format!("a copy on {:?}, which takes none", seats[*seat].member));
            }
        }
        match placement.primaries[partition] {
            Some(primary) if row.contains(&primary) => primaries[primary] += 1,
            None if problem.copies == 0 => (),
            other => fault(format!("primary {other:?} of {row:?}")),
        }
    }
    let off = |counts: &[usize], ideals: &[f64]| {
        let pairs = counts.iter().zip(ideals).zip(seats).filter(|(_, seat)| seat.takes);
        pairs.map(|((count, ideal), _)| (*count as f64 - ideal).abs()).fold(0.0, f64::max)
    };
    judgement.copies_off = off(&copies, &problem.copies_ideal);
    judgement.primaries_off = off(&primaries, &problem.primaries_ideal);
    judgement.moves_min = moves_min(problem);
    judgement
}

/// A bound that no placement can go below.
fn moves_min(problem: &Problem) -> usize {
    let mut kept = vec![0usize; problem.seats.len()];
    let mut missing = 0;
    for held in &problem.held {
        let may_stay = |seat: &&usize| problem.seats[**seat].weight > 0;
        let stays: Vec<&usize> = held.seats.iter().filter(may_stay).collect();
        stays.iter().for_each(|seat| kept[**seat] += 1);
        let mut in_zone = vec![0usize; problem.zones];
        stays.iter().for_each(|seat| in_zone[problem.seats[**seat].zone] += 1);
        let usable: usize = in_zone.iter().map(|count| count.min(&problem.per_zone_max)).sum();
        missing += problem.copies.saturating_sub(usable);
    }
    let (mut above, mut below) = (0.0, 0.0);
    for (seat, count) in kept.iter().enumerate() {
        let ideal = problem.copies_ideal[seat];
        above += (*count as f64 - (ideal + 1.0 + 1e-6).floor()).max(0.0);
        below += ((ideal - 1.0 - 1e-6).ceil() - *count as f64).max(0.0);
    }
    // What is above must go elsewhere, besides what is missing; what is below may be either.
    (missing + above as usize).max(below as usize)
}
