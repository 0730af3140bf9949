//! What a user implements: entities, their messages and their handlers.

pub(crate) mod deeds;
pub(crate) mod delivery;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, de::DeserializeOwned};

use crate::engine::id::RequestId;
use crate::engine::instant::Timestamp;
use crate::error::DecodeError;
use crate::key::Key;

use deeds::Deeds;
pub use deeds::{Address, Missed, When};
use delivery::Accepted;

/// One keyed piece of state, owned by the processing unit of its partition.
///
/// Made by `#[derive(Entity)]`. An entity that was never written is its type's `Default`, and
/// reading it stores nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity",
    label = "not an entity",
    note = "put `#[derive(Entity, Default, Serialize, Deserialize)]` and `#[entity(key = ..)]` on the struct"
)]
pub trait Entity: Default + Serialize + DeserializeOwned + Send + Sized + 'static {
    /// What tells one entity of this type from another.
    type Key: Key;

    /// The type's wire name: part of every stored row, and so never to be changed.
    const NAME: &'static str;

    /// Version of the state's schema. Raise it with a `migrate` that reads the older ones.
    const VERSION: u32 = 1;

    /// Makes a state out of one that an older version of the type stored.
    ///
    /// # Errors
    /// When there is no way from that version to this.
    fn migrate(stored: StoredState<'_>) -> Result<Self, DecodeError> {
        Err(DecodeError::new(format!(
            "state has version {}, this build knows {} and no `migrate`",
            stored.version(),
            Self::VERSION
        )))
    }

    /// A copy of the state, if the type is `Clone`; handlers that fail are undone from it.
    #[doc(hidden)]
    fn try_clone(&self) -> Option<Self> {
        None
    }

    /// The messages that it takes, for those that come encoded.
    #[doc(hidden)]
    fn accepted() -> &'static [Accepted<Self>] {
        &[]
    }
}

/// A state as it was stored, for [`Entity::migrate`].
#[derive(Clone, Copy, Debug)]
pub struct StoredState<'a> {
    version: u32,
    bytes: &'a [u8],
}

impl<'a> StoredState<'a> {
    pub(crate) fn new(version: u32, bytes: &'a [u8]) -> StoredState<'a> {
        StoredState { version, bytes }
    }

    /// The state as an `E` of this build.
    pub(crate) fn into_entity<E: Entity>(self) -> Result<E, DecodeError> {
        match self.version {
            version if version == E::VERSION => self.decode(),
            // Only the build that wrote it can know what it means.
            version if version > E::VERSION => Err(DecodeError::new(format!(
                "state has version {version}, this build knows {}",
                E::VERSION
            ))),
            _ => E::migrate(self),
        }
    }

    /// Version of the schema that it was written with.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Reads it as a `T`: usually a struct that looks as the entity did in that version.
    ///
    /// # Errors
    /// When the bytes are no `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        crate::codec::decode(self.bytes)
    }
}

/// A message to entities, and the type of its reply. Made by `#[derive(Message)]`, or by
/// `#[handlers]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "not a message",
    note = "put `#[derive(Message, Serialize, Deserialize)]` on the type"
)]
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the handler returns. A `Result` that is `Err` undoes the handler's changes.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// [`Write`] or [`Read`].
    type Mode: Mode;

    /// The message's wire name, unique among the messages of an entity type.
    const NAME: &'static str;
}

/// Mode of messages whose handlers may change the entity.
#[derive(Clone, Copy, Debug)]
pub enum Write {}

/// Mode of messages whose handlers only look.
#[derive(Clone, Copy, Debug)]
pub enum Read {}

/// Whether a message reads or writes.
pub trait Mode: sealed::Mode {
    /// Whether handlers of this mode may change the entity.
    const WRITES: bool;
}

impl Mode for Write {
    const WRITES: bool = true;
}

impl Mode for Read {
    const WRITES: bool = false;
}

mod sealed {
    pub trait Mode {}
    impl Mode for super::Write {}
    impl Mode for super::Read {}
}

