//! Reads the options of `#[entity(..)]`, `#[message(..)]` and `#[handlers(..)]`.
//!
//! One option that cannot be read does not hide the mistakes in the others.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Generics, Ident, LitInt, LitStr, Path, Token, Type};

use crate::diagnostics::Diagnostics;

const ENTITY_OPTIONS: &str = "`key`, `name`, `version`, `migrate`, `handles`, `crate`";
const MESSAGE_OPTIONS: &str = "`reply`, `read`, `name`, `crate`";

/// The options of `#[entity(..)]`.
#[derive(Default)]
pub(crate) struct EntityOptions {
    pub(crate) key: Option<Type>,
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    /// Whether there is a version that could not be read.
    pub(crate) version_is_unreadable: bool,
    pub(crate) migrate: Option<Path>,
    pub(crate) handles: Option<Handles>,
    pub(crate) crate_path: Option<Path>,
}

/// `handles(Add, Clear)`.
pub(crate) struct Handles {
    pub(crate) keyword: Path,
    pub(crate) messages: Vec<Type>,
}

/// The options of `#[message(..)]`.
#[derive(Default)]
pub(crate) struct MessageOptions {
    pub(crate) reply: Option<Type>,
    pub(crate) reads: bool,
    pub(crate) name: Option<LitStr>,
    pub(crate) crate_path: Option<Path>,
}

/// The arguments of `#[handlers(..)]`.
#[derive(Default)]
pub(crate) struct HandlersArguments {
    pub(crate) messages: Vec<Type>,
    pub(crate) crate_path: Option<Path>,
}

impl EntityOptions {
    pub(crate) fn read(
        type_name: &Ident,
        attributes: &[Attribute],
        diagnostics: &mut Diagnostics,
    ) -> EntityOptions {
        let mut options = EntityOptions::default();
        let given = read(attributes, "entity", ENTITY_OPTIONS, diagnostics, |option, meta| {
            match option {
                "key" => options.key = Some(meta.value()?.parse()?),
                "name" => options.name = Some(meta.value()?.parse()?),
                "version" => options.version = Some(meta.value()?.parse()?),
                "migrate" => options.migrate = Some(meta.value()?.parse()?),
                "handles" => {
                    let messages;
                    syn::parenthesized!(messages in meta.input);
                    let messages =
                        messages.parse_terminated(<Type as syn::parse::Parse>::parse, Token![,])?;
                    let keyword = meta.path.clone();
                    let messages = messages.into_iter().collect();
                    options.handles = Some(Handles { keyword, messages });
                }
                "crate" => options.crate_path = Some(parse_path(meta)?),
                _ => return Ok(false),
            }
            Ok(true)
        });
        let is_given = |name: &str| given.iter().any(|option| option == name);
        options.version_is_unreadable = is_given("version") && options.version.is_none();
        if !is_given("key") {
            let message = format!(
                "`{type_name}` has no key: say what tells one from another with `#[entity(key = String)]`"
            );
            diagnostics.error(type_name, message);
        }
        if let Some(handles) = &options.handles {
            refuse_repeated(&handles.messages, diagnostics);
        }
        options
    }
}

impl MessageOptions {
    pub(crate) fn read(attributes: &[Attribute], diagnostics: &mut Diagnostics) -> MessageOptions {
        let mut options = MessageOptions::default();
        read(attributes, "message", MESSAGE_OPTIONS, diagnostics, |option, meta| {
            match option {
                "reply" => options.reply = Some(meta.value()?.parse()?),
                "read" if meta.input.peek(Token![=]) => {
                    return Err(meta.error("`read` has no value: write `read` alone"));
                }
                "read" => options.reads = true,
                "name" => options.name = Some(meta.value()?.parse()?),
                "crate" => options.crate_path = Some(parse_path(meta)?),
                _ => return Ok(false),
            }
            Ok(true)
        });
        options
    }
}

/// The path of the library in `#[key(crate = path)]`.
pub(crate) fn read_key(attributes: &[Attribute], diagnostics: &mut Diagnostics) -> Option<Path> {
    let mut crate_path = None;
    read(attributes, "key", "`crate`", diagnostics, |option, meta| {
        let known = option == "crate";
        if known {
            crate_path = Some(parse_path(meta)?);
        }
        Ok(known)
    });
    crate_path
}

