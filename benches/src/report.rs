//! Rounds, medians and ratios, for people and for programs.

use std::fmt;

use serde::Serialize;

/// Everything that was measured in one run.
#[derive(Serialize)]
pub(crate) struct Report {
    cores: usize,
    rounds: usize,
    quick: bool,
    lines: Vec<Line>,
    ratios: Vec<Ratio>,
}

/// One side of one comparison.
#[derive(Serialize)]
struct Line {
    work: String,
    side: String,
    unit: &'static str,
    median: f64,
    least: f64,
    most: f64,
}

/// One side against another, round by round.
#[derive(Serialize)]
struct Ratio {
    work: String,
    side: String,
    against: String,
    median: f64,
    least: f64,
    most: f64,
    aim: Option<f64>,
    is_met: Option<bool>,
}

/// What the sides of one comparison came to, round by round.
pub(crate) struct Rounds {
    work: String,
    unit: &'static str,
    sides: Vec<(&'static str, Vec<f64>)>,
}

/// A side: its name, and what measures it once.
pub(crate) type Side<'a> = (&'static str, Box<dyn FnMut() -> f64 + 'a>);

impl Report {
    pub(crate) fn new(quick: bool) -> Report {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rounds = if quick { 3 } else { 9 };
        Report { cores, rounds, quick, lines: Vec::new(), ratios: Vec::new() }
    }

    /// So much work, or a small part of it in a quick run.
    pub(crate) fn amount(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }

    /// Measures all sides, taking turns.
    pub(crate) fn measure(
        &mut self,
        work: impl Into<String>,
        unit: &'static str,
        mut sides: Vec<Side<'_>>,
    ) -> Rounds {
        let work = work.into();
        let mut found: Vec<_> = sides.iter().map(|(name, _)| (*name, Vec::new())).collect();
        for round in 0..self.rounds {
            eprint!("\r{work}: round {} of {}   ", round + 1, self.rounds);
            for ((_, side), (_, values)) in sides.iter_mut().zip(&mut found) {
                values.push(side());
            }
        }
        eprintln!();
        for (side, values) in &found {
            self.line(&work, side, unit, values);
        }
        Rounds { work, unit, sides: found }
    }

    fn line(&mut self, work: &str, side: &str, unit: &'static str, values: &[f64]) {
        let (median, least, most) = spread(values);
        let (work, side) = (work.to_owned(), side.to_owned());
        self.lines.push(Line { work, side, unit, median, least, most });
    }

    /// A number that does not vary.
    pub(crate) fn note(&mut self, work: &str, side: &str, unit: &'static str, value: f64) {
        self.line(work, side, unit, &[value]);
    }

    /// Compares two sides; `aim` is the least ratio that is hoped for.
    pub(crate) fn compare(&mut self, of: &Rounds, side: &str, against: &str, aim: Option<f64>) {
        let values = |name: &str| {
            let found = of.sides.iter().find(|(side, _)| *side == name);
            &found.unwrap_or_else(|| panic!("no side {name} in {}", of.work)).1
        };
        let pairs = values(side).iter().zip(values(against));
        let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        let (median, least, most) = spread(&ratios);
        let is_met = aim.map(|aim| median >= aim);
        let (work, unit) = (of.work.clone(), of.unit);
        let _ = unit;
        self.ratios.push(Ratio {
            work,
            side: side.to_owned(),
            against: against.to_owned(),
            median,
            least,
            most,
            aim,
            is_met,
        });
    }
}

fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { cores, rounds, quick, lines, ratios } = self;
        let profile = if cfg!(debug_assertions) { "debug: not to be quoted" } else { "release" };
        let quick = if *quick { ", quick: not to be quoted" } else { "" };
        writeln!(f, "{cores} cores, {rounds} rounds, {profile}{quick}\n")?;
        for Line { work, side, unit, median, least, most } in lines {
            writeln!(f, "{work:36} {side:22} {median:10.3} {unit:12} [{least:.3} .. {most:.3}]")?;
        }
        writeln!(f)?;
        for Ratio { work, side, against, median, least, most, aim, is_met } in ratios {
            write!(f, "{work:36} {side} / {against}: {median:.2} [{least:.2} .. {most:.2}]")?;
            match (aim, is_met) {
                (Some(aim), Some(true)) => writeln!(f, "  aim {aim}: met")?,
                (Some(aim), _) => writeln!(f, "  aim {aim}: NOT met")?,
                (None, _) => writeln!(f)?,
            }
        }
        Ok(())
    }
}
