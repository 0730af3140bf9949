//! Two messages of one entity with the same wire name.

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart;

#[derive(Message, Serialize, Deserialize)]
struct Add;

#[handlers(Add)]
impl Cart {
    fn add(&mut self) {}
    fn clear(&mut self) {}
}

impl Handler<Add> for Cart {
    fn handle(&mut self, _: Add, _: &mut Context<Self>) {}
}

fn main() {}
