//! Stores that each break one rule, and the case that finds it: a suite that finds nothing would
//! be no use.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use async_trait::async_trait;
use fastness::store::conformance::{CASES, Place, run_case};
use fastness::store::{
    BatchOutcome, DeadLetter, Error, GridRow, Loaded, MemoryStore, PartitionBatch, RecordOutcome,
    Row, RowKey, Store,
};
use fastness::{Epoch, PartitionId, Version};

use crate::block_on;

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing: what is found is the wrong, not the way in which it is made.
    Nothing,
    ClaimIsTheLast,
    FenceIsLowered,
    FenceFoundIsTheNew,
    FenceFailsTheWholeCall,
    FenceIsIgnored,
    NewerRowIsOverwritten,
    EqualVersionIsIgnored,
    SupersededWithoutWhatWasFound,
    RemovalIsIgnored,
    ScanDescends,
    ScanBeginsAtAfter,
    ScanCutsPages,
    PartitionsAreMixed,
    OutcomesOfLettersComeFirst,
    DeadLettersAreForgotten,
    DeadLetterDeletesTheRow,
    OlderDeadLetterReplaces,
    DeadLetterOutlivesItsRecord,
    OlderRecordRemovesDeadLetter,
    LargeValuesAreCut,
    KeysEndAtZero,
    LoadsAreOfAnyPartition,
    LoadsForgetDeadLetters,
    LoadsAreOutOfOrder,
    LargeLoadsAreCut,
    WritesAreLostInACrash,
    ClosedStoreAnswers,
    SecondCloseFails,
}

/// Each wrong, and a case that finds it.
const FOUND_BY: &[(Wrong, &str)] = &[
    (Wrong::ClaimIsTheLast, "the_first_claim_wins"),
    (Wrong::FenceIsLowered, "fences_are_raised_and_never_lowered"),
    (Wrong::FenceFoundIsTheNew, "fences_found_are_in_the_order_asked"),
    (Wrong::FenceFailsTheWholeCall, "a_fenced_batch_fails_alone"),
    (Wrong::FenceIsIgnored, "a_fenced_batch_fails_alone"),
    (Wrong::NewerRowIsOverwritten, "an_older_version_is_superseded"),
    (Wrong::EqualVersionIsIgnored, "an_equal_version_is_written_again"),
    (Wrong::SupersededWithoutWhatWasFound, "an_older_version_is_superseded"),
    (Wrong::RemovalIsIgnored, "a_record_without_content_deletes"),
    (Wrong::ScanDescends, "rows_are_scanned_by_type_then_key"),
    (Wrong::ScanBeginsAtAfter, "a_scan_is_read_in_pages"),
    (Wrong::ScanCutsPages, "a_scan_is_read_in_pages"),
    (Wrong::PartitionsAreMixed, "partitions_are_apart"),
    (Wrong::OutcomesOfLettersComeFirst, "outcomes_are_in_the_order_given"),
    (Wrong::DeadLettersAreForgotten, "dead_letters_are_listed_in_order"),
    (Wrong::DeadLetterDeletesTheRow, "a_dead_letter_leaves_the_row"),
    (Wrong::OlderDeadLetterReplaces, "a_dead_letter_older_than_the_one_there_is_superseded"),
    (Wrong::DeadLetterOutlivesItsRecord, "a_newer_or_equal_record_removes_the_dead_letter"),
    (Wrong::OlderRecordRemovesDeadLetter, "an_older_record_keeps_the_dead_letter"),
    (Wrong::LargeValuesAreCut, "values_of_every_size_are_kept"),
    (Wrong::KeysEndAtZero, "keys_are_any_bytes"),
    (Wrong::LoadsAreOfAnyPartition, "loads_are_of_one_partition_and_type"),
    (Wrong::LoadsForgetDeadLetters, "a_load_brings_row_and_dead_letter"),
    (Wrong::LoadsAreOutOfOrder, "what_is_stored_is_loaded"),
    (Wrong::LargeLoadsAreCut, "values_of_every_size_are_loaded"),
    (Wrong::WritesAreLostInACrash, "everything_survives_a_crash"),
    (Wrong::ClosedStoreAnswers, "calls_after_a_close_fail"),
    (Wrong::SecondCloseFails, "a_second_close_does_nothing"),
];

#[test]
fn every_wrong_is_found_by_its_case() {
    for (wrong, case) in FOUND_BY {
        let message = broken(*wrong, case).unwrap_or_else(|| panic!("{case} misses {wrong:?}"));
        let names_it = message.contains(&format!("case `{case}`: broken rule: "));
        assert!(names_it, "{wrong:?} in {case}: {message}");
    }
}

