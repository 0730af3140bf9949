//! There and back: what is encoded must be decoded to the same.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;

/// The encoding of a value.
///
/// # Panics
/// When its `Serialize` refuses.
#[track_caller]
pub(super) fn encoded<T: Serialize>(what: impl Display, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = codec::encode_into(value, &mut bytes) {
        panic!("{what} cannot be encoded: {error}");
    }
    bytes
}

/// What a value is after it was encoded and decoded again, and its bytes.
///
/// # Panics
/// When it cannot be decoded, or comes back as something that is encoded differently.
#[track_caller]
pub(super) fn survive<T: Serialize + DeserializeOwned>(
    what: impl Display,
    value: &T,
) -> (T, Vec<u8>) {
    let bytes = encoded(&what, value);
    let back: T = match codec::decode(&bytes) {
        Ok(back) => back,
        Err(error) => panic!(
            "{what} is encoded, but cannot be decoded again: {error}; look at its serde \
             attributes, and at those of what is in it"
        ),
    };
    let again = encoded(&what, &back);
    assert!(
        is_same(&bytes, &again),
        "{what} comes back changed after it was encoded and decoded: {} bytes first, {} bytes \
         then; look at its serde attributes, and at those of what is in it",
        bytes.len(),
        again.len()
    );
    (back, bytes)
}

/// Whether these are the same bytes in whatever order: a hash map has no order of its own.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let sorted = |bytes: &[u8]| {
        let mut sorted = bytes.to_vec();
        sorted.sort_unstable();
        sorted
    };
    one == other || sorted(one) == sorted(other)
}
