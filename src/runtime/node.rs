//! The running grid of this process: starts its threads and units, and ends them.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::hash;
use crate::engine::id::{Epoch, NodeId, PartitionId};
use crate::engine::replica::primary::Primary;
use crate::engine::write_behind::{self, WriteBehind};
use crate::metrics::{GridMetrics, UnitMetrics};
use crate::store::{GridRow, Store};

use super::admissions::Admissions;
use super::clock::Clock;
use super::error::{LeaveError, StartError};
use super::exchange::AnyAsk;
use super::lane::{GridNumber, Lane};
use super::persistence::Persistence;
use super::post::Leaving;
use super::processing_unit::{Begin, ProcessingUnit};
use super::recovery;
use super::registry::Registry;
use super::router::Router;
use super::threads::{Running, Threads};
use super::unit::Unit;

/// Format of the records that this build writes.
const RECORD_FORMAT: u16 = 1;

/// How long threads and the store may take to end when leaving has taken all its time.
const END_MAX: Duration = Duration::from_secs(5);

/// How often a grid that is being left looks whether its messages have arrived.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What a grid is started from.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) partitions: u16,
    pub(crate) threads: Threads,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) store: Option<Arc<dyn Store>>,
}

/// The running grid of this process.
pub(crate) struct Node {
    pub(crate) router: Arc<Router>,
    stop: watch::Sender<bool>,
    store: Option<Arc<dyn Store>>,
    running: tokio::sync::Mutex<Vec<Running>>,
    left: tokio::sync::Mutex<Option<Result<(), LeaveError>>>,
}

type Units = Vec<(PartitionId, Addr<ProcessingUnit>)>;

/// What one thread is started from.
struct Seat {
    grid: GridNumber,
    thread: usize,
    threads: usize,
    epochs: Arc<Vec<Epoch>>,
    clock: Clock,
    registry: Arc<Registry>,
    metrics: Arc<GridMetrics>,
    store: Option<Arc<dyn Store>>,
    persistence: Option<Addr<Persistence>>,
    admissions: Arc<Admissions>,
    asks: mpsc::Receiver<Arc<dyn AnyAsk>>,
    stop: watch::Receiver<bool>,
    ready: oneshot::Sender<Result<Units, StartError>>,
}

