//! A grid in the test's own thread.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::pin::pin;
use std::time::Duration;

use super::builder::{Program, TestGridBuilder};
use super::faults::Faults;
use super::faulty_store::FaultyStore;
use super::idle::Idle;
use super::stored_row::row_key;
use crate::engine::instant::Instant;
use crate::entity::Entity;
use crate::error::DecodeError;
use crate::grid::Grid;
use crate::key::IntoKey;
use crate::runtime::clock::ManualClock;
use crate::runtime::error::{LeaveError, PersistError, StartError};

/// A whole grid in the test's own thread, with a clock that only the test moves and a store whose
/// faults it decides. It dereferences to [`Grid`].
///
/// ```
/// use std::time::Duration;
/// use fastness::EntityOptions;
/// use fastness::prelude::*;
/// use fastness::testkit::TestGrid;
///
/// #[derive(Entity, Clone, Default, Serialize, Deserialize)]
/// #[entity(key = String)]
/// struct Counter { value: u64 }
///
/// #[handlers]
/// impl Counter {
///     fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
///     #[read] fn value(&self) -> u64 { self.value }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = EntityOptions::new().write_behind(Duration::from_secs(1));
/// TestGrid::builder().entity::<Counter>(options).run(async |grid| {
///     grid.entity::<Counter>("a").add(1).await?;
///     grid.advance(Duration::from_secs(1)).await;     // the store has it now
///     grid.entity::<Counter>("a").add(1).await?;
///     grid.crash().await?;                            // and that was lost
///     assert_eq!(grid.entity::<Counter>("a").value().await?, 1);
///     Ok(())
/// })
/// # }
/// ```
///
/// Nothing happens by itself but what can happen at once: who waits for time (a delay, a deadline,
/// a retry) waits until the test moves the clock. References to entities are of one grid: after
/// [`crash`](TestGrid::crash) and [`restart`](TestGrid::restart), ask for them anew.
pub struct TestGrid {
    grid: Grid,
    program: Program,
    store: Option<FaultyStore>,
    idle: Idle,
}

