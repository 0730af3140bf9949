//! Bytes that outlive a build: how state, messages, answers and rows are written down.
//!
//! The engine's types are not the wire's: what is here mirrors and converts them, so that either
//! side can change alone. `codec` is the one place that names the serialisation library.

pub(crate) mod codec;
pub(crate) mod record;
