//! Rounds, medians and ratios, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Crates whose versions a number depends on.
const CRATES: [&str; 7] = ["fastness", "actix", "kameo", "moka", "ractor", "sled", "tokio"];

/// Everything that was measured in one run.
#[derive(Serialize)]
pub(crate) struct Report {
    conditions: Conditions,
    /// What a comparison's name must hold to be made.
    #[serde(skip)]
    only: Option<String>,
    lines: Vec<Line>,
    ratios: Vec<Ratio>,
    bounds: Vec<Bound>,
}

/// What the numbers were measured under.
#[derive(Serialize)]
struct Conditions {
    cores: usize,
    rounds: usize,
    quick: bool,
    profile: &'static str,
    /// Processes that ran or waited for a core in the minute before: more than none, and others had
    /// a part of the machine.
    load_before: Option<f64>,
    versions: BTreeMap<&'static str, String>,
}

/// One side of one comparison.
#[derive(Serialize)]
struct Line {
    work: String,
    side: String,
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
}

/// One side against another, round by round.
#[derive(Serialize)]
struct Ratio {
    work: String,
    side: String,
    against: String,
    #[serde(flatten)]
    spread: Spread,
    /// The same by the time that the thread of all the work ran.
    by_cpu: Option<Spread>,
    /// At least this much, by the clock.
    aim: Option<f64>,
    is_met: Option<bool>,
}

/// What the rounds came to.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

/// A number that has an aim of its own.
#[derive(Serialize)]
struct Bound {
    work: String,
    side: String,
    unit: &'static str,
    value: f64,
    aim: Aim,
    is_met: bool,
}

/// What is hoped for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// What the sides of one comparison came to, round by round.
pub(crate) struct Rounds {
    work: String,
    sides: Vec<(&'static str, Vec<Found>)>,
}

/// What one side came to in one round.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// By the clock.
    pub(crate) value: f64,
    /// By the time that the thread of all the work ran: what else the machine did takes less part
    /// in it.
    pub(crate) by_cpu: Option<f64>,
}

impl From<f64> for Found {
    fn from(value: f64) -> Found {
        Found { value, by_cpu: None }
    }
}

/// A side: its name, and what measures it once.
pub(crate) type Side<'a> = (&'static str, Box<dyn FnMut() -> Found + 'a>);

impl Report {
    pub(crate) fn new(quick: bool, only: Option<String>) -> Report {
        let conditions = Conditions {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            rounds: if quick { 3 } else { 9 },
            quick,
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            load_before: load(),
            versions: versions(include_str!("../../Cargo.lock")),
        };
        Report { conditions, only, lines: Vec::new(), ratios: Vec::new(), bounds: Vec::new() }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.conditions.rounds
    }

    /// So much work, or a small part of it in a quick run.
    pub(crate) fn amount(&self, full: usize) -> usize {
        if self.conditions.quick { full / 10 } else { full }
    }

    /// Measures all sides, taking turns. Another one begins each round, so that none always comes
    /// after the same one.
    pub(crate) fn measure(
        &mut self,
        work: impl Into<String>,
        unit: &'static str,
        mut sides: Vec<Side<'_>>,
    ) -> Rounds {
        let (work, rounds) = (work.into(), self.conditions.rounds);
        let mut found: Vec<_> = sides.iter().map(|(name, _)| (*name, Vec::new())).collect();
        if self.only.as_ref().is_some_and(|only| !work.contains(only)) {
            return Rounds { work, sides: found };
        }
        for round in 0..rounds {
            eprint!("\r{work}: round {} of {rounds}   ", round + 1);
            for turn in 0..sides.len() {
                let at = (round + turn) % sides.len();
                found[at].1.push(sides[at].1());
            }
        }
        eprintln!();
        for (side, values) in &found {
            let values: Vec<f64> = values.iter().map(|found| found.value).collect();
            self.line(&work, side, unit, &values);
        }
        Rounds { work, sides: found }
    }

    /// Notes what was found in each round.
    pub(crate) fn line(&mut self, work: &str, side: &str, unit: &'static str, values: &[f64]) {
        if values.is_empty() {
            return; // it was not asked for
        }
        let (work, side) = (work.to_owned(), side.to_owned());
        self.lines.push(Line { work, side, unit, spread: Spread::of(values) });
    }

    /// A number that does not vary.
    pub(crate) fn note(&mut self, work: &str, side: &str, unit: &'static str, value: f64) {
        self.line(work, side, unit, &[value]);
    }

    /// A number that does not vary, and that has an aim.
    pub(crate) fn hold(
        &mut self,
        work: &str,
        side: &str,
        unit: &'static str,
        value: f64,
        aim: Aim,
    ) {
        self.note(work, side, unit, value);
        let is_met = aim.is_met(value);
        let (work, side) = (work.to_owned(), side.to_owned());
        self.bounds.push(Bound { work, side, unit, value, aim, is_met });
    }

