//! The persistence actor, one per node and store: takes the batches of all partitions, writes what
//! has come in together in one commit, and tells each partition what became of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tracing::Instrument;

use crate::engine::id::PartitionId;
use crate::engine::write_behind::{BatchId, Event, Failure, Outcome};
use crate::metrics::{self, GridMetrics};
use crate::store::{self, BatchOutcome, Loaded, PartitionBatch, RecordOutcome, RowKey, Store};

use super::clock::Clock;
use super::loading::Load;
use super::processing_unit::{Found, ProcessingUnit, Written};
use super::unit::Writing;

/// Rows in one commit. A single partition's batch is bounded by its queue; this bounds how many of
/// these are put together.
const COMMIT_ROWS_MAX: usize = 10_000;

pub(crate) struct Persistence {
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Arc<GridMetrics>,
    queue: VecDeque<Write>,
    is_writing: bool,
    loads: Vec<Read>,
    is_reading: bool,
}

/// Read entities of a partition, and tell its unit. Goes beside what is being written: nobody waits
/// for the disk who only reads.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Read {
    pub(crate) load: Load,
    pub(crate) unit: Addr<ProcessingUnit>,
}

/// Write a partition's batch, and tell its unit.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Write {
    pub(crate) writing: Writing,
    pub(crate) unit: Addr<ProcessingUnit>,
}

impl Persistence {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        metrics: Arc<GridMetrics>,
    ) -> Persistence {
        Persistence {
            store,
            clock,
            metrics,
            queue: VecDeque::new(),
            is_writing: false,
            loads: Vec::new(),
            is_reading: false,
        }
    }

    /// Begins a commit of what has come in, unless one is under way.
    fn write_next(&mut self, ctx: &mut Context<Self>) {
        if self.is_writing || self.queue.is_empty() {
            return;
        }
        self.is_writing = true;
        let (senders, batches) = self.take_commit();
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        let clock = self.clock.clone();
        let rows: usize = batches.iter().map(|batch| batch.records.len()).sum();
        let span = tracing::debug_span!("store_write", partitions = batches.len(), rows);
        let commit = async move {
            let started_at = clock.now();
            let answers = write_apart_if_refused(&*store, &batches, &metrics).await;
            let after = clock.now().saturating_since(started_at);
            metrics.store_seconds.record_shared(after.as_secs_f64());
            answers
        }
        .instrument(span);
        let done = commit.into_actor(self).map(move |answers, persistence, ctx| {
            for ((unit, batch), answer) in senders.into_iter().zip(answers) {
                unit.do_send(Written(event(batch, answer)));
            }
            persistence.is_writing = false;
            persistence.write_next(ctx);
        });
        ctx.spawn(done);
    }

    /// Begins to read what all partitions want by now, unless a read is under way.
    fn read_next(&mut self, ctx: &mut Context<Self>) {
        if self.is_reading || self.loads.is_empty() {
            return;
        }
        self.is_reading = true;
        let (mut units, mut keys) = (Vec::new(), Vec::new());
        for Read { load, unit } in self.loads.drain(..) {
            units.push((unit, load.keys.len()));
            keys.extend(load.keys);
        }
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        let clock = self.clock.clone();
        let span = tracing::debug_span!("store_load", entities = keys.len());
        let read = async move {
            let started_at = clock.now();
            let answers = load_all(&*store, &keys).await;
            let after = clock.now().saturating_since(started_at);
            metrics.load_seconds.record_shared(after.as_secs_f64());
            answers
                .iter()
                .filter(|it| it.is_err())
                .for_each(|_| metrics::count(&metrics.load_errors));
            (keys, answers)
        }
        .instrument(span);
        let done = read.into_actor(self).map(move |(keys, answers), persistence, ctx| {
            let mut found = keys.into_iter().map(|(_, key)| key).zip(answers);
            for (unit, count) in units {
                unit.do_send(Found(found.by_ref().take(count).collect()));
            }
            persistence.is_reading = false;
            persistence.read_next(ctx);
        });
        ctx.spawn(done);
    }

    fn take_commit(&mut self) -> (Vec<(Addr<ProcessingUnit>, BatchId)>, Vec<PartitionBatch>) {
        let (mut senders, mut batches, mut rows) = (Vec::new(), Vec::new(), 0);
        while let Some(Write { writing, .. }) = self.queue.front() {
            let more = writing.rows.records.len() + writing.rows.dead_letters.len();
            if rows > 0 && rows + more > COMMIT_ROWS_MAX {
                break;
            }
            rows += more;
            if let Some(Write { writing, unit }) = self.queue.pop_front() {
                senders.push((unit, writing.batch));
                batches.push(writing.rows);
            }
        }
        self.metrics.batch_records.record_shared(rows as f64);
        tracing::debug!(partitions = batches.len(), rows, "commit to the store");
        (senders, batches)
    }
}

