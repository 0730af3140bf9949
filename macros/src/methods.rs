//! Which methods of a `#[handlers]` block are handlers, and what is wrong with those that cannot
//! be.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{
    Attribute, FnArg, Ident, ImplItemFn, Lifetime, Pat, PatType, Path, Receiver, ReturnType,
    Signature, Type, TypeImplTrait, TypeReference,
};

use crate::diagnostics::Diagnostics;
use crate::names;

/// What every reference to an entity can do already: the methods of `EntityRef` and those of the
/// traits that each `..Ref` type implements.
const REFERENCE_METHODS: [&str; 9] =
    ["ask", "tell", "key", "clone", "deref", "fmt", "from", "into", "type_id"];

/// A method that is a handler.
pub(crate) struct Handler<'a> {
    pub(crate) method: &'a ImplItemFn,
    pub(crate) message: Ident,
    pub(crate) reads: bool,
    pub(crate) parameters: Vec<Parameter<'a>>,
    pub(crate) takes_context: bool,
    pub(crate) reply: TokenStream,
}

/// A parameter that becomes a field of the message.
pub(crate) struct Parameter<'a> {
    /// `#[serde(..)]`, for the field.
    pub(crate) attributes: Vec<&'a Attribute>,
    pub(crate) name: &'a Ident,
    pub(crate) ty: &'a Type,
}

impl Handler<'_> {
    pub(crate) fn name(&self) -> &Ident {
        &self.method.sig.ident
    }

    pub(crate) fn attributes(&self, names: &'static [&'static str]) -> Vec<&Attribute> {
        let named =
            |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
        self.method.attrs.iter().filter(named).collect()
    }
}

/// Whether it is the attribute that marks a handler as a reader.
pub(crate) fn is_read(attribute: &Attribute) -> bool {
    attribute.path().is_ident("read")
}

/// Whether it is an attribute of a parameter that is meant for the message's field.
pub(crate) fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
}

/// The handler that `method` of `entity` is; `None` if it has no receiver, or mistakes.
pub(crate) fn handler<'a>(
    entity: &Ident,
    method: &'a ImplItemFn,
    diagnostics: &mut Diagnostics,
) -> Option<Handler<'a>> {
    let read = method.attrs.iter().find(|attribute| is_read(attribute));
    let Some(receiver) = method.sig.receiver() else {
        if let Some(read) = read {
            diagnostics.error(
                read,
                "`#[read]` is for handlers, which take `&self`: add it, or remove `#[read]`",
            );
        }
        return None;
    };
    let mistakes = diagnostics.count();
    check_name(entity, &method.sig.ident, diagnostics);
    check_form(&method.sig, diagnostics);
    check_receiver(receiver, &method.sig.ident, read, diagnostics);
    if let Some(read) = read {
        diagnostics.keep(read.meta.require_path_only().map(|_| ()));
    }
    let (parameters, takes_context) = parameters(&method.sig, read.is_some(), diagnostics);
    let reply = reply(&method.sig.output, entity, diagnostics);
    (diagnostics.count() == mistakes).then(|| Handler {
        method,
        message: names::message(entity, &method.sig.ident),
        reads: read.is_some(),
        parameters,
        takes_context,
        reply,
    })
}

fn check_name(entity: &Ident, name: &Ident, diagnostics: &mut Diagnostics) {
    let reference = names::reference(entity);
    let text = name.to_string();
    if REFERENCE_METHODS.contains(&text.as_str()) {
        let message = format!(
            "`{reference}` has a method `{text}` already: rename the handler, or move it to an impl block without `#[handlers]` if it is none"
        );
        diagnostics.error(name, message);
    } else if names::message(entity, name) == reference {
        let message = format!(
            "its message would have the name of the reference type, `{reference}`: rename it"
        );
        diagnostics.error(name, message);
    }
}

