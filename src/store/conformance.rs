//! What every [`Store`] must do, as named cases that each run on a fresh store.
//!
//! Who writes a store implements [`Place`] for it and calls [`run`] in a test. A rule that is
//! broken panics with the name of the case and of the rule. What a suite cannot do to a store
//! that it does not know (cut its power, fill its disk, damage its files) is left to its author.
//!
//! ```
//! use async_trait::async_trait;
//! use fastness::store::conformance::{self, Place};
//! use fastness::store::{MemoryStore, Store};
//!
//! #[derive(Default)]
//! struct InMemory(Option<MemoryStore>);
//!
//! #[async_trait]
//! impl Place for InMemory {
//!     async fn open(&mut self) -> Box<dyn Store> {
//!         let store = match &self.0 {
//!             None => MemoryStore::new(),
//!             Some(before) => before.reopen(),
//!         };
//!         self.0 = Some(store.clone());
//!         Box::new(store)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // All of them, or `conformance::run_case` for a test of each name in `conformance::CASES`.
//! conformance::run(InMemory::default).await;
//! # }
//! ```

mod claims;
mod endings;
mod letters;
mod loads;
mod partitions;
mod scans;
mod sizes;
mod trial;
mod versions;

use async_trait::async_trait;

use super::Store;
use trial::Trial;

/// Where a store under test keeps what it stores.
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// Opens the store: empty the first time, afterwards with what was stored before. The store
    /// opened before was closed, or given to [`crash`](Place::crash).
    async fn open(&mut self) -> Box<dyn Store>;

    /// Ends a store without closing it, as like a crash of its process as can be. By default it is
    /// dropped.
    async fn crash(&mut self, store: Box<dyn Store>) {
        drop(store);
    }
}

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),+),+];

        /// Runs one case on a place where nothing is stored yet.
        ///
        /// # Panics
        /// If the store breaks a rule, with the name of the case and the rule; or if there is no
        /// such case.
        pub async fn run_case(name: &str, place: impl Place) {
            match name {
                $($(stringify!($case) => {
                    let mut trial = Trial::start(stringify!($case), Box::new(place)).await;
                    $module::$case(&mut trial).await;
                })+)+
                unknown => panic!("the store conformance suite has no case `{unknown}`"),
            }
        }
    };
}

cases! {
    claims:
        the_first_claim_wins,
        fences_are_raised_and_never_lowered,
        fences_found_are_in_the_order_asked,
        a_fenced_batch_fails_alone,
        a_batch_at_or_above_its_fence_is_written;
    versions:
        a_newer_version_replaces,
        an_equal_version_is_written_again,
        an_older_version_is_superseded,
        versions_compare_by_epoch_then_seq_then_index,
        a_record_without_content_deletes;
    scans:
        an_empty_partition_has_no_rows,
        rows_are_scanned_by_type_then_key,
        a_scan_is_read_in_pages;
    partitions:
        partitions_are_apart,
        many_partitions_are_written_at_once,
        outcomes_are_in_the_order_given;
    letters:
        dead_letters_are_listed_in_order,
        a_dead_letter_is_replaced_by_a_newer_or_equal_one,
        a_dead_letter_older_than_the_one_there_is_superseded,
        a_dead_letter_leaves_the_row,
        a_newer_or_equal_record_removes_the_dead_letter,
        an_older_record_keeps_the_dead_letter,
        a_dead_letter_may_be_of_a_removal;
    loads:
        what_is_stored_is_loaded,
        a_load_brings_row_and_dead_letter,
        loads_are_of_one_partition_and_type,
        values_of_every_size_are_loaded;
    sizes:
        values_of_every_size_are_kept,
        large_values_are_replaced_and_deleted,
        large_dead_letters_are_kept,
        keys_are_any_bytes,
        type_names_are_any_text;
    endings:
        everything_survives_a_close,
        everything_survives_a_crash,
        versions_and_fences_hold_after_a_crash,
        calls_after_a_close_fail,
        a_second_close_does_nothing;
}

/// Runs every case, each on a new place where nothing is stored yet.
///
/// # Panics
/// As [`run_case`] does, at the first rule that the store breaks.
pub async fn run<P: Place>(mut new_place: impl FnMut() -> P) {
    for case in CASES {
        run_case(case, new_place()).await;
    }
}
