//! Bytes that outlive a build: how a change of an entity is written down.
//!
//! The engine's types are not the wire's: what is here mirrors and converts them, so that either
//! side can change alone.

pub(crate) mod mail;
pub(crate) mod record;
