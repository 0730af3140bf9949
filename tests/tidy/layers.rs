//! Who may know whom: a module of `src/` imports only from the layers under its own.

use crate::source::{Finding, Source, expect_none, read, sources};

/// From the bottom up. Modules of one layer do not know each other.
pub(crate) const LAYERS: &[&[&str]] = &[
    &["engine"],
    &["error"],
    &["codec"],
    &["key"],
    &["config", "metrics", "entity"],
    &["wire"],
    &["store"],
    &["runtime"],
    &["entity_ref"],
    &["grid"],
    &["prelude", "simulation", "testkit"],
];

/// Files that are no module of any layer: the table of contents, and the book's doctests.
const OUTSIDE: &[&str] = &["src/lib.rs", "src/book.rs"];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The list as the book has it.
fn written() -> String {
    let layers: Vec<String> =
        LAYERS.iter().map(|layer| format!("`{}`", layer.join(", "))).collect();
    layers.join(" < ")
}

fn findings(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !OUTSIDE.contains(&source.file.as_str())) {
        let own = source.module().remove(0);
        let Some(own_layer) = layer_of(&own) else {
            found.push(source.finding(
                1,
                format!("`{own}` has no layer: give it one in LAYERS of tests/tidy/layers.rs"),
            ));
            continue;
        };
        for mention in &source.mentions {
            let [root, other, ..] = &mention.path[..] else {
                continue;
            };
            if root != "crate" || *other == own {
                continue;
            }
            let fix = match layer_of(other) {
                None => format!(
                    "`{}` is a re-export of the crate's root: import it from the module that has it",
                    mention.written()
                ),
                Some(layer) if layer < own_layer => continue,
                // Tests look sideways, and write what a user writes.
                Some(layer) if layer == own_layer && mention.in_test => continue,
                Some(_) if other == "prelude" && mention.in_test => continue,
                Some(layer) if layer == own_layer => format!(
                    "`{own}` and `{other}` are of one layer: move what both need into a lower one"
                ),
                Some(_) => format!(
                    "`{own}` lies under `{other}`: pass a value down, or move what it needs below it"
                ),
            };
            found.push(source.finding(mention.line, fix));
        }
    }
    found
}

#[test]
fn modules_import_only_from_lower_layers() {
    expect_none(&findings(&sources(&["src"])));
}

#[test]
fn the_book_shows_the_same_layers() {
    let page = "book/src/internals/architecture.md";
    assert!(read(page).contains(&written()), "{page}: write the layers as\n{}", written());
}

fn lines(file: &str, text: &str) -> Vec<usize> {
    findings(&[Source::parse(file, text)]).iter().map(|finding| finding.line).collect()
}

#[test]
fn each_way_up_is_found() {
    assert_eq!(lines("src/engine/id.rs", "\nuse crate::error::E;"), [2]);
    assert_eq!(lines("src/wire/record.rs", "fn f() {\n  crate::store::Row::new()\n}"), [2]);
    assert_eq!(lines("src/wire/record.rs", "use super::super::grid::Grid;"), [1]);
    assert_eq!(lines("src/config.rs", "use crate::{\nengine::id,\nentity::E};"), [3]);
    assert_eq!(lines("src/entity.rs", "use crate::Version;"), [1]);
    assert_eq!(lines("src/novel.rs", "fn f() {}"), [1]);
    assert_eq!(lines("src/key.rs", "macro_rules! m { () => { $crate::grid::Grid } }"), [1]);
}

#[test]
fn ways_down_are_free_and_tests_may_look_sideways() {
    assert!(lines("src/grid.rs", "use crate::engine::id; use crate::entity_ref::R;").is_empty());
    assert!(lines("src/store/sled.rs", "use crate::store::Row; use super::Row;").is_empty());
    assert!(lines("src/lib.rs", "pub use crate::grid::Grid;").is_empty());
    let sideways = "#[cfg(test)] mod tests { use crate::entity::E; }";
    assert!(lines("src/config.rs", sideways).is_empty());
    let as_users = "#[cfg(test)] mod tests { use crate::prelude::*; }";
    assert!(lines("src/entity.rs", as_users).is_empty());
    assert_eq!(lines("src/entity.rs", "use crate::prelude::*;"), [1]);
    let up = "#[cfg(test)] mod tests { use crate::grid::G; }";
    assert_eq!(lines("src/config.rs", up), [1]);
}
