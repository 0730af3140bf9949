//! What holds of every single answer: a count lies between what was acknowledged and what was
//! asked for; the balances of a bank add up.

use super::HistoryOf;
use super::fault::Fault;
#[cfg(test)]
use super::models::bank::Bank;
use super::models::counter::{Counter, Input};

/// Checks each count that was heard: at least all additions that had returned when it was asked
/// for, at most all that had been asked for when it was heard.
///
/// # Errors
/// The first count of the first object that is out of bounds.
pub(crate) fn counters(history: &HistoryOf<Counter>) -> Result<(), Fault> {
    history.by_object().iter().try_for_each(|(_, numbers)| counter(history, numbers))
}

fn counter(history: &HistoryOf<Counter>, numbers: &[usize]) -> Result<(), Fault> {
    let added = |number: usize| match history.operations[number].input {
        Input::Read => 0,
        Input::Add(amount) => amount,
    };
    let invoked = numbers.iter().map(|n| (history.operations[*n].invoked_at, added(*n)));
    let returned = numbers.iter().filter_map(|n| {
        history.operations[*n].returned_at().map(|returned_at| (returned_at, added(*n)))
    });
    let (invoked, returned) = (Sums::new(invoked.collect()), Sums::new(returned.collect()));
    for number in numbers.iter().copied() {
        let operation = &history.operations[number];
        let (Some(at), Some(count)) = (operation.returned_at(), operation.output()) else {
            continue;
        };
        // Its own addition is in its count.
        let least = returned.before(operation.invoked_at) + added(number);
        let most = invoked.before(at.saturating_add(1));
        if *count < least || *count > most {
            let expected = format!("a count from {least} to {most}");
            let property = "counts are what was asked for";
            return Err(Fault::new(property, history, vec![number], expected));
        }
    }
    Ok(())
}

/// Amounts by time, added up.
struct Sums(Vec<(u64, u64)>);

impl Sums {
    fn new(mut amounts: Vec<(u64, u64)>) -> Sums {
        amounts.sort_unstable();
        let mut sum = 0;
        for (_, amount) in &mut amounts {
            sum += *amount;
            *amount = sum;
        }
        Sums(amounts)
    }

    /// Everything before `time`.
    fn before(&self, time: u64) -> u64 {
        let end = self.0.partition_point(|(at, _)| *at < time);
        end.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// Checks that money is moved only, in every answer.
///
/// # Errors
/// The first answer whose balances do not add up.
#[cfg(test)]
pub(crate) fn banks(bank: &Bank, history: &HistoryOf<Bank>) -> Result<(), Fault> {
    for (number, operation) in history.operations.iter().enumerate() {
        let sum = operation.output().map(|output| output.balances.iter().sum::<u64>());
        if sum.is_some_and(|sum| sum != bank.total()) {
            let expected = format!("balances that add up to {}", bank.total());
            return Err(Fault::new("money is only moved", history, vec![number], expected));
        }
    }
    Ok(())
}
