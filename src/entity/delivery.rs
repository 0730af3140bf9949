//! What the macros' code calls: how a message comes to its handler, and what is found out about
//! types without a bound on them.
//!
//! The probes use that a method of a type's own goes before one of a trait. Where the bounds or the
//! form of the own one do not fit, the trait's answers; type aliases make no difference. That works
//! only where the types are known, so in the macros' code and not in generic functions.

use std::fmt;
use std::marker::PhantomData;

use super::{Context, Entity, Handler, Message, MessageTo, Mode, Read, Reader, Write};
use crate::codec;
use crate::engine::instant::Timestamp;
use crate::error::DecodeError;

/// Hands messages of a mode to their handlers. Being about the mode, the two implementations never
/// overlap.
pub trait Deliver<E: Entity, M: Message<Mode = Self>>: Mode + Sized {
    /// Runs the handler.
    fn deliver(message: M, entity: &mut E, cx: &mut Context<'_, E>) -> M::Reply;
}

impl<E: Handler<M>, M: Message<Mode = Write>> Deliver<E, M> for Write {
    fn deliver(message: M, entity: &mut E, cx: &mut Context<'_, E>) -> M::Reply {
        entity.handle(message, cx)
    }
}

impl<E: Reader<M>, M: Message<Mode = Read>> Deliver<E, M> for Read {
    fn deliver(message: M, entity: &mut E, cx: &mut Context<'_, E>) -> M::Reply {
        entity.read(message, cx)
    }
}

/// The one list of the messages that an entity type takes: in `#[handlers]` or in
/// `#[entity(handles(..))]`. Two of them conflict.
pub trait OneHandlersBlockOrHandlesList: Entity {
    /// The messages' wire names.
    const NAMES: &'static [&'static str];

    /// The messages, for those that come encoded.
    const ACCEPTED: &'static [Accepted<Self>];
}

/// A message that an entity type takes, without its type: decodes it and runs its handler.
pub struct Accepted<E: Entity> {
    pub(crate) name: &'static str,
    pub(crate) run: Run<E>,
}

/// Decodes a message and runs its handler. Says whether that failed.
type Run<E> = fn(&[u8], &mut E, &mut Context<'_, E>) -> Result<bool, DecodeError>;

impl<E: Entity> Accepted<E> {
    /// The message `M`.
    #[must_use]
    pub const fn of<M: MessageTo<E>>() -> Accepted<E> {
        Accepted { name: M::NAME, run: run::<E, M> }
    }
}

impl<E: Entity> fmt::Debug for Accepted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accepted").field(&self.name).finish()
    }
}

fn run<E: Entity, M: MessageTo<E>>(
    bytes: &[u8],
    entity: &mut E,
    cx: &mut Context<'_, E>,
) -> Result<bool, DecodeError> {
    let message: M = codec::decode(bytes)?;
    Ok(M::is_failure(&message.deliver(entity, cx)))
}

/// Asks for the messages that an entity type takes.
#[derive(Debug)]
pub struct ListProbe<E>(PhantomData<E>);

impl<E: 'static> ListProbe<E> {
    /// The question.
    pub const NEW: &'static ListProbe<E> = &ListProbe(PhantomData);
}

impl<E: OneHandlersBlockOrHandlesList> ListProbe<E> {
    /// The list.
    #[must_use]
    pub fn list(&self) -> &'static [Accepted<E>] {
        E::ACCEPTED
    }
}

/// Entity types without a list.
pub trait AcceptsNothing {
    /// The entity type.
    type Entity: Entity;

    /// Nothing.
    fn list(&self) -> &'static [Accepted<Self::Entity>] {
        &[]
    }
}

impl<E: Entity> AcceptsNothing for ListProbe<E> {
    type Entity = E;
}

/// Whether `name` is among `names` exactly once.
#[must_use]
pub const fn is_only(names: &[&str], name: &str) -> bool {
    let mut found = 0;
    let mut at = 0;
    while at < names.len() {
        if is_same(names[at].as_bytes(), name.as_bytes()) {
            found += 1;
        }
        at += 1;
    }
    found == 1
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Asks whether a reply says that its handler failed.
#[derive(Debug)]
pub struct ReplyProbe<'a, R>(pub &'a R);

impl<T, E> ReplyProbe<'_, Result<T, E>> {
    /// Whether it is an `Err`.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.0.is_err()
    }
}

/// Replies that are no `Result`.
pub trait NeverFails {
    /// No.
    fn is_failure(&self) -> bool {
        false
    }
}

impl<R> NeverFails for ReplyProbe<'_, R> {}

/// Asks for a copy of a state.
#[derive(Debug)]
pub struct StateProbe<'a, S>(pub &'a S);

impl<S: Clone> StateProbe<'_, S> {
    /// The copy.
    #[must_use]
    pub fn try_clone(&self) -> Option<S> {
        Some(self.0.clone())
    }
}

/// States that are not `Clone`.
pub trait NotClone {
    /// The state's type.
    type State;

    /// None.
    fn try_clone(&self) -> Option<Self::State> {
        None
    }
}

impl<S> NotClone for StateProbe<'_, S> {
    type State = S;
}

/// Lends a context outside of a grid, at the beginning of time and without a request, to test what
/// the macros make. Tells whether the entity was removed.
pub fn with_context<E: Entity, R>(
    key: &E::Key,
    run: impl FnOnce(&mut Context<'_, E>) -> R,
) -> (R, bool) {
    let mut cx = Context::new(key, Timestamp::from_micros(0), None);
    let value = run(&mut cx);
    (value, cx.is_removed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[derive(Entity, Default, Serialize, Deserialize)]
    #[entity(key = u64)]
    struct Counter {
        value: u64,
    }

    #[handlers]
    impl Counter {
        fn retire(&mut self, by: u64, cx: &mut Context<Self>) -> u64 {
            self.value += by;
            cx.remove();
            self.value
        }
    }

    #[test]
    fn macros_work_within_the_library() {
        let mut counter = Counter::default();
        let retire = CounterRetire { by: 2 };
        let retired = with_context(&7, |cx| Write::deliver(retire, &mut counter, cx));
        assert_eq!(retired, (2, true));
    }

    #[test]
    fn a_name_is_the_only_one_if_it_is_there_once() {
        assert!(is_only(&["add", "ad", "addd", ""], "add"));
        assert!(!is_only(&["add", "add"], "add"));
        assert!(!is_only(&["ad"], "add"));
    }
}
