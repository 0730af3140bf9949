//! What waits where a partition has no room for more messages, and what does not.

use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::{Calls, TestGrid, TestGridBuilder};
use fastness::{Address, AskError, EntityOptions, LeaveError, Limits};
use tokio::task::spawn_local;

use crate::messages::metric;

const SECOND: Duration = Duration::from_secs(1);

/// Passes messages on, and notes them.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Relay {
    noted: Vec<u64>,
    is_stuck: bool,
}

#[handlers]
impl Relay {
    /// Has another note something.
    fn send(&mut self, to: u64, text: u64, cx: &mut Context<Self>) {
        cx.send(Address::<Relay>::of(to), RelayNote { text });
    }

    /// Has another have a third note something.
    fn send_over(&mut self, over: u64, to: u64, text: u64, cx: &mut Context<Self>) {
        cx.send(Address::<Relay>::of(over), RelayForward { to, text });
    }

    fn forward(&mut self, to: u64, text: u64, cx: &mut Context<Self>) {
        self.noted.push(text);
        cx.send(Address::<Relay>::of(to), RelayNote { text });
    }

    fn note(&mut self, text: u64) {
        assert!(!self.is_stuck, "stuck");
        self.noted.push(text);
    }

    /// Plays so many balls to another, each of which comes back so many times.
    fn serve(&mut self, to: u64, balls: u64, times: u64, cx: &mut Context<Self>) {
        for _ in 0..balls {
            let from = *cx.key();
            cx.send(Address::<Relay>::of(to), RelayPlay { from, times });
        }
    }

    fn play(&mut self, from: u64, times: u64, cx: &mut Context<Self>) {
        self.noted.push(times);
        if times > 0 {
            let back = RelayPlay { from: *cx.key(), times: times - 1 };
            cx.send(Address::<Relay>::of(from), back);
        }
    }

    /// Has another note much.
    fn send_much(&mut self, to: u64, bytes: u64, cx: &mut Context<Self>) {
        cx.send(Address::<Relay>::of(to), RelayHear { text: "x".repeat(bytes as usize) });
    }

    fn hear(&mut self, text: String) {
        self.noted.push(text.len() as u64);
    }

    fn set_stuck(&mut self, stuck: bool) {
        self.is_stuck = stuck;
    }

    #[read]
    fn noted(&self) -> Vec<u64> {
        self.noted.clone()
    }
}

/// A message that fails is tried again each minute, and meanwhile those behind it wait.
fn relays(limits: Limits) -> TestGridBuilder {
    let (retry_min, retry_max) = (60 * SECOND, 60 * SECOND);
    let limits = Limits { message_attempts_max: 1000, retry_min, retry_max, ..limits };
    let builder = TestGrid::builder().partitions(64).limits(limits).without_store();
    builder.entity::<Relay>(EntityOptions::new())
}

async fn noted(grid: &TestGrid, key: u64) -> Vec<u64> {
    grid.entity::<Relay>(key).noted().await.unwrap()
}

async fn quiet(grid: &TestGrid) {
    grid.advance_until(async || metric(grid, "fastness_outbox_messages") == 0).await;
}

/// Of so few partitions that those of these keys are full of messages to each other, and of
/// others that play with both all the time.
#[test]
fn two_partitions_with_full_outboxes_towards_each_other() {
    let limits = Limits { outbox_messages_max: 2, ..Limits::default() };
    let builder = TestGrid::builder().partitions(4).limits(limits);
    let builder = builder.default_deadline(3600 * SECOND);
    builder.entity::<Relay>(EntityOptions::new()).run(async |grid| {
        let (balls, times) = (2, 20);
        let serve = |key: u64| {
            let to = (key * 7 + 3) % 12;
            spawn_local(grid.entity::<Relay>(key % 12).serve(to, balls, times).into_future())
        };
        let serves: Vec<_> = (0..60).map(serve).collect();
        for serve in serves {
            grid.complete(serve).await.unwrap().unwrap();
        }
        quiet(grid).await;
        let mut played = 0;
        for key in 0..12 {
            played += noted(grid, key).await.len() as u64;
        }
        assert_eq!(played, 60 * balls * (times + 1));
    });
}

