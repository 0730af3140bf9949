#![cfg_attr(feature = "sled", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "sled"), doc = "Stateful services in Rust; built without `SledStore`.")]

// The macros name the library so, also within it.
extern crate self as fastness;

#[cfg(doctest)]
mod book;
mod codec;
mod config;
mod engine;
mod entity;
mod entity_ref;
mod error;
mod grid;
mod key;
mod metrics;
pub mod prelude;
mod runtime;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
mod wire;

pub use config::{EntityOptions, Eviction, Limits};
pub use engine::id::{Epoch, PartitionId, Position, RequestId, Seq, SessionId, Version};
pub use engine::instant::Timestamp;
pub use entity::{
    Address, Context, Entity, Handler, Message, MessageTo, Missed, Mode, Read, Reader, StoredState,
    When, Write,
};
pub use entity_ref::{Addressed, Ask, EntityRef, Tell, TellFuture};
pub use error::{AskError, DecodeError};
pub use fastness_macros::{Entity, Key, Message, handlers};
pub use grid::{
    DeadLetter, DeadLetterError, DeadLetterId, DeadLetters, Grid, GridBuilder, Inspection,
    ParkedMessage, ParkedMessageError, ParkedMessageId, ParkedMessages, RunError, Session,
};
pub use key::{IntoKey, Key};

pub use runtime::call::AskFuture;
pub use runtime::clock::{Clock, ManualClock};
pub use runtime::error::{LeaveError, PersistError, SessionError, StartError};
pub use runtime::threads::Threads;
#[cfg(feature = "sled")]
pub use store::SledStore;
pub use store::{MemoryStore, Store};

/// What the macros' code refers to; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::entity::delivery::{
        Accepted, AcceptsNothing, Deliver, ListProbe, NeverFails, NotClone,
        OneHandlersBlockOrHandlesList, ReplyProbe, StateProbe, is_only, with_context,
    };
    pub use crate::entity::{
        Address, Context, Entity, Handler, Message, MessageTo, Read, Reader, StoredState, Write,
    };
    pub use crate::entity_ref::{Addressed, Ask, EntityRef};
    pub use crate::error::DecodeError;
    pub use crate::key::{IntoKey, Key};
    pub use serde;
}
