//! Cases that need no seed: each is a few operations, and what is to be said of them.

use crate::engine::history::fault::Fault;
use crate::engine::history::models::bank::{self, Bank};
use crate::engine::history::models::counter::{self, Counter};
use crate::engine::history::models::list::{self, List};
use crate::engine::history::models::register::{Input, Output, Register};
use crate::engine::history::search::{self, OPERATIONS_MAX};
use crate::engine::history::version_order::{Summary, check};
use crate::engine::history::{History, HistoryOf, Model, Operation, Outcome, lost, made_up, twice};
use crate::engine::id::Version;

/// An operation of object 7 that returned.
fn did<I, O>(during: (u64, u64), seq: u64, input: I, output: O) -> Operation<I, O> {
    let outcome = Outcome::Returned { at: during.1, output, version: Version::new(2, seq, 0) };
    Operation { client: 1, object: 7, input, invoked_at: during.0, outcome }
}

/// An operation of object 7 that did not return.
fn perhaps<I, O>(invoked_at: u64, input: I) -> Operation<I, O> {
    Operation { client: 2, object: 7, input, invoked_at, outcome: Outcome::Indeterminate }
}

fn history<I: Clone, O: Clone>(operations: &[Operation<I, O>]) -> History<I, O> {
    History { operations: operations.to_vec() }
}

/// Both checkers say the same of it.
fn both<M: Model>(model: &M, history: &HistoryOf<M>) -> Result<Summary, Fault> {
    let by_search = search::check(model, history);
    let by_order = check(model, history);
    assert_eq!(by_search.is_ok(), by_order.is_ok(), "{by_search:?} {by_order:?}");
    by_order
}

const READ: Input = Input::Read;

fn set(from: u64, to: u64) -> Input {
    Input::CompareAndSet { from, to }
}

#[test]
fn a_fault_can_be_read() {
    let write = did((10, 20), 1, Input::Write(5), Output::Written);
    let read = did((30, 40), 1, READ, Output::Found(6));
    let fault = both(&Register, &history(&[write, read])).expect_err("nobody wrote 6");
    assert_eq!((fault.object, &fault.operations[..]), (7, &[0, 1][..]));
    let text = "versions order the operations: object 7: #1 answers Found(5), as the state before \
        it is 5; no indeterminate operation explains another answer
  #0 client 1, 10..20, at 2.1.0: Write(5) -> Written
  #1 client 1, 30..40, at 2.1.0: Read -> Found(6)";
    assert_eq!(fault.to_string(), text);
}

#[test]
fn a_version_that_goes_back_names_both() {
    let write = did((10, 20), 3, Input::Write(5), Output::Written);
    let late = did((21, 30), 2, Input::Write(6), Output::Written);
    let fault = check(&Register, &history(&[write.clone(), late])).expect_err("2.2 after 2.3");
    assert_eq!(fault.operations, [0, 1]);
    assert_eq!(
        fault.expected,
        "#1 was invoked after #0 had returned, so it has a version above 2.3.0"
    );
    // At the same instant they overlap.
    let late = did((20, 30), 2, Input::Write(6), Output::Written);
    check(&Register, &history(&[write.clone(), late])).expect("nobody can tell");
    // A write that makes no new version of its own.
    let same = did((21, 30), 3, set(5, 6), Output::Found(5));
    check(&Register, &history(&[write.clone(), same])).expect_err("2.3 twice");
    let failed = did((21, 30), 3, set(4, 6), Output::Found(5));
    check(&Register, &history(&[write, failed])).expect("it changed nothing");
}

#[test]
fn an_indeterminate_operation_comes_late_once_or_never() {
    let write = did((10, 20), 1, Input::Write(5), Output::Written);
    let lost = perhaps(12, Input::Write(6));
    let old = did((30, 40), 1, READ, Output::Found(5));
    let new = did((50, 60), 2, READ, Output::Found(6));
    let over = did((70, 80), 3, Input::Write(8), Output::Written);
    let again = did((90, 99), 4, READ, Output::Found(6));
    let all = [write, lost, old, new, over, again];
    let summary = both(&Register, &history(&all[..3])).expect("it never came");
    assert_eq!((summary.took_effect, summary.undecided), (0, 0));
    let summary = both(&Register, &history(&all[..5])).expect("it came late");
    assert_eq!((summary.took_effect, summary.undecided), (1, 0));
    both(&Register, &history(&all)).expect_err("it came twice");
}

