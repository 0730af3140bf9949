//! Each request takes effect at most once, and exactly once if it was answered and not lost; every
//! try hears the same answer; every row of the source is counted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Memory, Seen};
use crate::engine::id::{PartitionId, RequestId, Version};
use crate::engine::instant::Instant;
use crate::engine::sim::deed::{Ask, Asker, Deed, Reply};
use crate::engine::sim::plan::Plan;
use crate::engine::sim::source::SOURCE;
use crate::engine::sim::store::{Named, RowKey, Store};

pub(super) struct ExactlyOnce {
    source_rows: u64,
    /// The source does not ask for rows at or under it any more; only repeats may still come.
    source_floor: u64,
    /// The newest ledger of each counter.
    ledgers: BTreeMap<RowKey, Vec<RequestId>>,
    /// What was answered first, at which version of the counter.
    answered: BTreeMap<RequestId, (RowKey, Version, Reply)>,
}

impl ExactlyOnce {
    pub(super) fn new(plan: &Plan) -> ExactlyOnce {
        ExactlyOnce {
            source_rows: plan.source_rows,
            source_floor: 0,
            ledgers: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    fn answered(
        &mut self,
        partition: PartitionId,
        ask: &Ask,
        reply: Reply,
        saw: Version,
    ) -> Result<(), String> {
        let is_source = ask.asker == Asker::Source;
        if is_source && reply == Reply::Expired && ask.id > self.source_floor {
            return Err(format!("the source's row {} is expired", ask.id));
        }
        let (Some(numbered), Reply::Count(_) | Reply::Failed) = (ask.numbered, reply) else {
            return Ok(());
        };
        let (request, of) = (numbered.request, Named::Counter(ask.counter));
        let key = RowKey { partition, of };
        if let Reply::Count(count) = reply {
            let ledger = self.ledgers.get(&key).map_or(&[][..], Vec::as_slice);
            let counted = usize::try_from(count).ok().and_then(|count| ledger.get(count - 1));
            if counted != Some(&request) {
                return Err(format!("{request} heard {count}, where {counted:?} is counted"));
            }
        }
        let (.., first) = self.answered.entry(request).or_insert((key, saw, reply));
        if *first != reply {
            return Err(format!("{request} heard {first:?}, then {reply:?}"));
        }
        Ok(())
    }

    fn recovered(&mut self, partition: PartitionId, memory: &Memory<'_>) {
        self.ledgers.retain(|key, _| key.partition != partition);
        for (key, (_, ledger)) in memory {
            self.ledgers.insert(*key, ledger.to_vec());
        }
        // What was lost, as it may be, is as if it had never been asked.
        self.answered.retain(|_, (key, saw, _)| {
            let recovered = memory.get(key).map_or(Version::default(), |(version, _)| *version);
            key.partition != partition || *saw <= recovered
        });
    }

    fn over(&self) -> Result<(), String> {
        let counted: BTreeSet<_> = self.ledgers.values().flatten().copied().collect();
        for (request, (key, _, reply)) in &self.answered {
            let is_counted = self.ledgers.get(key).is_some_and(|ledger| ledger.contains(request));
            if is_counted != matches!(reply, Reply::Count(_)) {
                return Err(format!("{request} heard {reply:?}, is counted: {is_counted}"));
            }
        }
        let mut rows = (1..=self.source_rows).map(|number| RequestId { session: SOURCE, number });
        match rows.find(|row| !counted.contains(row)) {
            Some(lost) => Err(format!("the source's row {} is not counted", lost.number)),
            None => Ok(()),
        }
    }
}

fn once(ledger: &[RequestId]) -> Result<(), String> {
    let mut counted = BTreeSet::new();
    match ledger.iter().find(|request| !counted.insert(**request)) {
        Some(twice) => Err(format!("{twice} is counted twice")),
        None => Ok(()),
    }
}

impl Check for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Asked(Ask { asker: Asker::Source, numbered: Some(numbered), .. }) => {
                self.source_floor = self.source_floor.max(numbered.floor);
                Ok(())
            }
            Seen::Deed(_, Deed::Committed { key, ledger, .. }) => {
                self.ledgers.insert(*key, ledger.clone());
                once(ledger)
            }
            Seen::Deed(partition, Deed::Answered { ask, reply, saw }) => {
                self.answered(*partition, ask, *reply, *saw)
            }
            Seen::Recovered { partition, memory, .. } => {
                self.recovered(*partition, memory);
                memory.values().try_for_each(|(_, ledger)| once(ledger))
            }
            Seen::Over => self.over(),
            _ => Ok(()),
        }
    }
}
