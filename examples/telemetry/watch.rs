//! Shows on stderr how far the import is: a bar for people, lines for programs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Watches an import.
pub(crate) struct Watch {
    bar: ProgressBar,
    rows: AtomicU64,
    /// After how many rows a line is printed; `None` shows the bar.
    line_every: Option<u64>,
}

impl Watch {
    pub(crate) fn new(rows: usize, line_every: Option<u64>) -> anyhow::Result<Watch> {
        let bar = match line_every {
            Some(_) => ProgressBar::hidden(),
            None => ProgressBar::new(rows as u64),
        };
        let style = "{wide_bar} {human_pos}/{human_len} rows, {rate}, {eta} left {msg}";
        let rate = |bar: &ProgressState, out: &mut dyn fmt::Write| {
            // The bar is drawn again when this fails.
            let _ = write!(out, "{:.0}/s", bar.per_sec());
        };
        bar.set_style(ProgressStyle::with_template(style)?.with_key("rate", rate));
        Ok(Watch { bar, rows: AtomicU64::new(0), line_every })
    }

    /// The first `rows` rows were done by an earlier run.
    pub(crate) fn resume(&self, rows: usize) {
        self.rows.store(rows as u64, Ordering::Relaxed);
        self.bar.set_position(rows as u64);
        // Otherwise they would count in the rate.
        self.bar.reset_eta();
        self.line(format_args!("resumed at {rows}"));
    }

    /// One more row is answered.
    pub(crate) fn row(&self) {
        let rows = self.rows.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.inc(1);
        if self.line_every.is_some_and(|every| rows.is_multiple_of(every)) {
            self.line(format_args!("rows {rows}"));
        }
    }

    /// All rows are answered, and the import does something else from now on.
    pub(crate) fn phase(&self, phase: &'static str) {
        self.bar.set_message(phase);
        self.line(format_args!("{phase}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, line: fmt::Arguments<'_>) {
        if self.line_every.is_some() {
            eprintln!("{line}");
        }
    }
}
