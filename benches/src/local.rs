//! Asks within one process: increment one of 100,000 counters and return it, or read it.

use std::num::NonZeroUsize;

use fastness::{EntityOptions, Threads};

use crate::load::{
    Counts, Load, What, on_another_thread, on_this_thread, rate, rate_here, rate_of_two,
};
use crate::ours::{Ours, grid, without_sessions};
use crate::peers::Counters;
use crate::peers::on_actix::{self, OnActix};
use crate::peers::on_kameo::{self, OnKameo};
use crate::peers::on_ractor::{self, OnRactor};
use crate::peers::with_a_channel::{self, WithAChannel};
use crate::report::{Found, Report, Rounds, Side};
use crate::stored;

const IN_FLIGHT: [usize; 3] = [1, 64, 1024];

pub(crate) fn run(report: &mut Report) {
    for in_flight in IN_FLIGHT {
        same_thread(report, in_flight);
    }
    for in_flight in IN_FLIGHT {
        other_thread(report, in_flight);
    }
    for in_flight in IN_FLIGHT {
        two_and_two(report, in_flight);
    }
    stored::run(report);
}

/// Everything in one thread's task set, callers included.
fn same_thread(report: &mut Report, in_flight: usize) {
    let asks = report.amount(if in_flight == 1 { 300_000 } else { 1_000_000 });
    let [adds, gets] = [What::Add, What::Get].map(|what| Load::new(what, asks, in_flight));
    let ours = |options, load| {
        on_this_thread(async || {
            rate_here(Ours::start(grid(options, Threads::Current)).await, load).await
        })
    };
    let actix = |actors, load| {
        on_this_thread(async || rate_here(OnActix::new(&on_actix::start(actors)), load).await)
    };
    let kameo =
        || on_this_thread(async || rate_here(OnKameo::new(&[on_kameo::start()]), adds).await);
    let ractor = || {
        on_this_thread(async || rate_here(OnRactor::new(&[on_ractor::start().await]), adds).await)
    };
    let channel = || {
        on_this_thread(async || {
            rate_here(WithAChannel::new(&[with_a_channel::start()]), adds).await
        })
    };
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| ours(without_sessions(), adds))),
        ("ours with sessions", Box::new(|| ours(EntityOptions::new(), adds))),
        ("actix 1", Box::new(|| actix(1, adds))),
        ("actix 256", Box::new(|| actix(256, adds))),
        ("kameo 1", Box::new(kameo)),
        ("ractor 1", Box::new(ractor)),
        ("mpsc and oneshot", Box::new(channel)),
        ("plain call", Box::new(|| plain_calls(adds))),
        ("ours reading", Box::new(|| ours(without_sessions(), gets))),
        ("actix 256 reading", Box::new(|| actix(256, gets))),
    ];
    let rounds = report.measure(format!("same thread, {in_flight} in flight"), "M asks/s", sides);
    let aim = aim_at(in_flight);
    report.compare(&rounds, "ours", "kameo 1", aim(1.0));
    report.compare(&rounds, "ours", "ractor 1", aim(1.0));
    report.compare(&rounds, "ours", "actix 256", aim(1.0));
    report.compare(&rounds, "ours", "actix 1", aim(0.5));
    report.compare(&rounds, "ours", "mpsc and oneshot", None);
    report.compare(&rounds, "ours", "plain call", None);
    compare_beside(report, &rounds, in_flight);
}

