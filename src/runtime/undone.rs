//! User code that did not go through: what became of it, and that it left no trace.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::execution::Outcome;
use crate::engine::outbox::Outgoing;
use crate::error::AskError;

/// For a person, where nobody tries again.
pub(crate) const NO_ROOM: &str = "no room for what it sends";

/// Why a handler left no trace.
pub(crate) enum Undone {
    Panicked(String),
    TooLarge {
        what: &'static str,
        bytes: u64,
        max_bytes: u64,
    },
    /// It could not even begin.
    Undecodable(String),
    /// There is no room for what it wants to send: it is to be tried again.
    NoRoom(Box<[Outgoing]>),
}

impl Undone {
    /// What a retry is to hear; `None` if the handler has not run.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Undone::Panicked(message) => Some(Outcome::Panicked(message.as_str().into())),
            &Undone::TooLarge { what, bytes, max_bytes } => {
                Some(Outcome::TooLarge { what: what.into(), bytes, max_bytes })
            }
            Undone::Undecodable(_) | Undone::NoRoom(_) => None,
        }
    }
}

impl<M> From<Undone> for AskError<M> {
    fn from(undone: Undone) -> AskError<M> {
        match undone {
            Undone::Panicked(message) => AskError::Panicked { message },
            Undone::TooLarge { what, bytes, max_bytes } => {
                AskError::TooLarge { what, bytes, max_bytes }
            }
            Undone::Undecodable(reason) => AskError::Undecodable { reason },
            Undone::NoRoom(_) => AskError::Panicked { message: NO_ROOM.to_owned() },
        }
    }
}

/// Runs user code; a panic becomes a value.
pub(crate) fn quietly<T>(code: impl FnOnce() -> T) -> Result<T, Undone> {
    // What the code has half changed is undone or thrown away by whoever called.
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without text".to_owned());
        // What was thrown is user code's, too, and might throw again when it is dropped.
        std::mem::forget(panic);
        Undone::Panicked(message)
    })
}

/// # Errors
/// [`Undone::TooLarge`] over `bytes_max`.
pub(crate) fn check_size(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), Undone> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Undone::TooLarge { what, bytes: bytes as u64, max_bytes: bytes_max as u64 })
}
