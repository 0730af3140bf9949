//! What the entities have counted: asked of each of them, and printed.
//!
//! Nothing asks all entities of a type yet, so this asks those that the input names.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use anyhow::Context as _;
use fastness::Grid;
use serde::Serialize;

use crate::entities::{Aircraft, Airport, Carrier, Route, Statistics};
use crate::flights::Flight;

/// How many lines each table has.
const TABLE_LINES: usize = 10;

/// A route with fewer flights can have a bad mean by bad luck.
const WORST_ROUTE_FLIGHTS_MIN: u64 = 100;

/// All entities that exist, by name.
pub(crate) struct Report<'a> {
    airports: Vec<(&'a str, Airport)>,
    routes: Vec<((&'a str, &'a str), Statistics)>,
    aircraft: Vec<(&'a str, Aircraft)>,
    carriers: Vec<(&'a str, Statistics)>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Totals<'a> {
    flights: u64,
    cancelled: u64,
    aircraft: usize,
    routes: usize,
    airports: usize,
    carriers: usize,
    arrival_delay_minutes: i64,
    air_time_minutes: i64,
    distance_miles: i64,
    busiest_airport: &'a str,
    most_flown_aircraft: &'a str,
}

/// Asks every entity that `flights` name.
pub(crate) async fn report<'a>(grid: &Grid, flights: &'a [Flight]) -> anyhow::Result<Report<'a>> {
    let origins = flights.iter().map(|flight| &*flight.origin);
    let destinations = flights.iter().map(|flight| &*flight.destination);
    let tail_numbers = flights.iter().filter_map(|flight| flight.tail_number.as_deref());
    let carriers = flights.iter().map(|flight| &*flight.carrier);

    let mut report =
        Report { airports: vec![], routes: vec![], aircraft: vec![], carriers: vec![] };
    for code in distinct(origins.clone().chain(destinations.clone())) {
        report.airports.push((code, grid.entity::<Airport>(code).report().await?));
    }
    for ends in distinct(origins.zip(destinations)) {
        report.routes.push((ends, grid.entity::<Route>(ends).report().await?));
    }
    for tail_number in distinct(tail_numbers) {
        report.aircraft.push((tail_number, grid.entity::<Aircraft>(tail_number).report().await?));
    }
    for code in distinct(carriers) {
        report.carriers.push((code, grid.entity::<Carrier>(code).report().await?));
    }

    // One that no message has reached does not exist, and answers as its type's `Default` would.
    report.airports.retain(|(_, airport)| airport.flights() > 0);
    report.routes.retain(|(_, route)| route.flights > 0);
    report.aircraft.retain(|(_, aircraft)| aircraft.statistics.flights > 0);
    report.carriers.retain(|(_, carrier)| carrier.flights > 0);
    Ok(report)
}

impl<'a> Report<'a> {
    pub(crate) fn totals(&self) -> anyhow::Result<Totals<'a>> {
        let (busiest_airport, _) = *self.busiest_airports().first().context("no airport")?;
        let (most_flown_aircraft, _) =
            *self.most_flown_aircraft().first().context("no aircraft")?;
        let carriers = || self.carriers.iter().map(|(_, carrier)| carrier);
        let routes = || self.routes.iter().map(|(_, route)| route);
        Ok(Totals {
            flights: carriers().map(|carrier| carrier.flights).sum(),
            cancelled: carriers().map(|carrier| carrier.cancelled).sum(),
            aircraft: self.aircraft.len(),
            routes: self.routes.len(),
            airports: self.airports.len(),
            carriers: self.carriers.len(),
            arrival_delay_minutes: carriers().map(|carrier| carrier.arrivals.sum_minutes).sum(),
            air_time_minutes: routes().map(|route| route.air_time_minutes).sum(),
            distance_miles: routes().map(|route| route.distance_miles).sum(),
            busiest_airport,
            most_flown_aircraft,
        })
    }

    pub(crate) fn print_tables(&self) {
        println!("Busiest airports by scheduled departures and arrivals");
        println!("           departures      mean    arrivals      mean  last flight");
        for (code, airport) in self.busiest_airports().iter().take(TABLE_LINES) {
            let (out, back) = (&airport.departures, &airport.arrivals);
            print!("  {code:<8}{:>11}{:>6.1} min", out.flights, out.delays.mean());
            print!("{:>12}{:>6.1} min", back.flights, back.delays.mean());
            println!("  {}", out.last_scheduled.max(back.last_scheduled));
        }

        println!("\nWorst routes by mean arrival delay");
        println!(
            "              flights      mean       max   in time    to 15    to 60   to 180  more"
        );
        for ((origin, destination), route) in self.worst_routes().iter().take(TABLE_LINES) {
            let late = &route.arrivals;
            print!("  {origin}-{destination}   {:>8}{:>6.1} min", route.flights, late.mean());
            print!("{:>6} min", late.max_minutes.unwrap_or_default());
            println!("{}", late.percentages().map(|part| format!("{part:>7.1} %")).concat());
        }

        println!("\nMost flown aircraft by scheduled flights");
        println!("            flights cancelled   hours aloft       miles  last seen");
        for (tail_number, aircraft) in self.most_flown_aircraft().iter().take(TABLE_LINES) {
            let flown = &aircraft.statistics;
            print!("  {tail_number:<8}{:>9}{:>10}", flown.flights, flown.cancelled);
            print!("{:>14}{:>12}", flown.air_time_minutes / 60, flown.distance_miles);
            match &aircraft.last_seen {
                Some(at) => println!("  {} {} to {}", at.scheduled, at.flight, at.destination),
                None => println!(),
            }
        }
    }

    fn busiest_airports(&self) -> Vec<(&'a str, &Airport)> {
        ranked(&self.airports, |airport| Reverse(airport.flights()))
    }

    fn most_flown_aircraft(&self) -> Vec<(&'a str, &Aircraft)> {
        ranked(&self.aircraft, |aircraft| Reverse(aircraft.statistics.flights))
    }

    fn worst_routes(&self) -> Vec<((&'a str, &'a str), &Statistics)> {
        // In hundredths of a minute, because floating point numbers are not `Ord`.
        let mut routes =
            ranked(&self.routes, |route| Reverse((100.0 * route.arrivals.mean()) as i64));
        routes.retain(|(_, route)| route.flights >= WORST_ROUTE_FLIGHTS_MIN);
        routes
    }
}

fn distinct<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
    names.collect()
}

/// By `rank`, and where that is equal by name.
fn ranked<N: Copy + Ord, E, R: Ord>(entities: &[(N, E)], rank: impl Fn(&E) -> R) -> Vec<(N, &E)> {
    let mut ranked: Vec<_> = entities.iter().map(|(name, entity)| (*name, entity)).collect();
    ranked.sort_by_key(|(name, entity)| (rank(entity), *name));
    ranked
}
