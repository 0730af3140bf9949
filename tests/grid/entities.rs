//! The entities that the tests use.

use std::fmt;

use fastness::prelude::*;

/// Counts; is `Clone`, so undone from a clone.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Counter {
    value: u64,
}

#[handlers]
impl Counter {
    pub(crate) fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        self.value
    }

    /// Changes the state, then panics.
    pub(crate) fn explode(&mut self) -> u64 {
        self.value += 1000;
        panic!("boom at {}", self.value);
    }

    pub(crate) fn remove(&mut self, cx: &mut Context<Self>) -> u64 {
        cx.remove();
        self.value
    }

    /// Asks to leave memory.
    pub(crate) fn rest(&mut self, cx: &mut Context<Self>) -> u64 {
        cx.passivate();
        self.value
    }

    #[read]
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// Why a wallet refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overdrawn {
    pub(crate) missing: u64,
}

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} are missing", self.missing)
    }
}

impl std::error::Error for Overdrawn {}

pub(crate) type Balance = Result<u64, Overdrawn>;

/// Not `Clone`, so undone from its last encoded bytes; its handler's `Result` hides in an alias.
#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Wallet {
    balance: u64,
    log: Vec<String>,
}

#[handlers]
impl Wallet {
    pub(crate) fn deposit(&mut self, amount: u64) -> u64 {
        self.balance += amount;
        self.log.push(format!("+{amount}"));
        self.balance
    }

    /// Changes the state first and looks afterwards, to be undone.
    pub(crate) fn withdraw(&mut self, amount: u64) -> Balance {
        self.log.push(format!("-{amount}"));
        match self.balance.checked_sub(amount) {
            Some(rest) => {
                self.balance = rest;
                Ok(rest)
            }
            None => Err(Overdrawn { missing: amount - self.balance }),
        }
    }

    pub(crate) fn burn(&mut self) -> u64 {
        self.balance = 0;
        self.log.clear();
        panic!("burnt");
    }

    #[read]
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.clone()
    }

    #[read]
    pub(crate) fn balance(&self) -> u64 {
        self.balance
    }
}

/// As a counter, written through.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Ledger {
    entries: u64,
    filler: String,
}

#[handlers]
impl Ledger {
    pub(crate) fn enter(&mut self) -> u64 {
        self.entries += 1;
        self.entries
    }

    /// Makes the state so large.
    pub(crate) fn grow(&mut self, bytes: usize) -> usize {
        self.filler = "x".repeat(bytes);
        bytes
    }

    /// Answers with so many bytes.
    pub(crate) fn echo(&mut self, bytes: usize) -> String {
        self.entries += 1;
        "x".repeat(bytes)
    }

    #[read]
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }
}

/// An entity whose handler takes as long as the test wants.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) struct Gate {
    passed: u64,
}

/// Where handlers of gates wait, by the entity's key.
pub(crate) mod gates {
    use std::collections::HashMap;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::sync::{LazyLock, Mutex};

    type Ends = (SyncSender<()>, Receiver<()>);

    static GATES: LazyLock<Mutex<HashMap<u64, Ends>>> = LazyLock::new(Mutex::default);

    /// Closes the gate of an entity. The first end says that a handler has come to it; the second
    /// lets one through.
    pub(crate) fn close(key: u64) -> (Receiver<()>, SyncSender<()>) {
        let (arrive, arrived) = sync_channel(1);
        let (open, opened) = sync_channel(1);
        GATES.lock().unwrap().insert(key, (arrive, opened));
        (arrived, open)
    }

    pub(crate) fn pass(key: u64) {
        let gate = GATES.lock().unwrap().remove(&key);
        if let Some((arrive, opened)) = gate {
            arrive.send(()).unwrap();
            opened.recv().unwrap();
        }
    }
}

#[handlers]
impl Gate {
    /// Waits at the gate, if it is closed.
    pub(crate) fn pass(&mut self, cx: &mut Context<Self>) -> u64 {
        gates::pass(*cx.key());
        self.passed += 1;
        self.passed
    }

    #[read]
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }
}
