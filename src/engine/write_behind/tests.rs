//! The rules of the queue, one by one. Times are milliseconds since the start.

use super::*;
use crate::engine::id::{Epoch, Version};
use crate::engine::replica::primary::Change;

const SECOND: u64 = 1_000;

const CONFIG: Config = Config {
    batch_records_max: 4,
    batch_bytes_max: 100,
    pending_records_max: 20,
    pending_bytes_max: 1_000,
    pending_age_max: Duration::from_secs(60),
    retry_min: Duration::from_millis(100),
    retry_max: Duration::from_secs(10),
};

/// A queue, with what it wants done since the last look.
struct Queue {
    queue: WriteBehind,
    now: Instant,
    effects: Vec<Effect>,
}

fn queue() -> Queue {
    Queue::new(CONFIG)
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn id(slot: u32) -> EntityId {
    EntityId { kind: 0, slot }
}

fn version(seq: u64) -> Version {
    Version::new(1, seq, 0)
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}

fn unavailable() -> Failure {
    Failure::Unavailable { reason: "down".to_owned() }
}

impl Queue {
    fn new(config: Config) -> Queue {
        Queue { queue: WriteBehind::new(config, 1), now: at(0), effects: Vec::new() }
    }

    fn step(&mut self, event: Event) {
        self.queue.step(self.now, event, &mut self.effects);
    }

    fn change(&mut self, slot: u32, seq: u64, delay: u64) {
        self.change_of(slot, seq, delay, 10);
    }

    fn change_of(&mut self, slot: u32, seq: u64, delay: u64, bytes: u64) {
        let delay = Duration::from_millis(delay);
        let change = Change { entity: id(slot), version: version(seq), bytes, delay };
        self.step(Event::Changed(change));
    }

    fn tick(&mut self, millis: u64) {
        self.now = at(millis);
        self.step(Event::Tick);
    }

    /// Ticks at the next deadline.
    fn wake(&mut self) {
        self.now = self.queue.next_deadline().unwrap();
        self.step(Event::Tick);
    }

    fn answer(&mut self, outcomes: &[Outcome]) {
        let batch = self.queue.last_batch;
        self.step(Event::Answered { batch, outcomes: outcomes.to_vec() });
    }

    fn fail(&mut self, failure: Failure) {
        let batch = self.queue.last_batch;
        self.step(Event::Failed { batch, failure });
    }

    /// The effects since the last look, one word each: `w1@3` writes slot 1 at seq 3, `d` writes
    /// its dead letter, `s` is stored, `x` parked, `p` persisted, `r` retrying.
    fn seen(&mut self) -> String {
        let words = self.effects.drain(..).map(|effect| match effect {
            Effect::Write { entries, .. } => {
                let word = |entry: &Entry| {
                    let kind = if entry.parking.is_some() { 'd' } else { 'w' };
                    format!("{kind}{}@{}", entry.entity.slot, entry.version.position.seq.0)
                };
                entries.iter().map(word).collect::<Vec<_>>().join(" ")
            }
            Effect::Stored { entity, version } => {
                format!("s{}@{}", entity.slot, version.position.seq.0)
            }
            Effect::Parked { entity, version, parking } => format!(
                "x{}@{} ({}, {})",
                entity.slot, version.position.seq.0, parking.reason, parking.attempts
            ),
            Effect::Retrying { failures, .. } => format!("r{failures}"),
            Effect::Persisted { seq } => format!("p{}", seq.0),
            Effect::Fenced { by } => format!("fenced by {by}"),
            Effect::Violated(violation) => violation.to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn write_through_is_due_at_once_and_changes_made_together_go_together() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.change(2, 1, 0);
    assert_eq!(queue.seen(), "");
    assert_eq!(queue.queue.next_deadline(), Some(at(0)));
    queue.tick(0);
    assert_eq!(queue.seen(), "w1@1 w2@1");
    assert_eq!(queue.queue.next_deadline(), None);
    queue.answer(&[Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@1 s2@1 p1");
    assert_eq!(queue.queue.pending_records(), 0);
    assert_eq!((queue.queue.pending_records(), queue.queue.pending_bytes()), (0, 0));
    assert_eq!((queue.queue.next_deadline(), queue.queue.oldest_at()), (None, None));
}

#[test]
fn changes_coalesce_and_the_first_one_starts_the_delay() {
    let mut queue = queue();
    queue.change(1, 1, SECOND);
    for (seq, millis) in [(2, 300), (3, 600), (4, 999)] {
        queue.tick(millis);
        queue.change(1, seq, SECOND);
    }
    assert_eq!(queue.queue.next_deadline(), Some(at(SECOND)));
    queue.tick(SECOND - 1);
    assert_eq!(queue.seen(), "");
    queue.tick(SECOND);
    assert_eq!(queue.seen(), "w1@4");
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@4 p4");
}

#[test]
fn a_later_change_may_make_an_entity_due_earlier_but_not_later() {
    let mut queue = queue();
    queue.change(1, 1, SECOND);
    queue.change(1, 2, 500);
    queue.change(1, 3, 5 * SECOND);
    assert_eq!(queue.queue.next_deadline(), Some(at(500)));
}

#[test]
fn what_changed_during_its_write_stays_pending_from_that_change_on() {
    let mut queue = queue();
    queue.change(1, 1, SECOND);
    queue.tick(SECOND);
    queue.tick(1_200);
    queue.change(1, 2, SECOND);
    queue.tick(1_500);
    queue.change(1, 3, SECOND);
    assert_eq!(queue.queue.oldest_at(), Some(at(0)));
    queue.answer(&[Outcome::Stored]);
    // Seq 1 is durable, 2 is not, though only 3 will ever be written.
    assert_eq!(queue.seen(), "w1@1 s1@1 p1");
    assert_eq!(queue.queue.oldest_at(), Some(at(1_200)));
    assert_eq!(queue.queue.next_deadline(), Some(at(2_200)));
    queue.wake();
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@3 s1@3 p3");
}

#[test]
fn the_watermark_is_below_the_oldest_change_that_is_not_durable() {
    let mut queue = queue();
    queue.change(1, 1, 5 * SECOND);
    queue.change(2, 2, 0);
    queue.change(3, 2, 5 * SECOND);
    queue.change(2, 3, 0);
    queue.tick(0);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w2@3 s2@3"); // 1 is not stored
    queue.change(4, 4, 0);
    queue.tick(5 * SECOND);
    queue.answer(&[refused("no"), Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "w4@4 w1@1 w3@2 s1@1 s3@2 p3 d4@4");
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "x4@4 (no, 1) p4");
}

#[test]
fn batches_are_bounded_by_records_and_by_bytes_and_one_goes_at_a_time() {
    let mut queue = queue();
    (1..=5).for_each(|slot| queue.change(slot, u64::from(slot), 0));
    queue.change_of(6, 6, 0, 60);
    queue.change_of(7, 7, 0, 40);
    queue.change_of(8, 8, 0, 500); // alone over the bound: goes alone
    queue.tick(0);
    queue.tick(0);
    assert_eq!(queue.seen(), "w1@1 w2@2 w3@3 w4@4");
    queue.answer(&[Outcome::Stored, Outcome::Stored, Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@1 s2@2 s3@3 s4@4 p4 w5@5 w6@6");
    queue.answer(&[Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "s5@5 s6@6 p6 w7@7");
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "s7@7 p7 w8@8");
}

#[test]
fn a_transient_failure_is_retried_for_ever_with_growing_waits() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    for failures in 1..50u32 {
        let failed_at = queue.now;
        queue.fail(unavailable());
        let wait = queue.queue.next_deadline().unwrap().saturating_since(failed_at);
        let whole = Duration::from_millis(100 * (1 << (failures - 1).min(10)));
        let whole = whole.min(CONFIG.retry_max);
        assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
        queue.step(Event::Flush); // does not break the back-off
        assert_eq!(
            queue.seen(),
            format!("{}r{failures}", if failures == 1 { "w1@1 " } else { "" })
        );
        queue.wake();
        assert_eq!(queue.seen(), "w1@1");
    }
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@1 p1");
    // The next failure is a first one again.
    queue.change(1, 2, 0);
    queue.step(Event::Tick);
    queue.fail(unavailable());
    assert_eq!(queue.seen(), "w1@2 r1");
}

#[test]
fn the_same_entities_are_tried_again_in_their_newest_version() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.change(2, 2, 0);
    queue.tick(0);
    queue.change(1, 3, SECOND);
    queue.fail(unavailable());
    queue.change(3, 4, 0);
    queue.change(2, 5, SECOND);
    assert_eq!(queue.seen(), "w1@1 w2@2 r1");
    queue.wake();
    assert_eq!(queue.seen(), "w1@3 w2@5");
    queue.answer(&[Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@3 s2@5 p3 w3@4");
}

#[test]
fn a_group_that_grew_over_the_bound_is_cut() {
    let mut queue = queue();
    (1..=3).for_each(|slot| queue.change(slot, u64::from(slot), 0));
    queue.tick(0);
    queue.fail(unavailable());
    queue.change_of(2, 4, 0, 95);
    assert_eq!(queue.seen(), "w1@1 w2@2 w3@3 r1");
    queue.wake();
    queue.answer(&[Outcome::Stored]);
    queue.answer(&[Outcome::Stored]);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@1 s1@1 p1 w2@4 s2@4 p2 w3@3 s3@3 p4");
}

#[test]
fn a_refused_batch_is_halved_until_the_culprit_is_alone_and_parked() {
    let mut queue = queue();
    (1..=4).for_each(|slot| queue.change(slot, u64::from(slot), 0));
    queue.change(5, 5, 0);
    queue.tick(0);
    let culprit = || Failure::Refused { reason: "row 3 is poison".to_owned() };
    queue.fail(culprit());
    assert_eq!(queue.seen(), "w1@1 w2@2 w3@3 w4@4 w1@1 w2@2");
    queue.answer(&[Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "s1@1 s2@2 p2 w3@3 w4@4");
    queue.fail(culprit());
    queue.fail(culprit());
    assert_eq!(queue.seen(), "w3@3 w4@4");
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "s4@4 d3@3");
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "x3@3 (row 3 is poison, 3) p4 w5@5");
}

#[test]
fn a_superseded_record_is_parked_with_the_version_that_was_found() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.answer(&[Outcome::Superseded { found: Version::new(9, 8, 7) }]);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@1 d1@1 x1@1 (the store holds the newer version 9.8.7, 1) p1");
}

#[test]
fn a_dead_letter_that_is_refused_is_retried_and_holds_up_nothing_else() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.answer(&[refused("no")]);
    queue.fail(Failure::Refused { reason: "not even so".to_owned() });
    assert_eq!(queue.seen(), "w1@1 d1@1 r1");
    queue.change(2, 2, 0);
    queue.tick(1);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w2@2 s2@2");
    queue.wake();
    queue.answer(&[refused("still not")]);
    assert_eq!(queue.seen(), "d1@1 r2");
    queue.wake();
    queue.fail(unavailable());
    queue.wake();
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "d1@1 r1 d1@1 x1@1 (no, 1) p2");
}

#[test]
fn what_changes_while_it_is_parked_is_tried_as_a_record_first() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.answer(&[refused("no")]);
    queue.change(1, 2, 0); // while the dead letter is being written
    queue.fail(unavailable());
    queue.wake();
    assert_eq!(queue.seen(), "w1@1 d1@1 r1 w1@2");
    queue.answer(&[refused("no")]);
    queue.answer(&[refused("no")]);
    assert_eq!(queue.seen(), "d1@2 r1");
    queue.change(1, 3, 0); // while it waits to be written again
    queue.tick(SECOND);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@3 s1@3 p3");
}

#[test]
fn what_changes_while_it_is_refused_is_not_parked() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.change(1, 2, SECOND);
    queue.answer(&[refused("no")]);
    assert_eq!((queue.seen().as_str(), queue.queue.next_deadline()), ("w1@1", Some(at(SECOND))));
    queue.wake();
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@2 s1@2 p2");
}

#[test]
fn a_flush_makes_due_what_is_pending_and_nothing_later() {
    let mut queue = queue();
    (1..=3).for_each(|slot| queue.change(slot, u64::from(slot), 50 * SECOND));
    queue.step(Event::Flush);
    queue.change(4, 4, 20 * SECOND);
    queue.answer(&[Outcome::Stored, Outcome::Stored, Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@1 w2@2 w3@3 s1@1 s2@2 s3@3 p3");
    assert_eq!(queue.queue.next_deadline(), Some(at(20 * SECOND)));
}

#[test]
fn a_flush_counts_for_what_changed_during_its_write() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.change(1, 2, 20 * SECOND);
    queue.step(Event::Flush);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "w1@1 s1@1 p1 w1@2");
}

#[test]
fn at_half_of_a_bound_everything_is_due_and_at_the_bound_there_is_no_room() {
    let mut queue = queue();
    (1..=9).for_each(|slot| queue.change(slot, u64::from(slot), 20 * SECOND));
    assert_eq!(queue.queue.next_deadline(), Some(at(20 * SECOND)));
    queue.change(10, 10, 20 * SECOND);
    assert_eq!(queue.queue.next_deadline(), Some(at(0)));
    (11..=19).for_each(|slot| queue.change(slot, u64::from(slot), 20 * SECOND));
    assert!(queue.queue.has_room(queue.now));
    queue.change(20, 20, 20 * SECOND);
    assert!(!queue.queue.has_room(queue.now));

    let mut queue = self::queue();
    queue.change_of(1, 1, 20 * SECOND, 499);
    assert_eq!(queue.queue.next_deadline(), Some(at(20 * SECOND)));
    queue.change_of(1, 2, 20 * SECOND, 500);
    assert_eq!(queue.queue.next_deadline(), Some(at(0)));
    queue.change_of(1, 3, 20 * SECOND, 1_000);
    assert!(!queue.queue.has_room(queue.now));
    queue.change_of(1, 4, 20 * SECOND, 10);
    assert!(queue.queue.has_room(queue.now));
    assert_eq!(queue.queue.pending_bytes(), 10);
}

#[test]
fn age_makes_due_at_its_half_and_leaves_no_room_at_its_bound() {
    let mut queue = queue();
    queue.change(1, 1, 999 * SECOND);
    assert_eq!(queue.queue.next_deadline(), Some(at(30 * SECOND)));
    queue.wake();
    assert_eq!(queue.seen(), "w1@1");
    assert!(queue.queue.has_room(at(60 * SECOND)));
    assert!(!queue.queue.has_room(at(60 * SECOND + 1)));
}

#[test]
fn answers_to_other_batches_are_ignored() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.fail(unavailable());
    queue.answer(&[Outcome::Stored]); // of the batch that was given up
    queue.step(Event::Answered { batch: BatchId(77), outcomes: vec![Outcome::Stored] });
    assert_eq!(queue.seen(), "w1@1 r1");
    assert_eq!(queue.queue.pending_records(), 1);
}

#[test]
fn an_answer_with_a_wrong_count_of_outcomes_is_a_failure() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.answer(&[]);
    assert_eq!(queue.seen(), "w1@1 r1");
}

#[test]
fn fenced_it_does_nothing_more() {
    let mut queue = queue();
    queue.change(1, 1, 0);
    queue.tick(0);
    queue.fail(Failure::Fenced { by: Epoch(5) });
    assert_eq!(queue.seen(), "w1@1 fenced by 5");
    queue.change(1, 2, 0);
    queue.step(Event::Flush);
    queue.answer(&[Outcome::Stored]);
    assert_eq!(queue.seen(), "");
    assert_eq!((queue.queue.next_deadline(), queue.queue.persisted()), (None, Seq(0)));
    assert!(!queue.queue.has_room(queue.now));
}

#[test]
fn an_old_version_is_a_violation_and_stops_the_queue() {
    let step = || {
        let mut queue = queue();
        queue.change(1, 2, 0);
        queue.change(2, 1, 0);
        queue.tick(0);
        queue.seen()
    };
    let message = match std::panic::catch_unwind(step) {
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
        Ok(seen) => seen,
    };
    assert!(message.starts_with("invariant versions_only_grow is broken"), "{message}");
}
