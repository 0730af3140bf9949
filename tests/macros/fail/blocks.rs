//! Where `#[handlers]` cannot be.

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart;

#[handlers]
impl Clone for Cart {
    fn clone(&self) -> Cart {
        Cart
    }
}

#[handlers]
struct NoBlock;

struct Generic<T>(T);

#[handlers]
impl<T> Generic<T> {
    fn add(&mut self) {}
}

#[handlers]
impl Generic<u8> {
    fn clear(&mut self) {}
}

#[handlers(Clear = 1, Other)]
impl Cart {}

fn main() {}
