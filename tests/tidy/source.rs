//! Rust files as the rules see them: tokens with their lines, and the paths that are named.
//!
//! A real lexer reads them, so that strings and comments are no code, and macros' bodies are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A place where a rule is broken, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.fix)
    }
}

/// Fails with all findings, one a line.
pub(crate) fn expect_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} finding(s):\n{}", lines.len(), lines.join("\n"));
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Word(String),
    Sign(char),
    Open(char),
    Close(char),
    Literal,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: Text,
    pub(crate) line: usize,
    /// Whether only tests are built with it.
    pub(crate) in_test: bool,
    /// How many inline modules are around it.
    pub(crate) depth: usize,
}

impl Token {
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.text, Text::Word(found) if found == word)
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.text == Text::Sign(sign)
    }
}

/// A path that is named: `use` trees taken apart, `self`, `super` and imported names resolved.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
    /// Where in the file's tokens it starts.
    pub(crate) at: usize,
}

impl Mention {
    pub(crate) fn starts_with(&self, prefix: &str) -> bool {
        let mut parts = self.path.iter();
        prefix.split("::").all(|part| parts.next().is_some_and(|found| found == part))
    }

    pub(crate) fn ends_with(&self, suffix: &str) -> bool {
        let mut parts = self.path.iter().rev();
        suffix.rsplit("::").all(|part| parts.next().is_some_and(|found| found == part))
    }

    pub(crate) fn written(&self) -> String {
        self.path.join("::")
    }
}

pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) mentions: Vec<Mention>,
}

impl Source {
    /// Reads `text` as the file of that name.
    pub(crate) fn parse(file: &str, text: &str) -> Source {
        let stream: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("{file} is no Rust: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, is_test_file(file), 0, &mut tokens);
        let mentions = mentions(file, &tokens);
        Source { file: file.to_owned(), text: text.to_owned(), tokens, mentions }
    }

    pub(crate) fn finding(&self, line: usize, fix: impl Into<String>) -> Finding {
        Finding { file: self.file.clone(), line, fix: fix.into() }
    }

    /// The modules that lead to this file, under `src/`.
    pub(crate) fn module(&self) -> Vec<String> {
        module_of(&self.file)
    }
}

/// All Rust files of the workspace under the given folders, in order of their names.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        collect(Path::new(env!("CARGO_MANIFEST_DIR")), folder, &mut files);
    }
    let mut sources: Vec<Source> =
        files.iter().map(|file| Source::parse(file, &read(file))).collect();
    mark_test_modules(&mut sources);
    sources
}

/// The text of a file of the workspace.
pub(crate) fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Files under `folder` that end in `.rs`; none where there is no such folder.
fn collect(root: &Path, folder: &str, files: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        return;
    };
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("the folder can be read")
                .file_name()
                .into_string()
                .expect("names are UTF-8")
        })
        .collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            collect(root, &path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn is_test_file(file: &str) -> bool {
    file.starts_with("tests/") || file.starts_with("macros/tests/") || file.ends_with("/tests.rs")
}

/// A module that is declared under `#[cfg(test)]` and written in its own file is test code.
fn mark_test_modules(sources: &mut [Source]) {
    let mut test_modules = Vec::new();
    for source in sources.iter() {
        for window in source.tokens.windows(3) {
            if let [of, Token { text: Text::Word(name), in_test: true, .. }, end] = window
                && of.is("mod")
                && end.is_sign(';')
            {
                test_modules.push([source.module(), vec![name.clone()]].concat());
            }
        }
    }
    for source in sources.iter_mut().filter(|source| source.file.starts_with("src/")) {
        if test_modules.iter().any(|module| source.module().starts_with(module)) {
            source.tokens.iter_mut().for_each(|token| token.in_test = true);
            source.mentions.iter_mut().for_each(|mention| mention.in_test = true);
        }
    }
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| *part != "mod" && *part != "lib");
    parts.map(str::to_owned).collect()
}

