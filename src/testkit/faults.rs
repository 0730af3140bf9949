//! What goes wrong with a store, as the test decides.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::runtime::clock::{Clock, ManualClock};
use crate::store::{Error, PartitionBatch, Row, RowKey};

/// Says yes or no of a row, or of its key.
type Rule<T> = Box<dyn Fn(&T) -> bool + Send>;

/// Which calls of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Those that change it: `write`, and at a start `claim` and `raise_fences`.
    Writes,
    /// Those that read rows or dead letters.
    Loads,
    /// Both.
    All,
}

/// What goes wrong with a [`FaultyStore`](super::FaultyStore), and what it was asked to do so far.
/// Nothing goes wrong unless it is told to; several faults may be on at once.
pub struct Faults {
    state: Mutex<State>,
    /// Changes whenever a call that waits should look again.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    fails: Switches,
    is_held: Switches,
    waiting: usize,
    writes_left: Option<usize>,
    loads_left: Option<usize>,
    slow: Option<(Calls, Clock, Duration)>,
    refused: Option<Rule<Row>>,
    poison: Option<Rule<Row>>,
    damaged: Option<Rule<RowKey>>,
    writes: usize,
    loads: usize,
    rows_written: usize,
    rows_loaded: usize,
}

/// Something that is on for some calls.
#[derive(Clone, Copy, Debug, Default)]
struct Switches {
    writes: bool,
    loads: bool,
}

impl Switches {
    fn turn_on(&mut self, calls: Calls) {
        self.writes |= calls.has(Calls::Writes);
        self.loads |= calls.has(Calls::Loads);
    }

    fn is_on(self, call: Calls) -> bool {
        self.writes && call.has(Calls::Writes) || self.loads && call.has(Calls::Loads)
    }
}

impl Calls {
    fn has(self, call: Calls) -> bool {
        self == call || self == Calls::All
    }
}

impl Faults {
    pub(super) fn new() -> Faults {
        Faults { state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// From now on such calls fail as [`Error::Unavailable`], as those of a store do that cannot be
    /// reached.
    pub fn fail(&self, calls: Calls) {
        self.state().fails.turn_on(calls);
    }

    /// So many more of such calls succeed; those after them fail.
    pub fn fail_after(&self, successes: usize, calls: Calls) {
        let mut state = self.state();
        if calls.has(Calls::Writes) {
            state.writes_left = Some(successes);
        }
        if calls.has(Calls::Loads) {
            state.loads_left = Some(successes);
        }
    }

    /// From now on such calls wait, until [`release`](Faults::release) or [`heal`](Faults::heal).
    pub fn hold(&self, calls: Calls) {
        self.state().is_held.turn_on(calls);
    }

    /// Lets calls go that were held, and holds no more.
    pub fn release(&self) {
        self.state().is_held = Switches::default();
        self.wake();
    }

    /// From now on each of such calls takes this long, by the clock.
    pub fn slow(&self, calls: Calls, clock: &ManualClock, by: Duration) {
        self.state().slow = Some((calls, clock.clone().into(), by));
    }

    /// Records of which the rule says yes are refused for good, one by one; see
    /// [`RecordOutcome::Refused`](crate::store::RecordOutcome::Refused).
    pub fn refuse_records(&self, rule: impl Fn(&Row) -> bool + Send + 'static) {
        self.state().refused = Some(Box::new(rule));
    }

    /// A write with a record of which the rule says yes is refused as a whole; see
    /// [`Error::Refused`].
    pub fn refuse_batches(&self, rule: impl Fn(&Row) -> bool + Send + 'static) {
        self.state().poison = Some(Box::new(rule));
    }

    /// Rows of whose keys the rule says yes are damaged for whoever reads them; see
    /// [`Error::Corrupt`].
    pub fn damage(&self, rule: impl Fn(&RowKey) -> bool + Send + 'static) {
        self.state().damaged = Some(Box::new(rule));
    }

    /// Ends every fault, and lets go what was held. The counts go on.
    pub fn heal(&self) {
        let mut state = self.state();
        let State { waiting, writes, loads, rows_written, rows_loaded, .. } = *state;
        *state = State { waiting, writes, loads, rows_written, rows_loaded, ..State::default() };
        drop(state);
        self.wake();
    }

    /// Calls of `write` so far, those included that failed.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// Records in those.
    #[must_use]
    pub fn rows_written(&self) -> usize {
        self.state().rows_written
    }

    /// Calls of `load` so far, those included that failed.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.state().loads
    }

    /// Keys in those: entities that were asked for.
    #[must_use]
    pub fn rows_loaded(&self) -> usize {
        self.state().rows_loaded
    }

    /// Calls that are held at this moment.
    #[must_use]
    pub fn held(&self) -> usize {
        self.state().waiting
    }

    /// Waits as long as such a call is held or slow, then lets it go on or fail. `has_ended` says
    /// that the process which called is dead.
    pub(super) async fn pass(
        &self,
        call: Calls,
        has_ended: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let mut changed = self.changed.subscribe();
        if self.is_held(call) {
            let _waiting = Waiting::new(self);
            // Its sender is this: it does not go away.
            let _ = changed.wait_for(|_| has_ended() || !self.is_held(call)).await;
        }
        let slow = self.state().slow.as_ref().and_then(|(calls, clock, by)| {
            calls.has(call).then(|| clock.sleep_until(clock.now() + *by))
        });
        if let Some(sleep) = slow {
            sleep.await;
        }
        self.state().go(call)
    }

    /// Lets those who are held look again.
    pub(super) fn wake(&self) {
        self.changed.send_modify(|times| *times += 1);
    }

    pub(super) fn note_write(&self, batches: &[PartitionBatch]) {
        let mut state = self.state();
        state.writes += 1;
        state.rows_written += batches.iter().map(|batch| batch.records.len()).sum::<usize>();
    }

    pub(super) fn note_load(&self, keys: usize) {
        let mut state = self.state();
        state.loads += 1;
        state.rows_loaded += keys;
    }

    pub(super) fn is_poisoned(&self, row: &Row) -> bool {
        self.state().poison.as_ref().is_some_and(|rule| rule(row))
    }

    pub(super) fn is_refused(&self, row: &Row) -> bool {
        self.state().refused.as_ref().is_some_and(|rule| rule(row))
    }

    /// # Errors
    /// When the row of this key is damaged.
    pub(super) fn check(&self, key: &RowKey) -> Result<(), Error> {
        if self.state().damaged.as_ref().is_some_and(|rule| rule(key)) {
            return Err(Error::Corrupt { what: format!("{key:?}, as the test decided") });
        }
        Ok(())
    }

    fn is_held(&self, call: Calls) -> bool {
        self.state().is_held.is_on(call)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A user's rule may panic; what it is asked about does not change meanwhile.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go(&mut self, call: Calls) -> Result<(), Error> {
        let left = match call {
            Calls::Loads => &mut self.loads_left,
            Calls::Writes | Calls::All => &mut self.writes_left,
        };
        let is_over = match left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if is_over || self.fails.is_on(call) {
            return Err(Error::Unavailable { reason: "as the test decided".to_owned() });
        }
        Ok(())
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Faults")
            .field("fails", &state.fails)
            .field("held", &state.waiting)
            .field("writes", &state.writes)
            .field("loads", &state.loads)
            .finish_non_exhaustive()
    }
}

/// Counts a call as held as long as it is.
struct Waiting<'a>(&'a Faults);

impl<'a> Waiting<'a> {
    fn new(faults: &'a Faults) -> Waiting<'a> {
        faults.state().waiting += 1;
        Waiting(faults)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