impl Node {
    /// Takes the store, recovers every partition from it, and opens for asks.
    pub(crate) async fn start(plan: Plan) -> Result<Node, StartError> {
        let Plan { name, partitions, threads, clock, registry, store } = plan;
        let registry = Arc::new(registry);
        let epochs = match &store {
            Some(store) => {
                claim(&**store, &name, partitions).await?;
                recovery::raise_fences(&**store, partitions).await?
            }
            None => vec![Epoch(0).next(); usize::from(partitions)],
        };
        let count = threads.count().min(usize::from(partitions));
        let metrics = Arc::new(GridMetrics::new(&registry.names(), partitions, count));
        let admissions =
            Arc::new(Admissions::new(partitions, registry.limits.asks_per_partition_max));
        let (stop, stopped) = watch::channel(false);
        let mut running = Vec::new();
        let persistence = match &store {
            Some(store) => {
                let (store, stopped) = (Arc::clone(store), stopped.clone());
                let (clock, metrics) = (clock.clone(), Arc::clone(&metrics));
                let make = move || Persistence::new(store, clock, metrics);
                let (persistence, thread) = start_persistence(threads, make, stopped).await?;
                running.push(thread);
                Some(persistence)
            }
            None => None,
        };
        let grid = GridNumber::next();
        let per_thread = usize::from(partitions).div_ceil(count);
        let depth = per_thread * registry.limits.asks_per_partition_max as usize;
        let epochs = Arc::new(epochs);
        let (mut lanes, mut readies) = (Vec::new(), Vec::new());
        for thread in 0..count {
            let (lane, asks) = mpsc::channel(depth);
            let (ready, is_ready) = oneshot::channel();
            let seat = Seat {
                grid,
                thread,
                threads: count,
                epochs: Arc::clone(&epochs),
                clock: clock.clone(),
                registry: Arc::clone(&registry),
                metrics: Arc::clone(&metrics),
                store: store.clone(),
                persistence: persistence.clone(),
                admissions: Arc::clone(&admissions),
                asks,
                stop: stopped.clone(),
                ready,
            };
            let work = move || -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(seat.serve()) };
            running.push(threads.spawn(&format!("fastness-{thread}"), work)?);
            lanes.push(lane);
            readies.push(is_ready);
        }
        let client = random_u128()?;
        let router =
            Router::new(grid, clock, registry, metrics, partitions, lanes, admissions, client);
        let node = Node {
            router: Arc::new(router),
            stop,
            store,
            running: tokio::sync::Mutex::new(running),
            left: tokio::sync::Mutex::new(None),
        };
        match all_units(readies).await {
            Ok(units) => {
                let peers: Arc<[_]> = units.as_slice().into();
                peers.iter().for_each(|unit| unit.do_send(Begin(Arc::clone(&peers))));
                node.router.open(units);
            }
            Err(error) => {
                node.end().await;
                return Err(error);
            }
        }
        tracing::info!(grid = name, partitions, threads = count, "grid started");
        Ok(node)
    }

    /// Lets no ask in, waits for those under way, drains to the store, ends. The first call does
    /// it; every call hears how it went.
    pub(crate) async fn leave(&self) -> Result<(), LeaveError> {
        let mut left = self.left.lock().await;
        if let Some(result) = &*left {
            return result.clone();
        }
        self.router.close();
        let clock = &self.router.clock;
        let deadline = clock.now() + self.router.registry.limits.leave_max;
        let mut undelivered = 0;
        let drained = tokio::select! {
            biased;
            drained = self.drain(&mut undelivered) => drained,
            () = clock.sleep_until(deadline) => false,
        };
        let pending = self.router.metrics.count_pending();
        let is_whole = tokio::select! {
            biased;
            is_whole = self.end() => is_whole,
            // A handler, or the store, may never return: then its thread is left behind.
            () = clock.sleep_until(deadline + END_MAX) => false,
        };
        let result = match drained {
            false => Err(LeaveError::Incomplete { pending }),
            true if !is_whole => Err(LeaveError::ThreadPanicked),
            true if undelivered > 0 && self.store.is_none() => {
                Err(LeaveError::Undelivered { messages: undelivered })
            }
            true => Ok(()),
        };
        match &result {
            Ok(()) if undelivered > 0 => {
                tracing::warn!(undelivered, "grid left; its messages go on when it starts again");
            }
            Ok(()) => tracing::info!("grid left"),
            Err(error) => tracing::error!(%error, "grid left"),
        }
        *left = Some(result.clone());
        result
    }

    /// Ends at once, as a crash would: what the store does not have is lost.
    pub(crate) fn abandon(&self) {
        if self.router.close() {
            tracing::warn!("grid dropped without leave: what is not stored yet is lost");
        }
        self.router.admissions.close();
        self.stop.send_replace(true);
    }

    pub(crate) fn store(&self) -> Option<&dyn Store> {
        self.store.as_deref()
    }

    /// What is counted, as text.
    pub(crate) fn metrics(&self) -> String {
        self.router.metrics.text(self.router.clock.now())
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Waits until all is answered, has arrived, and is stored; false if it can no longer be
    /// stored. Messages that have not arrived after half of the time stay where they are, stored,
    /// too.
    async fn drain(&self, undelivered: &mut usize) -> bool {
        let clock = &self.router.clock;
        let until = clock.now() + self.router.registry.limits.leave_max / 2;
        self.router.leaving(Leaving::NoReminders).await;
        for partition in 0..self.router.partitions {
            self.router.admissions.take_all(PartitionId(partition)).await;
        }
        loop {
            if !self.persist().await {
                return false;
            }
            *undelivered = self.router.leaving(Leaving::NoReminders).await;
            if *undelivered == 0 || clock.now() >= until {
                // Each partition was asked at another moment. After this nothing changes any more.
                *undelivered = self.router.leaving(Leaving::NoMessages).await;
            }
            if *undelivered == 0 || clock.now() >= until {
                return self.persist().await;
            }
            clock.sleep_until(clock.now() + LOOK_AGAIN_AFTER).await;
        }
    }

    async fn persist(&self) -> bool {
        self.store.is_none() || self.router.persisted().await.is_ok()
    }

    /// Stops all threads and closes the store. Returns false if one of them had panicked.
    async fn end(&self) -> bool {
        self.router.close();
        self.router.admissions.close();
        self.stop.send_replace(true);
        let mut is_whole = true;
        let mut running = self.running.lock().await;
        while let Some(last) = running.last_mut() {
            is_whole &= last.ended().await;
            running.pop(); // only now: this call may be cancelled, and made again
        }
        if let Some(store) = &self.store
            && let Err(error) = store.close().await
        {
            tracing::error!(%error, "close store");
            return false;
        }
        is_whole
    }
}