impl HandlersArguments {
    pub(crate) fn read(arguments: TokenStream, diagnostics: &mut Diagnostics) -> HandlersArguments {
        let mut read = HandlersArguments::default();
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if input.peek(Token![crate]) && input.peek2(Token![=]) {
                    input.parse::<Token![crate]>()?;
                    input.parse::<Token![=]>()?;
                    read.crate_path = Some(input.call(Path::parse_mod_style)?);
                } else {
                    read.messages.push(input.parse()?);
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        diagnostics.keep(parser.parse2(arguments));
        refuse_repeated(&read.messages, diagnostics);
        read
    }
}

/// Hands each option to `take`, which says whether it knows it. Returns the names given.
fn read(
    attributes: &[Attribute],
    owner: &str,
    known: &str,
    diagnostics: &mut Diagnostics,
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<bool>,
) -> Vec<String> {
    let mut given = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(owner)) {
        let read = attribute.parse_nested_meta(|meta| {
            let option = meta.path.to_token_stream().to_string();
            if given.contains(&option) {
                diagnostics.error(&meta.path, format!("`{option}` is given twice: keep one"));
                return skip_option(meta.input);
            }
            let taken = take(&option, &meta);
            match diagnostics.keep(taken) {
                Some(true) => {}
                Some(false) => {
                    let message = format!("`{owner}` has no option `{option}`; it has {known}");
                    diagnostics.error(&meta.path, message);
                    skip_option(meta.input)?;
                }
                None => skip_option(meta.input)?,
            }
            given.push(option);
            Ok(())
        });
        diagnostics.keep(read);
    }
    given
}

/// Goes to the comma that ends an option; commas between `<` and `>` do not.
fn skip_option(input: ParseStream<'_>) -> syn::Result<()> {
    let mut depth = 0usize;
    while !input.is_empty() && (depth > 0 || !input.peek(Token![,])) {
        match input.parse::<TokenTree>()? {
            TokenTree::Punct(punct) if punct.as_char() == '<' => depth += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn parse_path(meta: &ParseNestedMeta<'_>) -> syn::Result<Path> {
    meta.value()?.call(Path::parse_mod_style)
}

fn refuse_repeated(messages: &[Type], diagnostics: &mut Diagnostics) {
    for (at, message) in messages.iter().enumerate() {
        let text = message.to_token_stream().to_string();
        if messages[..at].iter().any(|before| before.to_token_stream().to_string() == text) {
            diagnostics.error(message, format!("`{text}` is listed twice: remove one"));
        }
    }
}

/// Refuses generics, lifetimes and where clauses: a wire name names one type.
pub(crate) fn refuse_generics(generics: &Generics, what: &str, diagnostics: &mut Diagnostics) {
    if !generics.params.is_empty() {
        let message = format!(
            "{what} cannot be generic, as its name in stores and on the wire means one type: name the types"
        );
        diagnostics.error(generics, message);
    }
    if let Some(clause) = &generics.where_clause {
        diagnostics.error(clause, format!("{what} cannot have a where clause: remove it"));
    }
}

/// The path of what generated code refers to, below the user's name for the library.
pub(crate) fn private_path(
    crate_path: Option<&Path>,
    owner: &str,
    diagnostics: &mut Diagnostics,
) -> Option<TokenStream> {
    if let Some(path) = crate_path {
        return Some(quote!(#path::__private));
    }
    match crate_name("fastness") {
        // The library calls itself by this name, so that its examples and tests can, too.
        Ok(FoundCrate::Itself) => Some(quote!(::fastness::__private)),
        Ok(FoundCrate::Name(name)) => {
            let name = Ident::new(&name, Span::call_site());
            Some(quote!(::#name::__private))
        }
        Err(_) => {
            let message = format!(
                "`fastness` is not among this crate's dependencies: add it, or say where it is with `#[{owner}(crate = path)]`"
            );
            diagnostics.keep::<()>(Err(syn::Error::new(Span::call_site(), message)));
            None
        }
    }
}