fn check_form(signature: &Signature, diagnostics: &mut Diagnostics) {
    if let Some(token) = &signature.asyncness {
        let message = "handlers are synchronous, so that nothing else touches the entity meanwhile: remove `async`";
        diagnostics.error(token, message);
    }
    if let Some(token) = &signature.unsafety {
        diagnostics.error(
            token,
            "messages call handlers, and cannot promise what `unsafe` asks for: remove `unsafe`",
        );
    }
    if let Some(abi) = &signature.abi {
        diagnostics.error(abi, "handlers are plain functions: remove `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        diagnostics.error(variadic, "a message has a fixed number of fields: remove `...`");
    }
    if !signature.generics.params.is_empty() {
        let message = "a handler cannot be generic, as its message is one type: name the types";
        diagnostics.error(&signature.generics, message);
    }
    if let Some(clause) = &signature.generics.where_clause {
        diagnostics.error(clause, "a handler cannot have a where clause: remove it");
    }
}

fn check_receiver(
    receiver: &Receiver,
    name: &Ident,
    read: Option<&Attribute>,
    diagnostics: &mut Diagnostics,
) {
    let plain = receiver.colon_token.is_none()
        && receiver.reference.as_ref().is_some_and(|(_, lifetime)| lifetime.is_none());
    if !plain {
        let message =
            "a handler takes `&mut self`, or `&self` under `#[read]`: the grid owns the entity";
        diagnostics.error(receiver, message);
    } else if receiver.mutability.is_none() && read.is_none() {
        let message = format!(
            "`&self` without `#[read]`: put `#[read]` on `{name}` if it only looks at the entity, or take `&mut self`; move it to an impl block without `#[handlers]` if it is no handler"
        );
        diagnostics.error(receiver, message);
    } else if let (Some(_), Some(read)) = (&receiver.mutability, read) {
        let message =
            "`#[read]` handlers only look at the entity: take `&self`, or remove `#[read]`";
        diagnostics.error(read, message);
    }
}

/// The parameters that become fields, and whether a context follows them.
fn parameters<'a>(
    signature: &'a Signature,
    reads: bool,
    diagnostics: &mut Diagnostics,
) -> (Vec<Parameter<'a>>, bool) {
    let typed: Vec<&PatType> = signature
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let mut parameters = Vec::new();
    let mut takes_context = false;
    for (at, parameter) in typed.iter().enumerate() {
        if is_context(&parameter.ty) {
            takes_context = true;
            check_context(parameter, at + 1 == typed.len(), reads, diagnostics);
        } else {
            parameters.extend(field(parameter, diagnostics));
        }
    }
    (parameters, takes_context)
}

fn is_context(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_context(&reference.elem),
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|segment| segment.ident == "Context")
        }
        _ => false,
    }
}

fn check_context(parameter: &PatType, is_last: bool, reads: bool, diagnostics: &mut Diagnostics) {
    let wanted = if reads { "&Context<Self>" } else { "&mut Context<Self>" };
    match &*parameter.ty {
        Type::Reference(reference) if reads && reference.mutability.is_some() => {
            let message = format!("a `#[read]` handler changes nothing: take `{wanted}`");
            diagnostics.error(reference, message);
        }
        Type::Reference(_) => {}
        other => diagnostics.error(other, format!("the context is lent: take `{wanted}`")),
    }
    if !is_last {
        let message = "the context is the last parameter, and there is one: move it to the end";
        diagnostics.error(parameter, message);
    }
}

fn field<'a>(parameter: &'a PatType, diagnostics: &mut Diagnostics) -> Option<Parameter<'a>> {
    for attribute in parameter.attrs.iter().filter(|attribute| {
        attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
    }) {
        let message =
            "the message has the same fields in every build: remove this, or put it on the method";
        diagnostics.error(attribute, message);
    }
    let mut check = Check { of: Of::Parameter, diagnostics };
    check.visit_type(&parameter.ty);
    match &*parameter.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            Some(Parameter {
                attributes: parameter
                    .attrs
                    .iter()
                    .filter(|attribute| is_serde(attribute))
                    .collect(),
                name: &pattern.ident,
                ty: &parameter.ty,
            })
        }
        pattern => {
            let message = "the message's field needs a name: write one in place of this pattern";
            diagnostics.error(pattern, message);
            None
        }
    }
}

fn reply(output: &ReturnType, entity: &Ident, diagnostics: &mut Diagnostics) -> TokenStream {
    match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => {
            let mut check = Check { of: Of::Reply(entity), diagnostics };
            check.visit_type(ty);
            ty.to_token_stream()
        }
    }
}

/// Finds the types that cannot be sent, or not be named outside of the impl block.
struct Check<'a> {
    of: Of<'a>,
    diagnostics: &'a mut Diagnostics,
}

enum Of<'a> {
    Parameter,
    Reply(&'a Ident),
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let message = match self.of {
            Of::Parameter => {
                "a message is sent, and cannot hold references: take an owned value, as `String` in place of `&str`"
            }
            Of::Reply(_) => "a reply is sent, and cannot hold references: return an owned value",
        };
        self.diagnostics.error(reference, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            let message = "what is sent cannot borrow: use a type without lifetimes";
            self.diagnostics.error(lifetime, message);
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let message = match self.of {
            Of::Parameter => "a message's field has one type: name it in place of `impl Trait`",
            Of::Reply(_) => {
                "a reply has one type, which its caller reads: name it in place of `impl Trait`"
            }
        };
        self.diagnostics.error(ty, message);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first().filter(|first| first.ident == "Self") {
            let message = match self.of {
                Of::Parameter => {
                    "the message is a type of its own, where `Self` means something else: name the type".to_owned()
                }
                Of::Reply(entity) => format!(
                    "the reply belongs to the message, where `Self` means something else: write `{entity}`"
                ),
            };
            self.diagnostics.error(&first.ident, message);
        }
        visit::visit_path(self, path);
    }
}
