//! actix and tokio live here, and only here (and in stores that need a thread of their own).
//!
//! A shell performs what the engines decide. Reading order: `node` starts everything; `router`
//! takes an ask to its partition's `lane`, where `unit` runs it as part of a batch through
//! `exchange` and `entities`; `processing_unit` is the unit's actor, its control plane;
//! `persistence` takes batches to the store.

mod admissions;
mod blocked;
pub(crate) mod call;
pub(crate) mod client_session;
pub(crate) mod clock;
mod control;
mod entities;
pub(crate) mod error;
pub(crate) mod exchange;
mod execution;
mod handling;
mod held;
mod inbox_rows;
mod lane;
mod loading;
pub(crate) mod node;
mod persistence;
pub(crate) mod post;
mod processing_unit;
mod recovery;
pub(crate) mod registry;
pub(crate) mod router;
mod session_rows;
pub(crate) mod shutdown;
pub(crate) mod threads;
mod timer;
pub(crate) mod undone;
pub(crate) mod unit;
mod waiting;
