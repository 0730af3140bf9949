//! Keys of entities, and their bytes.
//!
//! The bytes decide an entity's partition and name its row for ever, so their form is fixed:
//!
//! | type | bytes |
//! | --- | --- |
//! | `u8` … `u128` | big-endian, fixed width |
//! | `i8` … `i128` | big-endian, fixed width, sign bit flipped |
//! | `bool` | `00`, `01` |
//! | `Uuid` | its 16 bytes |
//! | `String` | UTF-8, each `00` written `00 FF`, then `00 00` |
//! | tuple, struct | its parts, one after the other |
//!
//! They sort as the values do, and no encoding is the beginning of another of the same type.

use std::fmt;
use std::hash::Hash;

use uuid::Uuid;

use crate::error::DecodeError;

/// What can identify an entity: strings, integers, `Uuid`, `bool`, tuples of these, and structs of
/// these with `#[derive(Key)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of an entity",
    label = "not a key",
    note = "keys are `String`, integers, `bool`, `Uuid`, tuples of these, and structs of these with `#[derive(Key)]`"
)]
pub trait Key: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// Appends the key's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes the key's bytes off the front of `bytes`.
    ///
    /// # Errors
    /// When they are no such key.
    fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError>;
}

/// What can be given where a `K` is wanted: a `K`, or what obviously names one (`"a"` for a
/// `String`, `("a", 7)` for a `(String, u64)`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the entity's key, which is `{K}`",
    label = "expected `{K}`"
)]
pub trait IntoKey<K: Key> {
    /// The key.
    fn into_key(self) -> K;
}

/// Reads a whole key.
///
/// # Errors
/// When the bytes are no such key, or more than one.
pub(crate) fn decode_whole<K: Key>(mut bytes: &[u8]) -> Result<K, DecodeError> {
    let key = K::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(key) } else { Err(DecodeError::new("bytes follow the key")) }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, rest) =
        bytes.split_first_chunk::<N>().ok_or_else(|| DecodeError::new("key ends too early"))?;
    *bytes = rest;
    Ok(*head)
}

macro_rules! unsigned_key {
    ($($int:ty),*) => {$(
        impl Key for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
                take(bytes).map(Self::from_be_bytes)
            }
        }

        itself!($int);
    )*};
}

macro_rules! signed_key {
    ($($int:ty),*) => {$(
        impl Key for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                // With the sign bit flipped, the negative ones sort first.
                out.extend_from_slice(&(self ^ Self::MIN).to_be_bytes());
            }

            fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
                take(bytes).map(|bytes| Self::from_be_bytes(bytes) ^ Self::MIN)
            }
        }

        itself!($int);
    )*};
}

macro_rules! itself {
    ($key:ty) => {
        impl IntoKey<$key> for $key {
            fn into_key(self) -> $key {
                self
            }
        }
    };
}

unsigned_key!(u8, u16, u32, u64, u128);
signed_key!(i8, i16, i32, i64, i128);
itself!(bool);
itself!(Uuid);
itself!(String);

impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        match take(bytes)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(DecodeError::new(format!("{other:#04x} is no bool"))),
        }
    }
}

impl Key for Uuid {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        take(bytes).map(Uuid::from_bytes)
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        for byte in self.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let mut text = Vec::new();
        loop {
            match take(bytes)? {
                [0] => match take(bytes)? {
                    [0] => break,
                    [0xff] => text.push(0),
                    [_] => return Err(DecodeError::new("string key has a wrong escape")),
                },
                [byte] => text.push(byte),
            }
        }
        String::from_utf8(text).map_err(|_| DecodeError::new("string key is no UTF-8"))
    }
}

impl IntoKey<String> for &str {
    fn into_key(self) -> String {
        self.to_owned()
    }
}

impl IntoKey<String> for &String {
    fn into_key(self) -> String {
        self.clone()
    }
}

macro_rules! tuple_key {
    ($($part:ident $given:ident $at:tt),*) => {
        impl<$($part: Key),*> Key for ($($part,)*) {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$at.encode(out);)*
            }

            fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(($($part::decode(bytes)?,)*))
            }
        }

        impl<$($part: Key, $given: IntoKey<$part>),*> IntoKey<($($part,)*)> for ($($given,)*) {
            fn into_key(self) -> ($($part,)*) {
                ($(self.$at.into_key(),)*)
            }
        }
    };
}

tuple_key!(A GivenA 0);
tuple_key!(A GivenA 0, B GivenB 1);
tuple_key!(A GivenA 0, B GivenB 1, C GivenC 2);
tuple_key!(A GivenA 0, B GivenB 1, C GivenC 2, D GivenD 3);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<K: Key>(key: K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        assert_eq!(decode_whole::<K>(&out).unwrap(), key);
        out
    }

    #[test]
    fn golden_bytes_never_change() {
        assert_eq!(bytes(7u8), [7]);
        assert_eq!(bytes(0x0102_0304_0506_0708u64), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes(-1i32), [0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(bytes(0i32), [0x80, 0, 0, 0]);
        assert_eq!(bytes(true), [1]);
        assert_eq!(bytes(Uuid::from_u128(1)), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes("ab".to_owned()), *b"ab\0\0");
        assert_eq!(bytes("a\0b".to_owned()), *b"a\0\xffb\0\0");
        assert_eq!(bytes(String::new()), *b"\0\0");
        assert_eq!(bytes(("JFK".to_owned(), 7u16)), *b"JFK\0\0\0\x07");
        assert_eq!(bytes((1u8, (2u8, "x".to_owned()))), *b"\x01\x02x\0\0");
    }

    #[test]
    fn keys_that_are_near_literals_are_taken() {
        fn key<K: Key>(given: impl IntoKey<K>) -> K {
            given.into_key()
        }
        assert_eq!(key::<u64>(7), 7);
        assert_eq!(key::<String>("a"), "a");
        assert_eq!(key::<(String, u64)>(("bob", 7)), ("bob".to_owned(), 7));
    }

    proptest::proptest! {
        #[test]
        fn bytes_sort_as_values_do(a: (String, i64, u8), b: (String, i64, u8)) {
            proptest::prop_assert_eq!(a.cmp(&b), bytes(a.clone()).cmp(&bytes(b.clone())));
        }

        #[test]
        fn garbage_is_an_error_or_the_same_key(garbage: Vec<u8>) {
            if let Ok(key) = decode_whole::<(String, u16)>(&garbage) {
                proptest::prop_assert_eq!(bytes(key), garbage);
            }
        }
    }
}