#[test]
fn nothing_wrong_is_found_in_the_wrapper_itself() {
    for case in CASES {
        assert_eq!(broken(Wrong::Nothing, case), None, "{case}");
    }
}

/// What the case says of a store that does this wrong, if anything.
fn broken(wrong: Wrong, case: &str) -> Option<String> {
    let place = WrongPlace { wrong, memory: MemoryStore::new() };
    let run = || block_on(run_case(case, place));
    let panic = std::panic::catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(*panic.downcast::<String>().expect("the suite panics with text"))
}

struct WrongPlace {
    wrong: Wrong,
    memory: MemoryStore,
}

#[async_trait]
impl Place for WrongPlace {
    async fn open(&mut self) -> Box<dyn Store> {
        self.memory = self.memory.reopen();
        let inner = self.memory.clone();
        let (is_closed, fences) = (Mutex::new(false), Mutex::default());
        Box::new(WrongStore { wrong: self.wrong, inner, is_closed, fences })
    }

    async fn crash(&mut self, store: Box<dyn Store>) {
        drop(store);
        if self.wrong == Wrong::WritesAreLostInACrash {
            self.memory = MemoryStore::new();
        }
    }
}

struct WrongStore {
    wrong: Wrong,
    inner: MemoryStore,
    is_closed: Mutex<bool>,
    /// Fences that may be lowered.
    fences: Mutex<BTreeMap<PartitionId, Epoch>>,
}

impl WrongStore {
    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == wrong
    }

    fn partition(&self, partition: PartitionId) -> PartitionId {
        if self.is(Wrong::PartitionsAreMixed) { PartitionId(partition.0 % 256) } else { partition }
    }

    async fn write_wrongly(&self, mut batch: PartitionBatch) -> Result<BatchOutcome, Error> {
        batch.partition = self.partition(batch.partition);
        let rows = self.inner.scan(batch.partition, None, usize::MAX).await?;
        let letters = self.inner.dead_letters(batch.partition).await?;
        let found = |of: &Row| rows.iter().find(|row| row.key == of.key).map(|row| row.version);
        let records = batch.records.len();
        match self.wrong {
            Wrong::FenceIsIgnored => batch.epoch = Epoch(u64::MAX),
            Wrong::NewerRowIsOverwritten => batch.records.iter_mut().for_each(|record| {
                record.version = record.version.max(found(record).unwrap_or_default());
            }),
            Wrong::EqualVersionIsIgnored => {
                batch.records.retain(|record| found(record) != Some(record.version));
            }
            Wrong::RemovalIsIgnored => batch.records.retain(|record| record.record.is_some()),
            Wrong::DeadLettersAreForgotten => batch.dead_letters.clear(),
            Wrong::DeadLetterDeletesTheRow => {
                let removals = batch.dead_letters.iter().map(|letter| &letter.row);
                let removals: Vec<Row> =
                    removals.map(|row| Row { record: None, ..row.clone() }).collect();
                self.inner.write(&[of(&batch, removals, vec![])]).await?;
            }
            Wrong::OlderDeadLetterReplaces => batch.dead_letters.iter_mut().for_each(|letter| {
                let of_key = letters.iter().find(|found| found.row.key == letter.row.key);
                let found = of_key.map_or(letter.row.version, |found| found.row.version);
                letter.row.version = letter.row.version.max(found);
            }),
            Wrong::LargeValuesAreCut => batch.records.iter_mut().for_each(|record| {
                let bytes = record.record.as_mut();
                bytes.into_iter().for_each(|bytes| bytes.truncate(100 << 10));
            }),
            Wrong::KeysEndAtZero => batch.records.iter_mut().for_each(|record| {
                let end = record.key.key.iter().position(|byte| *byte == 0);
                record.key.key.truncate(end.unwrap_or(usize::MAX));
            }),
            _ => {}
        }
        let outcome = self.inner.write(std::slice::from_ref(&batch)).await?.remove(0);
        let BatchOutcome::Written(mut outcomes) = outcome else {
            return match self.wrong {
                Wrong::FenceFailsTheWholeCall => {
                    Err(Error::Refused { reason: "fenced".to_owned() })
                }
                _ => Ok(outcome),
            };
        };
        let is_of_batch =
            |letter: &DeadLetter| batch.records.iter().any(|record| record.key == letter.row.key);
        match self.wrong {
            Wrong::OutcomesOfLettersComeFirst => outcomes.rotate_left(records),
            Wrong::SupersededWithoutWhatWasFound => outcomes.iter_mut().for_each(|outcome| {
                if let RecordOutcome::Superseded { found } = outcome {
                    *found = Version::default();
                }
            }),
            Wrong::DeadLetterOutlivesItsRecord => {
                self.inner.write(&[of(&batch, vec![], letters)]).await?;
            }
            Wrong::OlderRecordRemovesDeadLetter => {
                let removed = letters.into_iter().filter(is_of_batch).map(|letter| letter.row);
                let found: Vec<Row> = removed.collect();
                self.inner.write(&[of(&batch, found, vec![])]).await?;
            }
            _ => outcomes.resize(records + batch.dead_letters.len(), RecordOutcome::Stored),
        }
        Ok(BatchOutcome::Written(outcomes))
    }
}

