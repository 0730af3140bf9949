//! Seeds in every test run, the proof that a seed says everything, and that bugs are seen.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Runs a seed; a panic in an engine is a broken invariant.
fn run_quietly(seed: u64, bug: Option<Bug>) -> Result<Vec<String>, Broken> {
    catch_unwind(AssertUnwindSafe(|| run(seed, bug))).unwrap_or_else(|panic| {
        let found = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        Err(Broken { property: "invariants", found, trace: Vec::new() })
    })
}

fn expect_sound(seed: u64) {
    if let Err(broken) = run_quietly(seed, None) {
        let last = broken.trace.len().saturating_sub(60);
        let short = |line: &String| line.chars().take(300).collect::<String>();
        let trace: Vec<_> = broken.trace[last..].iter().map(short).collect();
        let trace = trace.join("\n");
        panic!(
            "{trace}\nseed {seed}: {broken}\nreplay with: \
             FASTNESS_SEED={seed} cargo test --lib engine::sim::tests::one_seed -- --nocapture"
        );
    }
}

/// A number that the build was given, as `FASTNESS_SEEDS=100000 cargo test ..` does.
fn given(number: Option<&str>, otherwise: u64) -> u64 {
    number.map_or(otherwise, |number| number.parse().expect("seeds are numbers"))
}

#[test]
fn a_thousand_seeds() {
    (0..given(option_env!("FASTNESS_SEEDS"), 1_000)).for_each(expect_sound);
}

#[test]
fn one_seed() {
    expect_sound(given(option_env!("FASTNESS_SEED"), 0));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let [first, second] = [run(seed, None), run(seed, None)].map(|trace| trace.unwrap());
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(0, None).unwrap(), run(1, None).unwrap());
}

#[test]
fn seeds_meet_what_they_are_to_meet() {
    let traces: Vec<_> = (0..200).map(|seed| run(seed, None).unwrap()).collect();
    let met = |word: &str| traces.iter().flatten().filter(|line| line.contains(word)).count();
    for word in [
        "crash",
        " Answered",
        " Parked",
        "reply: Failed",
        "reply: Expired",
        "reply: Busy",
        " LateBatches",
        " HeardPersisted",
        "letters: [Row",
        "content: None",
    ] {
        println!("{word}: {}", met(word));
        assert!(met(word) > 20, "{word}");
    }
}

/// The first seed under which a bug breaks a property.
fn first_to_break(bug: Bug, property: &str) -> Option<(u64, Broken)> {
    let broken = |seed| run_quietly(seed, Some(bug)).err().filter(|b| b.property == property);
    (0..1_000).find_map(|seed| Some((seed, broken(seed)?)))
}

#[test]
fn every_known_bug_is_seen() {
    let expected = [
        (Bug::AckedBeforeStored, "acknowledged write-through is durable"),
        (Bug::ReadsNotHeld, "acknowledged write-through is durable"),
        (Bug::AnswersNotHeard, "exactly once"),
        (Bug::AnswersNotStored, "exactly once"),
        (Bug::FloorsNotStored, "exactly once"),
        (Bug::SessionsForgotten, "acknowledged write-through is durable"),
        (Bug::WatermarkOffByOne, "persisted is durable"),
        (Bug::DelayRestarted, "the store lags by the delay at most"),
        (Bug::EpochNotRaised, "versions only go up"),
        (Bug::FenceIgnored, "versions only go up"),
        (Bug::LettersNotRead, "acknowledged write-through is durable"),
        (Bug::NoBackPressure, "pending is bounded"),
        (Bug::FailureUnseen, "persisted is durable"),
    ];
    for (bug, property) in expected {
        let Some((seed, broken)) = first_to_break(bug, property) else {
            panic!("{bug:?} breaks nothing");
        };
        println!("{bug:?}: seed {seed}, {broken}");
    }
}
