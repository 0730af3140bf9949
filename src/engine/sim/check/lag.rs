//! As long as the store is prompt, it lags behind a counter by the counter's delay at most, however
//! often the counter changes: the first change starts the delay.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, Seen};
use crate::engine::id::Version;
use crate::engine::instant::Instant;
use crate::engine::sim::deed::Deed;
use crate::engine::sim::plan::Plan;
use crate::engine::sim::store::{Named, RowKey, Store};

/// For commits that must wait for others.
const SLACK: Duration = Duration::from_millis(100);

pub(super) struct Lag {
    plan: Plan,
    /// When the oldest change that is not stored was made, and the newest one.
    unstored: BTreeMap<RowKey, Vec<(Version, Instant)>>,
}

impl Lag {
    pub(super) fn new(plan: &Plan) -> Lag {
        Lag { plan: plan.clone(), unstored: BTreeMap::new() }
    }
}

impl Check for Lag {
    fn name(&self) -> &'static str {
        "the store lags by the delay at most"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Deed(_, Deed::Committed { key, version, .. }) => {
                self.unstored.entry(*key).or_default().push((*version, now));
            }
            Seen::Deed(_, Deed::Stored { key, version }) => {
                let unstored = self.unstored.entry(*key).or_default();
                let oldest = unstored.first().copied();
                unstored.retain(|(known, _)| known > version);
                let (Named::Counter(counter), Some((_, since))) = (key.of, oldest) else {
                    return Ok(());
                };
                let (lag, delay) = (now.saturating_since(since), self.plan.delay(counter));
                if self.plan.is_prompt() && lag > delay + SLACK {
                    return Err(format!("{key:?} is stored after {lag:?}, its delay is {delay:?}"));
                }
            }
            _ => (),
        }
        Ok(())
    }
}
