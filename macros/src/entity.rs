//! `#[derive(Entity)]`: an entity type, and its reference type.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Ident, LitInt};

use crate::attributes::{self, EntityOptions};
use crate::diagnostics::Diagnostics;
use crate::message_list::{self, Listed};
use crate::names;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let made = expand(input, &mut diagnostics);
    let errors = diagnostics.into_tokens();
    quote!(#made #errors)
}

fn expand(input: &DeriveInput, diagnostics: &mut Diagnostics) -> Option<TokenStream> {
    let ident = &input.ident;
    let options = EntityOptions::read(ident, &input.attrs, diagnostics);
    let private = attributes::private_path(options.crate_path.as_ref(), "entity", diagnostics)?;
    let generics_before = diagnostics.count();
    attributes::refuse_generics(&input.generics, "an entity", diagnostics);
    if let Data::Union(data) = &input.data {
        diagnostics.error(data.union_token, "an entity is a struct or an enum");
    }
    let may_expand = diagnostics.count() == generics_before;
    let entity = implement(&private, ident, &options, diagnostics);
    let reference = reference(&private, input);
    let list = options.handles.as_ref().map(|handles| {
        let list: Vec<_> = handles.messages.iter().map(Listed::always).collect();
        message_list::implement(&private, &quote!(#ident), names::at(&handles.keyword), &list)
    });
    may_expand.then(|| quote!(#entity #reference #list))
}

fn implement(
    private: &TokenStream,
    ident: &Ident,
    options: &EntityOptions,
    diagnostics: &mut Diagnostics,
) -> TokenStream {
    let name = names::wire_name(options.name.as_ref(), ident, names::snake_case, diagnostics);
    let version = version(options, diagnostics);
    // Where the key is missing or unreadable that is already an error; with any key in its place,
    // the compiler does not go on to say that the type is no entity at all.
    let key = match &options.key {
        Some(key) => quote!(#key),
        None => quote!(::std::string::String),
    };
    let migrate = options.migrate.as_ref().map(|path| {
        let stored = names::local("stored");
        let call = quote_spanned!(names::at(path)=> #path(#stored));
        quote! {
            fn migrate(
                #stored: #private::StoredState<'_>,
            ) -> ::core::result::Result<Self, #private::DecodeError> {
                #call
            }
        }
    });
    quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #private::Entity for #ident {
            type Key = #key;
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            #migrate

            fn try_clone(&self) -> ::core::option::Option<Self> {
                #[allow(unused_imports)]
                use #private::NotClone as _;
                #private::StateProbe(self).try_clone()
            }

            fn accepted() -> &'static [#private::Accepted<Self>] {
                #[allow(unused_imports)]
                use #private::AcceptsNothing as _;
                #private::ListProbe::<Self>::NEW.list()
            }
        }
    }
}

/// The schema's version. Versions above the first need a way from the older ones.
fn version(options: &EntityOptions, diagnostics: &mut Diagnostics) -> u32 {
    let number = match &options.version {
        Some(version) => number(version, diagnostics),
        None => (!options.version_is_unreadable).then_some(1),
    };
    // What cannot be read says nothing about `migrate` either.
    let Some(number) = number else { return 1 };
    match (&options.version, &options.migrate) {
        (Some(version), None) if number > 1 => {
            let message = format!(
                "version {number} needs a function that reads the older ones: add `migrate = path`"
            );
            diagnostics.error(version, message);
        }
        (_, Some(migrate)) if number == 1 => {
            let message = "nothing is older than version 1: raise `version`, or remove `migrate`";
            diagnostics.error(migrate, message);
        }
        _ => {}
    }
    number
}

fn number(version: &LitInt, diagnostics: &mut Diagnostics) -> Option<u32> {
    let number = version.base10_parse::<u32>().ok().filter(|number| *number > 0);
    if number.is_none() {
        diagnostics.error(version, "a version is a whole number from 1 to 4294967295");
    }
    number
}

fn reference(private: &TokenStream, input: &DeriveInput) -> TokenStream {
    let (ident, visibility) = (&input.ident, &input.vis);
    let reference = names::reference(ident);
    let docs = format!(
        "A typed reference to one `{ident}`, which need not exist. Cheap to make and to clone.\n\n\
         It has a method for each of the entity's `#[handlers]`, and dereferences to `EntityRef`, \
         which takes all its messages."
    );
    let name = reference.to_string();
    quote! {
        #[doc = #docs]
        #[allow(unreachable_pub, dead_code)]
        #visibility struct #reference(#private::EntityRef<#ident>);

        #[automatically_derived]
        impl ::core::clone::Clone for #reference {
            fn clone(&self) -> Self {
                #reference(::core::clone::Clone::clone(&self.0))
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Debug for #reference {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Formatter::debug_tuple(f, #name)
                    .field(#private::EntityRef::key(&self.0))
                    .finish()
            }
        }

        #[automatically_derived]
        impl ::core::ops::Deref for #reference {
            type Target = #private::EntityRef<#ident>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<#private::EntityRef<#ident>> for #reference {
            fn from(reference: #private::EntityRef<#ident>) -> Self {
                #reference(reference)
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<&#reference> for #private::Address<#ident> {
            fn from(reference: &#reference) -> Self {
                ::core::convert::From::from(&reference.0)
            }
        }

        #[automatically_derived]
        impl #private::Addressed for #ident {
            type Ref = #reference;
        }
    }
}
