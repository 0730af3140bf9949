//! What the example must print, counted from its rows without entities.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::flights::{self, Flight};

/// The totals of the first `rows` rows.
pub(crate) fn count(rows: u64) -> Value {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let flights = flights::first(rows).expect("the shipped rows can be read");
    let sum = |minutes: fn(&Flight) -> Option<i16>| -> i64 {
        flights.iter().filter_map(minutes).map(i64::from).sum()
    };
    let aircraft = tally(flights.iter().filter_map(|flight| flight.tail_number.as_deref()));
    let ends = flights.iter().flat_map(|flight| [&*flight.origin, &*flight.destination]);
    let airports = tally(ends);
    let routes: BTreeSet<_> = flights.iter().map(|row| (&row.origin, &row.destination)).collect();
    let carriers: BTreeSet<_> = flights.iter().map(|row| &row.carrier).collect();
    json!({
        "flights": flights.len(),
        "cancelled": flights.iter().filter(|row| row.departure_delay.is_none()).count(),
        "aircraft": aircraft.len(),
        "routes": routes.len(),
        "airports": airports.len(),
        "carriers": carriers.len(),
        "arrival_delay_minutes": sum(|row| row.arrival_delay),
        "air_time_minutes": sum(|row| row.air_time),
        "distance_miles": sum(|row| Some(row.distance)),
        "busiest_airport": most(&airports),
        "most_flown_aircraft": most(&aircraft),
    })
}

fn tally<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut tally = BTreeMap::new();
    for name in names {
        *tally.entry(name).or_default() += 1;
    }
    tally
}

/// The name with the highest count; of several, the first in the alphabet.
fn most<'a>(tally: &BTreeMap<&'a str, u64>) -> Option<&'a str> {
    tally.iter().min_by_key(|(name, count)| (Reverse(**count), **name)).map(|(name, _)| *name)
}
