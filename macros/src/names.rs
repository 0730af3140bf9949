//! Names that the macros make out of the user's, and which wire names are allowed.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Ident, LitStr};

use crate::diagnostics::Diagnostics;

/// Lengths of names are written in one byte.
const WIRE_NAME_MAX_BYTES: usize = 255;

/// What begins so belongs to the library's own entities and messages.
const RESERVED_PREFIX: &str = "fastness.";

/// The wire name: the one the user gives, or else what `fallback` makes of the identifier.
pub(crate) fn wire_name(
    given: Option<&LitStr>,
    ident: &Ident,
    fallback: impl Fn(&str) -> String,
    diagnostics: &mut Diagnostics,
) -> LitStr {
    let name = match given {
        Some(name) => name.clone(),
        None => LitStr::new(&fallback(&ident.unraw().to_string()), ident.span()),
    };
    let value = name.value();
    if value.is_empty() {
        diagnostics.error(&name, "a wire name cannot be empty: leave `name` out or write one");
    } else if value.len() > WIRE_NAME_MAX_BYTES {
        let message = format!(
            "this wire name has {} bytes, at most {WIRE_NAME_MAX_BYTES} are allowed: give a shorter one with `name = \"..\"`",
            value.len()
        );
        diagnostics.error(&name, message);
    } else if value.starts_with(RESERVED_PREFIX) {
        let message =
            format!("names that begin with `{RESERVED_PREFIX}` are reserved: choose another");
        diagnostics.error(&name, message);
    }
    name
}

/// `ShoppingCart` becomes `shopping_cart`, `HTTPRoute2` becomes `http_route2`.
///
/// Rows are stored under such names, so this must never change.
pub(crate) fn snake_case(ident: &str) -> String {
    let letters: Vec<char> = ident.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let next_is_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins_word = letter.is_uppercase()
            && before
                .is_some_and(|before| before != '_' && (!before.is_uppercase() || next_is_lower));
        if begins_word {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// `add_line` becomes `AddLine`.
fn pascal_case(ident: &str) -> String {
    let mut out = String::new();
    for word in ident.split('_') {
        let mut letters = word.chars();
        out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(letters.as_str());
    }
    out
}

/// The reference type of an entity type: `CartRef` for `Cart`.
pub(crate) fn reference(entity: &Ident) -> Ident {
    Ident::new(&format!("{}Ref", entity.unraw()), entity.span())
}

/// The message type of a handler method: `CartAdd` for `add` of `Cart`.
pub(crate) fn message(entity: &Ident, method: &Ident) -> Ident {
    let method_name = pascal_case(&method.unraw().to_string());
    Ident::new(&format!("{}{method_name}", entity.unraw()), method.span())
}

/// The place of `tokens`, for generated code that the compiler may have to complain about. It stays
/// generated code: lints of the user's do not look at it.
pub(crate) fn at(tokens: &impl Spanned) -> Span {
    Span::call_site().located_at(tokens.span())
}

/// The same tokens at another place.
pub(crate) fn moved(tokens: &TokenStream, to: Span) -> TokenStream {
    let moved = tokens.clone().into_iter().map(|mut token| {
        token.set_span(to);
        token
    });
    moved.collect()
}

/// A name for a variable of generated code that no name of the user can be mixed up with.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_of_types_never_change() {
        for (ident, name) in [
            ("Cart", "cart"),
            ("ShoppingCart", "shopping_cart"),
            ("HTTPRoute2", "http_route2"),
            ("V2Cart", "v2_cart"),
            ("Cart_Line", "cart_line"),
            ("already_snake", "already_snake"),
            ("ABC", "abc"),
            ("Ärger", "ärger"),
        ] {
            assert_eq!(snake_case(ident), name);
        }
    }

    #[test]
    fn message_types_are_named_after_entity_and_method() {
        let ident = |name| Ident::new(name, Span::call_site());
        assert_eq!(message(&ident("Cart"), &ident("add_line")).to_string(), "CartAddLine");
        assert_eq!(message(&ident("Cart"), &Ident::new_raw("type", Span::call_site())), "CartType");
        assert_eq!(reference(&ident("Cart")).to_string(), "CartRef");
    }

    #[test]
    fn wire_names_have_bounds() {
        let mistakes = |name: &str| {
            let mut diagnostics = Diagnostics::default();
            let given = LitStr::new(name, Span::call_site());
            wire_name(Some(&given), &local("x"), snake_case, &mut diagnostics);
            diagnostics.count()
        };
        assert_eq!(mistakes(""), 1);
        assert_eq!(mistakes("x"), 0);
        assert_eq!(mistakes(&"x".repeat(255)), 0);
        assert_eq!(mistakes(&"x".repeat(256)), 1);
        assert_eq!(mistakes("fastness.cart"), 1);
        assert_eq!(mistakes("fastness"), 0);
    }
}
