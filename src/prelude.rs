//! The few names that code with entities needs in scope.

pub use serde::{Deserialize, Serialize};

pub use crate::entity::{Context, Handler, Reader};
// pub use fastness_macros::{Entity, Key, Message, handlers};   (traits of these names come along)
pub use crate::entity::{Entity, Message};
pub use crate::key::Key;
