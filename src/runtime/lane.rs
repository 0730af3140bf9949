//! One thread's units, and the lane that brings them asks.
//!
//! All units of a thread share one bounded queue. It is drained as a whole, what is for one unit is
//! run as one batch, and each unit is settled once: measured, that is far cheaper than a queue and
//! a wake-up for each unit (decision record 3). The queue never fills: each ask in it holds a place
//! of its partition, and there are no more places than the queue has room.
//!
//! A caller on this very thread needs no queue: its ask runs at once, unless others are queued
//! before it, or it has to wait for something (decision record 15).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use actix::Addr;
use tokio::sync::{mpsc, watch};

use crate::engine::execution::Numbered;
use crate::engine::id::PartitionId;
use crate::engine::instant::Instant;
use crate::entity::{Entity, MessageTo};
use crate::error::AskError;

use super::admissions::Admissions;
use super::clock::Clock;
use super::exchange::{AnyAsk, Refusal, Reply, Target};
use super::persistence::{Persistence, Read, Write};
use super::post::Letter;
use super::processing_unit::{Deliver, ProcessingUnit};
use super::timer::Timer;
use super::undone::quietly;
use super::unit::{Unit, Wanted};

/// Tells the grids of one process from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GridNumber(u64);

impl GridNumber {
    pub(crate) fn next() -> GridNumber {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        GridNumber(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Asks taken from the queue at once. Enough to make batches, few enough that timers and control
/// messages of the thread are not kept waiting.
const ASKS_AT_ONCE: usize = 512;

thread_local! {
    /// The lanes that are served on this thread: one for each grid.
    static LANES: RefCell<Vec<Rc<Lane>>> = const { RefCell::new(Vec::new()) };
}

/// The units of one thread. Everything here stays on it.
pub(crate) struct Lane {
    /// Which grid's, in this process.
    grid: GridNumber,
    pub(crate) clock: Clock,
    units: Vec<RefCell<Unit>>,
    addresses: RefCell<Vec<Addr<ProcessingUnit>>>,
    /// The units of all threads, by partition, once they are there.
    peers: RefCell<Arc<[Addr<ProcessingUnit>]>>,
    persistence: Option<Addr<Persistence>>,
    admissions: Arc<Admissions>,
    timer: Timer,
    /// Callers that have an answer, and are to be woken.
    wakers: RefCell<Vec<Waker>>,
    /// How many threads there are, and which this is: partition `p` is unit `p / threads` of the
    /// lane of thread `p % threads`.
    threads: usize,
    thread: usize,
}

impl Lane {
    pub(crate) fn new(
        grid: GridNumber,
        clock: Clock,
        units: Vec<Unit>,
        persistence: Option<Addr<Persistence>>,
        admissions: Arc<Admissions>,
        threads: usize,
        thread: usize,
    ) -> Lane {
        let timer = Timer::new(clock.clone(), units.len());
        for (index, unit) in units.iter().enumerate() {
            timer.set(index, unit.next_deadline()); // what a start has found may be due by itself
        }
        let units = units.into_iter().map(RefCell::new).collect();
        let addresses = RefCell::new(Vec::new());
        let peers = RefCell::new(Arc::default());
        let wakers = RefCell::default();
        Lane {
            grid,
            clock,
            units,
            addresses,
            peers,
            persistence,
            admissions,
            timer,
            wakers,
            threads,
            thread,
        }
    }

    /// Tells the lane its units' actors.
    pub(crate) fn set_addresses(&self, addresses: Vec<Addr<ProcessingUnit>>) {
        *self.addresses.borrow_mut() = addresses;
    }

    /// Tells the lane the units of all threads.
    pub(crate) fn set_peers(&self, peers: Arc<[Addr<ProcessingUnit>]>) {
        *self.peers.borrow_mut() = peers;
    }

    pub(crate) fn units(&self) -> usize {
        self.units.len()
    }

    /// The lane of a grid, if it is served on this very thread.
    pub(crate) fn here(grid: GridNumber) -> Option<Rc<Lane>> {
        let here = LANES.try_with(|lanes| {
            let lanes = lanes.try_borrow().ok()?;
            lanes.iter().find(|lane| lane.grid == grid).cloned()
        });
        here.ok()?
    }

    /// Whether the partition is one of this lane's.
    pub(crate) fn serves(&self, partition: PartitionId) -> bool {
        usize::from(partition.0) % self.threads == self.thread
    }

    /// Whether an ask of a caller on this very thread can be run at once, or has to wait for
    /// something. Nothing may be queued before it.
    pub(crate) fn is_ready<E: Entity, M: MessageTo<E>>(
        &self,
        now: Instant,
        target: &Target<E::Key>,
    ) -> bool {
        // User code may ask from odd places, such as a `Drop` inside a handler.
        let unit = self.units[self.index_of(target.partition)].try_borrow_mut();
        unit.is_ok_and(|mut unit| unit.is_ready::<E, M>(now, target))
    }

    /// Runs such an ask.
    pub(crate) fn run_direct<E: Entity, M: MessageTo<E>>(
        &self,
        target: &Target<E::Key>,
        numbered: Option<&Numbered>,
        message: M,
    ) -> Reply<M> {
        let run = |unit: &mut Unit| unit.run_direct(target, numbered, message);
        self.with_unit(self.index_of(target.partition), run).unwrap_or_else(|| {
            let request = numbered.map(|numbered| numbered.request);
            Err(AskError::Indeterminate { request })
        })
    }

    fn index_of(&self, partition: PartitionId) -> usize {
        usize::from(partition.0) / self.threads
    }

    /// Lets `work` at a unit, then performs what came of it. `None` if that panicked: a bug, or
    /// user code in a place where none is expected. The unit then stops, and the others go on.
    pub(crate) fn with_unit<T>(
        &self,
        index: usize,
        work: impl FnOnce(&mut Unit) -> T,
    ) -> Option<T> {
        let result = self.work_at(index, work);
        self.wake_callers();
        result
    }

    /// As [`with_unit`](Self::with_unit), but callers are woken later.
    fn work_at<T>(&self, index: usize, work: impl FnOnce(&mut Unit) -> T) -> Option<T> {
        let mut unit = self.units[index].borrow_mut();
        let worked = quietly(|| {
            let result = work(&mut unit);
            unit.settle();
            result
        });
        let result = worked.ok();
        if result.is_none() {
            tracing::error!(partition = %unit.partition, "processing unit panicked and stops");
            // It may be broken anywhere; whoever it cannot tell hears at the deadline.
            let _ = quietly(|| unit.stop());
        }
        let wanted = unit.take_wanted().filter(|_| result.is_some());
        let (partition, letters) = (unit.partition, unit.take_letters());
        self.admissions.release(unit.partition, unit.take_answered());
        self.admissions.set_crowd(unit.partition, unit.crowd());
        self.timer.set(index, unit.next_deadline());
        unit.take_wakers(&mut self.wakers.borrow_mut());
        drop(unit);
        if let Some(wanted) = wanted {
            self.ask_store(index, wanted);
        }
        if !letters.is_empty() {
            self.post(partition, letters);
        }
        result
    }

    /// Wakes whoever has an answer. Not before all that is at hand has run: a caller on another
    /// thread that is woken for each answer sleeps after each, and both threads do little else.
    fn wake_callers(&self) {
        // Taken, so that a waker's own code may do what it likes.
        let mut wakers = self.wakers.take();
        for waker in wakers.drain(..) {
            // Another executor's code: what it does wrong costs nobody else the answer.
            let _ = quietly(|| waker.wake());
        }
        if wakers.capacity() <= ASKS_AT_ONCE {
            self.wakers.replace(wakers);
        }
    }

    /// Of each pair of units one frame at most is not answered, or two with a claim, so mailboxes
    /// stay bounded.
    fn post(&self, from: PartitionId, letters: Vec<(PartitionId, Letter)>) {
        let peers = self.peers.borrow();
        for (to, letter) in letters {
            // There are none any more once the lane has ended.
            if let Some(unit) = peers.get(usize::from(to.0)) {
                unit.do_send(Deliver { from, letter });
            }
        }
    }

    /// At most one batch and one load of each unit is outstanding, so the mailbox stays bounded.
    fn ask_store(&self, index: usize, Wanted { writing, load }: Wanted) {
        let addresses = self.addresses.borrow();
        // There are no addresses any more once the lane has ended.
        let (Some(unit), Some(persistence)) = (addresses.get(index), &self.persistence) else {
            return;
        };
        if let Some(writing) = writing {
            persistence.do_send(Write { writing, unit: unit.clone() });
        }
        if let Some(load) = load {
            persistence.do_send(Read { load, unit: unit.clone() });
        }
    }

    /// Serves asks until `stop`, then ends those that are still here.
    pub(crate) async fn serve(
        self: &Rc<Self>,
        mut asks: mpsc::Receiver<Arc<dyn AnyAsk>>,
        mut stop: watch::Receiver<bool>,
        depth: Arc<AtomicU64>,
    ) {
        let _here = Here::new(Rc::clone(self));
        let mut taken = Vec::with_capacity(ASKS_AT_ONCE);
        let mut inboxes: Vec<Vec<Arc<dyn AnyAsk>>> = self.units.iter().map(|_| vec![]).collect();
        let mut touched = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                unit = self.timer.due() => {
                    let now = self.clock.now();
                    self.with_unit(unit, |unit| unit.wake(now));
                    // Much may be due at once, such as what expires: queued asks and control
                    // messages have their turn in between.
                    tokio::task::yield_now().await;
                    while taken.len() < ASKS_AT_ONCE && let Ok(ask) = asks.try_recv() {
                        taken.push(ask);
                    }
                    if !taken.is_empty() {
                        depth.store((taken.len() + asks.len()) as u64, Ordering::Relaxed);
                    }
                    self.execute(&mut taken, &mut inboxes, &mut touched);
                }
                count = asks.recv_many(&mut taken, ASKS_AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    depth.store((count + asks.len()) as u64, Ordering::Relaxed);
                    self.execute(&mut taken, &mut inboxes, &mut touched);
                    if count == ASKS_AT_ONCE {
                        // There is more: let timers and control messages have their turn first.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        asks.close();
        while let Ok(ask) = asks.try_recv() {
            ask.refuse(Refusal::Unavailable, &mut self.wakers.borrow_mut());
        }
        for index in 0..self.units.len() {
            self.with_unit(index, Unit::stop);
        }
    }

    /// Runs what was taken from the queue, each unit's asks as one batch.
    fn execute(
        &self,
        taken: &mut Vec<Arc<dyn AnyAsk>>,
        inboxes: &mut [Vec<Arc<dyn AnyAsk>>],
        touched: &mut Vec<usize>,
    ) {
        for ask in taken.drain(..) {
            let index = self.index_of(ask.partition());
            if inboxes[index].is_empty() {
                touched.push(index);
            }
            inboxes[index].push(ask);
        }
        let now = self.clock.now();
        for index in touched.drain(..) {
            let inbox = inboxes[index].drain(..);
            self.work_at(index, |unit| unit.execute(now, inbox));
        }
        self.wake_callers();
    }
}

/// While it lives, its lane's asks may be run directly on this thread.
struct Here(GridNumber);

impl Here {
    fn new(lane: Rc<Lane>) -> Here {
        let grid = lane.grid;
        LANES.with(|lanes| lanes.borrow_mut().push(lane));
        Here(grid)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // When the thread itself ends, the list may be gone.
        let _ = LANES.try_with(|lanes| lanes.borrow_mut().retain(|lane| lane.grid != self.0));
    }
}
