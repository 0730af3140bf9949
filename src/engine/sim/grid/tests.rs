//! Seeds.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::engine::breakage::{self, Breakage};

#[test]
fn seeds_pass() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    let from = std::env::var("FROM").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(0);
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for seed in from..from + seeds {
        match run(seed, None) {
            Ok(summary) => {
                total.steps += summary.steps;
                total.acknowledged += summary.acknowledged;
                total.indeterminate += summary.indeterminate;
                total.promotions += summary.promotions;
                for (name, count) in summary.faults {
                    *total.faults.entry(name).or_default() += count;
                }
            }
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    println!("{total:?}");
    assert!(failures.is_empty(), "{} of {seeds}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let result = run(seed, Some(Box::new(|line| println!("{line}"))));
    println!("{result:?}");
}

#[test]
fn a_seed_runs_the_same_twice() {
    for seed in 0..5 {
        let trace = |seed| {
            let lines = Rc::new(RefCell::new(Vec::new()));
            let kept = Rc::clone(&lines);
            let summary =
                run(seed, Some(Box::new(move |line| kept.borrow_mut().push(line.to_owned()))));
            (summary, lines.take())
        };
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn breakages_are_found() {
    let Some(seeds) = std::env::var("BREAK").ok().and_then(|seeds| seeds.parse().ok()) else {
        return;
    };
    for breakage in Breakage::ALL {
        let found =
            (0..seeds).find_map(|seed| breakage::with(Some(*breakage), || run(seed, None)).err());
        println!("{breakage:?}: {}", found.map_or("NOT FOUND".to_owned(), |it| it.to_string()));
    }
}