#[test]
fn what_sends_nothing_passes_a_full_outbox_and_what_sends_is_put_aside() {
    relays(Limits { outbox_messages_max: 4, ..Limits::default() }).run(async |grid| {
        let (full, stuck, one, other) = (1, 2, 3, 4);
        grid.entity::<Relay>(stuck).set_stuck(true).await.unwrap();
        for text in 0..4 {
            grid.entity::<Relay>(full).send(stuck, text).await.unwrap();
        }
        grid.entity::<Relay>(one).send(full, 10).await.unwrap();
        grid.entity::<Relay>(one).send_over(full, stuck, 11).await.unwrap();
        grid.entity::<Relay>(one).send(full, 12).await.unwrap();
        grid.entity::<Relay>(other).send(full, 20).await.unwrap();
        grid.settle().await;
        assert_eq!(noted(grid, full).await, [10, 20], "11 waits for room, and 12 for 11");
        grid.entity::<Relay>(stuck).set_stuck(false).await.unwrap();
        quiet(grid).await;
        assert_eq!(noted(grid, full).await, [10, 20, 11, 12]);
        assert_eq!(noted(grid, stuck).await, [0, 1, 2, 3, 11]);
        assert_eq!(metric(grid, "fastness_messages_total{outcome=\"applied\"}"), 9);
    });
}

#[test]
fn a_slow_receiver_does_not_keep_asks_from_sending_to_others() {
    let limits = Limits { outbox_messages_per_receiver_max: 2, ..Limits::default() };
    relays(limits).run(async |grid| {
        let (from, stuck, other) = (1, 2, 3);
        grid.entity::<Relay>(stuck).set_stuck(true).await.unwrap();
        for text in 0..2 {
            grid.entity::<Relay>(from).send(stuck, text).await.unwrap();
        }
        let busy = grid.entity::<Relay>(from).ask(RelaySend { to: stuck, text: 3 });
        let busy = spawn_local(busy.deadline(SECOND).into_future());
        grid.settle().await;
        assert!(!busy.is_finished());
        grid.entity::<Relay>(5).send(other, 0).await.unwrap();
        grid.advance(SECOND).await;
        let error = busy.await.unwrap().unwrap_err();
        let AskError::Busy(message) = error else { panic!("{error:?}") };
        assert_eq!((message.to, message.text), (stuck, 3), "the message comes back");
        for text in 10..20 {
            grid.entity::<Relay>(from).send(other, text).await.unwrap();
        }
        grid.settle().await;
        assert_eq!(noted(grid, other).await.len(), 11);
        grid.entity::<Relay>(stuck).set_stuck(false).await.unwrap();
        quiet(grid).await;
        assert_eq!(noted(grid, stuck).await, [0, 1]);
    });
}

#[test]
fn asks_that_wait_for_the_outbox_leave_their_places_to_others() {
    let (places, outbox) = (4, 2);
    let limits =
        Limits { asks_per_partition_max: places, outbox_messages_max: outbox, ..Limits::default() };
    relays(limits).partitions(1).run(async |grid| {
        let (from, stuck) = (1, 2);
        grid.entity::<Relay>(stuck).set_stuck(true).await.unwrap();
        for text in 0..2 {
            grid.entity::<Relay>(from).send(stuck, text).await.unwrap();
        }
        let send = |text| {
            let send = grid.entity::<Relay>(10 + text).ask(RelaySend { to: stuck, text });
            spawn_local(send.deadline(3600 * SECOND).into_future())
        };
        let sends: Vec<_> = (2..20).map(send).collect();
        grid.settle().await;
        assert!(sends.iter().all(|send| !send.is_finished()));
        let note = grid.entity::<Relay>(3).ask(RelayNote { text: 5 });
        spawn_local(note.deadline(SECOND).into_future()).await.unwrap().unwrap();
        // Of an entity whose ask waits: in order.
        let late = grid.entity::<Relay>(12).ask(RelayNote { text: 6 });
        let late = spawn_local(late.deadline(3600 * SECOND).into_future());
        grid.settle().await;
        assert!(!late.is_finished());
        grid.entity::<Relay>(stuck).set_stuck(false).await.unwrap();
        for send in sends {
            grid.complete(send).await.unwrap().unwrap();
        }
        late.await.unwrap().unwrap();
        quiet(grid).await;
        assert_eq!(noted(grid, stuck).await, (0..20).collect::<Vec<_>>(), "in their order");
        assert_eq!(noted(grid, 3).await, [5]);
    });
}

