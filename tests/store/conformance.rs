//! The public suite on the stores that come with Fastness: a test for each case.

use fastness::store::conformance::{CASES, run_case};

use crate::block_on;
#[cfg(feature = "sled")]
use crate::places::InDirectory;
use crate::places::InMemory;

macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[test]
            fn $case() {
                super::block_on(super::run_case(stringify!($case), super::InMemory::default()));
            })+
        }

        #[cfg(feature = "sled")]
        mod sled {
            $(#[test]
            fn $case() {
                super::block_on(super::run_case(stringify!($case), super::InDirectory::new()));
            })+
        }

        #[test]
        fn every_case_is_here() {
            assert_eq!([$(stringify!($case)),+], CASES);
        }
    };
}

cases! {
    the_first_claim_wins,
    fences_are_raised_and_never_lowered,
    fences_found_are_in_the_order_asked,
    a_fenced_batch_fails_alone,
    a_batch_at_or_above_its_fence_is_written,
    a_newer_version_replaces,
    an_equal_version_is_written_again,
    an_older_version_is_superseded,
    versions_compare_by_epoch_then_seq_then_index,
    a_record_without_content_deletes,
    an_empty_partition_has_no_rows,
    rows_are_scanned_by_type_then_key,
    a_scan_is_read_in_pages,
    partitions_are_apart,
    many_partitions_are_written_at_once,
    outcomes_are_in_the_order_given,
    dead_letters_are_listed_in_order,
    a_dead_letter_is_replaced_by_a_newer_or_equal_one,
    a_dead_letter_older_than_the_one_there_is_superseded,
    a_dead_letter_leaves_the_row,
    a_newer_or_equal_record_removes_the_dead_letter,
    an_older_record_keeps_the_dead_letter,
    a_dead_letter_may_be_of_a_removal,
    what_is_stored_is_loaded,
    a_load_brings_row_and_dead_letter,
    loads_are_of_one_partition_and_type,
    values_of_every_size_are_loaded,
    values_of_every_size_are_kept,
    large_values_are_replaced_and_deleted,
    large_dead_letters_are_kept,
    keys_are_any_bytes,
    type_names_are_any_text,
    everything_survives_a_close,
    everything_survives_a_crash,
    versions_and_fences_hold_after_a_crash,
    calls_after_a_close_fail,
    a_second_close_does_nothing,
}
