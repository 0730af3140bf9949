//! What the customers tell: asked of each of them, added up, and printed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use anyhow::Context as _;
use fastness::Grid;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::customer::{Customer, LAPSED_DAYS, Mean};
use crate::purchases::Purchase;

/// Asks under way at once.
const WINDOW: usize = 512;

/// The lines and columns of the table: each from the one before up to here.
const AWAY_DAYS: [(u32, &str); 3] =
    [(90, "up to 90 days ago"), (LAPSED_DAYS, "up to 180"), (u32::MAX, "longer ago")];
const PURCHASES: [(u64, &str); 4] =
    [(1, "once"), (3, "2 or 3 times"), (9, "4 to 9 times"), (u64::MAX, "more often")];

/// All customers, the best first.
pub(crate) struct Report(Vec<(u32, Customer)>);

/// Reviews every customer whom `purchases` name, as of the last day.
pub(crate) async fn report(grid: &Grid, purchases: &[Purchase]) -> anyhow::Result<Report> {
    let today = purchases.last().context("no purchase")?.day;
    let numbers: BTreeSet<u32> = purchases.iter().map(|purchase| purchase.customer).collect();
    let (mut customers, mut under_way) = (Vec::new(), JoinSet::new());
    for number in numbers {
        if under_way.len() == WINDOW {
            customers.push(under_way.join_next().await.context("no ask is under way")???);
        }
        let customer = grid.entity::<Customer>(number);
        under_way.spawn(async move { anyhow::Ok((number, customer.review(today).await?)) });
    }
    while let Some(answer) = under_way.join_next().await {
        customers.push(answer??);
    }
    customers.sort_by_key(|(number, customer)| (Reverse(customer.baskets.sum), *number));
    Ok(Report(customers))
}

impl Report {
    pub(crate) fn totals(&self) -> Value {
        let (mut baskets, mut gaps, mut quantity) = (Mean::default(), Mean::default(), 0);
        for (_, customer) in &self.0 {
            baskets.add(customer.baskets);
            gaps.add(customer.gaps);
            quantity += customer.quantity;
        }
        let count = |is: fn(&Customer) -> bool| self.0.iter().filter(|(_, c)| is(c)).count();
        json!({
            "customers": self.0.len(),
            "repeat_customers": count(|customer| customer.baskets.count > 1),
            "lapsed_customers": count(|customer| customer.away_days > LAPSED_DAYS),
            "best_customer": self.0[0].0,
            "best_customer_cents": self.0[0].1.baskets.sum,
            "purchases": baskets.count,
            "quantity": quantity,
            "cents": baskets.sum,
            "mean_basket_cents": baskets.value(),
            "mean_gap_days": gaps.value(),
        })
    }

    pub(crate) fn print_tables(&self) {
        println!("Best customers by what they have spent");
        println!("  customer     dollars  purchases     basket        gap   last purchase");
        for (number, Customer { baskets, gaps, away_days, .. }) in self.0.iter().take(10) {
            print!("  {number:>8}{:>12.2}{:>11}", baskets.sum as f64 / 100.0, baskets.count);
            print!("{:>11.2}{:>6.1} days", baskets.value() / 100.0, gaps.value());
            println!("{away_days:>7} days ago");
        }
        println!(
            "\nCustomers by last purchase and number of purchases, and dollars they have spent"
        );
        println!("{:<19}{}", "", PURCHASES.map(|(_, name)| format!("{name:>19}")).concat());
        // The first band that they are in.
        let band = |c: &Customer| {
            let line = AWAY_DAYS.iter().position(|(days_max, _)| c.away_days <= *days_max);
            let column = PURCHASES.iter().position(|(count_max, _)| c.baskets.count <= *count_max);
            (line, column)
        };
        for (line, (_, name)) in AWAY_DAYS.iter().enumerate() {
            print!("  {name:<17}");
            for column in 0..PURCHASES.len() {
                let all = self.0.iter().map(|(_, customer)| customer);
                let cell = all.filter(|customer| band(customer) == (Some(line), Some(column)));
                let cents: u64 = cell.clone().map(|customer| customer.baskets.sum).sum();
                print!("{:>9}{:>10}", cell.count(), cents / 100);
            }
            println!();
        }
    }
}
