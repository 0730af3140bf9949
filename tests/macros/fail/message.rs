//! Mistakes in messages.

use fastness::prelude::*;

#[derive(Message, Serialize, Deserialize)]
#[message(replay = u8, read = true, name = "fastness.add", name = "add")]
struct Add<T>(T);

#[derive(Message, Serialize, Deserialize)]
#[message(reply = NoSerde)]
struct Fetch;

struct NoSerde;

#[derive(Message)]
struct Clear;

#[derive(Message, Serialize, Deserialize)]
#[message(name = "")]
struct NoName;

fn main() {}
