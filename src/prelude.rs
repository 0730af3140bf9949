//! The few names that code with entities needs in scope.

pub use serde::{Deserialize, Serialize};

// The traits, and the macros of the same names.
pub use crate::entity::{Context, Entity, Handler, Message, Reader};
pub use crate::key::Key;
pub use fastness_macros::{Entity, Key, Message, handlers};
