//! Answers that wait for what they depend on.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine::execution::Session;
use crate::engine::outbox::Number;

use super::exchange::AnyAsk;

/// An answer that its caller may not have yet.
pub(crate) enum Held {
    /// Of an ask; the exchange holds it.
    Ask(Arc<dyn AnyAsk>),
    /// Of the opening or closing of a session.
    Session(oneshot::Sender<Session>, Session),
    /// Messages that leave then.
    Messages(Vec<Number>),
    /// A message that is parked then.
    Parked(Number),
    /// Whoever waits for a parked message to be sent anew or discarded.
    Settled(oneshot::Sender<()>),
}
