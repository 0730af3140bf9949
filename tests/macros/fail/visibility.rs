//! A `pub` handler makes a `pub` message, whose reply cannot be a private type.

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub struct Cart;

#[derive(Serialize, Deserialize)]
struct OutOfRange;

#[handlers]
impl Cart {
    pub fn add(&mut self) -> Result<u32, OutOfRange> {
        Ok(1)
    }

    /// Without `pub`, it can.
    fn remove(&mut self) -> Result<u32, OutOfRange> {
        Ok(1)
    }
}

fn main() {}
