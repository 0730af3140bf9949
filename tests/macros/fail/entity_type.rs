//! What cannot be an entity, or lacks what entities need.

use fastness::prelude::*;
use fastness::{DecodeError, StoredState};

#[derive(Entity)]
#[entity(key = String)]
struct Generic<'a, T>(&'a T)
where
    T: Copy;

#[derive(Entity, Serialize, Deserialize)]
#[entity(key = String)]
struct NoDefault;

#[derive(Entity, Default)]
#[entity(key = String)]
struct NoSerde;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = f64)]
struct NoKey;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String, version = 2, migrate = from_bytes)]
struct WrongMigrate;

fn from_bytes(bytes: &[u8]) -> Result<WrongMigrate, DecodeError> {
    let _: fn(StoredState<'_>);
    Ok(WrongMigrate)
}

fn main() {}
