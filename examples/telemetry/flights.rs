//! The input: all 336,776 flights that left New York's three airports in 2013, in order of
//! scheduled departure.
//!
//! Source: US Bureau of Transportation Statistics, as collected in the package nycflights13
//! (<https://github.com/tidyverse/nycflights13>), which is CC0. The file is inside the program; its
//! format (columns in gzip, 2.2 MB) is described in `encode.py`, which wrote it.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use anyhow::Context as _;
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

static SHIPPED: &[u8] = include_bytes!("flights.columns.gz");

/// One row. Names are shared: there are few of them, and many rows.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) scheduled: LocalTime,
    /// Minutes; `None` if the flight was cancelled.
    pub(crate) departure_delay: Option<i16>,
    /// Minutes; `None` if it never landed where it should have.
    pub(crate) arrival_delay: Option<i16>,
    pub(crate) carrier: Arc<str>,
    pub(crate) number: i16,
    /// Which aircraft, where that is known.
    pub(crate) tail_number: Option<Arc<str>>,
    pub(crate) origin: Arc<str>,
    pub(crate) destination: Arc<str>,
    /// Minutes; `None` as for `arrival_delay`.
    pub(crate) air_time: Option<i16>,
    /// Miles.
    pub(crate) distance: i16,
}

/// A minute on the clock of the airport: the digits `YYYYMMDDhhmm` as one number, so that it sorts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct LocalTime(u64);

/// Reads the first `rows_max` of the shipped rows.
pub(crate) fn first(rows_max: usize) -> anyhow::Result<Vec<Flight>> {
    let mut bytes = Vec::new();
    GzDecoder::new(SHIPPED).read_to_end(&mut bytes)?;
    let mut columns = Columns { rest: &bytes, rows: 0 };
    columns.rows = u32::from_le_bytes(columns.take(4)?.try_into()?) as usize;

    let date = columns.texts()?;
    let time = columns.numbers()?;
    let departure_delay = columns.numbers()?;
    let arrival_delay = columns.numbers()?;
    let carrier = columns.texts()?;
    let number = columns.numbers()?;
    let tail_number = columns.texts()?;
    let origin = columns.texts()?;
    let destination = columns.texts()?;
    let air_time = columns.numbers()?;
    let distance = columns.numbers()?;

    // Every column has an entry for each row, or reading it would have failed.
    let flight = |row: usize| {
        Ok(Flight {
            scheduled: LocalTime::new(&date[row], time[row].context("a flight without a time")?)?,
            departure_delay: departure_delay[row],
            arrival_delay: arrival_delay[row],
            carrier: carrier[row].clone(),
            number: number[row].context("a flight without a number")?,
            tail_number: Some(tail_number[row].clone()).filter(|name| !name.is_empty()),
            origin: origin[row].clone(),
            destination: destination[row].clone(),
            air_time: air_time[row],
            distance: distance[row].context("a flight without a distance")?,
        })
    };
    (0..columns.rows.min(rows_max)).map(flight).collect()
}

/// What has not been read yet of the unpacked file.
struct Columns<'a> {
    rest: &'a [u8],
    rows: usize,
}

impl<'a> Columns<'a> {
    fn take(&mut self, bytes: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes).context("the file ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next column, of numbers: all low bytes, then all high bytes. The lowest number is an
    /// empty field.
    fn numbers(&mut self) -> anyhow::Result<Vec<Option<i16>>> {
        let (low, high) = (self.take(self.rows)?, self.take(self.rows)?);
        let numbers = low.iter().zip(high).map(|(low, high)| i16::from_le_bytes([*low, *high]));
        Ok(numbers.map(|number| Some(number).filter(|number| *number != i16::MIN)).collect())
    }

    /// The next column, of texts: how many there are, each with a newline, and then each row's
    /// index among them.
    fn texts(&mut self) -> anyhow::Result<Vec<Arc<str>>> {
        let count = u16::from_le_bytes(self.take(2)?.try_into()?);
        let mut distinct: Vec<Arc<str>> = Vec::new();
        for _ in 0..count {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let text = self.take(end.context("a name without an end")?)?;
            distinct.push(std::str::from_utf8(text)?.into());
            self.take(1)?;
        }
        let text_at = |index: Option<i16>| {
            let text = distinct.get(usize::try_from(index?).ok()?)?;
            Some(text.clone())
        };
        let texts = self.numbers()?.into_iter().map(text_at);
        texts.collect::<Option<_>>().context("an index without a name")
    }
}

impl LocalTime {
    /// From a date such as `2013-01-31` and a time such as 515, a quarter past five.
    fn new(date: &str, time: i16) -> anyhow::Result<LocalTime> {
        let date: u64 = date.replace('-', "").parse()?;
        Ok(LocalTime(date * 10_000 + u64::try_from(time)?))
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0 / 10_000, self.0 % 10_000);
        let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}", time / 100, time % 100)
    }
}
