//! The metrics as text, in the OpenMetrics format that Prometheus reads.

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cells::{Cell, Reading};
use super::definitions::*;
use super::{AskCounts, GridMetrics, TypeCounts, UnitCounts};
use crate::engine::instant::Instant;

/// One of a partition's numbers.
type OfUnit = fn(&UnitCounts) -> &Cell;

type Labels<'a> = &'a [(&'static str, &'a str)];

impl GridMetrics {
    /// All metrics as text.
    pub(crate) fn text(self: &std::sync::Arc<GridMetrics>, now: Instant) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(At(std::sync::Arc::clone(self), now)));
        let mut out = String::new();
        text::encode(&mut out, &registry).expect("a string takes everything");
        out
    }

    fn sum(&self, cell: impl Fn(&UnitCounts) -> &Cell) -> u64 {
        self.units.iter().map(|unit| cell(unit).get()).sum()
    }

    fn of_type(&self, kind: usize, cell: impl Fn(&TypeCounts) -> &Cell) -> u64 {
        self.sum(|unit| cell(&unit.types[kind]))
    }
}

struct At(std::sync::Arc<GridMetrics>, Instant);

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").finish_non_exhaustive()
    }
}

impl Collector for At {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let At(grid, now) = self;
        grid.asks(&mut encoder)?;
        grid.residency(&mut encoder)?;
        grid.storing(&mut encoder, *now)
    }
}

impl GridMetrics {
    fn asks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_callers = |kind: usize, outcome: usize| self.callers[kind].outcomes[outcome].get();
        let mut family = Family::new(encoder, REQUESTS)?;
        for (kind, name) in self.names.iter().enumerate() {
            for (at, outcome) in OUTCOMES.iter().enumerate() {
                let of_units = self.of_type(kind, |counts| &counts.asks.outcomes[at]);
                let labels = [("entity", *name), ("outcome", *outcome)];
                family.number(&labels, of_units + of_callers(kind, at))?;
            }
        }
        let mut family = Family::new(encoder, REQUEST_SECONDS)?;
        for (kind, name) in self.names.iter().enumerate() {
            let of_unit = |unit: &UnitCounts| AskCounts::seconds(&unit.types[kind].asks);
            let of_callers = AskCounts::seconds(&self.callers[kind]);
            let seconds =
                self.units.iter().map(|unit| of_unit(unit)).fold(of_callers, Reading::add);
            family.histogram(&[("entity", *name)], &seconds)?;
        }
        self.by_type(encoder, PANICS, |counts| &counts.panics)?;
        let mut family = Family::new(encoder, INBOX_DEPTH)?;
        for (thread, depth) in self.inboxes.iter().enumerate() {
            family.number(&[("thread", &thread.to_string())], depth.load(Ordering::Relaxed))?;
        }
        Ok(())
    }

    fn residency(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::new(encoder, LOOKUPS)?;
        for (kind, name) in self.names.iter().enumerate() {
            for lookup in Lookup::ALL {
                let count = self.of_type(kind, |counts| &counts.lookups[lookup as usize]);
                family.number(&[("entity", *name), ("result", lookup.label())], count)?;
            }
        }
        self.by_type(encoder, ENTITIES, |counts| &counts.entities)?;
        self.by_type(encoder, ENTITY_BYTES, |counts| &counts.bytes)?;
        let mut family = Family::new(encoder, EVICTIONS)?;
        for (kind, name) in self.names.iter().enumerate() {
            for reason in Reason::ALL {
                let count = self.of_type(kind, |counts| &counts.evicted[reason as usize]);
                family.number(&[("entity", *name), ("reason", reason.label())], count)?;
            }
        }
        self.by_type(encoder, EVICTIONS_BLOCKED, |counts| &counts.blocked)
    }

    fn storing(&self, encoder: &mut DescriptorEncoder<'_>, now: Instant) -> fmt::Result {
        let shared = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Family::new(encoder, LOAD_SECONDS)?.histogram(&[], &self.load_seconds.read())?;
        Family::new(encoder, LOAD_ERRORS)?.number(&[], shared(&self.load_errors))?;
        let sums: [(_, OfUnit); 9] = [
            (PENDING_RECORDS, |unit| &unit.pending_records),
            (PENDING_BYTES, |unit| &unit.pending_bytes),
            (RETRIES, |unit| &unit.retries),
            (DEAD_LETTERS, |unit| &unit.dead_letters),
            (PARKED, |unit| &unit.parked),
            (REPLAYED, |unit| &unit.replayed),
            (DISCARDED, |unit| &unit.discarded),
            (OUTBOX, |unit| &unit.outbox),
            (PARKED_MESSAGES, |unit| &unit.parked_messages),
        ];
        for (metric, cell) in sums {
            Family::new(encoder, metric)?.number(&[], self.sum(cell))?;
        }
        let mut family = Family::new(encoder, MESSAGES)?;
        for (at, outcome) in MESSAGE_OUTCOMES.iter().enumerate() {
            family.number(&[("outcome", *outcome)], self.sum(|unit| &unit.messages[at]))?;
        }
        Family::new(encoder, OLDEST_PENDING)?.real(self.oldest_age(now).as_secs_f64())?;
        Family::new(encoder, BATCH_RECORDS)?.histogram(&[], &self.batch_records.read())?;
        let mut family = Family::new(encoder, STORE_SECONDS)?;
        family.histogram(&[("op", "write")], &self.store_seconds.read())?;
        let mut family = Family::new(encoder, STORE_ERRORS)?;
        family.number(&[("class", "transient")], shared(&self.unavailable))?;
        family.number(&[("class", "permanent")], shared(&self.refused))?;
        let mut family = Family::new(encoder, REMINDERS)?;
        for (at, outcome) in REMINDER_OUTCOMES.iter().enumerate() {
            family.number(&[("outcome", *outcome)], self.sum(|unit| &unit.reminders[at]))?;
        }
        let mut family = Family::new(encoder, VIOLATIONS)?;
        let violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        for (invariant, count) in violations.iter() {
            family.number(&[("invariant", *invariant)], *count)?;
        }
        Ok(())
    }

    fn by_type(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        metric: &'static Metric,
        cell: impl Fn(&TypeCounts) -> &Cell,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, metric)?;
        for (kind, name) in self.names.iter().enumerate() {
            family.number(&[("entity", *name)], self.of_type(kind, &cell))?;
        }
        Ok(())
    }
}

