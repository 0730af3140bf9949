//! Reminders of entities.

use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::{Calls, STARTED_AT, TestGrid, TestGridBuilder};
use fastness::{AskError, EntityOptions, Limits, Missed, When};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Is reminded, and remembers when it was: in seconds since the test began.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Sleeper {
    rung: Vec<u64>,
    bad: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Policy {
    Once,
    Each(u32),
    Skip,
}

#[handlers]
impl Sleeper {
    fn sleep(&mut self, name: String, seconds: u64, cx: &mut Context<Self>) {
        cx.remind(&name, When::after(Duration::from_secs(seconds)), SleeperRing {});
    }

    fn sleep_until(&mut self, seconds: u64, cx: &mut Context<Self>) {
        let at = STARTED_AT + Duration::from_secs(seconds);
        cx.remind("at", When::at(at), SleeperRing {});
    }

    fn repeat(&mut self, seconds: u64, missed: Policy, cx: &mut Context<Self>) {
        let missed = match missed {
            Policy::Once => Missed::Once,
            Policy::Each(most) => Missed::Each(most),
            Policy::Skip => Missed::Skip,
        };
        let when = When::every(Duration::from_secs(seconds)).missed(missed);
        cx.remind("again", when, SleeperRing {});
    }

    fn fail_to_sleep(&mut self, cx: &mut Context<Self>) -> Result<(), String> {
        cx.remind("no", When::after(SECOND), SleeperRing {});
        Err("no".to_owned())
    }

    /// So many reminders at once, each with so many bytes.
    fn plan(&mut self, reminders: u64, bytes: usize, cx: &mut Context<Self>) {
        for number in 0..reminders {
            let text = "x".repeat(bytes);
            cx.remind(&number.to_string(), When::after(HOUR), SleeperHear { text });
        }
    }

    fn hear(&mut self, text: String) {
        self.rung.push(text.len() as u64);
    }

    fn wake_up(&mut self, name: String, cx: &mut Context<Self>) {
        cx.cancel(&name);
    }

    fn ring(&mut self, cx: &mut Context<Self>) -> Result<(), String> {
        self.rung.push(cx.now().saturating_since(STARTED_AT).as_secs());
        if self.bad { Err("bad".to_owned()) } else { Ok(()) }
    }

    fn shatter(&mut self, cx: &mut Context<Self>) {
        cx.remind("shatter", When::after(SECOND), SleeperBreak {});
        cx.remind("after", When::after(2 * SECOND), SleeperRing {});
    }

    fn r#break(&mut self) {
        panic!("broken");
    }

    fn set_bad(&mut self, bad: bool) {
        self.bad = bad;
    }

    fn rest(&mut self, cx: &mut Context<Self>) {
        cx.passivate();
    }

    fn remove(&mut self, cx: &mut Context<Self>) {
        cx.remove();
    }

    #[read]
    fn rung(&self) -> Vec<u64> {
        self.rung.clone()
    }
}

fn sleepers() -> TestGridBuilder {
    TestGrid::builder().entity::<Sleeper>(EntityOptions::new().write_behind(SECOND))
}

fn count(grid: &TestGrid, series: &str) -> u64 {
    let text = grid.metrics();
    let line = text.lines().find(|line| line.starts_with(&format!("{series} ")));
    let value: f64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
    value as u64
}

fn firings(grid: &TestGrid, outcome: &str) -> u64 {
    count(grid, &format!("fastness_reminders_total{{outcome=\"{outcome}\"}}"))
}

#[test]
fn a_reminder_fires_at_its_time_and_once() {
    for builder in [sleepers(), sleepers().without_store()] {
        builder.run(async |grid| {
            let one = grid.entity::<Sleeper>(1);
            one.sleep("a".to_owned(), 60).await.unwrap();
            one.sleep("b".to_owned(), 90).await.unwrap();
            one.sleep_until(70).await.unwrap();
            grid.advance(59 * SECOND).await;
            assert_eq!(one.rung().await.unwrap(), []);
            grid.advance(HOUR).await;
            assert_eq!(one.rung().await.unwrap(), [60, 70, 90]);
            assert_eq!(firings(grid, "fired"), 3);
        });
    }
}

