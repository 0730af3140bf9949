//! One run of the telemetry example, as a process of its own.

use std::env;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// The example's lines are so many rows apart.
const LINE_EVERY: u64 = 50;

/// When to kill, by what the run says on stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// About so many rows are answered (by earlier runs, too).
    Row(u64),
    /// All rows are answered, the last of them not yet known to be stored.
    Draining,
    /// Everything is stored and reported, and the grid is about to be left.
    Leaving,
}

/// How fast the run's store is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    AsItIs,
    TenTimesSlower,
}

/// What a run that was not killed has said.
#[derive(Debug)]
pub(crate) struct End {
    /// Rows that earlier runs had noted.
    pub(crate) resumed_at: u64,
    pub(crate) totals: Value,
}

/// A run under way. Dropping it kills the process.
pub(crate) struct Telemetry {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Telemetry {
    /// Starts a run over the first `rows` rows with its store in `directory`.
    pub(crate) fn start(directory: &Path, rows: u64, store: Store) -> Telemetry {
        let mut command = Command::new(&*PROGRAM);
        command.arg("--json").arg("--data").arg(directory);
        command.args(["--rows", &rows.to_string(), "--line-every", &LINE_EVERY.to_string()]);
        if let Store::TenTimesSlower = store {
            command.args(["--slow-store", "10"]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the example can be started");
        let stderr = process.stderr.take().expect("stderr is piped");
        Telemetry { process, lines: BufReader::new(stderr).lines() }
    }

    /// Kills it with signal 9 at `moment`.
    pub(crate) fn kill_at(mut self, moment: Moment) {
        let mut said = Vec::new();
        for line in &mut self.lines {
            let line = line.expect("the example writes UTF-8");
            if moment.is_told_by(&line) {
                return; // dropping it kills it
            }
            said.push(line);
        }
        panic!("the run ended before {moment:?}: {}", said.join("\n"));
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn finish(mut self) -> End {
        let said: Vec<String> =
            (&mut self.lines).collect::<Result<_, _>>().expect("the example writes UTF-8");
        let mut totals = String::new();
        let stdout = self.process.stdout.as_mut().expect("stdout is piped");
        stdout.read_to_string(&mut totals).expect("the example writes UTF-8");
        let status = self.process.wait().expect("the process is ours to wait for");
        assert!(status.success(), "{status}: {}", said.join("\n"));
        let resumed_at =
            said.iter().find_map(|line| line.strip_prefix("resumed at ")?.parse().ok());
        End {
            resumed_at: resumed_at.expect("a run says where it resumes"),
            totals: serde_json::from_str(&totals).expect("the totals are JSON"),
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moment {
    fn is_told_by(self, line: &str) -> bool {
        match self {
            Moment::Row(row) => line
                .strip_prefix("rows ")
                .and_then(|rows| rows.parse::<u64>().ok())
                .is_some_and(|rows| rows >= row),
            Moment::Draining => line == "draining",
            Moment::Leaving => line == "leaving",
        }
    }
}

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| build("telemetry"));

/// An example, built in this test's profile, so that it is never an older one.
pub(crate) fn build(example: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--example", example]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo can be started").success(), "the example does not build");

    // This test is target/<profile>/deps/process-<hash>.
    let test = env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("cargo keeps tests two folders down");
    profile.join("examples").join(example).with_extension(env::consts::EXE_EXTENSION)
}
