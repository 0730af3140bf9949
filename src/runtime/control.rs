//! What is asked of units beside asks, through their mailboxes.

use actix::Addr;
use tokio::sync::oneshot;

use crate::engine::execution::Session;
use crate::engine::id::{PartitionId, SessionId};
use crate::engine::outbox::Number;
use crate::store::{DeadLetter, Row};

use super::error::{PersistError, SessionError};
use super::post::Leaving;
use super::processing_unit::{
    CloseSession, DiscardLetter, Leave, ListDeadLetters, ListParked, OpenLetter, OpenSession,
    Persist, ProcessingUnit, ReplayLetter, SettleParked,
};
use super::router::Router;
use super::unit::{LetterId, Opened, ParkedMessage, Settled};

impl Router {
    /// Opens a durable session on every partition. Returns it as each partition knows it, when all
    /// have it durably.
    pub(crate) async fn open_everywhere(
        &self,
        session: SessionId,
    ) -> Result<Vec<Session>, SessionError> {
        let mut waits = Vec::with_capacity(self.units().len());
        for unit in self.units() {
            let (opened, wait) = oneshot::channel();
            unit.do_send(OpenSession { session, durable: true, opened });
            waits.push(wait);
        }
        let mut sessions = Vec::with_capacity(waits.len());
        for wait in waits {
            sessions.push(wait.await.map_err(|_| SessionError::Unavailable)?);
        }
        Ok(sessions)
    }

    /// Closes a session on every partition, durably.
    pub(crate) async fn close_everywhere(&self, session: SessionId) -> Result<(), SessionError> {
        let mut waits = Vec::with_capacity(self.units().len());
        for unit in self.units() {
            let (closed, wait) = oneshot::channel();
            unit.do_send(CloseSession { session, closed });
            waits.push(wait);
        }
        for wait in waits {
            wait.await.map_err(|_| SessionError::Unavailable)?;
        }
        Ok(())
    }

    /// Resolves when everything acknowledged before is durable.
    pub(crate) async fn persisted(&self) -> Result<(), PersistError> {
        let mut waits = Vec::with_capacity(self.units().len());
        for unit in self.units() {
            let (persisted, wait) = oneshot::channel();
            unit.do_send(Persist(persisted));
            waits.push(wait);
        }
        for wait in waits {
            wait.await.map_err(|_| PersistError::Unavailable)?;
        }
        Ok(())
    }

    /// Tells all units that the grid is being left. Returns how many messages, and asks that want
    /// to send some, are still on their way.
    pub(crate) async fn leaving(&self, leaving: Leaving) -> usize {
        let mut left = 0;
        for unit in self.units() {
            left += unit.send(Leave(leaving)).await.unwrap_or_default();
        }
        left
    }

    /// All writes that the store refused for good: each one's partition, its entity's key, for a
    /// person, and its letter. `None` if the grid has ended, here as in what follows.
    pub(crate) async fn dead_letters(&self) -> Option<Vec<(PartitionId, String, DeadLetter)>> {
        let mut letters = Vec::new();
        for (unit, partition) in self.units().iter().zip(0..) {
            let found = unit.send(ListDeadLetters).await.ok()?;
            let of_partition = |(shown, letter)| (PartitionId(partition), shown, letter);
            letters.extend(found.into_iter().map(of_partition));
        }
        (!self.units().is_empty()).then_some(letters)
    }

    pub(crate) async fn open_letter(&self, id: &LetterId) -> Option<Option<Opened>> {
        let Some(unit) = self.unit(id.partition) else { return Some(None) };
        unit.send(OpenLetter(id.clone())).await.ok()
    }

    pub(crate) async fn replay_letter(&self, id: &LetterId) -> Option<Settled> {
        let Some(unit) = self.unit(id.partition) else { return Some(Settled::NotFound) };
        let (done, settled) = oneshot::channel();
        unit.do_send(ReplayLetter { id: id.clone(), done });
        settled.await.ok()
    }

    pub(crate) async fn discard_letter(&self, id: &LetterId, row: Option<Row>) -> Option<Settled> {
        let Some(unit) = self.unit(id.partition) else { return Some(Settled::NotFound) };
        let (done, settled) = oneshot::channel();
        unit.do_send(DiscardLetter { id: id.clone(), row, done });
        settled.await.ok()
    }

    /// All messages that wait for a person.
    pub(crate) async fn parked_messages(&self) -> Option<Vec<(PartitionId, ParkedMessage)>> {
        let mut parked = Vec::new();
        for (unit, partition) in self.units().iter().zip(0..) {
            let found = unit.send(ListParked).await.ok()?;
            parked.extend(found.into_iter().map(|message| (PartitionId(partition), message)));
        }
        (!self.units().is_empty()).then_some(parked)
    }

    /// Sends a parked message anew, or discards it. `None` if there is no such message, or the grid
    /// has ended.
    pub(crate) async fn settle_parked(
        &self,
        partition: PartitionId,
        number: Number,
        again: bool,
    ) -> Option<()> {
        let (done, settled) = oneshot::channel();
        self.unit(partition)?.do_send(SettleParked { number, again, done });
        settled.await.ok()
    }

    fn unit(&self, partition: PartitionId) -> Option<&Addr<ProcessingUnit>> {
        self.units().get(usize::from(partition.0))
    }
}
