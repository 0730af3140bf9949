//! What is asked of all units at once, through their mailboxes.

use tokio::sync::oneshot;

use crate::engine::execution::Session;
use crate::engine::id::SessionId;
use crate::store;

use super::error::{PersistError, SessionError};
use super::processing_unit::{CloseSession, ListDeadLetters, OpenSession, Persist};
use super::router::Router;

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

    /// All writes that the store refused for good: each entity's key, for a person, and its letter.
    pub(crate) async fn dead_letters(
        &self,
    ) -> Result<Vec<(String, store::DeadLetter)>, PersistError> {
        let mut letters = Vec::new();
        for unit in self.units() {
            let found = unit.send(ListDeadLetters).await;
            letters.extend(found.map_err(|_| PersistError::Unavailable)?);
        }
        Ok(letters)
    }
}
