//! The network: what arrives when, twice, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::parcel::{Endpoint, Parcel};
use super::plan::Plan;
use super::random::Random;

pub(super) struct Network {
    delay_max: Duration,
    pub(super) loss_percent: u64,
    pub(super) twice_percent: u64,
    pub(super) news_loss_percent: u64,
    /// Ways that are cut, in one direction.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    /// Ways on which everything takes longer.
    pub(super) clogged: BTreeMap<(usize, usize), Duration>,
    /// The most that it takes the shared store to be told something, besides.
    pub(super) store_takes: Duration,
}

impl Network {
    pub(super) fn new(plan: &Plan) -> Network {
        Network {
            delay_max: plan.delay_max,
            loss_percent: plan.loss_percent,
            twice_percent: plan.twice_percent,
            news_loss_percent: plan.news_loss_percent,
            cuts: BTreeSet::new(),
            clogged: BTreeMap::new(),
            store_takes: Duration::ZERO,
        }
    }

    /// When a parcel arrives: once, twice, or never.
    pub(super) fn carry(
        &self,
        from: Endpoint,
        to: Endpoint,
        parcel: &Parcel,
        random: &mut Random,
    ) -> Vec<Duration> {
        let mut arrivals = Vec::new();
        let way = match (from, to) {
            (Endpoint::Node(from), Endpoint::Node(to)) => Some((from, to)),
            _ => None,
        };
        let is_cut = way.is_some_and(|way| self.cuts.contains(&way));
        let is_news = matches!(parcel, Parcel::Delta(_)) && random.percent(self.news_loss_percent);
        if is_cut || is_news || random.percent(self.loss_percent) {
            return arrivals;
        }
        let more = way.and_then(|way| self.clogged.get(&way)).copied().unwrap_or_default();
        let more = if to == Endpoint::Store { more + self.store_takes } else { more };
        let wait = |random: &mut Random| {
            let most = (self.delay_max + more).as_micros() as u64;
            Duration::from_micros(random.between(100, most.max(101)))
        };
        arrivals.push(wait(random));
        let twice = match parcel {
            // Nothing but their numbers tells them.
            Parcel::Ask { .. } | Parcel::Write(_) => self.twice_percent * 3,
            _ => self.twice_percent,
        };
        if random.percent(twice) {
            // Sometimes so late that nobody thinks of it any more.
            let late = match parcel {
                Parcel::Ask { .. } | Parcel::Write(_) if random.percent(50) => {
                    random.millis(300, 6000)
                }
                _ if random.percent(30) => random.millis(300, 3000),
                _ => wait(random) * 4,
            };
            arrivals.push(late);
        }
        arrivals
    }

    pub(super) fn is_open_both_ways(&self, one: usize, other: usize) -> bool {
        !self.cuts.contains(&(one, other)) && !self.cuts.contains(&(other, one))
    }

    pub(super) fn cut(&mut self, one: usize, other: usize) {
        self.cuts.extend([(one, other), (other, one)]);
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.clogged.clear();
    }
}
