//! Nothing takes effect twice: a value is shown as often as it was written, at most.

use std::collections::BTreeMap;

use super::HistoryOf;
use super::fault::Fault;
use super::values::{Values, left};

const PROPERTY: &str = "nothing takes effect twice";

/// Checks everything that was shown. With values that name the client and the number of its ask,
/// each ask took effect at most once; [`lost`](super::lost) says the same of *at least* once.
///
/// # Errors
/// The first answer that shows a value too often.
pub(crate) fn check<M: Values>(model: &M, history: &HistoryOf<M>) -> Result<(), Fault> {
    for (_, numbers) in history.by_object() {
        let mut written: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for number in numbers.iter().copied() {
            if let Some(value) = left(model, &history.operations[number]) {
                written.entry(value).or_default().push(number);
            }
        }
        for number in numbers {
            let output = history.operations[number].output();
            let mut shown = output.map_or(Vec::new(), |output| model.shown(output).to_vec());
            shown.sort_unstable();
            for same in shown.chunk_by(|one, other| one == other) {
                // What nobody wrote is `made_up`'s to find.
                let writers = written.get(&same[0]).map_or(&[][..], Vec::as_slice);
                if same.len() > writers.len().max(1) {
                    let (value, times) = (same[0], writers.len());
                    let expected = format!("{value} at most {times} times, not {}", same.len());
                    let mut numbers = writers.to_vec();
                    numbers.push(number);
                    return Err(Fault::new(PROPERTY, history, numbers, expected));
                }
            }
        }
    }
    Ok(())
}