impl Seat {
    /// Recovers this thread's partitions and serves them until the grid ends.
    async fn serve(self) {
        let units = match self.recover().await {
            Ok(units) => units,
            Err(error) => {
                let _ = self.ready.send(Err(error)); // the starter may be gone
                return;
            }
        };
        let partitions: Vec<_> = units.iter().map(|unit| unit.partition).collect();
        let Seat { grid, clock, persistence, admissions, threads, thread, metrics, .. } = self;
        let lane = Rc::new(Lane::new(grid, clock, units, persistence, admissions, threads, thread));
        let units: Vec<_> = (0..lane.units())
            .map(|index| ProcessingUnit::new(Rc::clone(&lane), index).start())
            .collect();
        lane.set_addresses(units.clone());
        if self.ready.send(Ok(partitions.into_iter().zip(units).collect())).is_err() {
            return; // the starter is gone
        }
        lane.serve(self.asks, self.stop, metrics.inbox(thread)).await;
        // The actors end with their last address.
        lane.set_addresses(Vec::new());
        lane.set_peers(Arc::default());
    }

    async fn recover(&self) -> Result<Vec<Unit>, StartError> {
        let mut units = Vec::new();
        for (partition, epoch) in self.epochs.iter().enumerate() {
            if partition % self.threads == self.thread {
                let partition = PartitionId(partition as u16);
                units.push(self.recover_one(partition, *epoch).await?);
            }
        }
        Ok(units)
    }

    async fn recover_one(&self, partition: PartitionId, epoch: Epoch) -> Result<Unit, StartError> {
        let times = (self.clock.now(), self.clock.wall());
        let partitions = self.epochs.len() as u16;
        let (recovered, epoch) = match &self.store {
            Some(store) => {
                let place = (partition, partitions);
                recovery::recover(&**store, place, epoch, &self.registry, times).await?
            }
            None => (recovery::empty(&self.registry, partitions, times.0, times.1), epoch),
        };
        let queue = match self.store {
            Some(_) => Some(WriteBehind::new(self.queue_config(), random_u128()? as u64)),
            None => None,
        };
        let metrics = UnitMetrics::new(Arc::clone(&self.metrics), partition.0);
        let primary = Primary::new(epoch, NodeId::new("local"));
        let registry = Arc::clone(&self.registry);
        Ok(Unit::new(partition, registry, primary, queue, recovered, metrics, times.0))
    }

    fn queue_config(&self) -> write_behind::Config {
        let limits = &self.registry.limits;
        write_behind::Config {
            batch_records_max: limits.batch_records_max,
            batch_bytes_max: limits.batch_bytes_max,
            pending_records_max: limits.pending_records_max,
            pending_bytes_max: limits.pending_bytes_max,
            pending_age_max: limits.pending_age_max,
            retry_min: limits.retry_min,
            retry_max: limits.retry_max,
        }
    }
}

async fn claim(store: &dyn Store, name: &str, partitions: u16) -> Result<(), StartError> {
    let wanted = GridRow {
        grid_id: random_u128()?,
        name: name.to_owned(),
        partitions,
        copies: 1,
        format: RECORD_FORMAT,
        hash: hash::NAME.to_owned(),
    };
    let found = store.claim(&wanted).await?;
    let differs =
        |what, found: String, wanted: String| Err(StartError::ForeignStore { what, found, wanted });
    if found.name != wanted.name {
        return differs("grid", found.name, wanted.name);
    }
    if found.partitions != wanted.partitions {
        let (found, wanted) = (found.partitions.to_string(), wanted.partitions.to_string());
        return differs("partition count", found, wanted);
    }
    if found.format != wanted.format {
        return differs("record format", found.format.to_string(), wanted.format.to_string());
    }
    if found.hash != wanted.hash {
        return differs("partition hash", found.hash, wanted.hash);
    }
    Ok(())
}

async fn start_persistence(
    threads: Threads,
    make: impl FnOnce() -> Persistence + Send + 'static,
    mut stop: watch::Receiver<bool>,
) -> Result<(Addr<Persistence>, Running), StartError> {
    let (ready, is_ready) = oneshot::channel();
    let work = move || -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let _ = ready.send(make().start()); // the starter may be gone
            let _ = stop.wait_for(|stop| *stop).await; // or its sender is gone
        })
    };
    let running = threads.spawn("fastness-store", work)?;
    let persistence = is_ready.await.map_err(|_| StartError::ThreadPanicked)?;
    Ok((persistence, running))
}

async fn all_units(
    readies: Vec<oneshot::Receiver<Result<Units, StartError>>>,
) -> Result<Vec<Addr<ProcessingUnit>>, StartError> {
    let mut units = Vec::new();
    let mut failure = None;
    for ready in readies {
        match ready.await {
            Ok(Ok(more)) => units.extend(more),
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(_) => failure = failure.or(Some(StartError::ThreadPanicked)),
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    units.sort_by_key(|(partition, _)| *partition);
    Ok(units.into_iter().map(|(_, unit)| unit).collect())
}

pub(crate) fn random_u128() -> Result<u128, StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StartError::NoRandomness(error.to_string()))?;
    Ok(u128::from_be_bytes(bytes))
}
