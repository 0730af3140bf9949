//! Several mistakes in one invocation: all of them are reported.

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(kee = HashMap<String, u8>, name = "", version = 2)]
struct NoKey;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, key = u64, name = "fastness.cart", version = "2", handles(Nothing, Nothing))]
#[entity(migrate = from_v1(), frobnicate)]
struct Twice;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, version = 0)]
struct VersionZero;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, migrate = migrate)]
struct NothingOlder;

#[derive(Entity, Default, Serialize, Deserialize)]
struct NoAttribute;

fn main() {}
