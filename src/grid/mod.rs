//! The grid: build it, find entities in it, leave it.

mod dead_letters;
mod parked_messages;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::config::{Durability, EntityOptions, Limits};
use crate::engine::id::{RequestId, SessionId};
use crate::entity::Entity;
use crate::entity_ref::{Addressed, EntityRef};
use crate::key::IntoKey;
use crate::runtime::client_session::DurableSession;
use crate::runtime::clock::Clock;
use crate::runtime::error::{LeaveError, PersistError, SessionError, StartError};
use crate::runtime::node::{Node, Plan};
use crate::runtime::registry::Registry;
use crate::runtime::router::Router;
use crate::runtime::shutdown;
use crate::runtime::threads::Threads;
use crate::store::Store;

pub use dead_letters::{DeadLetter, DeadLetterError, DeadLetterId, DeadLetters, Inspection};
pub use parked_messages::{ParkedMessage, ParkedMessageError, ParkedMessageId, ParkedMessages};

/// A running grid. Clones are the same grid.
///
/// When the last clone is dropped without [`leave`](Grid::leave), the grid ends as in a crash: what
/// is not stored yet is lost, and references to entities answer `Unavailable`.
#[derive(Clone)]
pub struct Grid {
    node: Arc<Ending>,
}

/// Ends the node when the last handle is gone.
struct Ending(Node);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Grid {
    /// How many partitions a grid has unless told otherwise. Enough to spread over hundreds of
    /// cores; fixed when a store is first used.
    pub const PARTITIONS: u16 = 256;

    /// A grid to be built.
    #[must_use]
    pub fn builder() -> GridBuilder {
        GridBuilder::default()
    }

    /// A reference to an entity, by its key. The entity need not exist.
    pub fn entity<E: Addressed>(&self, key: impl IntoKey<E::Key>) -> E::Ref {
        EntityRef::new(Arc::clone(self.router()), key.into_key()).into()
    }

    /// Resolves when everything that was acknowledged before the call is in the store (or, where
    /// the store refused a record, parked there as a dead letter). While the store fails, that
    /// takes as long as it fails.
    ///
    /// # Errors
    /// When there is no store, or the grid has ended.
    pub async fn persisted(&self) -> Result<(), PersistError> {
        if !self.node.0.has_store() {
            return Err(PersistError::NoStore);
        }
        self.router().persisted().await
    }

    /// Opens a durable session, for a source that can replay: a file, a log, a queue. Its asks are
    /// numbered by the source, and one that was done is never done again, also after a crash of
    /// this process. It stays open until it is closed.
    ///
    /// Resolves when the session is durable (where there is a store).
    ///
    /// # Errors
    /// When the grid has ended or a partition has too many sessions.
    pub async fn session(&self, name: &str) -> Result<Session, SessionError> {
        let id = SessionId(xxh3_128(name.as_bytes()));
        let router = self.router();
        let window_max = router.registry.limits.session_window_max;
        let opened = router.open_everywhere(id).await?;
        let session = router.add_durable(DurableSession::new(id, &opened, window_max));
        Ok(Session { router: Arc::clone(router), session, name: name.into() })
    }

    /// What the grid counts and measures, as text in the OpenMetrics format, which Prometheus
    /// reads: serve it at `/metrics` as
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    /// Each metric is explained in the book's metrics reference. Cheap enough for once a second.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.node.0.metrics()
    }

    /// The writes that the store refused for good, and what can be done with them.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// The messages between entities that could not be applied, and what can be done with them.
    #[must_use]
    pub fn parked_messages(&self) -> ParkedMessages {
        ParkedMessages::new(self.clone())
    }

    /// Leaves: lets no ask in, waits for those under way, drains to the store, and ends. A second
    /// call hears how the first one went.
    ///
    /// # Errors
    /// When [`Limits::leave_max`] was over before all was stored.
    pub async fn leave(&self) -> Result<(), LeaveError> {
        self.node.0.leave().await
    }

    /// Waits for SIGINT (Ctrl-C) or SIGTERM, then leaves. Return its error from `main`, so that the
    /// exit status says whether everything was stored.
    ///
    /// # Errors
    /// As [`leave`](Grid::leave); or when signals cannot be waited for.
    pub async fn run_until_signal(&self) -> Result<(), RunError> {
        let signal = shutdown::signalled().await.map_err(RunError::Signals)?;
        tracing::info!(signal, "leaving");
        Ok(self.leave().await?)
    }

    fn store(&self) -> Option<&dyn Store> {
        self.node.0.store()
    }

    /// Ends as the death of the process would, whoever has clones.
    #[cfg(feature = "testkit")]
    pub(crate) fn crash(&self) {
        self.node.0.abandon();
    }

    fn router(&self) -> &Arc<Router> {
        &self.node.0.router
    }
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grid")
            .field("partitions", &self.router().partitions)
            .finish_non_exhaustive()
    }
}

/// Why [`Grid::run_until_signal`] did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Signals cannot be waited for.
    #[error("wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// The grid was not left cleanly.
    #[error(transparent)]
    Leave(#[from] LeaveError),
}