/// Why a grid could not be restarted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// It was not left cleanly. (The next one is there.)
    #[error("leave: {0}")]
    Leave(#[from] LeaveError),
    /// The next one could not be started.
    #[error("start: {0}")]
    Start(#[from] StartError),
}

impl TestGrid {
    /// How many partitions a test's grid has unless told otherwise: few, so that it starts at once.
    pub const PARTITIONS: u16 = 4;

    /// How long the clock is moved at the most for what is awaited.
    const PATIENCE: Duration = Duration::from_secs(24 * 3600);

    /// A grid to be built.
    #[must_use]
    pub fn builder() -> TestGridBuilder {
        TestGridBuilder::new()
    }

    pub(super) async fn start(
        program: Program,
        store: Option<FaultyStore>,
        idle: Idle,
    ) -> Result<TestGrid, StartError> {
        let grid = program.start(store.clone()).await?;
        Ok(TestGrid { grid, program, store, idle })
    }

    /// The clock of the grid. It stands still unless the test moves it, best by
    /// [`advance`](TestGrid::advance).
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.program.clock
    }

    /// The store.
    ///
    /// # Panics
    /// When the grid was built without one.
    #[must_use]
    #[track_caller]
    pub fn store(&self) -> &FaultyStore {
        self.store.as_ref().expect("build the test's grid with a store to look into it")
    }

    /// What goes wrong with the store.
    ///
    /// # Panics
    /// When the grid was built without one.
    #[must_use]
    #[track_caller]
    pub fn faults(&self) -> &Faults {
        self.store().faults()
    }

    /// What the store holds of an entity, migrated where that is of an older version: `None` if it
    /// has no row, or one that says that the entity was removed.
    ///
    /// # Errors
    /// When the row cannot be read by this build.
    ///
    /// # Panics
    /// When the grid was built without a store, or the store beneath fails.
    pub async fn stored<E: Entity>(
        &self,
        key: impl IntoKey<E::Key>,
    ) -> Result<Option<E>, DecodeError> {
        let key = row_key::<E>(key);
        let rows = match self.store().rows().await {
            Ok(rows) => rows,
            Err(error) => panic!("look into the store of the test: {error}"),
        };
        let row = rows.iter().find(|row| *row.row_key() == key);
        row.map_or(Ok(None), |row| row.state())
    }

    /// Waits until nothing can happen any more before the clock is moved.
    pub async fn settle(&self) {
        self.idle.wait().await;
    }

    /// Moves the clock on. What becomes due on the way happens at its time, with everything that
    /// follows from it, before the clock goes further.
    pub async fn advance(&self, by: Duration) {
        let clock = self.clock();
        let end = clock.instant() + by;
        self.settle().await;
        while let Some(at) = clock.next_wake().filter(|at| *at <= end) {
            clock.advance_to(at);
            self.settle().await;
        }
        clock.advance_to(end);
        self.settle().await;
    }

    /// Moves the clock on, from one thing that is due to the next, until the condition holds.
    ///
    /// # Panics
    /// When it does not hold after a day of the clock, or when nothing is due any more.
    #[track_caller]
    pub fn advance_until(
        &self,
        mut condition: impl AsyncFnMut() -> bool,
    ) -> impl Future<Output = ()> {
        let asked_at = Location::caller();
        let started_at = self.clock().instant();
        async move {
            loop {
                self.settle().await;
                if self.complete(condition()).await {
                    return;
                }
                self.settle().await; // the condition may have asked for something
                self.step(started_at, asked_at).await;
            }
        }
    }

    /// Awaits something that takes time by the clock, which is moved on until it is done: an ask
    /// that waits for a slow store, say.
    ///
    /// # Panics
    /// When it is not done after a day of the clock, or when nothing is due any more.
    #[track_caller]
    pub fn complete<F: IntoFuture>(&self, future: F) -> impl Future<Output = F::Output> {
        let asked_at = Location::caller();
        let started_at = self.clock().instant();
        async move {
            let mut future = pin!(future.into_future());
            loop {
                tokio::select! {
                    biased;
                    output = &mut future => return output,
                    () = self.settle() => {}
                }
                self.step(started_at, asked_at).await;
            }
        }
    }

    /// As [`Grid::persisted`]; moves the clock on until that is so.
    ///
    /// # Errors
    /// When there is no store, or the grid has ended.
    pub async fn persisted(&self) -> Result<(), PersistError> {
        self.complete(self.grid.persisted()).await
    }

    /// As [`Grid::leave`]; moves the clock on until the grid is left.
    ///
    /// # Errors
    /// When the store could not take everything in time.
    pub async fn leave(&self) -> Result<(), LeaveError> {
        self.complete(self.grid.leave()).await
    }

    /// Ends the grid as the death of its process would, and starts the next one on the same store:
    /// what was not stored is lost, and who still asks the old one hears so. Faults stay as they
    /// are, and the clock goes on.
    ///
    /// # Errors
    /// When the next one cannot be started.
    pub async fn crash(&mut self) -> Result<(), StartError> {
        self.grid.crash();
        self.settle().await;
        self.start_next().await
    }

    /// Leaves the grid, and starts the next one on the same store.
    ///
    /// # Errors
    /// When the store could not take everything in time (the next one is started all the same), or
    /// when the next one cannot be started.
    pub async fn restart(&mut self) -> Result<(), RestartError> {
        let left = self.leave().await;
        self.grid.crash(); // whatever is still there of it
        self.start_next().await?;
        Ok(left?)
    }

    async fn start_next(&mut self) -> Result<(), StartError> {
        self.store = self.store.as_ref().map(FaultyStore::crash);
        self.settle().await; // calls that the old one still waited for have failed now
        self.grid = self.complete(self.program.start(self.store.clone())).await?;
        Ok(())
    }

    /// Moves the clock to what is due next.
    async fn step(&self, started_at: Instant, asked_at: &Location<'_>) {
        let clock = self.clock();
        match clock.next_wake() {
            Some(at) => clock.advance_to(at),
            None if self.idle.may_wait() => self.settle().await,
            None => panic!("{asked_at}: what is awaited does not come: nothing is due any more"),
        }
        let waited = clock.instant().saturating_since(started_at);
        assert!(
            waited <= TestGrid::PATIENCE,
            "{asked_at}: what is awaited has not come after {waited:?} of the test's clock"
        );
    }
}

impl Deref for TestGrid {
    type Target = Grid;

    fn deref(&self) -> &Grid {
        &self.grid
    }
}

impl fmt::Debug for TestGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestGrid")
            .field("grid", &self.grid)
            .field("clock", self.clock())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
