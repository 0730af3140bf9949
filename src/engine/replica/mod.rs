//! Copies of one partition.

pub(crate) mod primary;
