//! Answers that wait for what they depend on.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine::execution::Session;

use super::exchange::AnyAsk;

/// An answer that its caller may not have yet.
pub(crate) enum Held {
    /// Of an ask; the exchange holds it.
    Ask(Arc<dyn AnyAsk>),
    /// Of the opening or closing of a session.
    Session(oneshot::Sender<Session>, Session),
}