#[test]
fn a_reminder_is_replaced_cancelled_and_goes_with_its_entity() {
    sleepers().run(async |grid| {
        let (one, two) = (grid.entity::<Sleeper>(1), grid.entity::<Sleeper>(2));
        one.sleep("a".to_owned(), 60).await.unwrap();
        one.sleep("a".to_owned(), 30).await.unwrap();
        one.sleep("b".to_owned(), 40).await.unwrap();
        one.wake_up("b".to_owned()).await.unwrap();
        one.fail_to_sleep().await.unwrap().unwrap_err();
        two.sleep("a".to_owned(), 60).await.unwrap();
        two.remove().await.unwrap();
        grid.advance(HOUR).await;
        assert_eq!(one.rung().await.unwrap(), [30]);
        assert_eq!(firings(grid, "fired"), 1);
        assert_eq!(grid.stored::<Sleeper>(2).await.unwrap(), None);
    });
}

#[test]
fn reminders_survive_a_crash_and_fire_late() {
    sleepers().run(async |grid| {
        grid.entity::<Sleeper>(1).sleep("a".to_owned(), 60).await.unwrap();
        grid.entity::<Sleeper>(1).sleep("b".to_owned(), 7200).await.unwrap();
        grid.persisted().await.unwrap();
        grid.crash().await.unwrap();
        grid.advance(61 * SECOND).await;
        grid.persisted().await.unwrap();
        grid.leave().await.unwrap();
        grid.clock().advance(HOUR);
        grid.crash().await.unwrap();
        assert_eq!(grid.entity::<Sleeper>(1).rung().await.unwrap(), [60], "not again");
        grid.advance(HOUR).await;
        assert_eq!(grid.entity::<Sleeper>(1).rung().await.unwrap(), [60, 7200]);
    });
}

#[test]
fn what_a_repeated_reminder_has_missed_is_as_its_policy_says() {
    sleepers().run(async |grid| {
        let policies = [Policy::Once, Policy::Each(2), Policy::Skip];
        for (key, policy) in (0..).zip(policies) {
            grid.entity::<Sleeper>(key).repeat(10, policy).await.unwrap();
        }
        grid.advance(11 * SECOND).await;
        grid.persisted().await.unwrap();
        grid.leave().await.unwrap();
        grid.clock().advance(44 * SECOND); // 20, 30, 40, 50 are missed
        grid.crash().await.unwrap();
        grid.settle().await;
        let now = grid.clock().now().saturating_since(STARTED_AT).as_secs();
        assert!((55..60).contains(&now), "{now}");
        grid.advance(Duration::from_secs(61 - now)).await;
        let rung = async |key: u64| grid.entity::<Sleeper>(key).rung().await.unwrap();
        assert_eq!(rung(0).await, [10, now, 60]);
        assert_eq!(rung(1).await, [10, now, now, 60]);
        assert_eq!(rung(2).await, [10, 60]);
        assert_eq!(firings(grid, "missed"), 3 + 2 + 4);
    });
}

#[test]
fn a_refused_firing_is_consumed_and_one_that_panics_is_given_up_at_last() {
    sleepers().run(async |grid| {
        let (one, two) = (grid.entity::<Sleeper>(1), grid.entity::<Sleeper>(2));
        one.set_bad(true).await.unwrap();
        one.sleep("a".to_owned(), 60).await.unwrap();
        two.shatter().await.unwrap();
        grid.advance(HOUR).await;
        assert_eq!(one.rung().await.unwrap(), []);
        assert_eq!(two.rung().await.unwrap().len(), 1, "the other one has fired");
        let outcomes = ["refused", "undone", "given_up", "fired"];
        assert_eq!(outcomes.map(|outcome| firings(grid, outcome)), [1, 5, 1, 1]);
        grid.crash().await.unwrap();
        grid.advance(HOUR).await;
        assert_eq!(outcomes.map(|outcome| firings(grid, outcome)), [0; 4], "consumed for good");
    });
}

#[test]
fn one_that_panics_is_given_up_though_others_are_set_again_and_again() {
    sleepers().run(async |grid| {
        let one = grid.entity::<Sleeper>(1);
        one.shatter().await.unwrap();
        // Each ask puts off a reminder of its own, and must put no new life into the one that
        // panics.
        for _ in 0..600 {
            grid.advance(SECOND / 2).await;
            one.sleep("put off".to_owned(), 3600).await.unwrap();
        }
        assert_eq!(["undone", "given_up"].map(|outcome| firings(grid, outcome)), [5, 1]);
        assert_eq!(one.rung().await.unwrap().len(), 1, "the other one's turn has come");
    });
}

#[test]
fn an_entity_that_has_left_memory_comes_back_for_its_reminder() {
    sleepers().run(async |grid| {
        let one = grid.entity::<Sleeper>(1);
        one.sleep("a".to_owned(), 7200).await.unwrap();
        one.rest().await.unwrap();
        grid.advance(HOUR + 30 * 60 * SECOND).await;
        assert_eq!(count(grid, "fastness_entities{entity=\"sleeper\"}"), 0);
        grid.faults().fail(Calls::Loads);
        grid.advance(HOUR).await;
        assert_eq!(firings(grid, "fired"), 0);
        grid.faults().heal();
        grid.advance(HOUR).await;
        let rung = one.rung().await.unwrap();
        assert_eq!(rung.len(), 1);
        assert!(rung[0] >= 9000, "{rung:?}");
    });
}

