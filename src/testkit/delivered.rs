//! What became of a message that a harness delivered.

use super::sent::SentMessage;

/// What became of a message.
#[must_use = "look at the reply, or at what became of the handler"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered<R> {
    pub(super) message: &'static str,
    pub(super) result: Result<R, String>,
    pub(super) is_undone: bool,
    pub(super) is_removed: bool,
    pub(super) is_passivated: bool,
    pub(super) sent: Vec<SentMessage>,
}

impl<R> Delivered<R> {
    /// The handler's reply, as a caller hears it.
    ///
    /// # Panics
    /// When the handler panicked.
    #[track_caller]
    pub fn reply(self) -> R {
        match self.result {
            Ok(reply) => reply,
            Err(panic) => panic!("the handler of `{}` panicked: {panic}", self.message),
        }
    }

    #[track_caller]
    pub(super) fn map<T>(self, map: impl FnOnce(R) -> T) -> Delivered<T> {
        let result = match self.result {
            Ok(reply) => Ok(map(reply)),
            Err(panic) => Err(panic),
        };
        let Delivered { message, is_undone, is_removed, is_passivated, sent, .. } = self;
        Delivered { message, result, is_undone, is_removed, is_passivated, sent }
    }

    /// What the handler's panic said, if it panicked.
    #[must_use]
    pub fn panic(&self) -> Option<&str> {
        self.result.as_ref().err().map(String::as_str)
    }

    /// Whether the handler returned an `Err` or panicked: then the entity is as it was before.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.is_undone
    }

    /// The messages that it has sent, in this order: none if it was undone.
    #[must_use]
    pub fn sent(&self) -> &[SentMessage] {
        &self.sent
    }

    /// Whether the handler removed the entity.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Whether the handler asked for the entity to leave memory.
    #[must_use]
    pub fn is_passivated(&self) -> bool {
        self.is_passivated
    }
}
