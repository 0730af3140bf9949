//! All errors of one invocation, each on the offending token.
//!
//! Whoever finds a mistake notes it here and goes on, so that a user sees every mistake at once.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Diagnostics {
    errors: Vec<syn::Error>,
}

impl Diagnostics {
    /// Notes a mistake in `tokens`. The message says how to mend it.
    pub(crate) fn error(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.errors.push(syn::Error::new_spanned(tokens, message));
    }

    /// The value, or a note of why there is none.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// How many mistakes were noted so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    /// What makes the compiler report them; nothing if there are none.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.iter().map(syn::Error::to_compile_error).collect()
    }
}