#[test]
fn an_indeterminate_operation_comes_after_its_invocation() {
    let read = did((30, 40), 1, READ, Output::Found(6));
    both(&Register, &history(&[perhaps(40, Input::Write(6)), read.clone()])).expect("just");
    both(&Register, &history(&[perhaps(41, Input::Write(6)), read.clone()])).expect_err("early");
    // What is ordered later had returned before.
    let early = did((10, 20), 1, READ, Output::Found(6));
    let all = [read, early, perhaps(25, Input::Write(6))];
    both(&Register, &history(&all)).expect_err("it was seen before");
}

#[test]
fn indeterminate_operations_may_build_on_each_other() {
    let read = did((30, 40), 3, READ, Output::Found(8));
    let all = [perhaps(1, set(6, 7)), perhaps(2, set(7, 8)), perhaps(3, Input::Write(6)), read];
    let summary = both(&Register, &history(&all)).expect("6, 7, 8");
    assert_eq!((summary.took_effect, summary.undecided), (3, 0));
    both(&Register, &history(&[all[0].clone(), all[1].clone(), all[3].clone()]))
        .expect_err("nobody wrote 6");
}

#[test]
fn nothing_comes_between_those_of_one_version() {
    let write = did((10, 20), 1, Input::Write(5), Output::Written);
    let read = did((30, 40), 1, READ, Output::Found(6));
    let all = history(&[write, perhaps(15, Input::Write(6)), read]);
    check(&Register, &all).expect_err("version 2.1.0 is 5");
    search::check(&Register, &all).expect("it looks at no version");
}

#[test]
fn values_that_are_not_unique_are_left_open_rather_than_called_wrong() {
    let write = |during, seq| did(during, seq, Input::Write(3), Output::Written);
    let read = |during, seq| did(during, seq, READ, Output::Found(5));
    let all = [
        write((1, 2), 1),
        perhaps(3, set(3, 5)),
        perhaps(3, Input::Write(5)),
        read((10, 20), 2),
        write((21, 22), 3),
        read((30, 40), 4),
        write((41, 42), 5),
        read((50, 60), 6),
    ];
    let summary = both(&Register, &history(&all[..6])).expect("either, then the other");
    assert_eq!((summary.took_effect, summary.undecided_objects), (2, 0));
    let summary = check(&Register, &history(&all)).expect("it has guessed");
    assert_eq!((summary.undecided_objects, summary.undecided), (1, 1));
    search::check(&Register, &history(&all)).expect_err("it has tried all");
    let made_up = did((50, 60), 6, READ, Output::Found(77));
    both(&Register, &history(&[&all[..7], &[made_up]].concat())).expect_err("nobody's");
}

#[test]
fn the_next_read_tells_what_was_appended() {
    let append = |element| list::Input::Append(element);
    let all = [
        did((1, 2), 1, append(1), list::Output::Length(1)),
        perhaps(3, append(8)),
        perhaps(3, append(9)),
        did((5, 6), 3, append(2), list::Output::Length(3)),
        did((7, 8), 3, list::Input::Read, list::Output::Elements(vec![1, 9, 2])),
        did((9, 10), 5, append(3), list::Output::Length(5)),
    ];
    let summary = both(&List, &history(&all)).expect("9, and 8 at the end");
    assert_eq!((summary.took_effect, summary.undecided), (2, 0));
    let more = did((11, 12), 7, append(4), list::Output::Length(7));
    let all = [&all[..], &[more]].concat();
    both(&List, &history(&all)).expect_err("nobody is left who could have appended");
}

#[test]
fn sums_that_more_than_one_addition_explains_are_guessed() {
    let add = counter::Input::Add;
    let read = |during, seq, count| did(during, seq, counter::Input::Read, count);
    let all = [
        perhaps(1, add(1)),
        perhaps(1, add(2)),
        perhaps(1, add(3)),
        read((5, 6), 1, 3),
        read((7, 8), 2, 5),
        read((9, 10), 3, 6),
    ];
    let summary = both(&Counter, &history(&all[..4])).expect("3, or 1 and 2");
    assert_eq!((summary.objects, summary.undecided), (1, 0));
    // 3, then 2, then 1.
    both(&Counter, &history(&all)).expect("there is an order");
    let down = read((11, 12), 4, 4);
    both(&Counter, &history(&[&all[..4], &[down]].concat())).expect("one more");
    let down = read((11, 12), 4, 2);
    both(&Counter, &history(&[&all[..4], &[down]].concat())).expect_err("whatever was guessed");
    let beyond = read((11, 12), 4, 7);
    both(&Counter, &history(&[&all[..4], &[beyond]].concat())).expect_err("more than asked for");
}