impl AskCounts {
    fn seconds(&self) -> Reading {
        self.seconds.read()
    }
}

/// The series of one metric.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    shape: Shape,
    labels: &'static [&'static str],
}

impl<'a> Family<'a> {
    fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        metric: &'static Metric,
    ) -> Result<Self, fmt::Error> {
        let Metric { name, shape, unit, labels, help } = metric;
        // The library adds the ending that the format demands.
        let name = name.strip_suffix("_total").filter(|_| *shape == Shape::Counter).unwrap_or(name);
        let as_type = match shape {
            Shape::Counter => MetricType::Counter,
            Shape::Gauge => MetricType::Gauge,
            Shape::Histogram => MetricType::Histogram,
        };
        let help = format!("{help} ({unit})");
        let encoder = encoder.encode_descriptor(name, &help, None, as_type)?;
        Ok(Family { encoder, shape: *shape, labels })
    }

    fn of<'s>(&'s mut self, labels: &'s Labels<'s>) -> Result<MetricEncoder<'s>, fmt::Error> {
        let names = labels.iter().map(|(name, _)| *name);
        debug_assert!(names.eq(self.labels.iter().copied()), "labels are as they are defined");
        self.encoder.encode_family(labels)
    }

    /// The one series of a metric without labels.
    fn alone(&mut self) -> &mut MetricEncoder<'a> {
        debug_assert!(self.labels.is_empty(), "labels are as they are defined");
        &mut self.encoder
    }

    fn number(&mut self, labels: Labels<'_>, value: u64) -> fmt::Result {
        let shape = self.shape;
        let write = |encoder: &mut MetricEncoder<'_>| match shape {
            Shape::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            Shape::Gauge | Shape::Histogram => encoder.encode_gauge(&(value as f64)),
        };
        if labels.is_empty() { write(self.alone()) } else { write(&mut self.of(&labels)?) }
    }

    fn real(&mut self, value: f64) -> fmt::Result {
        self.alone().encode_gauge(&value)
    }

    fn histogram(&mut self, labels: Labels<'_>, read: &Reading) -> fmt::Result {
        let bounds = read.bounds.iter().copied().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(read.buckets.iter().copied()).collect();
        let count = read.buckets.iter().sum();
        let write = |encoder: &mut MetricEncoder<'_>| {
            encoder.encode_histogram::<NoLabelSet>(read.sum, count, &buckets, None)
        };
        if labels.is_empty() { write(self.alone()) } else { write(&mut self.of(&labels)?) }
    }
}
