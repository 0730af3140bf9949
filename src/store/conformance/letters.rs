//! Dead letters: parked, listed, replaced, removed.

use super::super::{DeadLetter, RecordOutcome, Row};
use super::trial::{P, Trial, key, letter, removal, row, stored, superseded};
use crate::engine::instant::Timestamp;

pub(super) async fn dead_letters_are_listed_in_order(trial: &mut Trial) {
    let of = |entity_type: &str, bytes: &[u8]| {
        letter(Row { key: key(entity_type, bytes), ..row("", 1, "refused") })
    };
    let ascending =
        [of("a", b"\xff"), of("a\0", b""), of("ab", b"a"), of("b", b""), of("b", b"\x00")];
    let mixed = [3, 0, 4, 2, 1].map(|at| ascending[at].clone());
    trial.hold("dead letters are stored", trial.park(&mixed).await, stored(5));
    let found = trial.letters(P).await;
    trial.hold("dead letters are listed whole, by type, then by key", found, ascending.to_vec());
    trial.hold("a dead letter is no row", trial.rows(P).await, vec![]);
}

pub(super) async fn a_dead_letter_is_replaced_by_a_newer_or_equal_one(trial: &mut Trial) {
    for (seq, attempts) in [(1, 1), (2, 9), (2, 4)] {
        let newest = DeadLetter {
            reason: format!("refused {attempts} times"),
            attempts,
            parked_at: Timestamp::from_micros(u64::MAX - u64::from(attempts)),
            row: row("a", seq, &format!("content {attempts}")),
        };
        let outcomes = trial.park(std::slice::from_ref(&newest)).await;
        trial.hold("a dead letter not older than the one there is stored", outcomes, stored(1));
        trial.hold("it replaces the one there", trial.letters(P).await, vec![newest]);
    }
}

pub(super) async fn a_dead_letter_older_than_the_one_there_is_superseded(trial: &mut Trial) {
    let newer = letter(row("a", 5, "newer"));
    trial.park(std::slice::from_ref(&newer)).await;
    let older = [letter(row("a", 4, "older")), letter(row("b", 1, "first"))];
    let outcomes = trial.park(&older).await;
    let wanted = vec![superseded(5), RecordOutcome::Stored];
    trial.hold("a newer dead letter supersedes an older one, alone", outcomes, wanted);
    let [_, b] = older;
    trial.hold("a superseded dead letter changes nothing", trial.letters(P).await, vec![newer, b]);
}

pub(super) async fn a_dead_letter_leaves_the_row(trial: &mut Trial) {
    let rows = [row("a", 5, "a"), row("b", 5, "b"), row("c", 5, "c")];
    trial.records(&rows).await;
    let letters =
        [letter(row("a", 4, "older")), letter(row("b", 5, "equal")), letter(row("c", 6, "newer"))];
    let outcomes = trial.park(&letters).await;
    trial.hold("a dead letter may be older or newer than the row", outcomes, stored(3));
    trial.hold("a dead letter leaves the row", trial.rows(P).await, rows.to_vec());
    trial.hold("and is there itself", trial.letters(P).await, letters.to_vec());
}

pub(super) async fn a_newer_or_equal_record_removes_the_dead_letter(trial: &mut Trial) {
    let parked = ["a", "b", "c", "d", "e"].map(|of| letter(row(of, 5, "refused")));
    trial.park(&parked).await;
    let records = [row("a", 6, "newer"), row("b", 5, "equal"), removal("c", 6), removal("d", 5)];
    trial.hold("records beside dead letters are stored", trial.records(&records).await, stored(4));
    let [.., e] = parked;
    let found = trial.letters(P).await;
    trial.hold("a newer or equal record or removal removes the dead letter", found, vec![e]);
    trial.hold("and is there itself", trial.rows(P).await, records[..2].to_vec());
}

pub(super) async fn an_older_record_keeps_the_dead_letter(trial: &mut Trial) {
    let parked = [letter(row("a", 5, "refused")), letter(row("b", 5, "refused"))];
    trial.park(&parked).await;
    let records = [row("a", 4, "older"), removal("b", 4)];
    let outcomes = trial.records(&records).await;
    trial.hold("a record is stored whatever its dead letter", outcomes, stored(2));
    let rule = "a dead letter newer than the record stays";
    trial.hold(rule, trial.letters(P).await, parked.to_vec());
    trial.hold("the record is there", trial.rows(P).await, records[..1].to_vec());

    trial.records(&[row("c", 9, "row")]).await;
    let under = letter(row("c", 3, "refused"));
    trial.park(std::slice::from_ref(&under)).await;
    let outcomes = trial.records(&[row("c", 4, "older than the row")]).await;
    trial.hold("a record older than the row is superseded", outcomes, vec![superseded(9)]);
    let found = trial.letters(P).await.pop();
    trial.hold("a superseded record removes no dead letter", found, Some(under));
}

pub(super) async fn a_dead_letter_may_be_of_a_removal(trial: &mut Trial) {
    trial.records(&[row("a", 1, "row")]).await;
    let parked = [letter(removal("a", 2)), letter(row("b", 2, ""))];
    trial.hold("a refused removal is parked", trial.park(&parked).await, stored(2));
    let found = trial.letters(P).await;
    trial.hold("no content and empty content are told apart", found, parked.to_vec());
    let found = trial.rows(P).await;
    trial.hold("a refused removal deletes nothing", found, vec![row("a", 1, "row")]);
}