#[test]
fn a_wrong_guess_is_no_fault() {
    // It was 3 and 3, then 5, then 1; 5 and 1 would have been possible at first.
    let add = |amount| perhaps(1, counter::Input::Add(amount));
    let read = |seq: u64, count| did((seq, seq), seq, counter::Input::Read, count);
    let all = [add(5), add(1), add(3), add(3), read(5, 6), read(6, 11), read(7, 12)];
    search::check(&Counter, &history(&all)).expect("there is an order");
    let summary = check(&Counter, &history(&all)).expect("it has guessed");
    assert_eq!((summary.undecided_objects, summary.undecided), (1, 2));
    // The same with money, where it is found by trial.
    let bank = Bank { accounts: 2, balance: 20 };
    let give = |amount| perhaps(1, bank::Input::Transfer { from: 0, to: 1, amount });
    let read = |seq: u64, moved: u64| {
        let balances = vec![20 - moved, 20 + moved];
        did((seq, seq), seq, bank::Input::Read, bank::Output { is_moved: false, balances })
    };
    let all = [give(5), give(1), give(3), give(3), read(5, 6), read(6, 11), read(7, 12)];
    search::check(&bank, &history(&all)).expect("there is an order");
    let summary = check(&bank, &history(&all)).expect("it has guessed");
    assert_eq!((summary.undecided_objects, summary.undecided), (1, 2));
}

#[test]
fn what_may_have_come_earlier_unseen_is_too_hard() {
    let append = |during, seq, value| did(during, seq, value, vec![]);
    let all = [
        append((1, 2), 1, 1),
        perhaps(1, 9),
        append((5, 6), 3, 2),
        did((7, 8), 3, 0, vec![1, 9, 2]),
    ];
    search::check(&Silent, &history(&all)).expect("there is an order");
    let summary = check(&Silent, &history(&all)).expect("it looks at the last place only");
    assert_eq!((summary.undecided_objects, summary.undecided), (1, 1));
    let all = [all[0].clone(), all[2].clone(), all[3].clone()];
    both(&Silent, &history(&all)).expect_err("nobody wrote 9");
}

/// A list that says nothing when it is appended to. To append 0 is to read.
struct Silent;

impl Model for Silent {
    type State = Vec<u64>;
    type Input = u64;
    type Output = Vec<u64>;

    fn initial(&self) -> Vec<u64> {
        Vec::new()
    }

    fn step(&self, state: &mut Vec<u64>, input: &u64) -> Vec<u64> {
        if self.is_read(input) {
            return state.clone();
        }
        state.push(*input);
        Vec::new()
    }

    fn is_read(&self, input: &u64) -> bool {
        *input == 0
    }
}

#[test]
fn the_search_does_not_decide_what_is_too_long() {
    let write = |n: u64| did((2 * n, 2 * n + 1), n, Input::Write(n), Output::Written);
    let mut all: Vec<_> = (1..=OPERATIONS_MAX as u64).map(write).collect();
    let summary = search::check(&Register, &history(&all)).expect("it is in order");
    assert_eq!((summary.objects, summary.undecided), (1, vec![]));
    all.push(write(900));
    let summary = search::check(&Register, &history(&all)).expect("it does not look");
    assert_eq!((summary.objects, summary.undecided), (0, vec![7]));
}

#[test]
fn a_lost_write_is_told_from_a_replaced_one() {
    let first = did((1, 5), 1, Input::Write(1), Output::Written);
    let second = did((6, 9), 2, Input::Write(2), Output::Written);
    let overlapping = did((4, 9), 2, Input::Write(2), Output::Written);
    let shows = |value| did((20, 30), 2, READ, Output::Found(value));
    let lost = |all: &[_]| lost::check(&Register, &history(all)).is_err();
    assert!(!lost(&[first.clone(), second.clone(), shows(2)]));
    assert!(lost(&[first.clone(), second.clone(), shows(1)]));
    assert!(!lost(&[first.clone(), overlapping, shows(1)]));
    assert!(lost(&[first, second.clone(), shows(0)]));
    // An indeterminate write may come at any time.
    assert!(!lost(&[perhaps(1, Input::Write(1)), second, shows(1)]));
}

#[test]
fn nothing_is_shown_before_it_is_written_nor_twice() {
    let shows =
        |during, elements| did(during, 9, list::Input::Read, list::Output::Elements(elements));
    let append = perhaps(10, list::Input::Append(4));
    let good = history(&[append.clone(), shows((5, 10), vec![4])]);
    assert!(made_up::check(&List, &good).is_ok() && twice::check(&List, &good).is_ok());
    let early = history(&[append.clone(), shows((5, 9), vec![4])]);
    made_up::check(&List, &early).expect_err("it was not asked for yet");
    let double = history(&[append, shows((10, 20), vec![4, 4])]);
    let fault = twice::check(&List, &double).expect_err("4 is there twice");
    assert_eq!(fault.operations, [0, 1]);
}
