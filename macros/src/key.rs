//! `#[derive(Key)]`: a struct whose bytes are its fields' bytes, in order.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Field, Fields, Ident, Member};

use crate::attributes;
use crate::diagnostics::Diagnostics;
use crate::names;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let made = implement(input, &mut diagnostics);
    let errors = diagnostics.into_tokens();
    quote!(#made #errors)
}

fn implement(input: &DeriveInput, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let crate_path = attributes::read_key(&input.attrs, diagnostics);
    let fields = fields(input, diagnostics);
    attributes::refuse_generics(&input.generics, "a key", diagnostics);
    let private = attributes::private_path(crate_path.as_ref(), "key", diagnostics)?;
    let fields = fields.filter(|_| diagnostics.count() == 0)?;

    let key = codec(&private, &input.ident, fields);
    let itself = itself(&private, &input.ident);
    let field = from_only_field(&private, input, fields);
    Some(quote!(#key #itself #field))
}

fn fields<'a>(input: &'a DeriveInput, diagnostics: &mut Diagnostics) -> Option<&'a Fields> {
    match &input.data {
        Data::Struct(data) if !data.fields.is_empty() => return Some(&data.fields),
        Data::Struct(_) => {
            let message = "a key needs at least one field: without any, all keys are the same";
            diagnostics.error(&input.ident, message);
        }
        Data::Enum(data) => {
            let message = "a key is a struct: put what tells the variants apart into a field";
            diagnostics.error(data.enum_token, message);
        }
        Data::Union(data) => diagnostics.error(data.union_token, "a key is a struct"),
    }
    None
}

fn codec(private: &TokenStream, ident: &Ident, fields: &Fields) -> TokenStream {
    let (out, bytes) = (names::local("out"), names::local("bytes"));
    let members: Vec<Member> = fields.members().collect();
    let encode = fields.iter().zip(&members).map(|(field, member)| {
        let ty = &field.ty;
        quote_spanned!(names::at(ty)=> <#ty as #private::Key>::encode(&self.#member, #out);)
    });
    let decode = fields.iter().zip(&members).map(|(field, member)| {
        let ty = &field.ty;
        quote_spanned!(names::at(ty)=> #member: <#ty as #private::Key>::decode(#bytes)?,)
    });
    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #private::Key for #ident {
            fn encode(&self, #out: &mut ::std::vec::Vec<::core::primitive::u8>) {
                #(#encode)*
            }

            fn decode(
                #bytes: &mut &[::core::primitive::u8],
            ) -> ::core::result::Result<Self, #private::DecodeError> {
                ::core::result::Result::Ok(Self { #(#decode)* })
            }
        }
    }
}

fn itself(private: &TokenStream, ident: &Ident) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #private::IntoKey<#ident> for #ident {
            fn into_key(self) -> #ident {
                self
            }
        }

        #[automatically_derived]
        impl #private::IntoKey<#ident> for &#ident {
            fn into_key(self) -> #ident {
                ::core::clone::Clone::clone(self)
            }
        }
    }
}

/// `struct Sku(String)` can be named by its `String`, unless the field is less visible than the
/// struct: then it may guard an invariant, and only the struct's own functions make keys.
fn from_only_field(private: &TokenStream, input: &DeriveInput, fields: &Fields) -> TokenStream {
    let Fields::Unnamed(fields) = fields else {
        return TokenStream::new();
    };
    let only: Vec<&Field> = fields.unnamed.iter().collect();
    let [field] = only[..] else {
        return TokenStream::new();
    };
    let same_visibility =
        field.vis.to_token_stream().to_string() == input.vis.to_token_stream().to_string();
    if !same_visibility {
        return TokenStream::new();
    }
    let (ident, ty) = (&input.ident, &field.ty);
    quote! {
        #[automatically_derived]
        impl #private::IntoKey<#ident> for #ty {
            fn into_key(self) -> #ident {
                #ident(self)
            }
        }
    }
}
