//! One entity, without a grid.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::time::Duration;

use super::STARTED_AT;
use super::delivered::Delivered;
use super::encoding::survive;
use super::sent::{SentMessage, SetReminder};
use crate::engine::id::{RequestId, SessionId};
use crate::engine::instant::Timestamp;
use crate::entity::deeds::Reminder;
use crate::entity::{Context, Entity, MessageTo, Mode, StoredState};
use crate::key::IntoKey;
use crate::runtime::undone::{Undone, quietly};

/// One entity, without a grid: a message in, its reply and the state out.
///
/// What a handler sees and leaves is what it would in a grid. On the way everything is encoded and
/// decoded again: each message before its handler, each reply and each state after it. A test
/// therefore fails, and says what does not survive, where a state would be lost in a store, or a
/// message on its way.
///
/// ```
/// use fastness::prelude::*;
/// use fastness::testkit::EntityHarness;
///
/// #[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
/// #[entity(key = String)]
/// struct Account { cents: u64 }
///
/// #[handlers]
/// impl Account {
///     fn withdraw(&mut self, cents: u64) -> Result<u64, String> {
///         self.cents = self.cents.checked_sub(cents).ok_or("not enough")?;
///         Ok(self.cents)
///     }
/// }
///
/// let mut alice = EntityHarness::<Account>::with("alice", Account { cents: 5 });
/// assert_eq!(alice.ask(AccountWithdraw { cents: 3 }), Ok(2));
/// let refused = alice.deliver(AccountWithdraw { cents: 3 });
/// assert!(refused.is_undone());
/// assert_eq!(alice.state(), &Account { cents: 2 });
/// ```
///
/// What a handler sends is shown ([`Delivered::sent`]) and goes nowhere; its reminders are shown
/// ([`reminders`](Self::reminders)) and fire when the test says so ([`fire`](Self::fire)).
///
/// Without a grid there are no bounds of sizes, no sessions and nobody who asks again.
pub struct EntityHarness<E: Entity> {
    key: E::Key,
    state: E,
    /// The state's encoding, unless the entity does not exist.
    stored: Option<Vec<u8>>,
    now: Timestamp,
    /// Messages so far that may have changed the entity.
    requests: u64,
    /// By name.
    reminders: BTreeMap<Box<str>, Reminder>,
}

impl<E: Entity> EntityHarness<E> {
    /// An entity that does not exist yet.
    pub fn new(key: impl IntoKey<E::Key>) -> EntityHarness<E> {
        let (key, state) = (key.into_key(), E::default());
        let reminders = BTreeMap::new();
        EntityHarness { key, state, stored: None, now: STARTED_AT, requests: 0, reminders }
    }

    /// An entity in this state.
    ///
    /// # Panics
    /// When the state does not survive being stored.
    #[track_caller]
    pub fn with(key: impl IntoKey<E::Key>, state: E) -> EntityHarness<E> {
        let mut harness = EntityHarness::new(key);
        harness.store(&state);
        harness
    }

    /// An entity as a build stored it in which the type had this version: today's state is what
    /// `migrate` makes of it.
    ///
    /// # Panics
    /// When today's build cannot read it, with the reason.
    #[track_caller]
    pub fn from_stored(key: impl IntoKey<E::Key>, version: u32, bytes: &[u8]) -> EntityHarness<E> {
        match StoredState::new(version, bytes).into_entity() {
            Ok(state) => EntityHarness::with(key, state),
            Err(error) => panic!("stored state of `{}`, version {version}: {error}", E::NAME),
        }
    }

    /// Delivers a message and returns the handler's reply.
    ///
    /// # Panics
    /// When the handler panics (use [`deliver`](Self::deliver) to see that); when the message, the
    /// reply or the state does not survive being encoded.
    #[track_caller]
    pub fn ask<M: MessageTo<E>>(&mut self, message: M) -> M::Reply {
        self.deliver(message).reply()
    }

    /// Delivers a message and returns what became of it.
    ///
    /// # Panics
    /// When the message, the reply or the state does not survive being encoded.
    #[track_caller]
    pub fn deliver<M: MessageTo<E>>(&mut self, message: M) -> Delivered<M::Reply> {
        let (message, _) = survive(format_args!("message `{}`", M::NAME), &message);
        let writes = <M::Mode as Mode>::WRITES;
        let delivered = self.run(M::NAME, writes, |state, cx| {
            let reply = message.deliver(state, cx);
            let failed = <M as MessageTo<E>>::is_failure(&reply);
            (reply, failed)
        });
        delivered.map(|reply| survive(format_args!("reply to `{}`", M::NAME), &reply).0)
    }

    /// The reminders that the entity has now, by name.
    #[must_use]
    pub fn reminders(&self) -> Vec<SetReminder> {
        self.reminders.values().cloned().map(SetReminder).collect()
    }

