//! MessagePack with field names, for everything that lives longer than one build: the one place
//! that names the serialisation library.
//!
//! Named fields make an optional field compatible both ways; positions would not.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::DecodeError;

/// Appends the encoding of `value` to `out`.
///
/// # Errors
/// When `value`'s `Serialize` refuses.
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    rmp_serde::encode::write_named(out, value).map_err(|error| EncodeError(error.to_string()))
}

/// Decodes the whole of `bytes` as one `T`.
///
/// # Errors
/// When the bytes are no `T`, or when something follows it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_borrowed(bytes)
}

/// Decodes the whole of `bytes` as one `T` that borrows from them.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    let value =
        T::deserialize(&mut deserializer).map_err(|error| DecodeError::new(error.to_string()))?;
    // The library stops at the end of the first value and would ignore what follows.
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(error))
            if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        _ => return Err(DecodeError::new("bytes follow the value")),
    }
    Ok(value)
}

/// A value that could not be written as MessagePack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encode value: {0}")]
pub(crate) struct EncodeError(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: impl Serialize) -> Vec<u8> {
        let mut out = Vec::new();
        encode_into(&value, &mut out).unwrap();
        out
    }

    #[test]
    fn what_follows_a_value_is_an_error() {
        assert_eq!(decode::<u8>(&bytes(7u8)), Ok(7));
        for tail in [&[0][..], &[0xc1], &[0xcc], &[0xdc, 1]] {
            let longer = [&bytes(7u8), tail].concat();
            assert!(decode::<u8>(&longer).is_err(), "{tail:?} was ignored");
        }
    }

    #[test]
    fn an_optional_field_is_compatible_both_ways() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Old {
            a: u8,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct New {
            b: Option<u8>,
            a: u8,
        }
        assert_eq!(decode(&bytes(Old { a: 1 })), Ok(New { a: 1, b: None }));
        assert_eq!(decode(&bytes(New { a: 1, b: Some(2) })), Ok(Old { a: 1 }));
    }
}
