//! Libraries that live in one place, so that each can be replaced there.

use crate::source::{Finding, Source, Text, Token, expect_none, read, sources};

/// A library, and where it may be named. Test code beside the source may name tokio anywhere.
const HOMES: &[(&str, &[&str])] = &[
    ("actix", &["src/runtime"]),
    ("actix_rt", &["src/runtime"]),
    ("tokio", &["src/runtime", "src/store/sled", "src/testkit"]),
    ("sled", &["src/store/sled"]),
    ("rmp_serde", &["src/codec.rs"]),
];

/// Names of the crate's own dependencies, as code writes them.
pub(crate) fn dependencies() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, rest) =
        manifest.split_once("\n[dependencies]\n").expect("the manifest has dependencies");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let names =
        lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" ="));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

fn findings(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources {
        for (library, homes) in HOMES {
            if homes.iter().any(|home| source.file.starts_with(home)) {
                continue;
            }
            for mention in source.mentions.iter().filter(|mention| mention.starts_with(library)) {
                if mention.path.len() > 1 && !(mention.in_test && *library == "tokio") {
                    let homes = homes.join(", ");
                    let fix = format!("`{library}` is named in {homes} only: call what is there");
                    found.push(source.finding(mention.line, fix));
                }
            }
        }
        found.extend(public_actix(source));
    }
    found
}

/// Public items whose signature names a type of actix.
fn public_actix(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let restricted = source.tokens.get(at + 1).is_some_and(|t| t.text == Text::Open('('));
        if !token.is("pub") || restricted || token.in_test {
            continue;
        }
        let end = at + 1 + signature_len(&source.tokens[at + 1..]);
        let leaks = source.mentions.iter().filter(|mention| (at..end).contains(&mention.at));
        for leak in leaks.filter(|leak| leak.path[0].starts_with("actix")) {
            let fix = format!("`{}` is public here: make the item pub(crate)", leak.written());
            found.push(source.finding(leak.line, fix));
        }
    }
    found
}

/// How many tokens after `pub` belong to the signature: up to a body or a value, or, of a field, up
/// to its comma.
fn signature_len(tokens: &[Token]) -> usize {
    const ITEMS: &[&str] =
        &["fn", "struct", "enum", "trait", "type", "const", "static", "use", "async", "unsafe"];
    let is_use = tokens.first().is_some_and(|token| token.is("use"));
    let is_item = ITEMS.iter().any(|item| tokens.first().is_some_and(|token| token.is(item)));
    let mut open = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            Text::Open('{') if !is_use && open == 0 => return at,
            Text::Sign(';') if open == 0 => return at,
            Text::Sign(',') if !is_item && open == 0 => return at,
            Text::Open(_) => open += 1,
            Text::Close(_) if open == 0 => return at,
            Text::Close(_) => open -= 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn libraries_are_named_where_they_live() {
    expect_none(&findings(&sources(&["src"])));
}

#[test]
fn each_stray_library_is_found() {
    let lines = |file, text| {
        let found = findings(&[Source::parse(file, text)]);
        found.iter().map(|finding| finding.line).collect::<Vec<_>>()
    };
    let empty: [usize; 0] = [];
    assert_eq!(lines("src/grid.rs", "\nuse actix::prelude::*;"), [2]);
    assert_eq!(lines("src/grid.rs", "fn f() { tokio::spawn(g()); }"), [1]);
    assert_eq!(lines("src/grid.rs", "use tokio as t;\nfn f() { t::spawn(g()); }"), [2]);
    assert_eq!(lines("src/store/memory.rs", "fn f(db: sled::Db) {}"), [1]);
    assert_eq!(lines("src/wire/record.rs", "fn f() { rmp_serde::to_vec(&1); }"), [1]);
    assert_eq!(lines("src/store/sled/rows.rs", "use sled::Db; use tokio::sync::mpsc;"), empty);
    assert_eq!(lines("src/store/mod.rs", "mod sled; pub use sled::SledStore;"), empty);
    assert_eq!(lines("src/store/memory.rs", "#[tokio::test] async fn f() {}"), empty);
    let file = "src/runtime/threads.rs";
    assert_eq!(lines(file, "use actix::Addr;\npub fn f(to: Addr<Unit>) {}"), [2]);
    assert_eq!(lines(file, "pub struct A { n: u8,\npub to: actix::Addr<Unit> }"), [2]);
    assert_eq!(lines(file, "pub use actix::{Addr};"), [1]);
    assert_eq!(lines(file, "pub fn f() { actix::spawn(g()); }"), empty);
    assert_eq!(lines(file, "pub(crate) fn f(to: actix::Addr<Unit>) {}"), empty);
}
