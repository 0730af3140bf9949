//! What the types promise, held by the compiler.

use fastness::{Ask, AskError, AskFuture, EntityRef, Grid, Session, TellFuture};

use crate::entities::{Counter, CounterAdd, CounterRef};

fn is_send<T: Send>() {}
fn is_send_sync_clone<T: Send + Sync + Clone>() {}
fn is_error<T: std::error::Error + Send + Sync + 'static>() {}

#[test]
fn futures_can_be_sent_and_references_shared() {
    is_send::<Ask<Counter, CounterAdd>>();
    is_send::<AskFuture<Counter, CounterAdd>>();
    is_send::<TellFuture<Counter, CounterAdd>>();
    is_send_sync_clone::<EntityRef<Counter>>();
    is_send_sync_clone::<CounterRef>();
    is_send_sync_clone::<Grid>();
    is_send_sync_clone::<Session>();
    is_error::<AskError<CounterAdd>>();
}
