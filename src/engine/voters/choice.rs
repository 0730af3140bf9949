//! Which of the logs that there are should vote.
//!
//! One order over all of them, of which the first few are taken. In it, zones take turns: the best
//! log of each comes before the second of any. So whatever is added to, or taken from, those that
//! are not chosen changes nothing, and a choice among a few that contain the choice among all is
//! the same.

use std::collections::{BTreeMap, BTreeSet};

use super::membership::VoterId;
use crate::engine::id::NodeId;
use crate::engine::table::DirectoryId;

/// How well it would vote. The better ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It is there, or has not been away for long.
    Well,
    /// It is there, and is to be stopped.
    Draining,
    /// It votes, and has been away for so long that it is to be replaced.
    Away,
    /// It votes, and its log is lost, or it has left for good: it only fills a place.
    Lost,
}

/// A log that votes, or might.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub voter: VoterId,
    pub directory: DirectoryId,
    pub zone: NodeId,
    pub class: Class,
    pub is_witness: bool,
    pub is_voter: bool,
}

/// How many are to vote: as many are there and may, an odd number. Now as many vote; they do not
/// become fewer as long as so many nodes have not left for good, as those may come back.
pub(super) fn size(candidates: &[Candidate], now: usize, nodes: usize, most: usize) -> usize {
    let living = candidates.iter().filter(|it| it.class < Class::Away).count();
    odd(living.min(most)).max(odd(nodes.min(now).min(most)))
}

fn odd(number: usize) -> usize {
    number.saturating_sub(usize::from(number.is_multiple_of(2)))
}

/// The best so many; of each directory one.
pub(super) fn choose(mut candidates: Vec<Candidate>, size: usize) -> BTreeSet<VoterId> {
    // In a zone: a witness is there to vote; then those that vote already, so that little changes.
    candidates.sort_by_key(|it| (it.class, !it.is_witness, !it.is_voter, it.voter));
    let mut levels: BTreeMap<NodeId, usize> = BTreeMap::new();
    let with_level = |candidate: Candidate| {
        let next = levels.entry(candidate.zone.clone()).or_default();
        let level = *next;
        *next += 1;
        (level, candidate)
    };
    let mut ranked: Vec<(usize, Candidate)> = candidates.into_iter().map(with_level).collect();
    // What is left of the order in a zone is kept: the sort is stable.
    ranked.sort_by_key(|(level, it)| (it.class, *level));
    let mut chosen: BTreeMap<DirectoryId, VoterId> = BTreeMap::new();
    for (_, candidate) in ranked {
        if chosen.len() < size {
            chosen.entry(candidate.directory).or_insert(candidate.voter);
        }
    }
    chosen.into_values().collect()
}