fn flatten(stream: TokenStream, in_test: bool, depth: usize, out: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut test_item = false;
    let mut all_test = in_test;
    for (at, tree) in trees.iter().enumerate() {
        match attribute(&trees, at) {
            Some((true, attribute)) => all_test |= names_test(attribute),
            Some((false, attribute)) => test_item |= names_test(attribute),
            None => {}
        }
        let in_test = all_test || test_item;
        let line = tree.span().start().line;
        let mut push = |text, line| out.push(Token { text, line, in_test, depth });
        match tree {
            TokenTree::Ident(word) => push(Text::Word(word.to_string()), line),
            TokenTree::Punct(sign) => push(Text::Sign(sign.as_char()), line),
            TokenTree::Literal(_) => push(Text::Literal, line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                push(Text::Open(open), line);
                let inner = depth + usize::from(open == '{' && is_module(&trees[..at]));
                flatten(group.stream(), in_test, inner, out);
                let line = group.span_close().start().line;
                out.push(Token { text: Text::Close(close), line, in_test, depth });
            }
        }
        let ends = match tree {
            TokenTree::Punct(sign) => sign.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        test_item &= !ends;
    }
}

/// The attribute whose `#` is at `at`, and whether it is an inner one (`#![..]`).
fn attribute(trees: &[TokenTree], at: usize) -> Option<(bool, &TokenTree)> {
    let is_sign = |at: usize, sign: char| match trees.get(at) {
        Some(TokenTree::Punct(found)) => found.as_char() == sign,
        _ => false,
    };
    if !is_sign(at, '#') {
        return None;
    }
    let inner = is_sign(at + 1, '!');
    Some((inner, trees.get(at + 1 + usize::from(inner))?))
}

/// Whether an attribute says that only tests are built with its item.
fn names_test(attribute: &TokenTree) -> bool {
    let words: Vec<String> = attribute
        .to_string()
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    match words.first().map(String::as_str) {
        Some("cfg") => has("test") && !has("not"),
        Some("test" | "tokio" | "actix") => has("test"),
        _ => false,
    }
}

/// Whether what comes before a brace is `mod name`.
fn is_module(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(of), TokenTree::Ident(_)] if of == "mod")
}

fn mentions(file: &str, tokens: &[Token]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut imports = BTreeMap::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(&tokens[at].text, Text::Word(_)) && !follows_path(tokens, at);
        if starts {
            let imported = imports_at(tokens, at);
            let mut leaves = Vec::new();
            at = path(tokens, at, &[], &mut leaves);
            for (path, alias, line_at) in leaves {
                let token = &tokens[line_at];
                let path = absolute(file, token.depth, path);
                if imported && (path.len() > 1 || alias.is_some()) {
                    let name = alias.unwrap_or_else(|| path[path.len() - 1].clone());
                    imports.insert(name, path.clone());
                }
                let (line, in_test) = (token.line, token.in_test);
                found.push(Mention { path, line, in_test, at: line_at });
            }
        } else {
            at += 1;
        }
    }
    let local = declared_modules(tokens);
    for mention in &mut found {
        if mention.path.len() > 1 && local.contains(&mention.path[0]) {
            mention.path.splice(..0, ["self".to_owned()]);
        } else if let Some(import) = imports.get(&mention.path[0]) {
            mention.path.splice(..1, import.iter().cloned());
        }
    }
    found
}

