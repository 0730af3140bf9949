//! Finds the lane of an ask's partition, admits the ask, and numbers it.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::Waker;

use actix::Addr;
use tokio::sync::{TryAcquireError, mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::execution::Numbered;
use crate::engine::hash::partition_of;
use crate::engine::id::{PartitionId, RequestId, SessionId};
use crate::engine::instant::Instant;
use crate::entity::{Entity, Message, Mode};
use crate::key::Key;
use crate::metrics::GridMetrics;

use super::admissions::Admissions;
use super::client_session::{ClientSession, DurableSession, NoNumber};
use super::clock::Clock;
use super::exchange::AnyAsk;
use super::lane::{GridNumber, Lane};
use super::processing_unit::{OpenSession, ProcessingUnit};
use super::registry::Registry;

/// Stands for the type of entities that the grid was not built with.
pub(crate) const UNKNOWN_KIND: u16 = u16::MAX;

/// Bytes that a thread keeps to encode keys in.
const SCRATCH_MAX: usize = 4096;

/// What references to entities share: the way to every partition.
pub(crate) struct Router {
    grid: GridNumber,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<GridMetrics>,
    pub(crate) partitions: u16,
    pub(crate) admissions: Arc<Admissions>,
    lanes: Vec<mpsc::Sender<Arc<dyn AnyAsk>>>,
    /// By partition; set once, when every partition has recovered.
    units: OnceLock<Vec<Addr<ProcessingUnit>>>,
    own_sessions: Vec<ClientSession>,
    durable_sessions: RwLock<HashMap<SessionId, Arc<DurableSession>>>,
    is_open: AtomicBool,
}

/// Why an ask did not get in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotIn {
    /// Not without waiting.
    NotNow,
    Unavailable,
    Expired(RequestId),
    /// The entity type keeps no answers.
    NotNumbered,
}

/// Which request an ask is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// A new one of the grid's own session, or none if its type keeps no answers.
    Fresh,
    /// None: nobody will ask again.
    Unnumbered,
    /// This one.
    Given(RequestId),
}

impl Router {
    #[allow(clippy::too_many_arguments)] // each is of another type, and made elsewhere
    pub(crate) fn new(
        grid: GridNumber,
        clock: Clock,
        registry: Arc<Registry>,
        metrics: Arc<GridMetrics>,
        partitions: u16,
        lanes: Vec<mpsc::Sender<Arc<dyn AnyAsk>>>,
        admissions: Arc<Admissions>,
        client: u128,
    ) -> Router {
        let window_max = registry.limits.session_window_max;
        // One random id, and the partition in its low bits: no two clients share a session.
        let session = |partition: u16| SessionId((client & !0xffff) | u128::from(partition));
        let own_sessions =
            (0..partitions).map(|p| ClientSession::new(session(p), window_max)).collect();
        Router {
            grid,
            clock,
            registry,
            metrics,
            partitions,
            admissions,
            lanes,
            units: OnceLock::new(),
            own_sessions,
            durable_sessions: RwLock::default(),
            is_open: AtomicBool::new(false),
        }
    }

    /// From now on asks are let in.
    pub(crate) fn open(&self, units: Vec<Addr<ProcessingUnit>>) {
        if self.units.set(units).is_ok() {
            self.is_open.store(true, Ordering::Release);
        }
    }

