//! Golden files: lines of words, the last of them bytes in hexadecimal.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The environment variable that lets golden files grow, when it is `write`.
const VARIABLE: &str = "FASTNESS_GOLDEN";

/// What a new file begins with.
const HEADING: &str = "# Bytes as they were stored or sent once. A line is never changed: what it \
                       holds may be anywhere.\n";

/// Whether lines that are missing are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Check,
    Write,
}

impl Mode {
    pub(super) fn of_environment() -> Mode {
        let asked = std::env::var(VARIABLE).is_ok_and(|value| value == "write");
        if asked { Mode::Write } else { Mode::Check }
    }
}

/// One line: what it is of, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Which line of the file, from 1; 0 if it is new.
    pub(super) at: usize,
    pub(super) words: Vec<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) is_checked: bool,
}

/// A golden file.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    mode: Mode,
    lines: Vec<Line>,
    added: String,
    is_new: bool,
}

impl Lines {
    /// Reads a file, relative to the folder of the package.
    #[track_caller]
    pub(super) fn read(path: &Path, mode: Mode) -> Lines {
        let (text, is_new) = match fs::read_to_string(path) {
            Ok(text) => (text, false),
            Err(error) if error.kind() == ErrorKind::NotFound && mode == Mode::Write => {
                (String::new(), true)
            }
            Err(error) => panic!("{}: {error}; {}", path.display(), how_to_write()),
        };
        let lines = text.lines().enumerate().filter_map(|(at, line)| parse(path, at + 1, line));
        let lines = lines.collect();
        Lines { path: path.to_owned(), mode, lines, added: String::new(), is_new }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.lines.iter_mut()
    }

    /// The line that begins with these words.
    pub(super) fn find(&self, words: &[&str]) -> Option<&Line> {
        self.lines.iter().find(|line| line.words == words)
    }

    /// Where the file is, and the line.
    pub(super) fn place(&self, line: &Line) -> String {
        format!("{}:{}", self.path.display(), line.at)
    }

    /// Holds that the line that begins with these words has these bytes. One that is missing is
    /// added, if lines may be.
    #[track_caller]
    pub(super) fn check(&mut self, words: &[&str], bytes: &[u8]) {
        let no_space = |word: &&str| !word.is_empty() && !word.contains(char::is_whitespace);
        assert!(words.iter().all(no_space), "{words:?}: names in golden files have no white space");
        let path = self.path.display();
        if let Some(line) = self.lines.iter_mut().find(|line| line.words == words) {
            line.is_checked = true;
            assert!(
                line.bytes == bytes,
                "{path}:{}: `{}` is encoded differently today\n  golden: {}\n   today: {}\n{}",
                line.at,
                words.join(" "),
                readable(&line.bytes),
                readable(bytes),
                "what is stored or under way has the old bytes: take the change back, or give a \
                 state a new version with a `migrate`"
            );
            return;
        }
        let name = words.join(" ");
        assert!(self.mode == Mode::Write, "{path} has no `{name}`; {}", how_to_write());
        let _ = writeln!(self.added, "{name} {}", to_hex(bytes)); // into a string
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.lines.push(Line { at: 0, words, bytes: bytes.to_vec(), is_checked: true });
    }

    /// Writes what was added.
    #[track_caller]
    pub(super) fn save(&self) {
        if self.added.is_empty() {
            return;
        }
        let before = match self.is_new {
            true => HEADING.to_owned(),
            false => fs::read_to_string(&self.path).unwrap_or_default(),
        };
        let gap = if before.ends_with('\n') { "" } else { "\n" };
        if let Some(folder) = self.path.parent() {
            let _ = fs::create_dir_all(folder); // if it is not there, writing says so
        }
        if let Err(error) = fs::write(&self.path, format!("{before}{gap}{}", self.added)) {
            panic!("write {}: {error}", self.path.display());
        }
    }
}

fn how_to_write() -> String {
    format!("run the test once with {VARIABLE}=write, and keep the file with the source")
}

#[track_caller]
fn parse(path: &Path, at: usize, line: &str) -> Option<Line> {
    if line.trim().is_empty() || line.starts_with('#') {
        return None;
    }
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match words.pop().as_deref().and_then(from_hex) {
        Some(bytes) if !words.is_empty() => Some(Line { at, words, bytes, is_checked: false }),
        _ => panic!("{}:{at}: no golden line: words, then bytes in hexadecimal", path.display()),
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// Bytes for a person: field names can be read.
fn readable(bytes: &[u8]) -> String {
    format!("{}\n          {}", to_hex(bytes), bytes.escape_ascii())
}
