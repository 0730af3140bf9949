//! MessagePack with field names, for everything that lives longer than one build.
//!
//! Named fields make an optional field compatible both ways; positions would not.

use serde::{Serialize, de::DeserializeOwned};

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
    let mut rest = bytes;
    let value =
        rmp_serde::from_read(&mut rest).map_err(|error| DecodeError::new(error.to_string()))?;
    // The library stops at the end of the first value and would ignore what follows.
    if !rest.is_empty() {
        return Err(DecodeError::new(format!("{} bytes follow the value", rest.len())));
    }
    Ok(value)
}

/// A value that could not be written as MessagePack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encode value: {0}")]
pub(crate) struct EncodeError(String);

pub(crate) use crate::error::DecodeError;
