//! An entity type lists its messages once.

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart;

#[handlers]
impl Cart {
    fn add(&mut self) {}
}

#[handlers]
impl Cart {
    fn clear(&mut self) {}
}

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, handles(Clear))]
struct Both;

#[handlers]
impl Both {
    fn add(&mut self) {}
}

#[derive(Message, Serialize, Deserialize)]
struct Clear;

impl Handler<Clear> for Both {
    fn handle(&mut self, _: Clear, _: &mut Context<Self>) {}
}

fn main() {}
