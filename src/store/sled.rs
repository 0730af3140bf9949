//! placeholder
/// placeholder
#[derive(Debug)]
pub struct SledStore;