/// A durable session: the asks of a source that can replay, numbered by the source.
///
/// One number may go to many entities, once to each: an entity that has seen it gives its recorded
/// answer. Opened again after a crash, the session goes on; the source asks again whatever it is
/// not certain of, under the same numbers.
#[derive(Clone)]
pub struct Session {
    router: Arc<Router>,
    session: Arc<DurableSession>,
    name: Box<str>,
}

impl Session {
    /// The id of the source's request `number`, from 1. Asks whose numbers are more than
    /// [`Limits::session_window_max`] ahead of the checkpoint wait for it.
    #[must_use]
    pub fn request(&self, number: u64) -> RequestId {
        RequestId { session: self.session.id(), number }
    }

    /// Everything up to `number` is done, and the source knows so durably: it will never ask under
    /// these numbers again, and their answers may be forgotten.
    pub fn checkpoint(&self, number: u64) {
        self.session.raise_floor(number);
    }

    /// Closes the session for good: its answers may be forgotten, and asks under its numbers are
    /// refused as expired.
    ///
    /// # Errors
    /// When the grid has ended.
    pub async fn close(self) -> Result<(), SessionError> {
        let session = self.session.id();
        self.router.remove_durable(session);
        self.router.close_everywhere(session).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.name).finish()
    }
}

/// A grid to be built: entity types, a store, bounds.
pub struct GridBuilder {
    name: String,
    partitions: u16,
    threads: Threads,
    clock: Option<Clock>,
    registry: Registry,
    store: Option<Arc<dyn Store>>,
    mistakes: Vec<String>,
}

impl Default for GridBuilder {
    fn default() -> GridBuilder {
        GridBuilder {
            name: "fastness".to_owned(),
            partitions: Grid::PARTITIONS,
            threads: Threads::default(),
            clock: None,
            registry: Registry::new(),
            store: None,
            mistakes: Vec::new(),
        }
    }
}

impl GridBuilder {
    /// Names the grid. A store belongs to the grid that first used it, by this name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds an entity type.
    #[must_use]
    pub fn entity<E: Entity>(mut self, options: EntityOptions) -> Self {
        if !self.registry.add::<E>(options) {
            self.mistakes.push(format!("two entity types are named `{}`", E::NAME));
        }
        self
    }

    /// Leaves the stored rows of an entity type alone that this program no longer has. Without
    /// this, a store with rows of an unknown type is an error: it may have been renamed by mistake.
    #[must_use]
    pub fn retired(mut self, entity_type: impl Into<String>) -> Self {
        self.registry.retired.insert(entity_type.into());
        self
    }

    /// Keeps entities in `store`. Without one, they live as long as the grid.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the number of partitions, [`Grid::PARTITIONS`] by default. Fixed for the life of a
    /// store.
    #[must_use]
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets where processing units run; by default on a thread for each core.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Takes all time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.registry.limits = limits;
        self
    }

    /// Sets how long an ask waits that names no deadline; 10 seconds by default.
    #[must_use]
    pub fn default_deadline(mut self, deadline: Duration) -> Self {
        self.registry.default_deadline = deadline;
        self
    }

    /// Starts the grid: takes the store, recovers every partition, and serves.
    ///
    /// # Errors
    /// When the builder was given what does not fit together, or the store is in use, damaged, or
    /// another grid's. Then nothing is left running.
    pub async fn start(self) -> Result<Grid, StartError> {
        self.check()?;
        let plan = Plan {
            name: self.name,
            partitions: self.partitions,
            threads: self.threads,
            clock: self.clock.unwrap_or_default(),
            registry: self.registry,
            store: self.store,
        };
        Ok(Grid { node: Arc::new(Ending(Node::start(plan).await?)) })
    }

    fn check(&self) -> Result<(), StartError> {
        let mut mistakes = self.mistakes.clone();
        if self.partitions == 0 {
            mistakes.push("a grid has at least one partition".to_owned());
        }
        let kinds = &self.registry.kinds;
        let is_through = |options: EntityOptions| options.durability() == Durability::Through;
        if self.store.is_none() {
            let through = kinds.iter().filter(|kind| is_through(kind.options));
            let mistake = |name| format!("`{name}` is written through, but there is no store");
            mistakes.extend(through.map(|kind| mistake(kind.name)));
            let leaves = |options: EntityOptions| {
                options.eviction.is_some() || options.passivate_after.is_some()
            };
            let leaving = kinds.iter().filter(|kind| leaves(kind.options));
            let mistake = |name| format!("`{name}` may leave memory, but there is no store");
            mistakes.extend(leaving.map(|kind| mistake(kind.name)));
        }
        let names: BTreeSet<_> = kinds.iter().map(|kind| kind.name).collect();
        let both = self.registry.retired.iter().filter(|name| names.contains(name.as_str()));
        mistakes.extend(both.map(|name| format!("`{name}` is both retired and in use")));
        mistakes.extend(self.registry.limits.mistakes());
        if mistakes.is_empty() {
            return Ok(());
        }
        Err(StartError::Configuration(mistakes.join("; ")))
    }
}

impl fmt::Debug for GridBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GridBuilder")
            .field("name", &self.name)
            .field("partitions", &self.partitions)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