    /// Compares two sides; `aim` is the least ratio that is hoped for.
    pub(crate) fn compare(&mut self, of: &Rounds, side: &str, against: &str, aim: Option<f64>) {
        let values = |name: &str| {
            let found = of.sides.iter().find(|(side, _)| *side == name);
            &found.unwrap_or_else(|| panic!("no side {name} in {}", of.work)).1
        };
        let pairs = || values(side).iter().zip(values(against));
        let ratios: Vec<f64> = pairs().map(|(ours, theirs)| ours.value / theirs.value).collect();
        let by_cpu: Option<Vec<f64>> =
            pairs().map(|(ours, theirs)| Some(ours.by_cpu? / theirs.by_cpu?)).collect();
        if ratios.is_empty() {
            return; // it was not asked for
        }
        let (spread, by_cpu) = (Spread::of(&ratios), by_cpu.map(|ratios| Spread::of(&ratios)));
        let is_met = aim.map(|aim| Aim::AtLeast(aim).is_met(spread.median));
        let (work, side, against) = (of.work.clone(), side.to_owned(), against.to_owned());
        self.ratios.push(Ratio { work, side, against, spread, by_cpu, aim, is_met });
    }
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Aim::AtLeast(least) => value >= least,
            Aim::AtMost(most) => value <= most,
        }
    }
}

impl Spread {
    /// Of an even number of values the lower middle one is the median.
    fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[(sorted.len() - 1) / 2];
        Spread { median, least: sorted[0], most: sorted[sorted.len() - 1] }
    }
}

/// The load average of the last minute, where the system tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The versions that this was built with, from the lock file.
fn versions(lock: &str) -> BTreeMap<&'static str, String> {
    let version_of = |name: &str| {
        let package = lock.split("[[package]]").find_map(|package| {
            package.trim_start().strip_prefix(&format!("name = \"{name}\"\nversion = \""))
        });
        package.and_then(|package| package.split('"').next()).map(str::to_owned)
    };
    CRATES.iter().filter_map(|name| Some((*name, version_of(name)?))).collect()
}

fn said(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT met" }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conditions { cores, rounds, quick, profile, load_before, versions } = self;
        write!(f, "{cores} cores, {rounds} rounds, {profile}")?;
        if let Some(load) = load_before {
            write!(f, ", load {load} before")?;
        }
        if *quick || *profile == "debug" {
            write!(f, " (quick or debug: not to be quoted)")?;
        }
        writeln!(f)?;
        let versions: Vec<_> = versions.iter().map(|(name, at)| format!("{name} {at}")).collect();
        writeln!(f, "{}", versions.join(", "))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2} .. {:.2}]", self.median, self.least, self.most)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { conditions, lines, ratios, bounds, .. } = self;
        writeln!(f, "{conditions}")?;
        for Line { work, side, unit, spread: Spread { median, least, most } } in lines {
            writeln!(f, "{work:36} {side:22} {median:10.3} {unit:12} [{least:.3} .. {most:.3}]")?;
        }
        writeln!(f)?;
        for Ratio { work, side, against, spread, by_cpu, aim, is_met } in ratios {
            write!(f, "{work:36} {side} / {against}: {spread}")?;
            if let Some(by_cpu) = by_cpu {
                write!(f, "  (by CPU time {by_cpu})")?;
            }
            match aim.zip(*is_met) {
                Some((aim, is_met)) => writeln!(f, "  aim {aim}: {}", said(is_met))?,
                None => writeln!(f)?,
            }
        }
        for Bound { work, side, unit, value, aim, is_met } in bounds {
            let aim = match aim {
                Aim::AtLeast(least) => format!("at least {least}"),
                Aim::AtMost(most) => format!("at most {most}"),
            };
            writeln!(f, "{work:36} {side}: {value:.2} {unit}  aim {aim}: {}", said(*is_met))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_made_round_by_round() {
        let mut report = Report::new(true, None);
        let (mut ours, mut theirs) = ([2.0, 9.0, 4.0].iter(), [1.0, 3.0, 4.0].iter());
        let mut theirs = || Found { value: *theirs.next().unwrap(), by_cpu: Some(2.0) };
        let mut ours = || Found { value: *ours.next().unwrap(), by_cpu: Some(1.0) };
        let sides: Vec<Side<'_>> = vec![
            ("ours", Box::new(&mut ours)),
            ("theirs", Box::new(&mut theirs)),
            ("by the clock", Box::new(|| Found::from(1.0))),
        ];
        let rounds = report.measure("work", "1/s", sides);
        report.compare(&rounds, "ours", "theirs", Some(2.5));
        report.compare(&rounds, "ours", "by the clock", None);
        let Ratio { spread, by_cpu, is_met, .. } = &report.ratios[0];
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 3.0));
        assert_eq!((by_cpu.map(|cpu| cpu.median), *is_met), (Some(0.5), Some(false)));
        assert!(report.ratios[1].by_cpu.is_none());
    }

    #[test]
    fn aims_are_held_from_their_side() {
        assert!(Aim::AtLeast(2.0).is_met(2.0) && !Aim::AtLeast(2.0).is_met(1.9));
        assert!(Aim::AtMost(2.0).is_met(2.0) && !Aim::AtMost(2.0).is_met(2.1));
    }

    #[test]
    fn every_version_is_found() {
        assert_eq!(Report::new(true, None).conditions.versions.len(), CRATES.len());
    }
}
