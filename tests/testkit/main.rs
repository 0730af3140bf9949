//! The testkit, as users see it: what it offers holds, and what should fail a test fails it.
#![allow(clippy::unwrap_used)] // a test that fails may panic anywhere

mod conformance;
mod faults;
mod golden;
mod grid;
mod harness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastness::prelude::*;

/// Counts.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Counter {
    pub(crate) value: u64,
}

#[handlers]
impl Counter {
    pub(crate) fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        self.value
    }

    /// Changes the state, then refuses or panics.
    pub(crate) fn fail(&mut self, panics: bool) -> Result<(), String> {
        self.value += 1000;
        assert!(!panics, "boom at {}", self.value);
        Err("not that".to_owned())
    }

    pub(crate) fn remove(&mut self, cx: &mut Context<Self>) {
        cx.remove();
    }

    pub(crate) fn rest(&mut self, cx: &mut Context<Self>) {
        cx.passivate();
    }

    /// The key, the time, and the request's number.
    pub(crate) fn see(&mut self, cx: &mut Context<Self>) -> (u64, u64, Option<u64>) {
        (*cx.key(), cx.now().as_micros(), cx.request_id().map(|request| request.number))
    }

    #[read]
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// What the panic of a test would say that fails.
pub(crate) fn failure<T>(test: impl FnOnce() -> T) -> String {
    let panic = match catch_unwind(AssertUnwindSafe(test)) {
        Ok(_) => panic!("it must fail"),
        Err(panic) => panic,
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("panics say something")).to_owned(),
    }
}
