//! What can go wrong, as types that say what may be done now.

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

/// Why an ask has no reply.
#[derive(Debug)]
pub enum AskError<M> {
    /// Not delivered; here is the message.
    Busy(M),
}
