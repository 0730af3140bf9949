//! Golden bytes: an entity type in three versions, and what its builds stored.
//!
//! The files hold what a build of each version wrote. They are never changed.

use fastness::prelude::*;
use fastness::testkit::{EntityHarness, StoredRow, TestGrid, golden, golden_rows};
use fastness::{DecodeError, EntityOptions, StoredState};

use crate::failure;

const STATES_V1: &str = "tests/testkit/golden/person_v1.txt";
const STATES_V2: &str = "tests/testkit/golden/person_v2.txt";
const STATES_V3: &str = "tests/testkit/golden/person_v3.txt";
const ROWS_V1: &str = "tests/testkit/golden/rows_v1.txt";
const ROWS_V2: &str = "tests/testkit/golden/rows_v2.txt";

mod v1 {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = String)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }

    #[handlers]
    impl Person {
        pub(crate) fn rename(&mut self, name: String) -> usize {
            self.name = name;
            self.name.len()
        }

        pub(crate) fn forget(&mut self, cx: &mut Context<Self>) {
            cx.remove();
        }
    }
}

/// Two names instead of one.
mod v2 {
    use super::*;

    #[derive(Entity, Clone, Default, Serialize, Deserialize)]
    #[entity(key = String, version = 2, migrate = from_v1)]
    pub(crate) struct Person {
        pub(crate) given: String,
        pub(crate) family: String,
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
    }
}

/// A list of names, and when they were last changed.
mod v3 {
    use super::*;

    #[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[entity(key = String, version = 3, migrate = from_older)]
    pub(crate) struct Person {
        pub(crate) names: Vec<String>,
        pub(crate) changed_at: Option<u64>,
    }

    #[derive(Deserialize)]
    struct PersonV1 {
        name: String,
    }

    #[derive(Deserialize)]
    struct PersonV2 {
        given: String,
        family: String,
    }

    fn from_older(stored: StoredState<'_>) -> Result<Person, DecodeError> {
        let names = match stored.version() {
            1 => stored.decode::<PersonV1>()?.name.split(' ').map(str::to_owned).collect(),
            2 => {
                let PersonV2 { given, family } = stored.decode()?;
                vec![given, family]
            }
            version => return Err(DecodeError::new(format!("person has version {version}"))),
        };
        Ok(Person { names, changed_at: None })
    }

    #[handlers]
    impl Person {
        pub(crate) fn rename(&mut self, names: Vec<String>, cx: &mut Context<Self>) -> usize {
            self.names = names;
            self.changed_at = Some(cx.now().as_micros());
            self.names.len()
        }

