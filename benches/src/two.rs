//! Two threads serve, two threads ask.

use std::num::NonZeroUsize;

use fastness::Threads;

use crate::local::{
    Counter, KEYS, counters, drive, on_another_thread, on_this_thread, sum, warm, without_sessions,
};
use crate::peers::on_actix;
use crate::report::{Report, Side};

/// Two threads serve, two threads ask, each half of the keys.
pub(crate) fn two_and_two(report: &mut Report) {
    let asks = report.amount(500_000);
    for in_flight in [64, 1024] {
        let sides: Vec<Side<'_>> = vec![
            ("ours", Box::new(|| two_of_ours(asks, in_flight))),
            ("actix 256", Box::new(|| two_of_actix(asks, in_flight))),
        ];
        let work = format!("two and two, {in_flight} in flight");
        let rounds = report.measure(work, "M asks/s", sides);
        report.compare(&rounds, "ours", "actix 256", Some(1.0));
    }
}

fn two_callers(call: impl Fn(u64) -> f64 + Send + Sync) -> f64 {
    std::thread::scope(|scope| {
        let callers = [0, 1].map(|caller| {
            scope.spawn({
                let call = &call;
                move || call(caller)
            })
        });
        callers.into_iter().map(|caller| caller.join().expect("no caller panics")).sum()
    })
}

fn two_of_ours(asks: usize, in_flight: usize) -> f64 {
    let two = NonZeroUsize::new(2).expect("two is not zero");
    let builder = counters(without_sessions(), Threads::PerCore(two));
    let grid = on_this_thread(async || {
        let grid = builder.start().await.expect("the grid starts");
        warm(&grid).await;
        grid
    });
    let rate = two_callers(|caller| {
        on_this_thread(async || {
            let grid = grid.clone();
            let ask = move |key: u64| {
                let ask = grid.entity::<Counter>(key / 2 * 2 + caller).increment();
                async move { ask.await.expect("the grid serves") }
            };
            drive(asks, in_flight, ask).await
        })
    });
    on_this_thread(async || {
        assert_eq!(sum(&grid).await, KEYS + 2 * (asks / in_flight * in_flight) as u64);
        grid.leave().await.expect("the grid ends");
    });
    rate
}

fn two_of_actix(asks: usize, in_flight: usize) -> f64 {
    use actix::Actor;
    let actors: Vec<Vec<actix::Addr<on_actix::Counting>>> = (0..2)
        .map(|_| {
            on_another_thread(|| async {
                (0..128).map(|_| on_actix::Counting::default().start()).collect()
            })
        })
        .collect();
    let rate = two_callers(|caller| {
        let actors = actors.clone();
        on_this_thread(async || {
            let actors = std::rc::Rc::new(actors);
            let ask = move |key: u64| {
                let key = key / 2 * 2 + caller;
                // Each caller's keys are spread over both threads.
                let thread = &actors[(key / 2 % 2) as usize];
                let ask = thread[(key / 4 % 128) as usize].send(on_actix::Add(key));
                async move { ask.await.expect("the actor lives") }
            };
            drive(asks, in_flight, ask).await
        })
    });
    let sum: u64 = on_this_thread(async || {
        let mut sum = 0;
        for actor in actors.iter().flatten() {
            sum += actor.send(on_actix::Sum).await.expect("the actor lives");
        }
        sum
    });
    assert_eq!(sum, 2 * (asks / in_flight * in_flight) as u64);
    rate
}
