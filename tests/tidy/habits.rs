//! Habits: names, sizes, and what is never written.

use crate::source::{Finding, Source, Text, expect_none, sources};

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

/// Words that name nothing, in files' names.
const EMPTY_NAMES: &[&str] =
    &["manager", "util", "utils", "helper", "helpers", "common", "misc", "info"];

/// Words that the glossary keeps out, as parts of types' names, with what is written instead.
const NEVER_WORDS: &[(&str, &str)] = &[
    ("Manager", "what it holds, decides or does"),
    ("Helper", "what it holds, decides or does"),
    ("Util", "what it holds, decides or does"),
    ("Info", "what it holds"),
    ("Data", "what it holds"),
    ("System", "Grid"),
    ("Server", "Node"),
    ("Instance", "Node"),
    ("Worker", "ProcessingUnit"),
    ("Shard", "Partition"),
    ("Object", "Entity"),
    ("Item", "Entity"),
    ("Kind", "EntityType, or what the variants are of"),
    ("Master", "Primary"),
    ("Slave", "Backup"),
    ("Host", "Owner"),
    ("Brain", "Controller"),
    ("Era", "Epoch"),
    ("Ring", "View"),
    ("Shuffle", "Plan"),
    ("Takeover", "HandOver"),
    ("Purge", "Evict, Passivate or Expire"),
    ("Callback", "Effect"),
    ("Backend", "Store"),
    ("Repository", "Store"),
];

fn findings(source: &Source) -> Vec<Finding> {
    let mut found: Vec<Finding> = names(source).into_iter().collect();
    found.extend(sizes(source));
    found.extend(words(source));
    found.extend(types(source));
    found
}

fn names(source: &Source) -> Option<Finding> {
    let words = source.file.trim_end_matches(".rs").split(['/', '_']);
    let empty = words.into_iter().find(|word| EMPTY_NAMES.contains(word))?;
    let fix = format!("`{empty}` says nothing: name the file after the one thing in it");
    Some(source.finding(1, fix))
}

fn sizes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > LINES_MAX && source.file.contains("src/") {
        let fix = format!("{lines} lines, at most {LINES_MAX}: split the file by what is in it");
        found.push(source.finding(LINES_MAX + 1, fix));
    }
    for (at, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_whole(line) {
            let fix = format!("{columns} columns, at most {COLUMNS_MAX}: break the line");
            found.push(source.finding(at + 1, fix));
        }
        if line.contains(concat!("FIX", "ME")) {
            found.push(source.finding(at + 1, "mend it now, or write an issue"));
        }
    }
    found
}

/// Whether a line should not be broken: a message, which people search for, or a row of a table.
fn is_whole(line: &str) -> bool {
    let is_row = ["/// |", "//! |"].iter().any(|row| line.trim_start().starts_with(row));
    is_row || line.split('"').skip(1).step_by(2).any(|message| message.len() > 50)
}

fn words(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let tokens = &source.tokens;
    for (at, token) in tokens.iter().enumerate() {
        let Text::Word(word) = &token.text else {
            continue;
        };
        let before = |n: usize| at.checked_sub(n).map(|at| &tokens[at].text);
        let after = tokens.get(at + 1).map(|token| &token.text);
        let is_call = after == Some(&Text::Open('('));
        let fix = match word.as_str() {
            "unwrap" if is_call && before(1) == Some(&Text::Sign('.')) && !token.in_test => {
                "no unwrap outside tests: `?`, or `expect` the invariant"
            }
            "unbounded_channel" | "unbounded" => "no unbounded queue: give it a limit",
            "todo" if after == Some(&Text::Sign('!')) => "write it now, or leave it out",
            "ignore" | "should_panic"
                if before(1) == Some(&Text::Open('[')) && before(2) == Some(&Text::Sign('#')) =>
            {
                "tests run always, and name the error that they expect"
            }
            _ => continue,
        };
        found.push(source.finding(token.line, format!("`{word}`: {fix}")));
    }
    for mention in &source.mentions {
        let sleeps = ["thread::sleep", "time::sleep", "time::sleep_until"];
        if mention.in_test && sleeps.iter().any(|sleep| mention.ends_with(sleep)) {
            let fix = "tests never sleep: wait for a condition, or move a manual clock";
            found.push(source.finding(mention.line, fix));
        }
        if mention.starts_with("std::sync::mpsc::channel") {
            let fix = "`std::sync::mpsc::channel` has no bound: `sync_channel`";
            found.push(source.finding(mention.line, fix));
        }
    }
    found
}

