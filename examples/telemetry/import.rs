//! Sends the rows to the entities: each counts once, whatever crashes in between.
//!
//! * The source is a durable session, and row n is its request n. An entity that has counted a row
//!   answers a replay of it from its record. A row asks several entities under its one number, but
//!   never the same entity twice (no flight ends where it began).
//! * Rows are done in batches. Once a batch is in the store, its last row is noted in `Progress`,
//!   and only then is the session's checkpoint moved there: what is under the checkpoint can
//!   never be asked again, so it must never be ahead of what is noted.
//! * Started again, the import goes on after the noted row, every row under its old number. Those
//!   that were counted and stored before the crash are recognised; those that were lost with the
//!   memory run.

use anyhow::{Context as _, ensure};
use fastness::{Grid, RequestId, Session};
use tokio::task::JoinSet;

use crate::entities::{Aircraft, Airport, Carrier, Leg, Progress, Route};
use crate::flights::Flight;
use crate::watch::Watch;

const SOURCE: &str = "flights-2013";

/// Rows after which progress is noted. More means less to write, and more to replay.
const BATCH: usize = 2_000;

/// Rows under way at once: enough to keep all processing units busy, and a bound of the memory.
const WINDOW: usize = 512;

/// Sends all rows that an earlier run has not noted, and returns how many those are.
pub(crate) async fn import(
    grid: &Grid,
    flights: &[Flight],
    watch: &Watch,
) -> anyhow::Result<usize> {
    let source = grid.session(SOURCE).await?;
    let noted = grid.entity::<Progress>(SOURCE).noted().await?;
    // The last run may have died between the note and this.
    source.checkpoint(noted);

    let start = usize::try_from(noted)?;
    ensure!(start <= flights.len(), "the store has counted {start} rows already");
    watch.resume(start);

    let mut sent = start;
    for batch in flights[start..].chunks(BATCH) {
        // The rows before this batch are settled while it is sent: neither waits for the other.
        tokio::try_join!(send(grid, &source, sent, batch, watch), settle(grid, &source, sent))?;
        sent += batch.len();
    }
    watch.phase("draining");
    settle(grid, &source, sent).await?;
    Ok(sent - start)
}

/// Sends the rows of `batch`, which follow the first `before`, and waits for all answers.
async fn send(
    grid: &Grid,
    source: &Session,
    before: usize,
    batch: &[Flight],
    watch: &Watch,
) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    for (row, flight) in (before as u64 + 1..).zip(batch) {
        if under_way.len() == WINDOW {
            answered(&mut under_way, watch).await?;
        }
        under_way.spawn(count(grid.clone(), source.request(row), flight.clone()));
    }
    while !under_way.is_empty() {
        answered(&mut under_way, watch).await?;
    }
    Ok(())
}

async fn answered(
    under_way: &mut JoinSet<anyhow::Result<()>>,
    watch: &Watch,
) -> anyhow::Result<()> {
    under_way.join_next().await.context("no row is under way")???;
    watch.row();
    Ok(())
}

/// Tells all whom one flight concerns.
///
/// Any error ends the import, and leaves open which of them have counted the row. Nothing needs to
/// be undone: the next run asks all of them again, under the same number.
async fn count(grid: Grid, request: RequestId, flight: Flight) -> anyhow::Result<()> {
    let leg = Leg::from(&flight);
    if let Some(tail_number) = &flight.tail_number {
        let aircraft = grid.entity::<Aircraft>(&**tail_number);
        aircraft.flew(leg, (&flight).into()).request(request).await?;
    }
    let route = grid.entity::<Route>((&*flight.origin, &*flight.destination));
    route.flown(leg).request(request).await?;
    let origin = grid.entity::<Airport>(&*flight.origin);
    origin.departure(flight.scheduled, flight.departure_delay).request(request).await?;
    let destination = grid.entity::<Airport>(&*flight.destination);
    destination.arrival(flight.scheduled, flight.arrival_delay).request(request).await?;
    let carrier = grid.entity::<Carrier>(&*flight.carrier);
    carrier.operated(leg).request(request).await?;
    Ok(())
}

/// Makes it durable that the first `rows` rows, all of them answered, are done.
async fn settle(grid: &Grid, source: &Session, rows: usize) -> anyhow::Result<()> {
    let rows = rows as u64;
    grid.persisted().await?;
    grid.entity::<Progress>(SOURCE).note(rows).await?;
    source.checkpoint(rows);
    Ok(())
}
