//! `#[derive(Message)]`: a message and the type of its reply.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;

use crate::attributes::{self, MessageOptions};
use crate::diagnostics::Diagnostics;
use crate::names;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let made = implement(input, &mut diagnostics);
    let errors = diagnostics.into_tokens();
    quote!(#made #errors)
}

fn implement(input: &DeriveInput, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let options = MessageOptions::read(&input.attrs, diagnostics);
    let private = attributes::private_path(options.crate_path.as_ref(), "message", diagnostics)?;
    let ident = &input.ident;
    let name = names::wire_name(options.name.as_ref(), ident, names::snake_case, diagnostics);

    let before = diagnostics.count();
    attributes::refuse_generics(&input.generics, "a message", diagnostics);
    if diagnostics.count() > before {
        return None;
    }

    let reply = options.reply.map_or_else(|| quote!(()), |reply| quote!(#reply));
    let reply = quote_spanned!(names::at(&reply)=> type Reply = #reply;);
    let mode = if options.reads { quote!(Read) } else { quote!(Write) };
    Some(quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #private::Message for #ident {
            #reply
            type Mode = #private::#mode;
            const NAME: &'static ::core::primitive::str = #name;
        }
    })
}