/// Another batch of the same partition and epoch.
fn of(batch: &PartitionBatch, records: Vec<Row>, dead_letters: Vec<DeadLetter>) -> PartitionBatch {
    PartitionBatch { records, dead_letters, ..*batch }
}

#[async_trait]
impl Store for WrongStore {
    async fn claim(&self, row: &GridRow) -> Result<GridRow, Error> {
        let found = self.inner.claim(row).await?;
        Ok(if self.is(Wrong::ClaimIsTheLast) { row.clone() } else { found })
    }

    async fn raise_fences(&self, fences: &[(PartitionId, Epoch)]) -> Result<Vec<Epoch>, Error> {
        let found = self.inner.raise_fences(fences).await?;
        match self.wrong {
            Wrong::FenceIsLowered => {
                let mut lowered = self.fences.lock().expect("no test panics with it");
                let set = |(partition, epoch): &(PartitionId, Epoch)| {
                    lowered.insert(*partition, *epoch).unwrap_or_default()
                };
                Ok(fences.iter().map(set).collect())
            }
            Wrong::FenceFoundIsTheNew => self.inner.raise_fences(fences).await,
            _ => Ok(found),
        }
    }

    async fn scan(
        &self,
        partition: PartitionId,
        after: Option<&RowKey>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let partition = self.partition(partition);
        if *self.is_closed.lock().expect("no test panics with it")
            && self.is(Wrong::ClosedStoreAnswers)
        {
            return Ok(vec![]);
        }
        let mut rows = self.inner.scan(partition, after, rows_max).await?;
        match self.wrong {
            Wrong::ScanDescends => rows.reverse(),
            Wrong::ScanCutsPages => rows.truncate(rows_max.saturating_sub(1).max(1)),
            Wrong::ScanBeginsAtAfter => {
                let all = self.inner.scan(partition, None, usize::MAX).await?;
                let is_from = |row: &Row| after.is_none_or(|after| row.key >= *after);
                rows = all.into_iter().filter(is_from).take(rows_max).collect();
            }
            _ => {}
        }
        Ok(rows)
    }

    async fn load(&self, keys: &[(PartitionId, RowKey)]) -> Vec<Result<Loaded, Error>> {
        let mut keys: Vec<_> =
            keys.iter().map(|(of, key)| (self.partition(*of), key.clone())).collect();
        if self.is(Wrong::LoadsAreOfAnyPartition) {
            keys.iter_mut().for_each(|(of, _)| *of = PartitionId(of.0 & !15 | 7));
        }
        let mut loaded = self.inner.load(&keys).await;
        match self.wrong {
            Wrong::LoadsAreOutOfOrder => loaded.reverse(),
            Wrong::LoadsForgetDeadLetters => {
                loaded.iter_mut().flatten().for_each(|loaded| loaded.dead_letter = None);
            }
            Wrong::LargeLoadsAreCut => {
                let rows = loaded.iter_mut().flatten().filter_map(|loaded| loaded.row.as_mut());
                rows.filter_map(|row| row.record.as_mut()).for_each(|it| it.truncate(1 << 20));
            }
            _ => {}
        }
        loaded
    }

    async fn dead_letters(&self, partition: PartitionId) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(self.partition(partition)).await
    }

    async fn write(&self, batches: &[PartitionBatch]) -> Result<Vec<BatchOutcome>, Error> {
        if batches.is_empty() {
            return self.inner.write(batches).await;
        }
        let mut outcomes = Vec::new();
        for batch in batches {
            outcomes.push(self.write_wrongly(batch.clone()).await?);
        }
        Ok(outcomes)
    }

    async fn close(&self) -> Result<(), Error> {
        let was_closed =
            std::mem::replace(&mut *self.is_closed.lock().expect("no test panics with it"), true);
        if was_closed && self.is(Wrong::SecondCloseFails) {
            return Err(Error::Closed);
        }
        self.inner.close().await
    }
}
