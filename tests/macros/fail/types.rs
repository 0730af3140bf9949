//! Handlers whose types cannot be sent, of something that is no entity, of a type elsewhere.
#![allow(unused_variables)]

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart;

#[derive(Deserialize)]
struct NoSerialize;

#[handlers]
impl Cart {
    fn take(&mut self, it: NoSerialize) {}
    fn give(&mut self) -> NoSerialize {
        NoSerialize
    }
}

struct NoEntity;

#[handlers]
impl NoEntity {
    fn add(&mut self) {}
}

mod elsewhere {
    use fastness::prelude::*;

    use super::Other;

    #[handlers]
    impl Other {
        fn add(&mut self) {}
    }
}

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Other;

fn main() {}
