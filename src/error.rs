//! What can go wrong, as types that say what may be done now.

use std::fmt;

use crate::engine::id::RequestId;

/// Why an ask has no reply. Each variant answers: was it done, and what may I do now?
///
/// A handler's own `Err` is no `AskError`: it is the reply.
#[non_exhaustive]
pub enum AskError<M> {
    /// Not done: no room before the deadline. Here is the message; ask again later.
    Busy(M),
    /// Not done: the partition is not served here (the grid was left or dropped, or another
    /// process took its store). Here is the message.
    Unavailable(M),
    /// Nobody can tell: it had begun when the deadline came, or when the grid ended. Ask again
    /// under this request id and hear what became of it; `None` for reads, which may simply be
    /// asked again, and for types that keep no answers.
    Indeterminate {
        /// The id under which a retry is answered.
        request: Option<RequestId>,
    },
    /// Not run now, and too late to know whether it once was: nobody may ask under this id.
    Expired {
        /// The id.
        request: RequestId,
    },
    /// Not done: this id belongs to another message of the same entity.
    RequestReused {
        /// The id.
        request: RequestId,
    },
    /// The handler panicked; the entity is as it was before.
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// Not done: something is over its limit; the entity is as it was before.
    TooLarge {
        /// What: `key`, `state` or `reply`; or what the handler did: `message` or `messages` (that
        /// it sent), `reminders` (of one entity), `name` (of one of
        /// these).
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// Not done: this grid was not built with that entity type.
    UnknownEntityType {
        /// The type's wire name.
        name: &'static str,
    },
    /// Not done: this entity type keeps no answers, so nobody could tell a retry from a first try.
    NoAnswersKept {
        /// The type's wire name.
        name: &'static str,
    },
    /// It was done before, but the answer that was recorded then cannot be read by this build.
    UnreadableReply {
        /// What was wrong with it.
        reason: String,
    },
    /// Not done: what is stored of the entity cannot be read by this build. The row is kept as it
    /// is.
    Undecodable {
        /// What was wrong with it.
        reason: String,
    },
}

impl<M> AskError<M> {
    /// The undelivered message, if it was certainly not run and can be given back.
    #[must_use]
    pub fn into_message(self) -> Option<M> {
        match self {
            AskError::Busy(message) | AskError::Unavailable(message) => Some(message),
            _ => None,
        }
    }

    /// Whether the message may have been run.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        matches!(self, AskError::Indeterminate { .. })
    }

    /// The outcome's name, as metrics and logs have it.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            AskError::Busy(_) => "busy",
            AskError::Unavailable(_) => "unavailable",
            AskError::Indeterminate { .. } => "indeterminate",
            AskError::Expired { .. } => "expired",
            AskError::RequestReused { .. } => "request_reused",
            AskError::Panicked { .. } => "panicked",
            AskError::TooLarge { .. } => "too_large",
            AskError::UnknownEntityType { .. } => "unknown_entity_type",
            AskError::NoAnswersKept { .. } => "no_answers_kept",
            AskError::UnreadableReply { .. } => "unreadable_reply",
            AskError::Undecodable { .. } => "undecodable",
        }
    }
}

// Written out, so that the message need not be `Debug`.
impl<M> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.outcome())
    }
}

impl<M> fmt::Display for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Busy(_) => f.write_str("not done: no room before the deadline"),
            AskError::Unavailable(_) => f.write_str("not done: the partition is not served"),
            AskError::Indeterminate { request: Some(request) } => {
                write!(f, "may or may not be done: retry as request {request}")
            }
            AskError::Indeterminate { request: None } => f.write_str("may or may not be done"),
            AskError::Expired { request } => {
                write!(f, "not run now, too late to know of request {request}")
            }
            AskError::RequestReused { request } => {
                write!(f, "not done: request {request} was another message of this entity")
            }
            AskError::Panicked { message } => write!(f, "handler panicked: {message}"),
            AskError::TooLarge { what, bytes, max_bytes } => {
                write!(f, "not done: {what} of {bytes} bytes is over the limit of {max_bytes}")
            }
            AskError::UnknownEntityType { name } => {
                write!(f, "not done: entity type `{name}` is not part of this grid")
            }
            AskError::NoAnswersKept { name } => {
                write!(f, "not done: entity type `{name}` keeps no answers for requests")
            }
            AskError::UnreadableReply { reason } => {
                write!(f, "done before, but the recorded reply cannot be read: {reason}")
            }
            AskError::Undecodable { reason } => write!(f, "not done: cannot be read: {reason}"),
        }
    }
}

impl<M> std::error::Error for AskError<M> {}

/// Stored or sent bytes that this build cannot read as what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    reason: String,
}

impl DecodeError {
    /// An error that reads `reason` (lower case, no final stop).
    #[must_use]
    pub fn new(reason: impl Into<String>) -> DecodeError {
        DecodeError { reason: reason.into() }
    }
}
