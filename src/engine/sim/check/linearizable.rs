//! A read sees everything that was answered before it was asked, as long as nobody crashed.

use std::collections::BTreeMap;

use super::{Check, Seen};
use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;
use crate::engine::sim::deed::{Asker, Deed, Message, Reply};
use crate::engine::sim::store::Store;

#[derive(Default)]
pub(super) struct Linearizable {
    /// The highest count that anybody has heard, by counter.
    heard: BTreeMap<(PartitionId, u32), u64>,
    /// What a read has to see, by ask.
    at_least: BTreeMap<(Asker, u64), u64>,
}

impl Check for Linearizable {
    fn name(&self) -> &'static str {
        "reads are linearizable"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Store) -> Result<(), String> {
        match seen {
            Seen::Asked(ask) if ask.message == Message::Read => {
                let heard = self.heard.iter().find(|((_, counter), _)| *counter == ask.counter);
                let heard = heard.map_or(0, |(_, count)| *count);
                self.at_least.entry((ask.asker, ask.id)).or_insert(heard);
            }
            Seen::Deed(partition, Deed::Answered { ask, reply: Reply::Count(count), .. }) => {
                let heard = self.heard.entry((*partition, ask.counter)).or_default();
                *heard = (*heard).max(*count);
                let at_least = self.at_least.get(&(ask.asker, ask.id));
                if let Some(at_least) = at_least.filter(|at_least| *count < **at_least) {
                    return Err(format!("{ask:?} sees {count}, not {at_least} as heard before"));
                }
            }
            Seen::Recovered { .. } => {
                self.heard.clear();
                self.at_least.clear();
            }
            _ => (),
        }
        Ok(())
    }
}
