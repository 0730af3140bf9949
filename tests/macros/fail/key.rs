//! What cannot be a key.

use fastness::prelude::*;

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
enum Either {
    A(u8),
    B,
}

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
struct Nothing;

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
#[key(name = "key")]
struct Generic<T>(T);

#[derive(Key, Clone, PartialEq, Debug)]
struct NotAKey {
    id: u64,
    weight: f64,
}

fn main() {}
