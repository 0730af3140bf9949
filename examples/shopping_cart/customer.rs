//! What the grid keeps of each customer: how recently, how often, and for how much.

use fastness::prelude::*;

use crate::purchases::Purchase;

/// A customer who has bought nothing for more days than this is not expected soon.
pub(crate) const LAPSED_DAYS: u32 = 180;

/// A customer, by number.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = u32)]
pub(crate) struct Customer {
    last_day: Option<u32>,
    /// Days since the last purchase, as of the last review.
    pub(crate) away_days: u32,
    /// In cents; as many as there were purchases.
    pub(crate) baskets: Mean,
    /// Days from one purchase to the next.
    pub(crate) gaps: Mean,
    pub(crate) quantity: u64,
}

/// A running mean, exact because it is kept in integers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mean {
    pub(crate) sum: u64,
    pub(crate) count: u64,
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("a later purchase was counted already")]
pub(crate) struct OutOfOrder;

#[handlers]
impl Customer {
    /// Gaps can be counted only in order: what comes too late changes nothing.
    pub(crate) fn bought(&mut self, purchase: Purchase) -> Result<(), OutOfOrder> {
        if let Some(last_day) = self.last_day {
            let gap = purchase.day.checked_sub(last_day).ok_or(OutOfOrder)?;
            self.gaps.add(Mean { sum: gap.into(), count: 1 });
        }
        self.last_day = Some(purchase.day);
        self.baskets.add(Mean { sum: purchase.cents, count: 1 });
        self.quantity += purchase.quantity;
        Ok(())
    }

    /// Counts the days since the last purchase at the end of `today`, and tells all that is known.
    pub(crate) fn review(&mut self, today: u32, cx: &mut Context<Self>) -> Customer {
        self.away_days = self.last_day.map_or(0, |last_day| today.saturating_sub(last_day));
        if self.away_days > LAPSED_DAYS {
            cx.passivate(); // a customer who comes back after all is in the store
        }
        self.clone()
    }
}

/// How far a source has come, by the source's name.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Progress {
    rows: u64,
}

#[handlers]
impl Progress {
    /// All rows up to `rows` are done. Saying so twice changes nothing.
    pub(crate) fn note(&mut self, rows: u64) {
        self.rows = self.rows.max(rows);
    }

    #[read]
    pub(crate) fn noted(&self) -> u64 {
        self.rows
    }
}

impl Mean {
    pub(crate) fn add(&mut self, other: Mean) {
        self.sum += other.sum;
        self.count += other.count;
    }

    /// 0 where nothing was counted.
    pub(crate) fn value(self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}
