//! A test grid to be built.

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::STARTED_AT;
use super::faulty_store::FaultyStore;
use super::golden::read_rows;
use super::grid::TestGrid;
use super::idle::Idle;
use super::stored_row::StoredRow;
use crate::config::{EntityOptions, Limits};
use crate::entity::Entity;
use crate::grid::{Grid, GridBuilder};
use crate::runtime::clock::ManualClock;
use crate::runtime::error::StartError;
use crate::runtime::threads::Threads;

/// Something that is said to the builder of each grid that a test starts.
type Setting = Box<dyn Fn(GridBuilder) -> GridBuilder>;

/// A [`TestGrid`] to be built.
pub struct TestGridBuilder {
    partitions: u16,
    settings: Vec<Setting>,
    clock: Option<ManualClock>,
    store: Option<FaultyStore>,
    rows: Vec<StoredRow>,
    may_wait: bool,
}

/// What each grid of a test is started from.
pub(super) struct Program {
    pub(super) partitions: u16,
    pub(super) clock: ManualClock,
    settings: Rc<[Setting]>,
}

impl Program {
    pub(super) async fn start(&self, store: Option<FaultyStore>) -> Result<Grid, StartError> {
        let builder = Grid::builder().partitions(self.partitions);
        let builder = self.settings.iter().fold(builder, |builder, setting| setting(builder));
        let builder = builder.threads(Threads::Current).clock(self.clock.clone());
        match store {
            Some(store) => builder.store(store).start().await,
            None => builder.start().await,
        }
    }
}

impl TestGridBuilder {
    pub(super) fn new() -> TestGridBuilder {
        TestGridBuilder {
            partitions: TestGrid::PARTITIONS,
            settings: Vec::new(),
            clock: None,
            store: Some(FaultyStore::new()),
            rows: Vec::new(),
            may_wait: false,
        }
    }

    /// Adds an entity type; see [`GridBuilder::entity`].
    #[must_use]
    pub fn entity<E: Entity>(self, options: EntityOptions) -> Self {
        self.configure(move |builder| builder.entity::<E>(options))
    }

    /// Sets the bounds; see [`GridBuilder::limits`].
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.configure(move |builder| builder.limits(limits.clone()))
    }

    /// Sets how long an ask waits that names no deadline; see [`GridBuilder::default_deadline`].
    #[must_use]
    pub fn default_deadline(self, deadline: Duration) -> Self {
        self.configure(move |builder| builder.default_deadline(deadline))
    }

    /// Sets the number of partitions, [`TestGrid::PARTITIONS`] by default.
    #[must_use]
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Says anything else to the builder of the grid, each time that one is started. Partitions,
    /// threads, clock and store are the testkit's, and set afterwards.
    #[must_use]
    pub fn configure(mut self, setting: impl Fn(GridBuilder) -> GridBuilder + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// Keeps entities in this store instead of an empty one, as the next process finds it that
    /// starts after a crash. Older handles can still be looked into.
    #[must_use]
    pub fn store(mut self, store: &FaultyStore) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// Keeps entities in memory only.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.store = None;
        self
    }

    /// Puts these rows into the store before the grid is started: a file that
    /// [`golden_rows`](super::golden_rows) made, relative to the folder of the package, of a grid
    /// with as many partitions.
    ///
    /// # Panics
    /// When the file cannot be read as that.
    #[must_use]
    #[track_caller]
    pub fn rows(mut self, file: impl AsRef<Path>) -> Self {
        self.rows.extend(read_rows(file.as_ref()));
        self
    }

    /// Takes time from this clock instead of one that starts at [`STARTED_AT`].
    #[must_use]
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Says that the test waits for other threads, or for real time. Without this, a test that
    /// waits while nothing is left to do fails at once, instead of waiting for ever.
    #[must_use]
    pub fn may_wait_outside(mut self) -> Self {
        self.may_wait = true;
        self
    }

    /// Starts the grid and runs the test with it, all in this thread. What the test returns is
    /// returned. If it has not left the grid, that ends as in a crash.
    ///
    /// # Panics
    /// When the grid cannot be started; when the test panics, or waits for what does not come; in
    /// an async test (make it a plain `#[test]`).
    pub fn run<T>(self, test: impl AsyncFnOnce(&mut TestGrid) -> T) -> T {
        let store = self.store.map(|store| store.crash());
        let clock = self.clock.unwrap_or_else(|| ManualClock::new(STARTED_AT));
        let (partitions, settings) = (self.partitions, self.settings.into());
        let program = Program { partitions, clock, settings };
        let idle = Idle::new(store.clone(), self.may_wait);
        idle.clone().block_on(async move {
            let misplaced = self.rows.iter().find(|row| !row.is_placed(partitions));
            if let Some(row) = misplaced {
                panic!("a grid of {partitions} partitions does not have this row there: {row:?}");
            }
            if let Some(store) = &store
                && let Err(error) = store.fill(self.rows).await
            {
                panic!("fill the store of the test: {error}");
            }
            let mut grid = match TestGrid::start(program, store, idle).await {
                Ok(grid) => grid,
                Err(error) => panic!("start the test's grid: {error}"),
            };
            test(&mut grid).await
        })
    }
}

impl fmt::Debug for TestGridBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestGridBuilder")
            .field("partitions", &self.partitions)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
