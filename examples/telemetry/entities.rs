//! What the grid keeps: running statistics of each aircraft, route, airport and carrier.
//!
//! Two rules hold for every handler here. Sums are integers, so that totals are exact in whatever
//! order they grow. And the messages commute: many rows are under way at once and may arrive in
//! any order, so "last" means latest by schedule, never latest to arrive.

use std::array;

use fastness::prelude::*;

use crate::flights::{Flight, LocalTime};

/// What one flight tells its aircraft, route and carrier.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Leg {
    scheduled: LocalTime,
    departure_delay: Option<i16>,
    arrival_delay: Option<i16>,
    air_time: Option<i16>,
    distance: i16,
}

/// Where an aircraft was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sighting {
    // First, because sightings are compared by it; the rest settles ties.
    pub(crate) scheduled: LocalTime,
    pub(crate) flight: String,
    pub(crate) destination: String,
}

/// An aircraft, by its tail number.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Aircraft {
    pub(crate) statistics: Statistics,
    pub(crate) last_seen: Option<Sighting>,
}

#[handlers]
impl Aircraft {
    pub(crate) fn flew(&mut self, leg: Leg, seen: Sighting) {
        self.statistics.count(&leg);
        // `None` is less than any sighting.
        self.last_seen = self.last_seen.take().max(Some(seen));
    }

    #[read]
    pub(crate) fn report(&self) -> Aircraft {
        self.clone()
    }
}

/// A route, by its origin and destination.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = (String, String))]
pub(crate) struct Route {
    statistics: Statistics,
}

#[handlers]
impl Route {
    pub(crate) fn flown(&mut self, leg: Leg) {
        self.statistics.count(&leg);
    }

    #[read]
    pub(crate) fn report(&self) -> Statistics {
        self.statistics.clone()
    }
}

/// An airport, by its code. Hears of a flight from its own end only.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Airport {
    pub(crate) departures: Traffic,
    pub(crate) arrivals: Traffic,
}

#[handlers]
impl Airport {
    /// A delay of `None` is a departure that did not happen.
    pub(crate) fn departure(&mut self, scheduled: LocalTime, delay: Option<i16>) {
        self.departures.count(scheduled, delay);
    }

    /// A delay of `None` is an arrival that did not happen: cancelled, or diverted.
    pub(crate) fn arrival(&mut self, scheduled: LocalTime, delay: Option<i16>) {
        self.arrivals.count(scheduled, delay);
    }

    #[read]
    pub(crate) fn report(&self) -> Airport {
        self.clone()
    }
}

impl Airport {
    /// Departures plus arrivals, as scheduled.
    pub(crate) fn flights(&self) -> u64 {
        self.departures.flights + self.arrivals.flights
    }
}

/// An airline, by its two-letter code.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Carrier {
    statistics: Statistics,
}

#[handlers]
impl Carrier {
    pub(crate) fn operated(&mut self, leg: Leg) {
        self.statistics.count(&leg);
    }

    #[read]
    pub(crate) fn report(&self) -> Statistics {
        self.statistics.clone()
    }
}

/// How far a source has come, by the source's name. Written through: what it says is durable.
#[derive(Entity, Clone, Debug, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Progress {
    rows: u64,
}

#[handlers]
impl Progress {
    /// All rows up to `rows` are done and in the store.
    ///
    /// Saying so twice changes nothing, so this ask needs no request number.
    pub(crate) fn note(&mut self, rows: u64) {
        self.rows = self.rows.max(rows);
    }

    #[read]
    pub(crate) fn noted(&self) -> u64 {
        self.rows
    }
}

/// Running statistics of flights.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Statistics {
    /// As scheduled, those that were cancelled too.
    pub(crate) flights: u64,
    pub(crate) cancelled: u64,
    pub(crate) departures: Delays,
    pub(crate) arrivals: Delays,
    pub(crate) air_time_minutes: i64,
    /// As scheduled.
    pub(crate) distance_miles: i64,
    last_scheduled: LocalTime,
}

/// Running statistics of one direction at an airport.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) flights: u64,
    pub(crate) delays: Delays,
    pub(crate) last_scheduled: LocalTime,
}

/// Running statistics of delays; a flight that is early has a negative one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Delays {
    count: u64,
    pub(crate) sum_minutes: i64,
    pub(crate) max_minutes: Option<i16>,
    /// How many were up to 0, 15, 60 and 180 minutes late, and how many more than that.
    histogram: [u64; 5],
}

impl Statistics {
    fn count(&mut self, leg: &Leg) {
        self.flights += 1;
        self.cancelled += u64::from(leg.departure_delay.is_none());
        self.departures.count(leg.departure_delay);
        self.arrivals.count(leg.arrival_delay);
        self.air_time_minutes += leg.air_time.map_or(0, i64::from);
        self.distance_miles += i64::from(leg.distance);
        self.last_scheduled = self.last_scheduled.max(leg.scheduled);
    }
}

impl Traffic {
    fn count(&mut self, scheduled: LocalTime, delay: Option<i16>) {
        self.flights += 1;
        self.delays.count(delay);
        self.last_scheduled = self.last_scheduled.max(scheduled);
    }
}

impl Delays {
    const BOUNDS: [i16; 4] = [0, 15, 60, 180];

    fn count(&mut self, delay: Option<i16>) {
        let Some(minutes) = delay else { return };
        self.count += 1;
        self.sum_minutes += i64::from(minutes);
        self.max_minutes = self.max_minutes.max(Some(minutes));
        self.histogram[Delays::BOUNDS.partition_point(|bound| *bound < minutes)] += 1;
    }

    /// In minutes; 0 where nothing was counted.
    pub(crate) fn mean(&self) -> f64 {
        self.sum_minutes as f64 / self.count.max(1) as f64
    }

    /// The histogram in percent of what was counted.
    pub(crate) fn percentages(&self) -> [f64; 5] {
        array::from_fn(|at| 100.0 * self.histogram[at] as f64 / self.count.max(1) as f64)
    }
}

impl From<&Flight> for Leg {
    fn from(flight: &Flight) -> Leg {
        Leg {
            scheduled: flight.scheduled,
            departure_delay: flight.departure_delay,
            arrival_delay: flight.arrival_delay,
            air_time: flight.air_time,
            distance: flight.distance,
        }
    }
}

impl From<&Flight> for Sighting {
    fn from(flight: &Flight) -> Sighting {
        Sighting {
            scheduled: flight.scheduled,
            flight: format!("{} {}", flight.carrier, flight.number),
            destination: flight.destination.to_string(),
        }
    }
}
