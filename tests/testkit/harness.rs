//! One entity, without a grid.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::{EntityHarness, STARTED_AT};
use fastness::{Address, When};

use crate::{
    Counter, CounterAdd, CounterFail, CounterRemove, CounterRest, CounterSee, CounterValue, failure,
};

#[test]
fn a_message_changes_the_state_and_is_answered() {
    let mut counter = EntityHarness::<Counter>::new(7);
    assert!(!counter.exists());
    assert_eq!(counter.ask(CounterValue {}), 0);
    assert!(!counter.exists(), "reading makes nothing");
    assert_eq!(counter.ask(CounterAdd { by: 2 }), 2);
    assert_eq!(counter.ask(CounterAdd { by: 3 }), 5);
    assert_eq!(counter.state(), &Counter { value: 5 });
    assert_eq!(counter.stored(), Some(&b"\x81\xa5value\x05"[..]));
}

#[test]
fn a_handler_that_fails_or_panics_is_undone() {
    let mut counter = EntityHarness::<Counter>::with(7, Counter { value: 1 });
    let failed = counter.deliver(CounterFail { panics: false });
    assert!(failed.is_undone() && failed.panic().is_none());
    assert_eq!(failed.reply(), Err("not that".to_owned()));
    let panicked = counter.deliver(CounterFail { panics: true });
    assert!(panicked.is_undone());
    assert_eq!(panicked.panic(), Some("boom at 1001"));
    assert_eq!(counter.state(), &Counter { value: 1 });
    let message = failure(|| counter.ask(CounterFail { panics: true }));
    assert_eq!(message, "the handler of `fail` panicked: boom at 1001");
    let mut absent = EntityHarness::<Counter>::new(8);
    assert!(absent.deliver(CounterFail { panics: false }).is_undone());
    assert!(!absent.exists());
}

#[test]
fn removal_and_passivation_are_seen() {
    let mut counter = EntityHarness::<Counter>::with(7, Counter { value: 1 });
    let rested = counter.deliver(CounterRest {});
    assert!(rested.is_passivated() && !rested.is_removed());
    assert!(counter.exists());
    let removed = counter.deliver(CounterRemove {});
    assert!(removed.is_removed() && !removed.is_passivated());
    assert!(!counter.exists());
    assert_eq!(counter.state(), &Counter::default());
    assert_eq!(counter.ask(CounterAdd { by: 1 }), 1, "it is new");
}

#[test]
fn a_handler_sees_key_time_and_request() {
    let mut counter = EntityHarness::<Counter>::new(7);
    let started = STARTED_AT.as_micros();
    assert_eq!(counter.ask(CounterSee {}), (7, started, Some(1)));
    counter.advance(Duration::from_secs(1));
    assert_eq!(counter.ask(CounterValue {}), 0, "a read has no number");
    assert_eq!(counter.ask(CounterSee {}), (7, started + 1_000_000, Some(2)));
    counter.set_time(STARTED_AT + Duration::from_secs(60));
    assert_eq!(counter.ask(CounterSee {}), (7, started + 60_000_000, Some(3)));
    let message = failure(|| counter.set_time(STARTED_AT));
    assert!(message.contains("never goes back"), "{message}");
}

/// Sends and is reminded.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = u64)]
struct Caller {
    calls: u64,
}

#[handlers]
impl Caller {
    fn call(&mut self, fails: bool, cx: &mut Context<Self>) -> Result<(), String> {
        cx.send(Address::<Counter>::of(8), CounterAdd { by: 2 });
        cx.remind("again", When::every(Duration::from_secs(60)), CallerCall { fails: false });
        cx.remind("stop", When::after(Duration::from_secs(90)), CallerStop {});
        self.calls += 1;
        if fails { Err("no".to_owned()) } else { Ok(()) }
    }

    fn stop(&mut self, cx: &mut Context<Self>) {
        cx.cancel("again");
    }

    fn remove(&mut self, cx: &mut Context<Self>) {
        cx.remove();
    }
}

