//! MessagePack with field names, for everything that lives longer than one build: the one place
//! that names the serialisation library.
//!
//! Named fields make an optional field compatible both ways; positions would not.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// Any value as text that looks like JSON; bytes in hexadecimal, cut where it is very long.
///
/// # Errors
/// When the bytes are no value.
pub(crate) fn show(bytes: &[u8]) -> Result<String, DecodeError> {
    decode_borrowed::<Shown>(bytes).map(|Shown(text)| text)
}

/// A value that could not be written as MessagePack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encode value: {0}")]
pub(crate) struct EncodeError(String);

/// Characters of a text that is shown.
const SHOWN_MAX: usize = 10_000;

struct Shown(String);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shown, D::Error> {
        deserializer.deserialize_any(ShownVisitor).map(Shown)
    }
}

struct ShownVisitor;

impl<'de> Visitor<'de> for ShownVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(format!("{value:?}"))
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(format!("{value:?}"))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<String, E> {
        let shown = &value[..value.len().min(SHOWN_MAX / 2)];
        Ok(shown.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        Shown::deserialize(inner).map(|Shown(text)| text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<String, A::Error> {
        let mut list = List::new('[');
        while let Some(Shown(value)) = values.next_element()? {
            list.add(&value);
        }
        Ok(list.end(']'))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        let mut list = List::new('{');
        while let Some((Shown(name), Shown(value))) = entries.next_entry()? {
            list.add(&format!("{name}: {value}"));
        }
        Ok(list.end('}'))
    }
}

/// The text of what has parts.
struct List(String);

impl List {
    fn new(begin: char) -> List {
        List(begin.to_string())
    }

    fn add(&mut self, part: &str) {
        if self.0.len() > SHOWN_MAX {
            if !self.0.ends_with('…') {
                self.0.push('…');
            }
            return;
        }
        if self.0.len() > 1 {
            self.0.push_str(", ");
        }
        self.0.push_str(part);
    }

    fn end(mut self, end: char) -> String {
        self.0.push(end);
        self.0
    }
}

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
    fn any_value_is_shown() {
        #[derive(Serialize)]
        struct Any {
            name: &'static str,
            list: Vec<Option<f64>>,
            map: std::collections::BTreeMap<u8, (bool, i8)>,
        }
        let map = [(7, (true, -1))].into();
        let any = Any { name: "a \"b\"", list: vec![Some(1.0), None], map };
        let shown = r#"{"name": "a \"b\"", "list": [1.0, null], "map": {7: [true, -1]}}"#;
        assert_eq!(show(&bytes(any)).unwrap(), shown);
        assert!(show(&bytes(vec![u64::MAX; 100_000])).unwrap().len() < SHOWN_MAX + 100);
        assert!(show(&[0xc1]).is_err());
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
