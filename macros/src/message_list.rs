//! The messages that an entity type takes, for `#[entity(handles(..))]` and for `#[handlers]`.
//!
//! A list makes each message a `MessageTo` the entity, sees that no two of them share a wire name,
//! and is the only one of its entity type: a second list cannot be compiled.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Type};

use crate::names;

/// A message in the list of an entity type.
pub(crate) struct Listed<'a> {
    /// The `cfg`s under which it exists.
    pub(crate) cfgs: Vec<&'a Attribute>,
    /// The message's type, where the user names it or the handler that it is made for.
    pub(crate) message: TokenStream,
}

impl Listed<'_> {
    pub(crate) fn always(message: &Type) -> Self {
        Listed { cfgs: Vec::new(), message: message.to_token_stream() }
    }
}

/// What the list of `entity` at `at` is expanded to.
pub(crate) fn implement(
    private: &TokenStream,
    entity: &TokenStream,
    at: Span,
    list: &[Listed<'_>],
) -> TokenStream {
    let wire_names = list.iter().map(|Listed { cfgs, message }| {
        let private = names::moved(private, names::at(message));
        quote_spanned!(names::at(message)=> #(#cfgs)* <#message as #private::Message>::NAME)
    });
    let accepted = list.iter().map(|Listed { cfgs, message }| {
        let private = names::moved(private, names::at(message));
        quote_spanned!(names::at(message)=> #(#cfgs)* #private::Accepted::of::<#message>())
    });
    let (its_private, its_entity) = (names::moved(private, at), names::moved(entity, at));
    let only_list = quote_spanned! {at=>
        impl #its_private::OneHandlersBlockOrHandlesList for #its_entity
    };
    let messages = list.iter().map(|listed| message_to(private, entity, listed));
    let distinct = list.iter().map(|listed| assert_distinct(private, entity, listed));
    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        #only_list {
            const NAMES: &'static [&'static ::core::primitive::str] = &[#(#wire_names),*];
            const ACCEPTED: &'static [#private::Accepted<Self>] = &[#(#accepted),*];
        }
        #(#messages)*
        #(#distinct)*
    }
}

fn message_to(private: &TokenStream, entity: &TokenStream, listed: &Listed<'_>) -> TokenStream {
    let Listed { cfgs, message } = listed;
    // All at the message's place, because here the compiler says if its handler is missing.
    let at = names::at(message);
    let (private, entity) = (names::moved(private, at), names::moved(entity, at));
    quote_spanned! {at=>
        #(#cfgs)*
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #private::MessageTo<#entity> for #message {
            fn deliver(
                self,
                entity: &mut #entity,
                cx: &mut #private::Context<'_, #entity>,
            ) -> Self::Reply {
                <<#message as #private::Message>::Mode as #private::Deliver<#entity, #message>>
                    ::deliver(self, entity, cx)
            }

            fn is_failure(reply: &Self::Reply) -> ::core::primitive::bool {
                #[allow(unused_imports)]
                use #private::NeverFails as _;
                #private::ReplyProbe(reply).is_failure()
            }
        }
    }
}

fn assert_distinct(
    private: &TokenStream,
    entity: &TokenStream,
    listed: &Listed<'_>,
) -> TokenStream {
    let Listed { cfgs, message } = listed;
    let text = format!(
        "`{}` takes another message with the wire name of `{}`: rename one, or give it another name with `#[message(name = \"..\")]`",
        readable(entity),
        readable(message),
    );
    let at = names::at(message);
    let (private, entity) = (names::moved(private, at), names::moved(entity, at));
    quote_spanned! {at=>
        #(#cfgs)*
        #[allow(unused_qualifications)]
        const _: () = ::core::assert!(
            #private::is_only(
                <#entity as #private::OneHandlersBlockOrHandlesList>::NAMES,
                <#message as #private::Message>::NAME,
            ),
            #text
        );
    }
}

fn readable(tokens: &TokenStream) -> String {
    tokens.to_string().replace(" :: ", "::").replace(" < ", "<").replace(" >", ">")
}
