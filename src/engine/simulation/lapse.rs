//! That nothing was in a slot must have a cause: it was taken, or its time was over, or nothing was
//! ever put there.

use std::collections::BTreeMap;

use super::history::{Done, Told, at_least};
use super::object::{Input, Key, Output, lasts_for};
use crate::engine::history::models::slot::{Input as Asked, Output as Answer};
use crate::engine::id::{PartitionId, Version};
use crate::engine::instant::Instant;

/// What a client has asked of one slot.
struct Visit {
    asked: Asked,
    began_at: Instant,
    /// When that was heard, what, and of which version.
    heard: Option<(Instant, Answer, Version)>,
}

/// # Errors
/// A value that was gone too early.
pub(super) fn check(history: &[Done], drift: u64) -> Result<(), String> {
    let mut slots: BTreeMap<(PartitionId, Key), Vec<Visit>> = BTreeMap::new();
    for done in history {
        let Input::Slot(asked) = done.input else { continue };
        let heard = match &done.told {
            Told::Done { at, output: Output::Slot(output), version } => {
                Some((*at, *output, *version))
            }
            _ => None,
        };
        let visit = Visit { asked, began_at: done.began_at, heard };
        slots.entry((done.partition, done.key)).or_default().push(visit);
    }
    slots.iter().try_for_each(|(slot, visits)| {
        let early = visits.iter().find_map(|visit| gone_early(visits, visit, drift));
        early.map_or(Ok(()), |what| Err(format!("{slot:?}: {what}")))
    })
}

/// What should have been there when a visit found nothing, if anything.
fn gone_early(visits: &[Visit], visit: &Visit, drift: u64) -> Option<String> {
    let (at, Answer::Found(None), version) = visit.heard? else { return None };
    let made = |visit: &Visit| visit.heard.map(|(_, _, version)| version);
    let before = || visits.iter().filter(|other| made(other) < Some(version));
    // The last that is known to have been put there, and whether it was taken after that.
    let puts = before().filter(|other| matches!(other.asked, Asked::Put(_)));
    let put = puts.filter(|put| put.heard.is_some()).max_by_key(|put| made(put))?;
    let has_taken = |other: &Visit| match other.heard {
        None => other.began_at <= at, // nobody knows
        Some((_, Answer::Found(Some(_)), taken)) => Some(taken) > made(put) && taken <= version,
        Some(_) => false,
    };
    let mut takes = visits.iter().filter(|other| other.asked == Asked::Take);
    if takes.any(has_taken) {
        return None;
    }
    // Or something else was put there that is over, and nobody knows.
    let unknown = visits.iter().filter(|other| other.heard.is_none());
    let may_be_over = |put: &Visit| match put.asked {
        Asked::Put(value) => {
            let is_over = |lasts| at >= put.began_at + at_least(lasts, drift);
            lasts_for(value).is_some_and(is_over)
        }
        _ => false,
    };
    let is_explained = unknown.chain([put]).any(may_be_over);
    (!is_explained).then(|| {
        format!(
            "{:?} of {:?}, asked at {:?}, was gone at {at:?} as of {version:?}",
            put.asked,
            made(put),
            put.began_at
        )
    })
}
