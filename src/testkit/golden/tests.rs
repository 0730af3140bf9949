use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::*;
use crate::prelude::*;

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Person {
    name: String,
}

#[handlers]
impl Person {
    fn rename(&mut self, name: String) -> usize {
        self.name = name;
        self.name.len()
    }
}

fn failure<T>(test: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).err().expect("it must fail");
    *panic.downcast::<String>().expect("it says why")
}

/// A file of golden lines in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.txt");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn check(path: &Path) {
    hold::<Person>(path, Mode::Check, |golden| {
        golden.state("ada", &Person { name: "Ada".to_owned() });
    });
}

#[test]
fn each_difference_from_a_golden_file_is_named() {
    let message = |text: &str| {
        let (_folder, path) = file(text);
        failure(|| check(&path))
    };
    let ada = "state 1 ada 81a46e616d65a3416461";
    let (_folder, path) = file(ada);
    check(&path);
    let different = message("# a comment\nstate 1 ada 81a46e616d65a3457665");
    assert!(different.contains("golden.txt:2: `state 1 ada` is encoded differently"));
    assert!(different.contains("Eve") && different.contains("Ada"), "{different}");
    let field = message("state 1 ada 81a4666f726da3416461");
    assert!(field.contains("missing field `name`"), "{field}");
    let absent = message("");
    assert!(absent.contains("has no `state 1 ada`; run the test once with FASTNESS_GOLDEN=write"));
    let unread = message(&format!("{ada}\nmessage rename x 80"));
    assert!(unread.contains("golden.txt:2: nothing checks `message rename x`"), "{unread}");
    let future = message(&format!("{ada}\nstate 2 ada 80"));
    assert!(future.contains("golden.txt:2: state has version 2, this build knows 1"), "{future}");
    let odd = message("state 1 ada 81a");
    assert!(odd.contains("golden.txt:1: no golden line"), "{odd}");
    let gone = failure(|| check(Path::new("tests/testkit/golden/nowhere.txt")));
    assert!(gone.contains("nowhere.txt") && gone.contains("FASTNESS_GOLDEN=write"), "{gone}");
}

#[test]
fn missing_lines_are_added_where_they_may_be_and_none_is_changed() {
    let (folder, path) = file("# kept");
    let both = |path: &Path, mode| {
        hold::<Person>(path, mode, |golden| {
            golden.state("ada", &Person { name: "Ada".to_owned() });
            golden.state("ada", &Person { name: "Ada".to_owned() });
            assert_eq!(golden.stored(1, "ada").name, "Ada");
            golden.message("ada", &PersonRename { name: "Ada".to_owned() });
            golden.reply::<PersonRename>("three", &3);
        });
    };
    both(&path, Mode::Write);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = "state 1 ada 81a46e616d65a3416461\nmessage rename ada 81a46e616d65a3416461\n\
                 reply rename three 03\n";
    assert_eq!(text, format!("# kept\n{lines}"));
    both(&path, Mode::Check);
    both(&path, Mode::Write);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let new = folder.path().join("new/golden.txt");
    both(&new, Mode::Write);
    assert!(std::fs::read_to_string(&new).unwrap().ends_with(lines));
    let (_folder, changed) = file("state 1 ada 81a46e616d65a3457665");
    let message = failure(|| both(&changed, Mode::Write));
    assert!(message.contains("is encoded differently"), "{message}");
    let message = failure(|| {
        hold::<Person>(&path, Mode::Write, |golden| golden.state("a b", &Person::default()));
    });
    assert!(message.contains("no white space"), "{message}");
}
