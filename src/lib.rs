//! Fastness.
#![allow(dead_code)]

mod engine;
mod entity;
mod error;
mod key;
pub mod store;
mod wire;

pub use engine::id::{Epoch, PartitionId, Position, RequestId, Seq, SessionId, Version};
pub use engine::instant::Timestamp;
pub use entity::{Context, Entity, Handler, Message, MessageTo, Mode, Read, Reader, StoredState, Write};
pub use error::DecodeError;
pub use key::{IntoKey, Key};
