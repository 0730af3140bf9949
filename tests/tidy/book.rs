//! The book: every page is in its table of contents, every link between pages leads somewhere,
//! and all its Rust is compiled.

use std::path::{Path, PathBuf};

use crate::source::{Finding, expect_none, read};

const FOLDER: &str = "book/src";

struct Page {
    /// Relative to the book's sources.
    name: String,
    text: String,
}

impl Page {
    fn finding(&self, line: usize, fix: impl Into<String>) -> Finding {
        Finding { file: format!("{FOLDER}/{}", self.name), line, fix: fix.into() }
    }

    /// Info strings of the page's code blocks, with their lines.
    fn blocks(&self) -> Vec<(usize, &str)> {
        let fences = self.text.lines().enumerate().filter_map(|(at, line)| {
            line.trim_start().strip_prefix("```").map(|info| (at + 1, info.trim()))
        });
        fences.step_by(2).collect()
    }

    /// Targets of the page's links to files, with their lines.
    fn links(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            for part in line.split("](").skip(1) {
                let target = part.split([')', '#']).next().unwrap_or_default();
                if !target.is_empty() && !target.contains("://") {
                    found.push((at + 1, target));
                }
            }
        }
        found
    }
}

fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let mut folders = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the book has sources") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    let name = |file: &PathBuf| {
        let name = file.strip_prefix(&root).expect("it was found under the root");
        name.to_str().expect("names are UTF-8").replace('\\', "/")
    };
    let page = |file| Page { text: read(&format!("{FOLDER}/{}", name(file))), name: name(file) };
    files.iter().map(page).collect()
}

/// Rust that is not compiled.
fn uncompiled(pages: &[Page], listed: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in pages {
        let include = format!("include_str!(\"../{FOLDER}/{}\")", page.name);
        for (line, info) in page.blocks() {
            if !info.starts_with("rust") {
                continue;
            }
            if info.contains("ignore") {
                found.push(page.finding(line, "make it compile, or show no code"));
            }
            if !listed.contains(&include) {
                let fix = format!("list the page in src/book.rs: #[doc = {include}] mod ..");
                found.push(page.finding(line, fix));
            }
        }
        if let Some((line, _)) = page.blocks().iter().find(|(_, info)| info.is_empty()) {
            let fix =
                "say what the block is: ```text, ```sh or ```rust (rustdoc takes it for Rust)";
            found.push(page.finding(*line, fix));
        }
    }
    found
}

/// Pages that no link of the table of contents leads to.
fn orphans(pages: &[Page]) -> Vec<Finding> {
    let contents = pages.iter().find(|page| page.name == "SUMMARY.md").expect("there is a summary");
    let linked: Vec<&str> = contents.links().into_iter().map(|(_, target)| target).collect();
    let orphans = pages
        .iter()
        .filter(|page| page.name != contents.name && !linked.contains(&page.name.as_str()));
    orphans.map(|page| page.finding(1, "link the page in SUMMARY.md")).collect()
}

/// Links to files that are not there.
fn dead_links(pages: &[Page]) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in pages {
        for (line, target) in page.links() {
            let mut path: Vec<&str> = page.name.split('/').collect();
            path.pop();
            for part in target.split('/') {
                match part {
                    ".." => drop(path.pop()),
                    "." => {}
                    name => path.push(name),
                }
            }
            let target = path.join("/");
            if !pages.iter().any(|page| page.name == target) {
                found.push(page.finding(line, format!("`{target}` is no page: mend the link")));
            }
        }
    }
    found
}

#[test]
fn all_rust_in_the_book_is_compiled() {
    expect_none(&uncompiled(&pages(), &read("src/book.rs")));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    expect_none(&orphans(&pages()));
}

#[test]
fn links_between_pages_lead_somewhere() {
    expect_none(&dead_links(&pages()));
}

#[test]
fn a_bad_page_is_found() {
    let page = |name: &str, text: &str| Page { name: name.to_owned(), text: text.to_owned() };
    let lines = |found: Vec<Finding>| found.iter().map(|finding| finding.line).collect::<Vec<_>>();
    let listed = "#[doc = include_str!(\"../book/src/guide/a.md\")] mod a {}";
    let rust = "x\n```rust\nlet a = 1;\n```\n";
    assert_eq!(lines(uncompiled(&[page("guide/a.md", rust)], listed)), [0; 0]);
    assert_eq!(lines(uncompiled(&[page("guide/b.md", rust)], listed)), [2]);
    assert_eq!(lines(uncompiled(&[page("guide/a.md", "```rust,ignore\n```")], listed)), [1]);
    assert_eq!(lines(uncompiled(&[page("guide/b.md", "```text\n```\n\n```\n```")], listed)), [4]);
    let summary = || page("SUMMARY.md", "[a](guide/a.md)\n[no](no.md)");
    assert_eq!(orphans(&[summary(), page("guide/a.md", ""), page("b.md", "")]).len(), 1);
    let from = page("guide/a.md", "[up](../SUMMARY.md) [out](https://example.org)\n[b](b.md#x)");
    assert_eq!(lines(dead_links(&[summary(), from])), [2, 2]);
}