/// One thread serves, another one asks.
fn other_thread(report: &mut Report, in_flight: usize) {
    let asks = report.amount(if in_flight == 1 { 30_000 } else { 500_000 });
    let [adds, gets] = [What::Add, What::Get].map(|what| Load::new(what, asks, in_flight));
    let ours = |options, load| {
        let there = Threads::PerCore(NonZeroUsize::MIN);
        on_this_thread(async || rate(Ours::start(grid(options, there)).await, load).await)
    };
    let actix = |actors, load| {
        let there = on_another_thread(async move || on_actix::start(actors));
        on_this_thread(async || rate(OnActix::new(&there.made), load).await)
    };
    let kameo = || {
        let there = on_another_thread(async || [on_kameo::start()]);
        on_this_thread(async || rate(OnKameo::new(&there.made), adds).await)
    };
    let ractor = || {
        let there = on_another_thread(async || [on_ractor::start().await]);
        on_this_thread(async || rate(OnRactor::new(&there.made), adds).await)
    };
    let channel = || {
        let there = on_another_thread(async || [with_a_channel::start()]);
        on_this_thread(async || rate(WithAChannel::new(&there.made), adds).await)
    };
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| ours(without_sessions(), adds))),
        ("ours with sessions", Box::new(|| ours(EntityOptions::new(), adds))),
        ("actix 1", Box::new(|| actix(1, adds))),
        ("actix 256", Box::new(|| actix(256, adds))),
        ("kameo 1", Box::new(kameo)),
        ("ractor 1", Box::new(ractor)),
        ("mpsc and oneshot", Box::new(channel)),
        ("ours reading", Box::new(|| ours(without_sessions(), gets))),
        ("actix 256 reading", Box::new(|| actix(256, gets))),
    ];
    let rounds = report.measure(format!("other thread, {in_flight} in flight"), "M asks/s", sides);
    let aim = aim_at(in_flight);
    report.compare(&rounds, "ours", "actix 256", aim(1.0));
    report.compare(&rounds, "ours", "mpsc and oneshot", aim(0.8));
    report.compare(&rounds, "ours", "actix 1", None);
    report.compare(&rounds, "ours", "kameo 1", None);
    report.compare(&rounds, "ours", "ractor 1", None);
    compare_beside(report, &rounds, in_flight);
}

/// Two threads serve, and two ask, each one half of the counters; so many in flight of each.
fn two_and_two(report: &mut Report, in_flight: usize) {
    let asks = report.amount(if in_flight == 1 { 30_000 } else { 500_000 });
    let [adds, gets] = [What::Add, What::Get].map(|what| Load::new(what, asks, in_flight));
    let ours = |options, load| {
        let two = Threads::PerCore(NonZeroUsize::MIN.saturating_add(1));
        let started = on_this_thread(async || Ours::start(grid(options, two)).await);
        let rate = rate_of_two(|| started.clone(), load);
        on_this_thread(async || started.end().await);
        rate
    };
    let actix = |per_thread, load| {
        let there = [(); 2].map(|()| on_another_thread(async move || on_actix::start(per_thread)));
        let actors = there.each_ref().map(|there| &there.made[..]).concat();
        rate_of_two(|| OnActix::new(&actors), load)
    };
    let channel = || {
        let there = [(); 2].map(|()| on_another_thread(async || with_a_channel::start()));
        let tasks = there.each_ref().map(|there| there.made.clone());
        rate_of_two(|| WithAChannel::new(&tasks), adds)
    };
    let sides: Vec<Side<'_>> = vec![
        ("ours", Box::new(|| ours(without_sessions(), adds))),
        ("ours with sessions", Box::new(|| ours(EntityOptions::new(), adds))),
        ("actix 2", Box::new(|| actix(1, adds))),
        ("actix 256", Box::new(|| actix(128, adds))),
        ("mpsc and oneshot", Box::new(channel)),
        ("ours reading", Box::new(|| ours(without_sessions(), gets))),
        ("actix 256 reading", Box::new(|| actix(128, gets))),
    ];
    let rounds = report.measure(format!("two and two, {in_flight} in flight"), "M asks/s", sides);
    let aim = aim_at(in_flight);
    report.compare(&rounds, "ours", "actix 256", aim(1.0));
    report.compare(&rounds, "ours", "mpsc and oneshot", aim(0.8));
    report.compare(&rounds, "ours", "actix 2", None);
    compare_beside(report, &rounds, in_flight);
}

/// Reads, and what sessions cost.
fn compare_beside(report: &mut Report, rounds: &Rounds, in_flight: usize) {
    report.compare(rounds, "ours reading", "actix 256 reading", aim_at(in_flight)(0.8));
    report.compare(rounds, "ours with sessions", "actix 256", None);
    report.compare(rounds, "ours with sessions", "ours", None);
}

/// One in flight has no aims: what is measured then is how fast a thread wakes.
fn aim_at(in_flight: usize) -> impl Fn(f64) -> Option<f64> {
    move |aim| (in_flight > 1).then_some(aim)
}

/// No actors at all, and nobody waits.
fn plain_calls(load: Load) -> Found {
    #[derive(Clone, Default)]
    struct Plain(std::rc::Rc<std::cell::RefCell<Counters>>);
    impl Counts for Plain {
        fn add(&self, key: u64) -> impl Future<Output = u64> + 'static {
            std::future::ready(self.0.borrow_mut().add(key))
        }

        fn get(&self, key: u64) -> impl Future<Output = u64> + 'static {
            std::future::ready(self.0.borrow().get(key))
        }
    }
    on_this_thread(async || rate_here(Plain::default(), load).await)
}