/// Handles a message that may change the entity.
///
/// Plain and synchronous: nothing else touches the entity meanwhile. What it returns is the
/// caller's reply. If that is an `Err`, or if it panics, the entity is as it was before.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for `{M}`",
    note = "write `impl Handler<{M}> for {Self}`"
)]
pub trait Handler<M: Message<Mode = Write>>: Entity {
    /// Does what the message asks for.
    fn handle(&mut self, message: M, cx: &mut Context<'_, Self>) -> M::Reply;
}

/// Answers a message that only looks at the entity.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no reader for `{M}`",
    note = "write `impl Reader<{M}> for {Self}`"
)]
pub trait Reader<M: Message<Mode = Read>>: Entity {
    /// Answers the message.
    fn read(&self, message: M, cx: &Context<'_, Self>) -> M::Reply;
}

/// Messages that entities of type `E` take. Made by the macros for each message that the entity
/// lists.
#[diagnostic::on_unimplemented(
    message = "`{E}` does not take the message `{Self}`",
    label = "not a message of `{E}`",
    note = "list it: `#[handlers({Self})]` on the entity's impl block, or `#[entity(handles({Self}))]`"
)]
pub trait MessageTo<E: Entity>: Message {
    #[doc(hidden)]
    fn deliver(self, entity: &mut E, cx: &mut Context<'_, E>) -> Self::Reply;

    #[doc(hidden)]
    fn is_failure(reply: &Self::Reply) -> bool;
}

/// What a handler may know and do besides changing its entity.
pub struct Context<'a, E: Entity> {
    key: &'a E::Key,
    now: Timestamp,
    request: Option<RequestId>,
    removed: bool,
    passivated: bool,
    /// What it does beyond its entity's state, if anything.
    deeds: Option<Box<Deeds>>,
}

impl<'a, E: Entity> Context<'a, E> {
    pub(crate) fn new(
        key: &'a E::Key,
        now: Timestamp,
        request: Option<RequestId>,
    ) -> Context<'a, E> {
        Context { key, now, request, removed: false, passivated: false, deeds: None }
    }

    /// The entity's key.
    #[must_use]
    pub fn key(&self) -> &E::Key {
        self.key
    }

    /// Partition time: never goes back for one entity, whatever the wall clock does.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The id under which this ask may be tried again; `None` where its type keeps no answers, and
    /// in reads.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.request
    }

    /// Deletes the entity once this handler has returned (unless it fails). The next message finds
    /// it new.
    pub fn remove(&mut self) {
        self.removed = true;
    }

    /// Lets the entity leave memory once the store has its newest change and nobody may ask for an
    /// answer of it again (unless this handler fails). The next message brings it back. Does
    /// nothing in a grid without a store.
    pub fn passivate(&mut self) {
        self.passivated = true;
    }

    /// Sends a message to an entity, any of this grid, when this handler has returned (unless it
    /// fails). It leaves with the change of this entity, both or none, and takes effect exactly
    /// once, crashes of the process included; nobody hears its handler's reply. Messages from one
    /// partition to another take effect in the order in which they were sent.
    ///
    /// A message that cannot be encoded, or is for a type that the grid does not have, undoes this
    /// handler: its caller hears what a panic would say.
    pub fn send<T: Entity, M: MessageTo<T> + Message<Mode = Write>>(
        &mut self,
        to: impl Into<Address<T>>,
        message: M,
    ) {
        self.deeds.get_or_insert_default().send(to.into(), &message);
    }

    /// Sets a reminder of this entity: the message comes to it at that time, in partition time,
    /// also if the process has crashed or the entity has left memory in between. It takes the place
    /// of a reminder of the same name. It is set with the change of this entity, both or none, and
    /// goes when the entity is removed.
    ///
    /// A handler that returns `Err` has consumed the firing. One that panics is tried again a few
    /// times (`Limits::message_attempts_max`), then that firing is given up.
    pub fn remind<M: MessageTo<E> + Message<Mode = Write>>(
        &mut self,
        name: &str,
        when: When,
        message: M,
    ) {
        let now = self.now;
        self.deeds.get_or_insert_default().remind(name, when, &message, now);
    }

    /// Cancels the reminder of this name, if there is one (unless this handler fails).
    pub fn cancel(&mut self, name: &str) {
        self.deeds.get_or_insert_default().cancel(name);
    }

    pub(crate) fn take_deeds(&mut self) -> Option<Box<Deeds>> {
        self.deeds.take()
    }

    pub(crate) fn is_passivated(&self) -> bool {
        self.passivated
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }
}

impl<E: Entity> fmt::Debug for Context<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("key", self.key)
            .field("now", &self.now)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(time.as_micros())
    }
}