#[test]
fn what_is_sent_and_set_is_seen() {
    let mut caller = EntityHarness::<Caller>::new(7);
    let failed = caller.deliver(CallerCall { fails: true });
    assert!(failed.sent().is_empty() && caller.reminders().is_empty());

    let called = caller.deliver(CallerCall { fails: false });
    assert_eq!(called.sent().len(), 1);
    let sent = &called.sent()[0];
    assert!(sent.is_to::<Counter>(8) && !sent.is_to::<Counter>(9) && !sent.is_to::<Caller>(8));
    assert_eq!(sent.message::<Counter, CounterAdd>().unwrap().by, 2);
    assert!(sent.message::<Counter, CounterValue>().is_none());

    let reminders = caller.reminders();
    assert_eq!(reminders.len(), 2);
    assert_eq!((reminders[0].name(), reminders[1].name()), ("again", "stop"));
    assert!(reminders[0].is::<CallerCall>() && !reminders[0].is::<CallerStop>());
    assert_eq!(reminders[0].every(), Some(Duration::from_secs(60)));
    assert_eq!(reminders[1].due_at(), STARTED_AT + Duration::from_secs(90));

    assert_eq!(caller.fire("again").sent().len(), 1);
    assert_eq!((caller.state().calls, caller.now()), (2, STARTED_AT + Duration::from_secs(60)));
    assert!(!caller.fire("stop").is_undone());
    assert!(caller.reminders().is_empty());
    assert!(failure(|| caller.fire("stop")).contains("no reminder `stop`"));
    caller.ask(CallerCall { fails: false }).unwrap();
    caller.ask(CallerRemove {});
    assert!(caller.reminders().is_empty());
}

/// What survives nothing.
#[derive(Clone, Default, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing)]
    value: u64,
}

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Leaky {
    kept: HashMap<u64, u64>,
    #[serde(skip)]
    lost: u64,
    one_way: Option<OneWay>,
    ordered: BTreeMap<u64, u64>,
}

#[handlers]
impl Leaky {
    fn fill(&mut self) -> u64 {
        self.kept = (0..100).map(|key| (key, key)).collect();
        self.lost += 1;
        self.lost
    }

    fn break_state(&mut self) {
        self.one_way = Some(OneWay { value: 1 });
    }

    fn take(&mut self, _message: OneWay) {}

    fn give(&mut self) -> Option<OneWay> {
        let value = self.one_way.as_ref().map_or(1, |one_way| one_way.value);
        Some(OneWay { value })
    }

    #[read]
    fn sizes(&self) -> (usize, usize) {
        (self.kept.len(), self.ordered.len())
    }
}

#[test]
fn what_does_not_survive_storage_fails_the_test() {
    let mut leaky = EntityHarness::<Leaky>::new(1);
    assert_eq!(leaky.ask(LeakyFill {}), 1);
    assert_eq!(leaky.ask(LeakyFill {}), 1, "what is skipped is forgotten between messages");
    assert_eq!(leaky.ask(LeakySizes {}), (100, 0), "a hash map has no order of its own");
    let message = failure(|| leaky.ask(LeakyBreakState {}));
    assert!(message.starts_with("state of `leaky` 1 is encoded, but cannot"), "{message}");
    let message = failure(|| leaky.ask(LeakyTake { _message: OneWay { value: 1 } }));
    assert!(message.starts_with("message `take` is encoded, but cannot"), "{message}");
    let message = failure(|| leaky.ask(LeakyGive {}));
    assert!(message.starts_with("reply to `give` is encoded, but cannot"), "{message}");
}

/// Comes back as something else each time.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
struct Shifting {
    #[serde(serialize_with = "one_more")]
    value: u64,
}

fn one_more<S: serde::Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(value + 1)
}

#[handlers]
impl Shifting {
    fn touch(&mut self) {}
}

#[test]
fn what_comes_back_changed_fails_the_test() {
    let message = failure(|| EntityHarness::<Shifting>::new(1).ask(ShiftingTouch {}));
    assert!(message.starts_with("state of `shifting` 1 comes back changed"), "{message}");
}
