//! Copies of one partition.

pub mod primary;
