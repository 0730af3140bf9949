//! Every mistake in the signature of a handler, all in one invocation.
#![allow(unused_variables)]

use fastness::prelude::*;

#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
struct Cart {
    items: u32,
}

#[derive(Serialize, Deserialize)]
struct Pair(u8, u8);

#[handlers]
impl Cart {
    fn generic<T: Into<u32>>(&mut self, by: T) {}
    fn where_clause(&mut self)
    where
        Cart: Default,
    {
    }
    fn references(&mut self, a: &str, b: Option<&'static [u8]>, c: std::cell::Ref<'_, u8>) {}
    fn patterns(&mut self, Pair(a, b): Pair, _: u8, ref c: u8) {}
    fn this_type(&mut self, other: Option<Self>) -> Self { Cart::default() }
    async fn not_synchronous(&mut self) {}
    fn opaque(&mut self, numbers: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> { [1].into_iter() }
    fn ask(&mut self) {}
    fn tell(&mut self) {}
    fn key(&mut self) {}
    fn clone(&mut self) {}
    fn r#ref(&mut self) {}
    fn unmarked(&self) -> u32 { 1 }
    #[read]
    fn marked(&mut self) {}
    #[read]
    fn no_receiver() {}
    #[read(now)]
    fn arguments(&self) {}
    fn by_value(self) {}
    fn boxed(self: Box<Self>) {}
    fn context_first(&mut self, cx: &mut Context<Self>, by: u32) {}
    fn context_owned(&mut self, cx: Context<Self>) {}
    #[read]
    fn context_changes(&self, cx: &mut Context<Self>) {}
    unsafe fn dangerous(&mut self) {}
    extern "C" fn foreign(&mut self) {}
    fn borrowed_reply(&mut self) -> &u32 { &1 }
    fn some_builds(&mut self, #[cfg(unix)] a: u8) {}

    fn several(&mut self, (a, b): (&str, Self), cx: &mut Context<Self>, by: impl Copy) -> &Self { self }

    #[read]
    fn fine(&self) -> u32 {
        self.items
    }
}

/// What has no mistake is there.
fn others_work(cart: CartRef) {
    let _ = (cart.fine(), CartFine {});
}

fn main() {}
