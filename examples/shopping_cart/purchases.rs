//! The input: 69,659 purchases of 23,570 customers of an early web shop, January 1997 to June 1998,
//! in order of date.
//!
//! Source: the CDNOW data set, published for research by Peter Fader and Bruce Hardie
//! (<https://www.brucehardie.com/datasets/>). The file, a CSV in gzip, is inside the program.

use std::io::{BufRead, BufReader};

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

static SHIPPED: &[u8] = include_bytes!("purchases.csv.gz");

/// One row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) customer: u32,
    pub(crate) day: u32,
    /// Pieces.
    pub(crate) quantity: u64,
    /// The value of the basket.
    pub(crate) cents: u64,
}

/// Reads the first `rows_max` of the shipped rows.
pub(crate) fn first(rows_max: usize) -> anyhow::Result<Vec<Purchase>> {
    let mut lines = BufReader::new(GzDecoder::new(SHIPPED)).lines();
    let head = lines.next().context("the file is empty")??;
    ensure!(head == "customer,date,quantity,cents", "other columns: {head}");
    lines.take(rows_max).map(|line| purchase(&line?)).collect()
}

fn purchase(line: &str) -> anyhow::Result<Purchase> {
    let fields: Vec<&str> = line.split(',').collect();
    let [customer, date, quantity, cents] = fields[..] else { bail!("not a purchase: {line}") };
    Ok(Purchase {
        customer: customer.parse()?,
        day: day(date)?,
        quantity: quantity.parse()?,
        cents: cents.parse()?,
    })
}

/// A date such as `1997-01-31` as a number of days, so that gaps are differences.
fn day(date: &str) -> anyhow::Result<u32> {
    let parts: Vec<u32> = date.split('-').map(str::parse).collect::<Result<_, _>>()?;
    let [year, month @ 1..=12, day @ 1..=31] = parts[..] else { bail!("not a date: {date}") };
    // With years that begin in March a leap day comes last, and months follow a line.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    Ok(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day)
}
