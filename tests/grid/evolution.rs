//! Types that change while their rows stay.

use fastness::prelude::*;
use fastness::testkit::{FaultyStore, TestGrid, TestGridBuilder};
use fastness::{AskError, DecodeError, EntityOptions, Grid, GridBuilder, StartError, StoredState};

mod v1 {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = u64)]
    pub(crate) struct Person {
        name: String,
    }

    #[handlers]
    impl Person {
        pub(crate) fn rename(&mut self, name: String) {
            self.name = name;
        }
    }
}

/// With an optional field more: no new version is needed.
mod v1_more {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = u64)]
    pub(crate) struct Person {
        name: String,
        #[serde(default)]
        age: Option<u32>,
    }

    #[handlers]
    impl Person {
        pub(crate) fn grow(&mut self) -> (String, Option<u32>) {
            self.age = Some(self.age.unwrap_or_default() + 1);
            (self.name.clone(), self.age)
        }
    }
}

mod v2 {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = u64, version = 2, migrate = from_v1)]
    pub(crate) struct Person {
        given: String,
        family: String,
    }

    #[derive(Deserialize)]
    struct PersonV1 {
        name: String,
    }

    fn from_v1(stored: StoredState<'_>) -> Result<Person, DecodeError> {
        let PersonV1 { name } = stored.decode()?;
        let (given, family) = name.split_once(' ').unwrap_or((&name, ""));
        Ok(Person { given: given.to_owned(), family: family.to_owned() })
    }

    #[handlers]
    impl Person {
        pub(crate) fn marry(&mut self, family: String) {
            self.family = family;
        }

        #[read]
        pub(crate) fn family(&self) -> String {
            self.family.clone()
        }
    }
}

/// Of another form, with no way from the old one.
mod broken {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = u64)]
    pub(crate) struct Person {
        name: u64,
    }

    #[handlers]
    impl Person {
        pub(crate) fn count(&mut self) -> u64 {
            self.name += 1;
            self.name
        }
    }
}

mod renamed {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = u64, name = "person")]
    pub(crate) struct Human {
        name: String,
    }

    #[handlers]
    impl Human {
        #[read]
        pub(crate) fn name(&self) -> String {
            self.name.clone()
        }
    }
}

fn grid<E: Entity>(store: &FaultyStore) -> TestGridBuilder {
    TestGrid::builder().entity::<E>(EntityOptions::new()).store(store)
}

/// A store with one person, written by the first version of the program.
fn ada() -> FaultyStore {
    let store = FaultyStore::new();
    grid::<v1::Person>(&store).run(async |grid| {
        grid.entity::<v1::Person>(1).rename("Ada Lovelace".to_owned()).await.unwrap();
        grid.leave().await.unwrap();
    });
    store
}

#[test]
fn an_optional_field_is_compatible_both_ways() {
    let store = ada();
    grid::<v1_more::Person>(&store).run(async |newer| {
        let grown = newer.entity::<v1_more::Person>(1).grow().await.unwrap();
        assert_eq!(grown, ("Ada Lovelace".to_owned(), Some(1)));
        newer.leave().await.unwrap();
    });
    grid::<v1::Person>(&store).run(async |older| {
        older.entity::<v1::Person>(1).rename("Ada King".to_owned()).await.unwrap();
    });
}

#[test]
fn a_new_version_migrates_what_is_stored() {
    grid::<v2::Person>(&ada()).run(async |grid| {
        assert_eq!(grid.entity::<v2::Person>(1).family().await.unwrap(), "Lovelace");
    });
}

#[test]
fn a_state_that_cannot_be_read_is_a_typed_error_and_stays_as_it_is() {
    let store = ada();
    grid::<broken::Person>(&store).run(async |broken| {
        let error = broken.entity::<broken::Person>(1).count().await.unwrap_err();
        assert!(matches!(error, AskError::Undecodable { .. }), "{error:?}");
        assert!(error.to_string().contains("state of `person` 1"), "{error}");
        // Nobody else is affected.
        assert_eq!(broken.entity::<broken::Person>(2).count().await.unwrap(), 1);
        broken.leave().await.unwrap();
    });
    grid::<renamed::Human>(&store).run(async |grid| {
        assert_eq!(grid.entity::<renamed::Human>(1).name().await.unwrap(), "Ada Lovelace");
    });
}

#[test]
fn a_version_from_the_future_is_a_typed_error() {
    let store = ada();
    grid::<v2::Person>(&store).run(async |newer| {
        newer.entity::<v2::Person>(1).marry("King".to_owned()).await.unwrap();
        newer.leave().await.unwrap();
    });
    grid::<v1::Person>(&store).run(async |older| {
        let error = older.entity::<v1::Person>(1).rename("Ada".to_owned()).await.unwrap_err();
        assert!(error.to_string().contains("state has version 2, this build knows 1"), "{error}");
    });
}

#[tokio::test]
async fn rows_of_a_type_that_the_program_does_not_have_are_an_error_unless_it_is_retired() {
    let store = FaultyStore::new();
    let stored = |builder: GridBuilder| builder.partitions(4).store(store.clone());
    let people = || stored(Grid::builder().entity::<v1::Person>(EntityOptions::new()));
    let grid = people().start().await.unwrap();
    grid.entity::<v1::Person>(1).rename("Ada Lovelace".to_owned()).await.unwrap();
    grid.leave().await.unwrap();
    let nothing = || {
        let counters = Grid::builder().entity::<crate::entities::Counter>(EntityOptions::new());
        stored(counters)
    };
    let error = nothing().start().await.unwrap_err();
    assert!(
        matches!(&error, StartError::UnknownEntityType { name, rows: 1 } if name == "person"),
        "{error:?}"
    );
    // The failed start has left the store to the next one.
    nothing().retired("person").start().await.unwrap().leave().await.unwrap();
    people().start().await.unwrap().leave().await.unwrap();
}
