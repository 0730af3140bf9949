//! Messages in a list: without a handler, no messages at all, of the wrong mode, not listed.

use fastness::EntityRef;
use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, handles(NoHandler, NoReader, NoMessage, Reads))]
struct Cart;

#[derive(Message, Serialize, Deserialize)]
struct NoHandler;

#[derive(Message, Serialize, Deserialize)]
#[message(read)]
struct NoReader;

struct NoMessage;

#[derive(Message, Serialize, Deserialize)]
#[message(reply = u8, read)]
struct Reads;

impl Handler<Reads> for Cart {
    fn handle(&mut self, _: Reads, _: &mut Context<Self>) -> u8 {
        0
    }
}

#[derive(Message, Serialize, Deserialize)]
struct NotListed;

fn ask(cart: EntityRef<Cart>) {
    let _ = cart.ask(NotListed);
}

fn main() {}
