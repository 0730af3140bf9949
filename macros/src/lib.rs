//! The macros of `fastness`. Use them through that crate, which exports them beside the traits of
//! the same names; they work in any crate that depends on it, under whatever name.
//!
//! A mistake is an error on the token of your code that has it, and one compilation shows all of
//! them.

mod attributes;
mod diagnostics;
mod entity;
mod handlers;
mod key;
mod message;
mod message_list;
mod methods;
mod names;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct an entity type, and makes its reference type: `CartRef` for `Cart`.
///
/// ```
/// use fastness::prelude::*;
///
/// #[derive(Entity, Clone, Default, Serialize, Deserialize)]
/// #[entity(key = String)]
/// struct Counter {
///     value: i64,
/// }
/// # fn main() {}
/// ```
///
/// The type is `Default` (an entity that was never written is that), and serde's `Serialize` and
/// `Deserialize`. If it is `Clone`, too, handlers that fail are undone from a clone, else from the
/// last encoded bytes. `CounterRef` is as visible as `Counter`, and is what `grid.entity` returns:
/// it dereferences to `EntityRef<Counter>` and has a method for each of its [`macro@handlers`].
///
/// # Options: `#[entity(..)]`
///
/// | option | meaning |
/// | --- | --- |
/// | `key = Type` | what tells one entity from another; the only option that must be there |
/// | `name = "counter"` | the type's name in stores and on the wire: at most 255 bytes, and never to be changed. Left out, it is the type's in snake case, so give it before you rename the type |
/// | `version = 2` | version of the state's schema, from 1 |
/// | `migrate = path` | a `fn(StoredState<'_>) -> Result<Self, DecodeError>` that reads the states of older versions |
/// | `handles(Add, Clear)` | the messages that it takes, where it has no [`macro@handlers`] block |
/// | `crate = path` | where `fastness` is, if not among the crate's dependencies |
#[proc_macro_derive(Entity, attributes(entity))]
pub fn derive_entity(input: TokenStream) -> TokenStream {
    entity::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct or an enum a message that entities can take.
///
/// ```
/// use fastness::prelude::*;
/// # #[derive(Entity, Clone, Default, Serialize, Deserialize)]
/// # #[entity(key = String, handles(Add))]
/// # struct Counter {
/// #     value: i64,
/// # }
///
/// #[derive(Message, Serialize, Deserialize)]
/// #[message(reply = i64)]
/// struct Add(i64);
///
/// impl Handler<Add> for Counter {
///     fn handle(&mut self, Add(by): Add, _: &mut Context<Self>) -> i64 {
///         self.value += by;
///         self.value
///     }
/// }
/// # fn main() {}
/// ```
///
/// List it with the entities that take it: in `#[handlers(Add)]`, or where an entity has no such
/// block in `#[entity(handles(Add))]`.
///
/// # Options: `#[message(..)]`
///
/// | option | meaning |
/// | --- | --- |
/// | `reply = Type` | what its handlers return; `()` if left out. An `Err` undoes what the handler did |
/// | `read` | its handlers only look: `impl Reader<Add>` in place of `impl Handler<Add>` |
/// | `name = "add"` | its wire name, unique among the messages of an entity type. Left out, it is the type's in snake case |
/// | `crate = path` | where `fastness` is, if not among the crate's dependencies |
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    message::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct of keys a key.
///
/// ```
/// use fastness::prelude::*;
///
/// #[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
/// struct Seat {
///     flight: String,
///     row: u16,
/// }
/// # fn main() {}
/// ```
///
/// Its bytes are its fields' bytes, in order. They decide where an entity lives and name its row,
/// so neither the fields' types nor their order may change; their names may. A tuple struct with
/// one field that is as visible as the struct itself can be given as that field's value: `7` for a
/// `struct Id(u64)`.
///
/// `#[key(crate = path)]` says where `fastness` is, if not among the crate's dependencies.
#[proc_macro_derive(Key, attributes(key))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    key::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes the methods of an entity its handlers.
///
/// ```
/// use fastness::prelude::*;
/// # #[derive(Entity, Clone, Default, Serialize, Deserialize)]
/// # #[entity(key = String)]
/// # struct Counter {
/// #     value: i64,
/// # }
///
/// #[handlers]
/// impl Counter {
///     /// Counts further, and returns how far it is.
///     fn add(&mut self, by: i64) -> Result<i64, String> {
///         self.value = self.value.checked_add(by).ok_or("too much")?;
///         Ok(self.value)
///     }
///
///     fn retire(&mut self, cx: &mut Context<Self>) {
///         cx.remove();
///     }
///
///     #[read]
///     fn value(&self) -> i64 {
///         self.value
///     }
/// }
///
/// async fn count(counter: CounterRef) {
///     let sum = counter.add(2).await;
///     let same = counter.ask(CounterAdd { by: 2 }).await;
///     # let _ = (sum, same);
/// }
/// # fn main() {}
/// ```
///
/// * A method with `&mut self` may change the entity. One with `#[read]` and `&self` only looks.
///   If it returns an `Err`, or panics, the entity is as it was before.
/// * A last parameter of type `&mut Context<Self>` (in reads `&Context<Self>`) is the entity's
///   surroundings: its key, the time, and what a handler can do besides.
/// * The other parameters, and what is returned, are sent: owned types with serde's `Serialize`
///   and `Deserialize`. Parameters may have `#[serde(..)]` attributes.
/// * Methods without `self`, and constants, stay what they are. So does any impl block without
///   `#[handlers]`; an entity type has at most one with it.
///
/// For `add` this makes the message `CounterAdd { by }` (its wire name is `add`) and
/// `CounterRef::add(&self, by: i64)`, which asks. Both have the method's docs, and whoever can see
/// the method can use them: the message, its fields and the reference's method have the
/// visibility of the method, and live in the module of the block. If that is not the module of the
/// entity, `use` its reference type there, too. A `pub` method needs types that are `pub`.
///
/// `#[handlers(Clear, Other)]` adds messages made by [`macro@Message`], for which the entity has
/// `impl Handler<Clear>` or `impl Reader<Other>`. `#[handlers(crate = path)]` says where `fastness`
/// is, if not among the crate's dependencies.
#[proc_macro_attribute]
pub fn handlers(arguments: TokenStream, block: TokenStream) -> TokenStream {
    handlers::expand(arguments.into(), block.into()).into()
}
