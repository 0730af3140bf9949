//! `#[handlers]`: messages, their handlers, and methods of the reference type, out of methods.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, FnArg, Ident, ImplItem, Item, ItemImpl, Path, PathArguments, Type};

use crate::attributes::{self, HandlersArguments};
use crate::diagnostics::Diagnostics;
use crate::message_list::{self, Listed};
use crate::methods::{self, Handler, Parameter};
use crate::names;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let arguments = HandlersArguments::read(arguments, &mut diagnostics);
    let block = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Impl(block)) => block,
        Ok(other) => {
            let message = "`#[handlers]` goes on an impl block: `#[handlers] impl Cart { .. }`";
            diagnostics.error(other, message);
            let errors = diagnostics.into_tokens();
            return quote!(#item #errors);
        }
        Err(error) => return error.to_compile_error(),
    };
    let made = generate(&arguments, &block, &mut diagnostics);
    let errors = diagnostics.into_tokens();
    let block = without_our_attributes(block);
    quote!(#block #made #errors)
}

/// Everything but the block itself. Methods with mistakes are left out, so that the others still
/// work and nothing but the mistakes is reported.
fn generate(
    arguments: &HandlersArguments,
    block: &ItemImpl,
    diagnostics: &mut Diagnostics,
) -> Option<TokenStream> {
    let entity = entity(block, diagnostics)?;
    let handlers: Vec<Handler<'_>> = block
        .items
        .iter()
        .filter_map(|item| match item {
            ImplItem::Fn(method) => methods::handler(&entity.ident, method, diagnostics),
            _ => None,
        })
        .collect();
    let private = attributes::private_path(arguments.crate_path.as_ref(), "handlers", diagnostics)?;
    let cfgs: Vec<&Attribute> =
        block.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();
    let context = Expansion { private, entity, cfgs };

    let messages = handlers.iter().map(|handler| context.message(handler));
    let deliveries = handlers.iter().map(|handler| context.handler(handler));
    let reference = context.reference(&handlers);
    let list = context.list(arguments, &handlers);
    Some(quote!(#(#messages)* #(#deliveries)* #reference #list))
}

/// The entity type as the block names it.
struct Entity {
    path: Path,
    ident: Ident,
}

fn entity(block: &ItemImpl, diagnostics: &mut Diagnostics) -> Option<Entity> {
    let mistakes = diagnostics.count();
    if let Some((_, of_trait, _)) = &block.trait_ {
        let message = "`#[handlers]` goes on the entity's own impl block, not on that of a trait";
        diagnostics.error(of_trait, message);
    }
    if let Some(token) = &block.unsafety {
        diagnostics.error(token, "handlers are safe functions: remove `unsafe`");
    }
    attributes::refuse_generics(&block.generics, "a block of handlers", diagnostics);
    let path = match &*block.self_ty {
        Type::Path(ty) if ty.qself.is_none() => Some(&ty.path),
        _ => None,
    };
    let last = path.and_then(|path| path.segments.last());
    let named = path.zip(last.filter(|last| last.arguments == PathArguments::None));
    let Some((path, last)) = named else {
        // Generics of the block are refused already, and these usually are their use.
        if diagnostics.count() == mistakes {
            diagnostics.error(&block.self_ty, "name the entity's type here, without generics");
        }
        return None;
    };
    (diagnostics.count() == mistakes)
        .then(|| Entity { path: path.clone(), ident: last.ident.clone() })
}

struct Expansion<'a> {
    private: TokenStream,
    entity: Entity,
    /// The `cfg`s of the block, which hold for all that is made out of it.
    cfgs: Vec<&'a Attribute>,
}

impl Expansion<'_> {
    fn cfgs<'b>(&'b self, handler: &'b Handler<'_>) -> Vec<&'b Attribute> {
        self.cfgs.iter().copied().chain(handler.attributes(&["cfg"])).collect()
    }

    fn message(&self, handler: &Handler<'_>) -> TokenStream {
        let private = &self.private;
        let cfgs = self.cfgs(handler);
        let docs = self.docs(handler, "Message to", "handled by");
        let serde = quote!(#private::serde).to_string();
        let (visibility, message) = (&handler.method.vis, &handler.message);
        let fields = handler.parameters.iter().map(|Parameter { attributes, name, ty }| {
            let docs = format!("What the handler takes as `{name}`.");
            quote!(#[doc = #docs] #(#attributes)* #visibility #name: #ty)
        });
        // At the reply's place, because here the compiler says if it is private, or cannot be sent.
        let reply = &handler.reply;
        let reply = quote_spanned!(names::at(reply)=> type Reply = #reply;);
        let mode = if handler.reads { quote!(Read) } else { quote!(Write) };
        let mut ignored = Diagnostics::default();
        let wire_name = names::wire_name(None, handler.name(), ToOwned::to_owned, &mut ignored);
        quote! {
            #(#cfgs)*
            #docs
            #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
            #[serde(crate = #serde)]
            #[allow(dead_code, unreachable_pub, private_interfaces, unused_qualifications)]
            #[allow(rustdoc::broken_intra_doc_links, clippy::all, clippy::pedantic)]
            #visibility struct #message { #(#fields),* }

            #(#cfgs)*
            #[automatically_derived]
            #[allow(unused_qualifications)]
            impl #private::Message for #message {
                #reply
                type Mode = #private::#mode;
                const NAME: &'static ::core::primitive::str = #wire_name;
            }
        }
    }

    fn handler(&self, handler: &Handler<'_>) -> TokenStream {
        let Self { private, entity: Entity { path, .. }, .. } = self;
        let (cfgs, message) = (self.cfgs(handler), &handler.message);
        let (sent, cx) = (names::local("message"), names::local("cx"));
        let names: Vec<&Ident> = handler.parameters.iter().map(|field| field.name).collect();
        let (context, argument) = match handler.takes_context {
            true => (quote!(#cx), Some(quote!(#cx))),
            false => (quote!(_), None),
        };
        let arguments = names.iter().map(|name| quote!(#name)).chain(argument);
        let name = handler.name();
        let body = quote! {
            let #message { #(#names),* } = #sent;
            <#path>::#name(self, #(#arguments),*)
        };
        let body = match handler.reads {
            true => quote! {
                impl #private::Reader<#message> for #path {
                    fn read(
                        &self,
                        #sent: #message,
                        #context: &#private::Context<'_, Self>,
                    ) -> <#message as #private::Message>::Reply {
                        #body
                    }
                }
            },
            false => quote! {
                impl #private::Handler<#message> for #path {
                    fn handle(
                        &mut self,
                        #sent: #message,
                        #context: &mut #private::Context<'_, Self>,
                    ) -> <#message as #private::Message>::Reply {
                        #body
                    }
                }
            },
        };
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            #[allow(deprecated, unused_qualifications, clippy::all, clippy::pedantic)]
            #body
        }
    }

    /// The methods of the reference type.
    fn reference(&self, handlers: &[Handler<'_>]) -> TokenStream {
        let Self { private, entity: Entity { path, ident }, cfgs } = self;
        let mut reference = path.clone();
        if let Some(last) = reference.segments.last_mut() {
            last.ident = names::reference(ident);
        }
        let methods = handlers.iter().map(|handler| {
            let attributes = handler.attributes(&["cfg", "deprecated"]);
            let docs = self.docs(handler, "Asks", "to run");
            let (visibility, name, message) =
                (&handler.method.vis, handler.name(), &handler.message);
            let names: Vec<&Ident> = handler.parameters.iter().map(|field| field.name).collect();
            let types = handler.parameters.iter().map(|field| field.ty);
            quote! {
                #(#attributes)*
                #docs
                #visibility fn #name(&self, #(#names: #types),*) -> #private::Ask<#path, #message> {
                    #private::EntityRef::ask(&**self, #message { #(#names),* })
                }
            }
        });
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            #[allow(dead_code, unreachable_pub, private_interfaces, unused_qualifications)]
            #[allow(clippy::all, clippy::pedantic)]
            impl #reference {
                #(#methods)*
            }
        }
    }

    fn list(&self, arguments: &HandlersArguments, handlers: &[Handler<'_>]) -> TokenStream {
        let made = handlers.iter().map(|handler| Listed {
            cfgs: handler.attributes(&["cfg"]),
            message: handler.message.to_token_stream(),
        });
        let list: Vec<_> = made.chain(arguments.messages.iter().map(Listed::always)).collect();
        let (path, cfgs) = (&self.entity.path, &self.cfgs);
        let list = message_list::implement(&self.private, &quote!(#path), Span::call_site(), &list);
        match cfgs[..] {
            [] => list,
            // One anonymous item, so that the block's `cfg`s hold for the whole list.
            _ => quote!(#(#cfgs)* const _: () = { #list };),
        }
    }

    /// The docs of the handler, or if it has none a line of ours.
    fn docs(&self, handler: &Handler<'_>, before: &str, between: &str) -> TokenStream {
        let docs = handler.attributes(&["doc"]);
        if !docs.is_empty() {
            return quote!(#(#docs)*);
        }
        let entity = &self.entity.ident;
        let line = format!("{before} `{entity}`, {between} `{entity}::{}`.", handler.name());
        quote!(#[doc = #line])
    }
}

/// The block as the compiler may see it: it knows neither `#[read]` nor `#[serde]` on parameters.
fn without_our_attributes(mut block: ItemImpl) -> ItemImpl {
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        method.attrs.retain(|attribute| !methods::is_read(attribute));
        for input in &mut method.sig.inputs {
            if let FnArg::Typed(typed) = input {
                typed.attrs.retain(|attribute| !methods::is_serde(attribute));
            }
        }
    }
    block
}
