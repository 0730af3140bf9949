//! Sends the purchases: each counts once, and those of one customer in their order, whatever
//! crashes in between.
//!
//! The source is a durable session, and row n is its request n. A batch is sent in lanes. A
//! customer keeps to one lane, which waits for each answer before it sends the next purchase: many
//! purchases are under way, and never two of one customer. An answer means that the store has it
//! (customers are written through). So when a batch is answered it is noted in `Progress`, and then
//! the session's checkpoint moves: what is under it can never be asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use fastness::{Grid, RequestId};
use tokio::task::JoinSet;

use crate::customer::{Customer, Progress};
use crate::purchases::Purchase;

const SOURCE: &str = "purchases-1997";

/// Rows after which progress is noted. More means less to write, and more to replay.
const BATCH: usize = 2_000;

/// Rows after which progress is shown.
const SHOWN: usize = 500;

/// Purchases under way at once. They share the store's commits, so more go faster.
const LANES: usize = 512;

/// Sends all purchases that an earlier run has not noted, and returns how many those are.
pub(crate) async fn import(grid: &Grid, purchases: &[Purchase]) -> anyhow::Result<usize> {
    let source = grid.session(SOURCE).await?;
    let mut row = grid.entity::<Progress>(SOURCE).noted().await?;
    // The last run may have died between the note and this.
    source.checkpoint(row);
    let start = usize::try_from(row)?;
    ensure!(start <= purchases.len(), "the store has counted {start} purchases already");

    let answered = Arc::new(AtomicUsize::new(start));
    eprint!("{start} of {} purchases", purchases.len());
    for batch in purchases[start..].chunks(BATCH) {
        let mut lanes = vec![Vec::new(); LANES];
        for purchase in batch {
            row += 1;
            lanes[purchase.customer as usize % LANES].push((source.request(row), *purchase));
        }
        send(grid, lanes, &answered).await?;
        grid.entity::<Progress>(SOURCE).note(row).await?;
        source.checkpoint(row);
    }
    eprintln!("\r{row}");
    Ok(purchases.len() - start)
}

/// Sends all lanes at once, each in its order.
///
/// Any error ends the import, and leaves open which purchases of the batch are counted. Nothing
/// needs to be undone: the next run sends all of them again, under the same numbers.
async fn send(
    grid: &Grid,
    lanes: Vec<Vec<(RequestId, Purchase)>>,
    answered: &Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    for lane in lanes {
        let (grid, answered) = (grid.clone(), answered.clone());
        under_way.spawn(async move {
            for (request, purchase) in lane {
                let customer = grid.entity::<Customer>(purchase.customer);
                customer.bought(purchase).request(request).await??;
                let answered = answered.fetch_add(1, Ordering::Relaxed) + 1;
                if answered.is_multiple_of(SHOWN) {
                    eprint!("\r{answered}");
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = under_way.join_next().await {
        lane??;
    }
    Ok(())
}
