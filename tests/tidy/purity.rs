//! The engine decides and does nothing else: no clock, chance, I/O, tasks, or order by hash.

use crate::homes::dependencies;
use crate::source::{Finding, Source, Text, expect_none, sources};

/// What of the standard library the engine may not name, and what to do instead.
const NEVER: &[(&str, &str)] = &[
    ("std::time::Instant", "take `now: engine::instant::Instant`"),
    ("std::time::SystemTime", "take `engine::instant::Timestamp`"),
    ("std::time::UNIX_EPOCH", "take `engine::instant::Timestamp`"),
    ("std::thread", "return an effect"),
    ("std::fs", "return an effect"),
    ("std::io", "return an effect"),
    ("std::net", "return an effect"),
    ("std::env", "take an argument"),
    ("std::process", "return an effect"),
    ("std::hash::RandomState", "take a number"),
    ("std::hash::DefaultHasher", "use `engine::hash`"),
];

/// Words that the engine may not have at all.
const NEVER_WORDS: &[(&str, &str)] = &[
    ("HashMap", "its order is chance: `BTreeMap`"),
    ("HashSet", "its order is chance: `BTreeSet`"),
    ("async", "the engine waits for nothing: return an effect"),
    ("await", "the engine waits for nothing: take an event"),
    ("rand", "take a number"),
];

/// Dependencies that compute and do nothing else.
const PURE: &[&str] = &["bytes", "serde", "slab", "thiserror", "xxhash_rust"];

fn findings(sources: &[Source], dependencies: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.file.starts_with("src/engine")) {
        for mention in &source.mentions {
            let named = mention.written();
            for (_, fix) in NEVER.iter().filter(|(never, _)| mention.starts_with(never)) {
                found.push(
                    source.finding(mention.line, format!("no `{named}` in the engine: {fix}")),
                );
            }
            if named == "std::time::*" || named == "std::collections::*" {
                let fix = format!("`{named}` hides what the engine may not name: list the names");
                found.push(source.finding(mention.line, fix));
            }
            let root = &mention.path[0];
            if mention.path.len() > 1 && dependencies.contains(root) && !PURE.contains(&&root[..]) {
                let fix = format!("no `{root}` in the engine: use it where the engine is called");
                found.push(source.finding(mention.line, fix));
            }
        }
        for token in &source.tokens {
            let Text::Word(word) = &token.text else {
                continue;
            };
            for (_, fix) in NEVER_WORDS.iter().filter(|(never, _)| never == word) {
                found.push(source.finding(token.line, format!("no `{word}` in the engine: {fix}")));
            }
        }
    }
    found
}

#[test]
fn the_engine_is_pure() {
    expect_none(&findings(&sources(&["src"]), &dependencies()));
}

#[test]
fn clippy_is_told_to_watch_the_engine() {
    let wanted = "#![deny(clippy::disallowed_types, clippy::disallowed_methods)]";
    let file = "src/engine/mod.rs";
    assert!(crate::source::read(file).contains(wanted), "{file}: write {wanted}");
}

#[test]
fn each_impurity_is_found() {
    let found = |text: &str| {
        let of = |file| findings(&[Source::parse(file, text)], &dependencies());
        assert!(of("src/runtime/timer.rs").is_empty(), "the shell may: {text}");
        of("src/engine/sim/disk.rs").iter().map(|finding| finding.line).collect::<Vec<_>>()
    };
    assert_eq!(found("\nuse std::time::{Duration, Instant};"), [2]);
    assert_eq!(found("use std::time;\nfn f() { time::SystemTime::now(); }"), [2]);
    assert_eq!(found("fn f() { std::thread::yield_now() }"), [1]);
    assert_eq!(found("use std::{fs, net::TcpStream, env, process};"), [1, 1, 1, 1]);
    assert_eq!(found("use std::collections::{BTreeMap,\nHashMap};"), [2]);
    assert_eq!(found("use std::collections::*;"), [1]);
    assert_eq!(found("async fn f() { g().await }"), [1, 1]);
    assert_eq!(found("use tokio::sync::mpsc;"), [1, 1][..1]);
    assert_eq!(found("fn f() { prometheus_client::encode(); tracing::info!(\"b\"); }"), [1, 1]);
    assert_eq!(found("#[cfg(test)] mod tests { use std::time::Instant; }"), [1]);
    let empty: [usize; 0] = [];
    assert_eq!(found("use std::time::Duration; use bytes::Bytes; // std::thread, HashMap"), empty);
}