/// More than may wait without a place: those wait outside, until their deadline.
#[test]
fn a_crowd_of_asks_that_wait_for_the_outbox_is_bounded() {
    let (asks_per_partition_max, outbox_messages_max) = (4, 2);
    let limits = Limits { asks_per_partition_max, outbox_messages_max, ..Limits::default() };
    relays(limits).partitions(1).run(async |grid| {
        let stuck = 2;
        grid.entity::<Relay>(stuck).set_stuck(true).await.unwrap();
        for text in 0..2 {
            grid.entity::<Relay>(1).send(stuck, text).await.unwrap();
        }
        let send = |text, patience| {
            let send = grid.entity::<Relay>(10 + text).ask(RelaySend { to: stuck, text });
            spawn_local(send.deadline(patience).into_future())
        };
        let patient: Vec<_> = (2..40).map(|text| send(text, 3600 * SECOND)).collect();
        grid.settle().await;
        let hasty = send(100, SECOND);
        // A read is none of them.
        assert_eq!(noted(grid, 3).await, []);
        grid.advance(SECOND).await;
        assert!(matches!(hasty.await.unwrap(), Err(AskError::Busy(RelaySend { text: 100, .. }))));
        grid.entity::<Relay>(stuck).set_stuck(false).await.unwrap();
        for send in patient {
            grid.complete(send).await.unwrap().unwrap();
        }
        quiet(grid).await;
        assert_eq!(noted(grid, stuck).await.len(), 40);
    });
}

#[test]
fn the_bound_of_what_waits_for_the_store_counts_messages() {
    let limits = Limits { pending_bytes_max: 50_000, ..Limits::default() };
    let builder = TestGrid::builder().partitions(1).limits(limits);
    builder.entity::<Relay>(EntityOptions::new()).run(async |grid| {
        grid.faults().hold(Calls::Writes);
        for key in 0..5 {
            grid.entity::<Relay>(key).send_much(9, 10_000).await.unwrap();
        }
        let busy = grid.complete(grid.entity::<Relay>(6).send_much(9, 1)).await;
        assert!(matches!(busy, Err(AskError::Busy(_))), "{busy:?}");
        grid.faults().heal();
        quiet(grid).await;
        assert_eq!(noted(grid, 9).await, [10_000; 5]);
    });
}

/// All that follows from what was asked before is in the store when the grid is left.
#[test]
fn leaving_lets_messages_arrive_and_stores_what_they_do() {
    let builder = TestGrid::builder().partitions(4);
    let hour = EntityOptions::new().write_behind(3600 * SECOND);
    builder.entity::<Relay>(hour).run(async |grid| {
        grid.entity::<Relay>(1).serve(2, 3, 99).await.unwrap();
        grid.leave().await.unwrap();
        let noted = async |key| grid.stored::<Relay>(key).await.unwrap().unwrap().noted.len();
        assert_eq!((noted(1).await, noted(2).await), (150, 150));
    });
}

/// One that does not arrive stays with its sender.
#[test]
fn leaving_does_not_wait_for_ever_for_a_message_and_it_goes_on_afterwards() {
    let (retry_min, retry_max) = (60 * SECOND, 60 * SECOND);
    let limits = Limits { retry_min, retry_max, ..Limits::default() };
    let builder = TestGrid::builder().limits(limits.clone());
    builder.entity::<Relay>(EntityOptions::new()).run(async |grid| {
        grid.entity::<Relay>(2).set_stuck(true).await.unwrap();
        grid.entity::<Relay>(1).send(2, 7).await.unwrap();
        let before = grid.clock().now();
        grid.leave().await.unwrap();
        let waited = grid.clock().now().saturating_since(before);
        assert!(waited <= limits.leave_max / 2 + SECOND, "{waited:?}");
        grid.crash().await.unwrap();
        grid.entity::<Relay>(2).set_stuck(false).await.unwrap();
        quiet(grid).await;
        assert_eq!(noted(grid, 2).await, [7]);
    });
    relays(Limits::default()).run(async |grid| {
        grid.entity::<Relay>(2).set_stuck(true).await.unwrap();
        grid.entity::<Relay>(1).send(2, 7).await.unwrap();
        assert_eq!(grid.leave().await, Err(LeaveError::Undelivered { messages: 1 }));
    });
}