fn declared_modules(tokens: &[Token]) -> Vec<String> {
    let declared = tokens.windows(2).filter(|pair| pair[0].is("mod"));
    declared
        .filter_map(|pair| match &pair[1].text {
            Text::Word(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Whether the word at `at` goes on a path or a method call, and so starts nothing.
fn follows_path(tokens: &[Token], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map(|at| &tokens[at]);
    let is_sign = |n: usize, sign| before(n).is_some_and(|token| token.is_sign(sign));
    if is_sign(1, '.') {
        // `a.b`, but not `..b`.
        return !is_sign(2, '.');
    }
    let after_word = before(3).is_some_and(|token| matches!(token.text, Text::Word(_)))
        && !before(3).is_some_and(|token| token.is("use"));
    is_sign(1, ':') && is_sign(2, ':') && (after_word || is_sign(3, '>'))
}

/// Whether the path that starts at `at` is that of a `use`.
fn imports_at(tokens: &[Token], at: usize) -> bool {
    let mut before = at;
    while before > 0 && tokens[before - 1].is_sign(':') {
        before -= 1;
    }
    before > 0 && tokens[before - 1].is("use")
}

type Leaf = (Vec<String>, Option<String>, usize);

/// Reads the path or `use` tree that starts at `at`; returns where it ends.
fn path(tokens: &[Token], at: usize, prefix: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut path = prefix.to_vec();
    let mut next = at;
    let is_sign = |at: usize, sign| tokens.get(at).is_some_and(|token| token.is_sign(sign));
    loop {
        match tokens.get(next).map(|token| &token.text) {
            Some(Text::Word(word)) => path.push(word.clone()),
            Some(Text::Sign('*')) => path.push("*".to_owned()),
            Some(Text::Open('{')) if next > at || !prefix.is_empty() => {
                return tree(tokens, next + 1, &path, leaves);
            }
            _ => break,
        }
        next += 1;
        if !(is_sign(next, ':') && is_sign(next + 1, ':')) {
            break;
        }
        next += 2;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut alias = None;
    if tokens.get(next).is_some_and(|token| token.is("as"))
        && let Some(Token { text: Text::Word(name), .. }) = tokens.get(next + 1)
        && (imports_at(tokens, at) || !prefix.is_empty())
    {
        alias = Some(name.clone());
        next += 2;
    }
    if path.len() > prefix.len() || !prefix.is_empty() {
        leaves.push((path, alias, at));
    }
    next.max(at + 1)
}

/// Reads the branches of a `use` tree up to its closing brace; returns where it ends.
fn tree(tokens: &[Token], from: usize, prefix: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match token.text {
            Text::Close('}') => return at + 1,
            Text::Word(_) | Text::Sign('*') => at = path(tokens, at, prefix, leaves),
            _ => at += 1,
        }
    }
    at
}

/// Replaces a leading `self` or `super`s by where they lead from this file, `depth` inline modules
/// down.
fn absolute(file: &str, depth: usize, path: Vec<String>) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let skip = ups + usize::from(path[0] == "self");
    if !file.starts_with("src/") || skip == 0 || path.len() == skip {
        return path;
    }
    let mut module = vec!["crate".to_owned()];
    module.extend(module_of(file));
    module.extend((0..depth).map(|level| format!("inline {level}")));
    module.truncate(module.len().saturating_sub(ups).max(1));
    module.extend(path.into_iter().skip(skip));
    module
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let source = Source::parse(
        "src/store/disk.rs",
        "
        // use crate::comment::A;
        use crate::{engine::{id::Epoch, hash::*}, error as e};
        use super::{Row, memory::Table};
        use std::time;
        mod rows;
        fn f() { let _ = \"crate::text::B\"; e::fail(); time::Instant::now(); rows::go(); }
        fn g(x: ::tokio::X) -> <Y as crate::key::Key>::Z { x.sled::<u8>(); vec![crate::grid::G] }
        #[cfg(test)]
        mod tests { use super::Disk; }
        ",
    );
    let mentions: Vec<(String, bool)> = source
        .mentions
        .iter()
        .filter(|mention| mention.path.len() > 1)
        .map(|mention| (mention.written(), mention.in_test))
        .collect();
    let expected = [
        ("crate::engine::id::Epoch", false),
        ("crate::engine::hash::*", false),
        ("crate::error", false),
        ("crate::store::Row", false),
        ("crate::store::memory::Table", false),
        ("std::time", false),
        ("crate::error::fail", false),
        ("std::time::Instant::now", false),
        ("self::rows::go", false),
        ("tokio::X", false),
        ("crate::key::Key", false),
        ("crate::grid::G", false),
        ("crate::store::disk::Disk", true),
    ];
    assert_eq!(mentions, expected.map(|(path, in_test)| (path.to_owned(), in_test)));
}

#[test]
fn a_module_that_only_tests_have_is_test_code() {
    let mut sources = vec![
        Source::parse("src/engine/mod.rs", "mod id; #[cfg(test)] mod sim;"),
        Source::parse("src/engine/id.rs", "fn f() {}"),
        Source::parse("src/engine/sim/disk.rs", "fn f() {}"),
        Source::parse("src/x.rs", "#![cfg(test)] fn f() {}"),
        Source::parse("src/y.rs", "#[cfg(not(test))] fn f() {} #[test] fn g() {} fn h() {}"),
    ];
    mark_test_modules(&mut sources);
    let of = |at: usize| sources[at].tokens.iter().filter(|token| token.is("fn"));
    let flags = |at| of(at).map(|token| token.in_test).collect::<Vec<_>>();
    assert_eq!(flags(1), [false]);
    assert_eq!(flags(2), [true]);
    assert_eq!(flags(3), [true]);
    assert_eq!(flags(4), [false, true, false]);
}