#[test]
fn an_entity_has_so_many_reminders_at_most() {
    let limits = Limits { reminders_per_entity_max: 2, ..Limits::default() };
    sleepers().limits(limits).run(async |grid| {
        let one = grid.entity::<Sleeper>(1);
        one.sleep("a".to_owned(), 60).await.unwrap();
        one.sleep("b".to_owned(), 60).await.unwrap();
        let error = one.sleep("c".to_owned(), 60).await.unwrap_err();
        assert!(matches!(error, AskError::TooLarge { what: "reminders", .. }), "{error:?}");
        one.sleep("b".to_owned(), 90).await.unwrap(); // in place of the other
        grid.advance(HOUR).await;
        assert_eq!(one.rung().await.unwrap(), [60, 90]);
    });
}

/// Much is due at once, of entities that are away; the store takes its time.
#[test]
fn an_ask_does_not_wait_behind_the_loads_of_all_reminders_that_are_due() {
    sleepers().partitions(1).run(async |grid| {
        let sleepers = 1200;
        for key in 0..=sleepers {
            let sleeper = grid.entity::<Sleeper>(key);
            sleeper.sleep("a".to_owned(), if key == 0 { 7200 } else { 3600 }).await.unwrap();
            sleeper.rest().await.unwrap();
        }
        grid.advance(HOUR - 10 * SECOND).await;
        assert_eq!(count(grid, "fastness_entities{entity=\"sleeper\"}"), 0);
        grid.faults().slow(Calls::Loads, grid.clock(), SECOND);
        grid.advance(10 * SECOND).await; // all but the first
        let before = grid.faults().loads();
        let ask = grid.entity::<Sleeper>(0).ask(SleeperRung {}).deadline(3 * SECOND);
        assert_eq!(grid.complete(ask).await.unwrap(), []);
        assert!(grid.faults().loads() <= before + 2);
        assert!(firings(grid, "fired") < sleepers, "they are still at it");
        grid.advance(60 * SECOND).await;
        assert_eq!(firings(grid, "fired"), sleepers);
    });
}

#[test]
fn the_bound_of_what_waits_for_the_store_counts_reminders() {
    let limits = Limits { pending_bytes_max: 50_000, ..Limits::default() };
    sleepers().partitions(1).limits(limits).run(async |grid| {
        grid.faults().hold(Calls::Writes);
        for key in 0..5 {
            grid.entity::<Sleeper>(key).plan(10, 1000).await.unwrap();
        }
        let busy = grid.complete(grid.entity::<Sleeper>(9).plan(1, 1)).await;
        assert!(matches!(busy, Err(AskError::Busy(_))), "{busy:?}");
    });
}

/// What a store refuses has happened all the same.
#[test]
fn a_discarded_dead_letter_does_not_bring_back_a_reminder_that_has_fired() {
    for crashes in [false, true] {
        sleepers().run(async |grid| {
            let one = grid.entity::<Sleeper>(1);
            one.sleep("a".to_owned(), 60).await.unwrap();
            one.sleep("b".to_owned(), 600).await.unwrap();
            one.repeat(100, Policy::Once).await.unwrap();
            grid.persisted().await.unwrap();
            grid.faults().refuse_records(|row| &*row.key.entity_type == "sleeper");
            grid.advance(110 * SECOND).await;
            assert_eq!(one.rung().await.unwrap(), [60, 100]);
            one.wake_up("b".to_owned()).await.unwrap();
            grid.persisted().await.unwrap();
            if crashes {
                grid.crash().await.unwrap();
            }
            grid.faults().heal();
            let letters = grid.complete(grid.dead_letters().list()).await.unwrap();
            assert_eq!(letters.len(), 1);
            grid.complete(grid.dead_letters().discard(&letters[0].id)).await.unwrap();
            let one = grid.entity::<Sleeper>(1);
            assert_eq!(one.rung().await.unwrap(), [], "as the row says");
            grid.advance(80 * SECOND).await;
            assert_eq!(one.rung().await.unwrap(), [], "what has fired does not fire again");
            grid.advance(500 * SECOND).await;
            assert_eq!(one.rung().await.unwrap(), [200, 300, 400, 500, 600, 600]);
        });
    }
}
