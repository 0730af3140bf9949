//! A crate that names the library `data_grid` and forbids itself every warning.
#![deny(
    warnings,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all
)]
#![deny(single_use_lifetimes, unused_lifetimes, missing_debug_implementations)]
#![deny(rust_2018_idioms, rustdoc::all)]
#![forbid(unsafe_code)]

use data_grid::prelude::*;

/// A key of two parts.
#[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Seat {
    /// The flight.
    pub flight: String,
    /// The row.
    pub row: u16,
}

/// An entity that others see.
#[derive(Entity, Clone, Default, Debug, Serialize, Deserialize)]
#[entity(key = Seat)]
pub struct Booking {
    name: String,
}

/// A message that others see.
#[derive(Message, Debug, Serialize, Deserialize)]
#[message(reply = Result<(), String>)]
pub struct Cancel;

#[handlers(Cancel)]
impl Booking {
    /// Books it.
    pub fn book(&mut self, name: String) -> bool {
        self.name = name;
        true
    }

    #[read]
    pub(crate) fn is_free(&self) -> bool {
        self.name.is_empty()
    }

    fn touch(&mut self, _cx: &mut Context<'_, Self>) {}

    /// Takes the `d` from a [`Cancel`], see also [`Self::book`].
    #[expect(
        clippy::too_many_arguments,
        reason = "the user's own warning, and the only one"
    )]
    #[deprecated = "use `book`"]
    pub fn old(&mut self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) {
        let _ = (a, b, c, d, e, f, g, h);
    }
}

impl Handler<Cancel> for Booking {
    fn handle(&mut self, _: Cancel, _: &mut Context<'_, Self>) -> Result<(), String> {
        self.name.clear();
        Ok(())
    }
}

mod inner {
    use data_grid::prelude::*;

    /// An entity of this module only, with methods that claim to be public.
    #[derive(Entity, Default, Debug, Serialize, Deserialize)]
    #[entity(key = u64, handles(super::Cancel))]
    struct Private;

    impl Handler<super::Cancel> for Private {
        fn handle(&mut self, _: super::Cancel, _: &mut Context<'_, Self>) -> Result<(), String> {
            Err(String::new())
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Detail;

    #[derive(Entity, Default, Debug, Serialize, Deserialize)]
    #[entity(key = u64)]
    struct Claims;

    #[handlers]
    impl Claims {
        #[expect(unreachable_pub, reason = "the user's own warning, and the only one")]
        pub fn take(&mut self, _detail: Detail) {}
    }
}

/// Has handlers in some builds.
#[derive(Entity, Default, Debug, Serialize, Deserialize)]
#[entity(key = u64)]
pub struct Sometimes;

#[handlers(NoSuchMessage)]
#[cfg(any())]
impl Sometimes {
    fn in_no_build(&mut self, nothing: NoSuchType) {}
}

#[handlers(Cancel)]
#[cfg(any(unix, not(unix)))]
impl Sometimes {
    /// In this build.
    pub fn in_this_build(&mut self) {}
}

#[cfg(any(unix, not(unix)))]
impl Handler<Cancel> for Sometimes {
    fn handle(&mut self, _: Cancel, _: &mut Context<'_, Self>) -> Result<(), String> {
        Ok(())
    }
}