fn types(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, pair) in source.tokens.windows(2).enumerate() {
        let [of, token] = pair else { continue };
        let is_public = at.checked_sub(1).is_some_and(|at| source.tokens[at].is("pub"));
        let declares = ["struct", "enum", "trait", "union"].iter().any(|word| of.is(word))
            || (of.is("type") && is_public);
        let Text::Word(name) = &token.text else {
            continue;
        };
        if !declares || token.in_test || !source.file.contains("src/") {
            continue;
        }
        for (never, instead) in NEVER_WORDS {
            if camel_words(name).any(|word| word == *never) {
                let fix = format!("`{name}`: the glossary never writes {never}: {instead}");
                found.push(source.finding(token.line, fix));
            }
        }
    }
    found
}

/// The words of a name in camel case.
fn camel_words(name: &str) -> impl Iterator<Item = &str> {
    let starts = name.char_indices().filter(|(_, letter)| letter.is_uppercase());
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    (0..starts.len()).map(move |at| {
        let end = starts.get(at + 1).copied().unwrap_or(name.len());
        &name[starts[at]..end]
    })
}

#[test]
fn habits_are_kept() {
    let folders = ["src", "macros/src", "examples", "tests", "benches"];
    let mut sources = sources(&folders);
    // Programs that are meant not to compile keep the columns of the messages about them.
    sources.retain(|source| !source.file.contains("/fail/"));
    // The rules' own words, and what they are shown.
    sources.retain(|source| source.file != "tests/tidy/habits.rs");
    expect_none(&sources.iter().flat_map(findings).collect::<Vec<_>>());
}

#[test]
fn each_bad_habit_is_found() {
    let lines = |file, text: &str| {
        let found = findings(&Source::parse(file, text));
        found.iter().map(|finding| finding.line).collect::<Vec<_>>()
    };
    let none: [usize; 0] = [];
    let src = "src/grid.rs";
    assert_eq!(lines("src/runtime/partition_manager.rs", ""), [1]);
    assert_eq!(lines("src/common/keys.rs", ""), [1]);
    assert_eq!(lines(src, "fn f() {\n x.unwrap() }"), [2]);
    assert_eq!(lines(src, "#[cfg(test)] mod tests { fn f() { x.unwrap() } }"), none);
    assert_eq!(lines(src, "fn f() { x.unwrap_or(1); \".unwrap()\"; } // .unwrap()"), none);
    assert_eq!(lines(src, "fn f() { mpsc::unbounded_channel() }"), [1]);
    assert_eq!(lines(src, "use std::sync::mpsc;\nfn f() { mpsc::channel() }"), [2]);
    assert_eq!(lines(src, "fn f() { todo!() }"), [1]);
    assert_eq!(lines(src, concat!("// FIX", "ME: x")), [1]);
    assert_eq!(lines(src, "fn f() { std::thread::sleep(d) }"), none);
    assert_eq!(lines("tests/grid/main.rs", "fn f() { std::thread::sleep(d) }"), [1]);
    assert_eq!(lines("tests/a.rs", "use tokio::time;\nfn f() { time::sleep(d) }"), [2]);
    assert_eq!(lines(src, "#[cfg(test)] mod t { use tokio::time::sleep; }"), [1]);
    assert_eq!(lines("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
    assert_eq!(lines("tests/a.rs", "#[test]\n#[should_panic]\nfn f() {}"), [2]);
    assert_eq!(lines(src, "struct ShardManager;"), [1, 1]);
    assert_eq!(lines(src, "pub type Backend = u8; enum ItemKind {}"), [1, 1, 1]);
    assert_eq!(lines(src, "impl Iterator for A { type Item = u8; }"), none);
    assert_eq!(lines(src, "struct Ringing; struct Metadata; fn shard_of(item: u8) {}"), none);
    assert_eq!(lines(src, &"\n".repeat(501)), [501]);
    assert_eq!(lines(src, &format!("//{}", "é".repeat(98))), none);
    assert_eq!(lines(src, &format!("\n//{}", "é".repeat(99))), [2]);
}