    /// From now on no ask is let in; those that are in go on. Returns whether it was open.
    pub(crate) fn close(&self) -> bool {
        self.is_open.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(crate) fn units(&self) -> &[Addr<ProcessingUnit>] {
        self.units.get().map_or(&[], Vec::as_slice)
    }

    /// Type and partition of an entity. `Err` holds the size of a key that is too large.
    pub(crate) fn locate<E: Entity>(&self, key: &E::Key) -> Result<(u16, PartitionId), usize> {
        thread_local! {
            static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        // Taken, so that a key's own code may do what it likes.
        let mut bytes = SCRATCH.take();
        bytes.clear();
        key.encode(&mut bytes);
        let (len, partition) = (bytes.len(), partition_of(&bytes, self.partitions));
        if bytes.capacity() <= SCRATCH_MAX {
            SCRATCH.set(bytes);
        }
        if len > self.registry.limits.key_bytes_max {
            return Err(len);
        }
        Ok((self.registry.index_of::<E>().unwrap_or(UNKNOWN_KIND), partition))
    }

    /// Takes a place at the partition, if one is free.
    pub(crate) fn try_admit<M: Message>(&self, at: (u16, PartitionId)) -> Result<(), NotIn> {
        if !self.is_open() {
            return Err(NotIn::Unavailable);
        }
        if M::Mode::WRITES && self.admissions.is_crowded(at, M::NAME) {
            return Err(NotIn::NotNow);
        }
        match self.admissions.of(at.1).try_acquire() {
            Ok(place) => {
                place.forget(); // given back when the ask is answered
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(NotIn::NotNow),
            Err(TryAcquireError::Closed) => Err(NotIn::Unavailable),
        }
    }

    /// Waits for a place at the partition.
    pub(crate) async fn admit<M: Message>(&self, at: (u16, PartitionId)) -> Result<(), NotIn> {
        let partition = at.1;
        if !self.is_open() {
            return Err(NotIn::Unavailable);
        }
        loop {
            if M::Mode::WRITES {
                self.admissions.eased(at, M::NAME).await;
            }
            let place = self.admissions.of(partition).acquire().await;
            let place = place.map_err(|_| NotIn::Unavailable)?;
            if !self.is_open() {
                return Err(NotIn::Unavailable);
            }
            // Others may have come to wait meanwhile.
            if !M::Mode::WRITES || !self.admissions.is_crowded(at, M::NAME) {
                place.forget(); // given back when the ask is answered
                return Ok(());
            }
        }
    }

    /// The number of an ask.
    pub(crate) fn try_number<M: Message>(
        &self,
        which: Which,
        target: (u16, PartitionId),
        now: Instant,
    ) -> Result<Option<Numbered>, NotIn> {
        let (kind, partition) = target;
        let keeps_answers =
            self.registry.kinds.get(usize::from(kind)).is_some_and(|k| k.options.keeps_answers());
        if !M::Mode::WRITES {
            return Ok(None);
        }
        if !keeps_answers {
            let is_given = matches!(which, Which::Given(_));
            return if is_given { Err(NotIn::NotNumbered) } else { Ok(None) };
        }
        let message = message_hash(M::NAME);
        match which {
            Which::Unnumbered => Ok(None),
            Which::Fresh => {
                let numbered = self.own_session(partition).next(now, message);
                match numbered {
                    Ok(numbered) => Ok(Some(numbered)),
                    Err(NoNumber::NotOpen | NoNumber::Full) => Err(NotIn::NotNow),
                }
            }
            Which::Given(request) if self.is_own(request, partition) => {
                let numbered = self.own_session(partition).again(request, message);
                numbered.map(Some).ok_or(NotIn::Expired(request))
            }
            Which::Given(request) => {
                let session = self.durable(request.session).ok_or(NotIn::Expired(request))?;
                match session.numbered(request.number, partition, message) {
                    Ok(numbered) => Ok(Some(numbered)),
                    Err(NoNumber::Full) => Err(NotIn::NotNow),
                    Err(NoNumber::NotOpen) => Err(NotIn::Expired(request)),
                }
            }
        }
    }

    /// The number of an ask, after waiting for whatever it needs.
    pub(crate) async fn number<M: Message>(
        &self,
        which: Which,
        target: (u16, PartitionId),
    ) -> Result<Option<Numbered>, NotIn> {
        let own = self.own_session(target.1);
        let durable = match which {
            Which::Given(request) => self.durable(request.session),
            Which::Fresh | Which::Unnumbered => None,
        };
        let room = durable.as_ref().map_or(&own.room, |durable| &durable.room);
        loop {
            // Made before it is tried, so that no rise of the floor in between is missed.
            let risen = room.notified();
            match self.try_number::<M>(which, target, self.clock.now()) {
                Err(NotIn::NotNow) if durable.is_some() => risen.await,
                Err(NotIn::NotNow) if own.is_open() => match own.kept_until() {
                    None => risen.await,
                    // Nobody says so when a number's time is over.
                    Some(until) => tokio::select! {
                        () = risen => {}
                        () = self.clock.sleep_until(until) => {}
                    },
                },
                Err(NotIn::NotNow) => self.open_own_session(target.1).await?,
                done => return done,
            }
        }
    }

    /// The lane of a partition, if it is served on this very thread and no ask of the partition is
    /// under way or waits for a place: between two entities nothing is ordered, and those of
    /// another partition need not be waited for.
    pub(crate) fn idle_lane_here(&self, partition: PartitionId) -> Option<Rc<Lane>> {
        let here = Lane::here(self.grid).filter(|lane| lane.serves(partition))?;
        (self.is_open() && self.admissions.is_idle(partition)).then_some(here)
    }

    /// Queues an admitted ask.
    pub(crate) fn send(&self, ask: Arc<dyn AnyAsk>) {
        let partition = ask.partition();
        let lane = &self.lanes[usize::from(partition.0) % self.lanes.len()];
        if let Err(error) = lane.try_send(ask) {
            // The queue has room for every place, so it is closed: the grid has ended.
            let (mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) =
                error;
            let mut wakers = Vec::new();
            ask.refuse(super::exchange::Refusal::Unavailable, &mut wakers);
            wakers.into_iter().for_each(Waker::wake);
            self.admissions.release(partition, 1);
        }
    }

    pub(crate) fn own_session(&self, partition: PartitionId) -> &ClientSession {
        &self.own_sessions[usize::from(partition.0)]
    }

    pub(crate) fn is_own(&self, request: RequestId, partition: PartitionId) -> bool {
        self.own_session(partition).id() == request.session
    }

    /// Adds a session that was opened; one that is there already goes on.
    pub(crate) fn add_durable(&self, session: DurableSession) -> Arc<DurableSession> {
        let mut sessions = self.durable_sessions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sessions.get(&session.id()).filter(|known| known.is_same(&session)) {
            known.raise_floor(session.floor());
            return Arc::clone(known);
        }
        let session = Arc::new(session);
        sessions.insert(session.id(), Arc::clone(&session));
        session
    }

    pub(crate) fn remove_durable(&self, session: SessionId) {
        let mut sessions = self.durable_sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session);
    }

    fn durable(&self, session: SessionId) -> Option<Arc<DurableSession>> {
        let sessions = self.durable_sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&session).cloned()
    }

    async fn open_own_session(&self, partition: PartitionId) -> Result<(), NotIn> {
        let own = self.own_session(partition);
        let _opening = own.opening.lock().await;
        if own.is_open() {
            return Ok(());
        }
        let (opened, position) = oneshot::channel();
        let unit = self.units().get(usize::from(partition.0)).ok_or(NotIn::Unavailable)?;
        unit.do_send(OpenSession { session: own.id(), durable: false, opened });
        // Unheard, it was refused: the partition has as many sessions as it may have.
        let refused = |_| if self.is_open() { NotIn::NotNow } else { NotIn::Unavailable };
        let session = position.await.map_err(refused)?;
        own.opened(session.opening);
        Ok(())
    }
}

/// What a recorded answer knows of its message: a hash of the wire name. Frozen.
fn message_hash(name: &str) -> u32 {
    (xxh3_64(name.as_bytes()) & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored answers are compared by these: they never change.
    #[test]
    fn golden_hashes_of_wire_names() {
        assert_eq!(message_hash("add"), 1070763648);
        assert_eq!(message_hash("clear"), 2332578039);
    }
}
