//! What the objects of the workloads do, one operation at a time.

pub(crate) mod bank;
pub(crate) mod counter;
pub(crate) mod list;
pub(crate) mod register;
pub(crate) mod set;
pub(crate) mod slot;
