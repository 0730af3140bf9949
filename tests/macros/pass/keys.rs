//! Keys that are structs: their bytes, and what can be given for them.

use fastness::IntoKey;
use fastness::prelude::*;

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
struct Sku(String);

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
struct Id(u64);

#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
#[key(crate = ::fastness)]
struct Seat {
    flight: (Sku, u8),
    out: u16,
    bytes: bool,
}

mod guarded {
    use fastness::prelude::*;

    #[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
    pub struct Even(u32);

    impl Even {
        pub fn new(value: u32) -> Option<Even> {
            value.is_multiple_of(2).then_some(Even(value))
        }
    }

    /// Would conflict if the private field could be given for the key.
    impl fastness::IntoKey<Even> for u32 {
        fn into_key(self) -> Even {
            Even(self & !1)
        }
    }
}

fn bytes<K: Key>(key: &K) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode(&mut out);
    let mut rest = &out[..];
    assert_eq!(K::decode(&mut rest).as_ref(), Ok(key));
    assert!(rest.is_empty());
    out
}

fn key<K: Key>(given: impl IntoKey<K>) -> K {
    given.into_key()
}

pub(crate) fn main() {
    let seat = Seat { flight: (Sku("LX".into()), 9), out: 0x0102, bytes: true };
    assert_eq!(bytes(&seat), *b"LX\0\0\x09\x01\x02\x01");
    assert_eq!(bytes(&Id(1)), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(Seat::decode(&mut &b"LX\0\0\x09"[..]).is_err());

    assert_eq!(key::<Seat>(&seat), seat);
    assert_eq!(key::<Id>(7), Id(7));
    assert_eq!(key::<Sku>("a".to_owned()), Sku("a".into()));
    assert_eq!(key::<(Id, String)>((7, "a")), (Id(7), "a".into()));
    assert_eq!(Some(key(3u32)), guarded::Even::new(2));
}
