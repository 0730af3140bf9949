//! Typed references to entities: ask and tell.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use crate::engine::id::RequestId;
use crate::entity::{Entity, MessageTo};
use crate::error::AskError;

/// A typed reference to one entity, which need not exist.
pub struct EntityRef<E: Entity> {
    key: E::Key,
}

// By hand, because a derive would ask the same of the entity.
impl<E: Entity> Clone for EntityRef<E> {
    fn clone(&self) -> Self {
        EntityRef { key: self.key.clone() }
    }
}

impl<E: Entity> fmt::Debug for EntityRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityRef").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An entity type with a reference type of its own, made by `#[derive(Entity)]`: what
/// `Grid::entity` returns.
pub trait Addressed: Entity {
    /// The reference type: dereferences to [`EntityRef`] and has a method for each handler.
    type Ref: From<EntityRef<Self>> + Deref<Target = EntityRef<Self>>;
}

impl<E: Entity> EntityRef<E> {
    /// The entity's key.
    #[must_use]
    pub fn key(&self) -> &E::Key {
        &self.key
    }

    /// Asks the entity; await the result for the reply.
    pub fn ask<M: MessageTo<E>>(&self, message: M) -> Ask<E, M> {
        let _ = message;
        unimplemented!()
    }

    /// Tells the entity; await the result to know that it is acknowledged.
    pub fn tell<M: MessageTo<E>>(&self, message: M) -> Tell<E, M> {
        let _ = message;
        unimplemented!()
    }
}

/// An ask that has not been sent yet.
#[must_use = "an ask does nothing until it is awaited"]
#[derive(Debug)]
pub struct Ask<E, M>(PhantomData<fn() -> (E, M)>);

/// A tell that has not been sent yet.
#[must_use = "a tell does nothing until it is awaited or detached"]
#[derive(Debug)]
pub struct Tell<E, M>(PhantomData<fn() -> (E, M)>);

impl<E: Entity, M: MessageTo<E>> Ask<E, M> {
    /// Gives up after this long.
    pub fn deadline(self, deadline: Duration) -> Self {
        let _ = deadline;
        self
    }

    /// Asks under this id, as the first or as a later try.
    pub fn request(self, request: RequestId) -> Self {
        let _ = request;
        self
    }
}

impl<E: Entity, M: MessageTo<E>> IntoFuture for Ask<E, M> {
    type Output = Result<M::Reply, AskError<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        unimplemented!()
    }
}