        #[read]
        pub(crate) fn names(&self) -> Vec<String> {
            self.names.clone()
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_build_reads_what_older_ones_stored_and_writes_as_it_did() {
    golden::<v1::Person>(STATES_V1, |golden| {
        golden.state("ada", &v1::Person { name: "Ada Lovelace".to_owned() });
        golden.message("ada", &v1::PersonRename { name: "Ada".to_owned() });
        golden.message("nothing", &v1::PersonForget {});
        golden.reply::<v1::PersonRename>("three", &3);
    });
    golden::<v2::Person>(STATES_V2, |golden| {
        assert_eq!(golden.stored(1, "ada").family, "Lovelace");
        golden.state("ada", &v2::Person { given: "Ada".to_owned(), family: "King".to_owned() });
        golden.message("ada", &v2::PersonMarry { family: "King".to_owned() });
    });
    golden::<v3::Person>(STATES_V3, |golden| {
        assert_eq!(golden.stored(1, "ada").names, ["Ada", "Lovelace"]);
        assert_eq!(golden.stored(2, "ada").names, ["Ada", "King"]);
        let person = v3::Person { names: names(&["Ada", "King", "Noel"]), changed_at: Some(7) };
        golden.state("ada", &person);
        assert_eq!(golden.stored(3, "ada"), person);
        golden.message("ada", &v3::PersonRename { names: names(&["Ada"]) });
    });
}

#[test]
fn stored_bytes_of_an_older_version_are_a_harness_to_begin_with() {
    let mut ada = EntityHarness::<v3::Person>::from_stored("ada", 1, b"\x81\xa4name\xa5Ada K");
    assert_eq!(ada.ask(v3::PersonNames {}), ["Ada", "K"]);
    assert_eq!(ada.ask(v3::PersonRename { names: names(&["Ada"]) }), 1);
    let from = |version, bytes: &'static [u8]| {
        failure(move || EntityHarness::<v3::Person>::from_stored("ada", version, bytes))
    };
    assert!(from(1, b"\x80").contains("version 1: missing field `name`"));
    assert!(from(9, b"\x80").contains("state has version 9, this build knows 3"));
}

#[test]
fn whole_rows_are_as_they_were_and_read_by_later_builds() {
    let options = EntityOptions::new().at_most_once();
    // The build of version 1: two people, one of them forgotten, and a session with an answer.
    TestGrid::builder().entity::<v1::Person>(EntityOptions::new()).run(async |grid| {
        let session = grid.session("import").await.unwrap();
        let ada = grid.entity::<v1::Person>("ada");
        let rename = ada.rename("Ada Lovelace".to_owned()).request(session.request(1));
        assert_eq!(rename.await.unwrap(), 12);
        grid.advance(std::time::Duration::from_secs(5)).await;
        let bob = grid.entity::<v1::Person>("bob");
        bob.rename("Bob".to_owned()).request(session.request(2)).await.unwrap();
        bob.forget().request(session.request(3)).await.unwrap();
        grid.leave().await.unwrap();
        golden_rows(ROWS_V1, &grid.store().rows().await.unwrap());
    });
    // That of version 2, on the rows of version 1.
    TestGrid::builder().entity::<v2::Person>(options).rows(ROWS_V1).run(async |grid| {
        let ada = grid.stored::<v2::Person>("ada").await.unwrap().unwrap();
        assert_eq!((&*ada.given, &*ada.family), ("Ada", "Lovelace"));
        assert!(grid.stored::<v2::Person>("bob").await.unwrap().is_none());
        grid.entity::<v2::Person>("ada").marry("King".to_owned()).await.unwrap();
        grid.leave().await.unwrap();
        golden_rows(ROWS_V2, &grid.store().rows().await.unwrap());
    });
    // That of version 3, on either's.
    for (rows, found) in [(ROWS_V1, ["Ada", "Lovelace"]), (ROWS_V2, ["Ada", "King"])] {
        TestGrid::builder().entity::<v3::Person>(EntityOptions::new()).rows(rows).run(
            async |grid| {
                let ada = grid.entity::<v3::Person>("ada");
                assert_eq!(ada.names().await.unwrap(), found);
                assert_eq!(grid.entity::<v3::Person>("bob").names().await.unwrap(), [""; 0]);
                assert_eq!(ada.rename(names(&["Ada"])).await.unwrap(), 1);
                grid.crash().await.unwrap();
                assert_eq!(grid.entity::<v3::Person>("ada").names().await.unwrap(), found);
            },
        );
    }
    // A build that is older than its store touches nothing.
    TestGrid::builder().entity::<v1::Person>(options).rows(ROWS_V2).run(async |grid| {
        let ada = grid.entity::<v1::Person>("ada").rename("Ada".to_owned());
        let error = ada.await.unwrap_err();
        assert!(error.to_string().contains("state has version 2"), "{error}");
    });
}

#[test]
fn a_recorded_answer_of_an_older_build_is_heard_by_its_retry() {
    TestGrid::builder().entity::<v3::Person>(EntityOptions::new()).rows(ROWS_V1).run(
        async |grid| {
            let session = grid.session("import").await.unwrap();
            let ada = grid.entity::<v3::Person>("ada");
            let again = ada.rename(names(&["Eve"])).request(session.request(1));
            assert_eq!(again.await.unwrap(), 12, "the length that version 1 answered");
            assert_eq!(ada.names().await.unwrap(), ["Ada", "Lovelace"]);
        },
    );
}

#[test]
fn golden_rows_that_are_damaged_or_of_another_partition_count_are_refused() {
    let rows = std::fs::read_to_string(ROWS_V1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.txt");
    std::fs::write(&path, rows.replacen("4653544e01", "4653544e02", 1)).unwrap();
    let message = failure(|| TestGrid::builder().rows(&path));
    assert!(message.contains("rows.txt:2: no row, or a damaged one"), "{message}");
    for partitions in [3, 64] {
        let grid = TestGrid::builder().partitions(partitions).rows(ROWS_V1);
        let grid = grid.entity::<v1::Person>(EntityOptions::new());
        let message = failure(|| grid.run(async |_| ()));
        let refused = format!("a grid of {partitions} partitions does not have this row");
        assert!(message.starts_with(&refused), "{message}");
    }
}

#[test]
fn rows_that_differ_from_the_golden_ones_are_named() {
    let options = EntityOptions::new().at_most_once();
    TestGrid::builder().entity::<v1::Person>(options).rows(ROWS_V1).run(async |grid| {
        let mut rows = grid.store().rows().await.unwrap();
        golden_rows(ROWS_V1, &rows);
        let is_ada = |row: &StoredRow| row.key::<v1::Person>().is_ok_and(|key| key == "ada");
        let ada = rows.iter().position(is_ada).unwrap();
        assert_eq!(rows[ada].schema(), Ok(Some(1)));
        let same = "Ada Lovelace".to_owned();
        grid.entity::<v1::Person>("ada").rename(same).await.unwrap();
        grid.persisted().await.unwrap();
        let newer = grid.store().rows().await.unwrap();
        assert!(newer[ada].version() > rows[ada].version());
        golden_rows(ROWS_V1, &newer); // of the same content
        grid.entity::<v1::Person>("ada").rename("Eve".to_owned()).await.unwrap();
        grid.persisted().await.unwrap();
        let newer = grid.store().rows().await.unwrap();
        let message = failure(|| golden_rows(ROWS_V1, &newer));
        assert!(message.contains("person 6164610000` is encoded differently today"), "{message}");
        rows.remove(ada);
        let message = failure(|| golden_rows(ROWS_V1, &rows));
        assert!(message.contains("person 6164610000` was not stored today"), "{message}");
    });
}