    /// Fires a reminder: moves the time to when it is due, unless that is over, and delivers its
    /// message. Returns what became of that.
    ///
    /// # Panics
    /// When there is no reminder of this name, or its message cannot be delivered.
    #[track_caller]
    pub fn fire(&mut self, name: &str) -> Delivered<()> {
        let Some(reminder) = self.reminders.remove(name) else {
            panic!("the entity has no reminder `{name}`, only {:?}", self.reminders())
        };
        self.now = self.now.max(reminder.due_at);
        let accepted = E::accepted().iter().find(|it| *it.name == *reminder.message);
        let accepted = accepted.expect("a reminder's message is one of its entity's");
        let body = reminder.body.clone();
        if let Some(every) = reminder.every {
            let due_at = reminder.due_at + every;
            self.reminders.insert(reminder.name.clone(), Reminder { due_at, ..reminder });
        }
        self.run(accepted.name, true, |state, cx| match (accepted.run)(&body, state, cx) {
            Ok(failed) => ((), failed),
            Err(error) => panic!("message `{}` cannot be decoded again: {error}", accepted.name),
        })
    }

    /// Runs a handler, which returns its reply and whether it failed.
    #[track_caller]
    fn run<R>(
        &mut self,
        message: &'static str,
        writes: bool,
        handler: impl FnOnce(&mut E, &mut Context<'_, E>) -> (R, bool),
    ) -> Delivered<R> {
        self.requests += u64::from(writes);
        let request = RequestId { session: SessionId(0), number: self.requests };
        let mut cx = Context::new(&self.key, self.now, writes.then_some(request));
        let mut state = mem::take(&mut self.state);
        let replied = quietly(|| handler(&mut state, &mut cx));
        let (is_removed, is_passivated) = (cx.is_removed(), cx.is_passivated());
        let is_undone = replied.as_ref().map_or(true, |(_, failed)| *failed);
        let deeds = cx.take_deeds().filter(|_| writes && !is_undone).unwrap_or_default();
        if let Some(failure) = deeds.failure {
            panic!("{failure}");
        }
        match (is_undone, writes && is_removed) {
            (false, true) => self.forget(),
            (false, false) if writes => self.store(&state),
            _ => self.restore(),
        }
        let _ = quietly(move || drop(state)); // half-changed, it may well panic
        for (name, reminder) in deeds.reminders {
            match reminder.filter(|_| !is_removed) {
                Some(reminder) => self.reminders.insert(name, reminder),
                None => self.reminders.remove(&name),
            };
        }
        Delivered {
            message,
            result: reply(replied),
            is_undone,
            is_removed: is_removed && writes && !is_undone,
            is_passivated: is_passivated && !is_undone,
            sent: deeds.sent.into_iter().map(SentMessage).collect(),
        }
    }

    /// The state after the last message: the type's default if the entity does not exist.
    #[must_use]
    pub fn state(&self) -> &E {
        &self.state
    }

    /// Whether the entity exists: it was written, and not removed since.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.stored.is_some()
    }

    /// The state's bytes as a store would hold them, of the type's present version; `None` if the
    /// entity does not exist.
    #[must_use]
    pub fn stored(&self) -> Option<&[u8]> {
        self.stored.as_deref()
    }

    /// The time that handlers see; at first [`STARTED_AT`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sets the time that handlers see.
    ///
    /// # Panics
    /// When that is before the present one: for one entity, time never goes back.
    #[track_caller]
    pub fn set_time(&mut self, now: Timestamp) {
        assert!(now >= self.now, "an entity's time never goes back: make another harness");
        self.now = now;
    }

    /// Moves the time on.
    pub fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Keeps the state as the store would give it back.
    #[track_caller]
    fn store(&mut self, state: &E) {
        let what = format_args!("state of `{}` {:?}", E::NAME, self.key);
        let (state, bytes) = survive(what, state);
        (self.state, self.stored) = (state, Some(bytes));
    }

    /// Goes back to the state before.
    #[track_caller]
    fn restore(&mut self) {
        if let Some(bytes) = &self.stored {
            let restored = StoredState::new(E::VERSION, bytes).into_entity();
            self.state = restored.expect("it was decoded when it was stored");
        }
    }

    fn forget(&mut self) {
        (self.state, self.stored) = (E::default(), None);
        self.reminders.clear();
    }
}

/// The reply, or what the panic said.
fn reply<R>(replied: Result<(R, bool), Undone>) -> Result<R, String> {
    match replied {
        Ok((reply, _)) => Ok(reply),
        Err(Undone::Panicked(message)) => Err(message),
        Err(_) => unreachable!("code that ran quietly has ended or panicked"),
    }
}

impl<E: Entity> fmt::Debug for EntityHarness<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityHarness")
            .field("entity_type", &E::NAME)
            .field("key", &self.key)
            .field("exists", &self.exists())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
