//! Typed references to entities: ask and tell.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::engine::id::{PartitionId, RequestId};
use crate::entity::{Address, Entity, MessageTo};
use crate::error::AskError;
use crate::runtime::call::{AskFuture, Call, send_now};
use crate::runtime::exchange::Target;
use crate::runtime::router::{Router, Which};

/// A typed reference to one entity, which need not exist. Costs little, may be cloned and sent, and
/// does not keep the grid alive.
pub struct EntityRef<E: Entity> {
    router: Arc<Router>,
    key: E::Key,
    /// Its type and partition, or the size of a key that is too large.
    place: Result<(u16, PartitionId), usize>,
}

/// An entity type with a reference type of its own, made by `#[derive(Entity)]`: what
/// `Grid::entity` returns.
pub trait Addressed: Entity {
    /// The reference type: dereferences to [`EntityRef`] and has a method for each handler.
    type Ref: From<EntityRef<Self>> + Deref<Target = EntityRef<Self>>;
}

impl<E: Entity> EntityRef<E> {
    pub(crate) fn new(router: Arc<Router>, key: E::Key) -> EntityRef<E> {
        let place = router.locate::<E>(&key);
        EntityRef { router, key, place }
    }

    /// The entity's key.
    #[must_use]
    pub fn key(&self) -> &E::Key {
        &self.key
    }

    /// Asks the entity; await the result for the handler's reply. Whatever is durable about the
    /// reply by the entity type's options is so when it arrives.
    pub fn ask<M: MessageTo<E>>(&self, message: M) -> Ask<E, M> {
        let target =
            self.place.map(|(kind, partition)| Target { key: self.key.clone(), kind, partition });
        let router = Arc::clone(&self.router);
        let (which, patience, deadline) = (Which::Fresh, None, None);
        Ask { call: Call { router, target, message, which, patience, deadline } }
    }

    /// Tells the entity; await the result to know that it is acknowledged. The handler's reply is
    /// dropped.
    pub fn tell<M: MessageTo<E>>(&self, message: M) -> Tell<E, M> {
        Tell { ask: self.ask(message) }
    }
}

impl<E: Entity> From<&EntityRef<E>> for Address<E> {
    fn from(reference: &EntityRef<E>) -> Address<E> {
        Address::to(reference.key.clone())
    }
}

impl<E: Entity> Clone for EntityRef<E> {
    fn clone(&self) -> EntityRef<E> {
        let router = Arc::clone(&self.router);
        EntityRef { router, key: self.key.clone(), place: self.place }
    }
}

impl<E: Entity> fmt::Debug for EntityRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(E::NAME).field(&self.key).finish()
    }
}

/// An ask that has not been sent yet: await it.
#[must_use = "an ask does nothing until it is awaited"]
pub struct Ask<E: Entity, M> {
    call: Call<E, M>,
}

impl<E: Entity, M: MessageTo<E>> Ask<E, M> {
    /// Waits this long at most, instead of the grid's default. If the handler has not begun by
    /// then, it never will; if it has, the outcome is indeterminate.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.call.patience = Some(deadline);
        self
    }

    /// Asks under this id: a retry of an ask whose outcome is indeterminate, or a request of a
    /// durable session. If the handler has run under it, its recorded answer is the answer.
    pub fn request(mut self, request: RequestId) -> Self {
        self.call.which = Which::Given(request);
        self
    }
}

impl<E: Entity, M: MessageTo<E>> IntoFuture for Ask<E, M> {
    type Output = Result<M::Reply, AskError<M>>;
    type IntoFuture = AskFuture<E, M>;

    fn into_future(self) -> AskFuture<E, M> {
        AskFuture::new(self.call)
    }
}

impl<E: Entity, M: MessageTo<E>> fmt::Debug for Ask<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("message", &M::NAME).finish_non_exhaustive()
    }
}

/// A tell that has not been sent yet: await it, or detach it.
#[must_use = "a tell does nothing until it is awaited or detached"]
pub struct Tell<E: Entity, M> {
    ask: Ask<E, M>,
}

impl<E: Entity, M: MessageTo<E>> Tell<E, M> {
    /// Waits this long at most; see [`Ask::deadline`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.ask = self.ask.deadline(deadline);
        self
    }

    /// Tells under this id; see [`Ask::request`].
    pub fn request(mut self, request: RequestId) -> Self {
        self.ask = self.ask.request(request);
        self
    }

    /// Sends the message and does not wait. Once this returns `Ok` the handler runs, unless the
    /// process or the grid ends before; nobody hears how it went.
    ///
    /// # Errors
    /// When it cannot be queued at once: [`AskError::Busy`] with the message if the partition has
    /// as many asks under way as it may have.
    pub fn detach(self) -> Result<(), AskError<M>> {
        let mut call = self.ask.call;
        if call.which == Which::Fresh {
            call.which = Which::Unnumbered; // nobody will ask again
        }
        send_now(call)
    }
}

impl<E: Entity, M: MessageTo<E>> IntoFuture for Tell<E, M> {
    type Output = Result<(), AskError<M>>;
    type IntoFuture = TellFuture<E, M>;

    fn into_future(self) -> TellFuture<E, M> {
        TellFuture { ask: Box::pin(self.ask.into_future()) }
    }
}

impl<E: Entity, M: MessageTo<E>> fmt::Debug for Tell<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell").field("message", &M::NAME).finish_non_exhaustive()
    }
}

/// The future of a tell. Resolves when it is acknowledged.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct TellFuture<E: Entity, M: MessageTo<E>> {
    ask: Pin<Box<AskFuture<E, M>>>,
}

impl<E: Entity, M: MessageTo<E>> Future for TellFuture<E, M> {
    type Output = Result<(), AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.ask.as_mut().poll(cx)).map(drop))
    }
}
