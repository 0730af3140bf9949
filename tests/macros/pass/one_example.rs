//! The short form: an entity, its handlers, and what is made of them.

use std::collections::BTreeMap;

use fastness::__private as private;
use fastness::prelude::*;
use fastness::{Addressed, Ask, EntityRef, MessageTo};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sku(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OutOfRange;

#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart {
    lines: BTreeMap<Sku, u32>,
}

type Added = Result<u32, OutOfRange>;

#[handlers]
impl Cart {
    const LIMIT: u32 = 10;

    fn new(sku: Sku) -> Self {
        Cart { lines: BTreeMap::from([(sku, 1)]) }
    }

    /// Puts more of one thing into the cart.
    fn add(&mut self, sku: Sku, mut quantity: u32) -> Added {
        let line = self.lines.entry(sku).or_default();
        quantity += *line;
        *line = quantity;
        if quantity > Self::LIMIT { Err(OutOfRange) } else { Ok(quantity) }
    }

    fn clear(&mut self, cx: &mut Context<Self>) {
        self.lines.clear();
        cx.remove();
    }

    #[read]
    fn items(&self) -> u32 {
        self.lines.values().sum()
    }

    #[read]
    fn label(&self, #[serde(default)] prefix: String, cx: &Context<'_, Cart>) -> String {
        format!("{prefix}{}", cx.key())
    }

    /// Names that generated code uses, too, and one that is a keyword.
    fn r#type(&mut self, message: u8, cx: u8, entity: u8, r#fn: u8) -> u8 {
        message + cx + entity + r#fn
    }

    #[cfg(any())]
    fn in_no_build(&mut self, nothing: DoesNotExist) {}

    #[cfg(any(unix, not(unix)))]
    fn in_every_build(&mut self, value: Option<std::borrow::Cow<'static, str>>) -> bool {
        value.is_some()
    }
}

fn ask<M: MessageTo<Cart>>(cart: &mut Cart, message: M) -> (M::Reply, bool) {
    private::with_context::<Cart, _>(&"alice".to_owned(), |cx| message.deliver(cart, cx))
}

fn references(cart: CartRef) {
    let _: Ask<Cart, CartAdd> = cart.add(Sku("tea".into()), 2);
    let _: Ask<Cart, CartClear> = cart.clear();
    let _: Ask<Cart, CartItems> = cart.items();
    let _: Ask<Cart, CartType> = cart.clone().r#type(1, 2, 3, 4);
    let _ = cart.tell(CartClear {});
    let _: (&String, &EntityRef<Cart>) = (cart.key(), &cart);
}

fn handlers_run() {
    let mut cart = Cart::new(Sku("tea".into()));
    let add = |quantity| CartAdd { sku: Sku("tea".into()), quantity };
    assert_eq!(ask(&mut cart, add(2)), (Ok(3), false));
    assert_eq!(ask(&mut cart, add(9)).0, Err(OutOfRange));
    assert_eq!(ask(&mut cart, CartItems {}), (12, false));
    assert_eq!(ask(&mut cart, CartLabel { prefix: "cart of ".into() }).0, "cart of alice");
    assert_eq!(ask(&mut cart, CartType { message: 1, cx: 2, entity: 3, r#fn: 4 }).0, 10);
    assert!(ask(&mut cart, CartInEveryBuild { value: Some("".into()) }).0);
    assert_eq!(ask(&mut cart, CartClear {}), ((), true));
    assert_eq!(cart.add(Sku("tea".into()), 1), Ok(1), "methods stay methods");
}

fn names_are_those_of_the_code() {
    assert_eq!(Cart::NAME, "cart");
    assert_eq!(Cart::VERSION, 1);
    assert_eq!((CartAdd::NAME, CartType::NAME), ("add", "type"));
    let names = <Cart as private::OneHandlersBlockOrHandlesList>::NAMES;
    assert_eq!(names, ["add", "clear", "items", "label", "type", "in_every_build"]);
}

fn failures_are_seen_through_aliases() {
    assert!(<CartAdd as MessageTo<Cart>>::is_failure(&Err(OutOfRange)));
    assert!(!<CartAdd as MessageTo<Cart>>::is_failure(&Ok(1)));
    assert!(!<CartItems as MessageTo<Cart>>::is_failure(&1));
}

fn fields_are_sent_by_name() {
    let json = serde_json::to_string(&CartAdd { sku: Sku("a".into()), quantity: 1 }).unwrap();
    assert_eq!(json, r#"{"sku":"a","quantity":1}"#);
    let label: CartLabel = serde_json::from_str("{}").unwrap();
    assert_eq!(label.prefix, "");
    assert!(serde_json::from_str::<CartAdd>("{}").is_err());
}

pub(crate) fn main() {
    handlers_run();
    names_are_those_of_the_code();
    failures_are_seen_through_aliases();
    fields_are_sent_by_name();
    let _: fn(<Cart as Addressed>::Ref) = references;
}