impl Actor for Persistence {
    type Context = Context<Persistence>;
}

impl Handler<Write> for Persistence {
    type Result = ();

    fn handle(&mut self, write: Write, ctx: &mut Context<Self>) {
        self.queue.push_back(write);
        self.write_next(ctx);
    }
}

impl Handler<Read> for Persistence {
    type Result = ();

    fn handle(&mut self, read: Read, ctx: &mut Context<Self>) {
        self.loads.push(read);
        self.read_next(ctx);
    }
}

async fn load_all(
    store: &dyn Store,
    keys: &[(PartitionId, RowKey)],
) -> Vec<Result<Loaded, store::Error>> {
    let answers = store.load(keys).await;
    if answers.len() == keys.len() {
        return answers;
    }
    let reason = format!("{} answers for {} keys", answers.len(), keys.len());
    vec![Err(store::Error::Unavailable { reason }); keys.len()]
}

/// Writes the batches in one commit. If the store refuses them as a whole, each partition's goes
/// alone, so that what is wrong with one is not held against the others.
async fn write_apart_if_refused(
    store: &dyn Store,
    batches: &[PartitionBatch],
    metrics: &GridMetrics,
) -> Vec<Result<BatchOutcome, store::Error>> {
    match store.write(batches).await {
        Ok(outcomes) if outcomes.len() == batches.len() => outcomes.into_iter().map(Ok).collect(),
        Ok(outcomes) => {
            metrics::count(&metrics.unavailable);
            let reason = format!("{} outcomes of {} batches", outcomes.len(), batches.len());
            vec![Err(store::Error::Unavailable { reason }); batches.len()]
        }
        Err(store::Error::Refused { .. }) if batches.len() > 1 => {
            metrics::count(&metrics.refused);
            let mut answers = Vec::with_capacity(batches.len());
            for batch in batches {
                let alone = store.write(std::slice::from_ref(batch)).await;
                let alone = alone.and_then(|mut outcomes| {
                    outcomes.pop().ok_or_else(|| store::Error::Unavailable {
                        reason: "no outcome of a batch".to_owned(),
                    })
                });
                answers.push(alone.inspect_err(|error| count(error, metrics)));
            }
            answers
        }
        Err(error) => {
            count(&error, metrics);
            vec![Err(error); batches.len()]
        }
    }
}

fn count(error: &store::Error, metrics: &GridMetrics) {
    let is_refused = matches!(error, store::Error::Refused { .. });
    metrics::count(if is_refused { &metrics.refused } else { &metrics.unavailable });
}

fn event(batch: BatchId, answer: Result<BatchOutcome, store::Error>) -> Event {
    let failure = match answer {
        Ok(BatchOutcome::Written(outcomes)) => {
            return Event::Answered {
                batch,
                outcomes: outcomes.into_iter().map(outcome).collect(),
            };
        }
        Ok(BatchOutcome::Fenced { by }) => Failure::Fenced { by },
        Err(store::Error::Refused { reason }) => Failure::Refused { reason },
        // Anything else may pass, or must be seen by a person; meanwhile nothing is lost.
        Err(error) => Failure::Unavailable { reason: error.to_string() },
    };
    Event::Failed { batch, failure }
}

fn outcome(outcome: RecordOutcome) -> Outcome {
    match outcome {
        RecordOutcome::Stored => Outcome::Stored,
        RecordOutcome::Superseded { found } => Outcome::Superseded { found },
        RecordOutcome::Refused { reason } => Outcome::Refused { reason },
    }
}
