//! Messages between entities.

use std::collections::BTreeMap;
use std::time::Duration;

use fastness::prelude::*;
use fastness::testkit::{Calls, TestGrid, TestGridBuilder};
use fastness::{Address, AskError, EntityOptions, Grid, Limits, Threads};

const SECOND: Duration = Duration::from_secs(1);

/// An account, which pays others.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Account {
    cents: u64,
    /// Numbers of what came, by who sent it, in the order in which it came.
    came: BTreeMap<String, Vec<u64>>,
    paid: u64,
}

#[handlers]
impl Account {
    pub(crate) fn deposit(&mut self, cents: u64) -> u64 {
        self.cents += cents;
        self.cents
    }

    pub(crate) fn pay(
        &mut self,
        to: String,
        cents: u64,
        cx: &mut Context<Self>,
    ) -> Result<u64, String> {
        self.cents = self.cents.checked_sub(cents).ok_or("overdrawn")?;
        self.paid += 1;
        let (from, number) = (cx.key().clone(), self.paid);
        cx.send(Address::<Vault>::of(to), VaultReceive { from, number, cents });
        Ok(self.cents)
    }

    fn receive(&mut self, from: String, number: u64, cents: u64) {
        self.came.entry(from).or_default().push(number);
        self.cents += cents;
    }

    /// Sends, and then fails in one way or another.
    fn fail(&mut self, to: String, how: u8, cx: &mut Context<Self>) -> Result<(), String> {
        cx.send(Address::<Account>::of(to), AccountDeposit { cents: 1 });
        match how {
            0 => Err("no".to_owned()),
            _ => panic!("boom"),
        }
    }

    /// Sends to an account, and goes.
    fn close(&mut self, to: String, cx: &mut Context<Self>) {
        let receive = AccountReceive { from: cx.key().clone(), number: 1, cents: self.cents };
        cx.send(Address::<Account>::of(to), receive);
        cx.remove();
    }

    fn rest(&mut self, cx: &mut Context<Self>) {
        cx.passivate();
    }

    /// Sends so many messages on; each of them is answered by one.
    fn flood(&mut self, to: String, count: u64, cx: &mut Context<Self>) {
        for _ in 0..count {
            let bounce = AccountBounce { to: cx.key().clone(), times: 3 };
            cx.send(Address::<Account>::of(to.as_str()), bounce);
        }
    }

    fn bounce(&mut self, to: String, times: u64, cx: &mut Context<Self>) {
        self.paid += 1;
        if times > 0 {
            let bounce = AccountBounce { to: cx.key().clone(), times: times - 1 };
            cx.send(Address::<Account>::of(to), bounce);
        }
    }

    #[read]
    pub(crate) fn cents(&self) -> u64 {
        self.cents
    }

    #[read]
    fn seen(&self) -> u64 {
        self.paid
    }
}

/// Likewise, of a type that is written through; what it gets it may pass on.
#[derive(Entity, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[entity(key = String)]
pub(crate) struct Vault {
    cents: u64,
    came: BTreeMap<String, Vec<u64>>,
    broken: bool,
}

#[handlers]
impl Vault {
    fn receive(&mut self, from: String, number: u64, cents: u64, cx: &mut Context<Self>) {
        assert!(!self.broken, "the vault is broken");
        // Half of it goes on to the account of the same name.
        let (kept, passed) = (cents - cents / 2, cents / 2);
        self.came.entry(from.clone()).or_default().push(number);
        self.cents += kept;
        let receive = AccountReceive { from, number, cents: passed };
        cx.send(Address::<Account>::of(cx.key().as_str()), receive);
    }

    fn set_broken(&mut self, broken: bool) {
        self.broken = broken;
    }

    #[read]
    pub(crate) fn cents(&self) -> u64 {
        self.cents
    }

    #[read]
    fn came(&self, from: String) -> Vec<u64> {
        self.came.get(&from).cloned().unwrap_or_default()
    }
}

fn accounts() -> TestGridBuilder {
    TestGrid::builder()
        .entity::<Account>(EntityOptions::new().write_behind(SECOND))
        .entity::<Vault>(EntityOptions::new().write_through())
}

/// A metric that has no labels, or one of them, as `fastness_x{outcome="y"}`.
pub(crate) fn metric(grid: &Grid, name: &str) -> u64 {
    let text = grid.metrics();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    let value: f64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
    value as u64
}

async fn quiet(grid: &TestGrid) {
    grid.advance_until(async || metric(grid, "fastness_outbox_messages") == 0).await;
}

async fn sum(grid: &TestGrid) -> u64 {
    let mut sum = 0;
    for name in NAMES {
        sum += grid.entity::<Account>(name).cents().await.unwrap();
        sum += grid.entity::<Vault>(name).cents().await.unwrap();
    }
    sum
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn a_message_takes_effect_once_and_leaves_with_its_change() {
    accounts().run(async |grid| {
        let a = grid.entity::<Account>("a");
        a.deposit(10).await.unwrap();
        assert_eq!(a.pay("b".to_owned(), 3).await.unwrap(), Ok(7));
        quiet(grid).await;
        let vault = grid.entity::<Vault>("b");
        assert_eq!(vault.cents().await.unwrap(), 2);
        assert_eq!(grid.entity::<Account>("b").cents().await.unwrap(), 1);
        assert_eq!(vault.came("a".to_owned()).await.unwrap(), [1]);
        assert_eq!(metric(grid, "fastness_messages_total{outcome=\"applied\"}"), 2);
    });
}

#[test]
fn a_failed_handler_has_sent_nothing() {
    accounts().run(async |grid| {
        let a = grid.entity::<Account>("a");
        assert!(a.fail("b".to_owned(), 0).await.unwrap().is_err());
        let error = a.fail("b".to_owned(), 1).await.unwrap_err();
        assert!(matches!(error, AskError::Panicked { .. }));
        grid.advance(60 * SECOND).await;
        assert_eq!(grid.entity::<Account>("b").cents().await.unwrap(), 0);
        assert_eq!(metric(grid, "fastness_messages_total{outcome=\"applied\"}"), 0);
    });
}

#[test]
fn messages_work_without_a_store_and_over_threads() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let grid = Grid::builder()
            .partitions(8)
            .threads(Threads::PerCore(2.try_into().unwrap()))
            .entity::<Account>(EntityOptions::new())
            .entity::<Vault>(EntityOptions::new())
            .start()
            .await
            .unwrap();
        let a = grid.entity::<Account>("a");
        a.deposit(1000).await.unwrap();
        for to in 0..100 {
            a.pay(format!("{}", to % 10), 2).await.unwrap().unwrap();
        }
        while metric(&grid, "fastness_outbox_messages") > 0 {
            tokio::task::yield_now().await;
        }
        for to in 0..10 {
            let wanted: Vec<u64> = (0..10).map(|n| n * 10 + to + 1).collect();
            let vault = grid.entity::<Vault>(to.to_string());
            assert_eq!(vault.came("a".to_owned()).await.unwrap(), wanted, "in order");
            assert_eq!(grid.entity::<Account>(to.to_string()).cents().await.unwrap(), 10);
        }
        grid.leave().await.unwrap();
    });
}

#[test]
fn a_removed_entity_has_sent_its_message_and_is_gone_at_last() {
    accounts().run(async |grid| {
        let a = grid.entity::<Account>("a");
        a.deposit(10).await.unwrap();
        a.close("b".to_owned()).await.unwrap();
        quiet(grid).await;
        assert_eq!(grid.entity::<Account>("b").cents().await.unwrap(), 10);
        assert_eq!(a.cents().await.unwrap(), 0);
        grid.advance(60 * SECOND).await;
        let rows = grid.store().rows().await.unwrap();
        let mut accounts = rows.iter().filter(|row| row.entity_type() == "account");
        assert!(accounts.all(|row| row.row_key().key.first() == Some(&b'b')), "{rows:?}");
    });
}

#[test]
fn a_message_brings_back_an_entity_that_has_left_memory() {
    accounts().run(async |grid| {
        let (a, b) = (grid.entity::<Account>("a"), grid.entity::<Account>("b"));
        a.deposit(10).await.unwrap();
        b.deposit(10).await.unwrap();
        b.rest().await.unwrap();
        grid.advance(3600 * 2 * SECOND).await;
        let evicted = "fastness_evictions_total{entity=\"account\",reason=\"asked\"}";
        assert_eq!(metric(grid, evicted), 1);
        a.close("b".to_owned()).await.unwrap();
        // One that was never there, of a type that has left memory.
        grid.entity::<Account>("c").close("d".to_owned()).await.unwrap();
        quiet(grid).await;
        assert_eq!(b.cents().await.unwrap(), 20);
    });
}

#[test]
fn a_message_that_always_fails_is_parked_listed_and_replayed() {
    accounts().run(async |grid| {
        let (a, vault) = (grid.entity::<Account>("a"), grid.entity::<Vault>("b"));
        a.deposit(100).await.unwrap();
        vault.set_broken(true).await.unwrap();
        for _ in 0..3 {
            a.pay("b".to_owned(), 10).await.unwrap().unwrap();
        }
        let parked = "fastness_messages_parked";
        grid.advance_until(async || metric(grid, parked) == 3).await;
        grid.persisted().await.unwrap();
        grid.crash().await.unwrap();
        let list = grid.parked_messages().list().await.unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!((&*list[0].message, &*list[0].sender_key), ("receive", "\"a\""));
        assert!(list[0].reason.contains("the vault is broken"), "{}", list[0].reason);
        assert_eq!(list[0].attempts, 5);
        assert!(list[0].show().unwrap().contains("\"cents\": 10"));

        let vault = grid.entity::<Vault>("b");
        vault.set_broken(false).await.unwrap();
        // In another order: each is a message of its own now.
        grid.complete(grid.parked_messages().replay(list[1].id)).await.unwrap();
        grid.complete(grid.parked_messages().replay(list[0].id)).await.unwrap();
        grid.complete(grid.parked_messages().discard(list[2].id)).await.unwrap();
        assert!(grid.parked_messages().replay(list[0].id).await.is_err());
        quiet(grid).await;
        assert_eq!(vault.came("a".to_owned()).await.unwrap(), [2, 1]);
        grid.crash().await.unwrap();
        quiet(grid).await;
        assert!(grid.parked_messages().list().await.unwrap().is_empty());
        let vault = grid.entity::<Vault>("b");
        assert_eq!(vault.came("a".to_owned()).await.unwrap(), [2, 1]);
    });
}

#[test]
fn full_outboxes_towards_each_other_do_not_wait_for_each_other() {
    let limits = Limits { outbox_messages_max: 16, ..Limits::default() };
    accounts().limits(limits).run(async |grid| {
        for name in NAMES {
            for to in NAMES {
                let flood = AccountFlood { to: to.to_owned(), count: 16 };
                grid.complete(grid.entity::<Account>(name).tell(flood)).await.unwrap();
            }
        }
        quiet(grid).await;
        let mut seen = 0;
        for name in NAMES {
            seen += grid.entity::<Account>(name).seen().await.unwrap();
        }
        assert_eq!(seen, 25 * 16 * 4);
    });
}

#[test]
fn asks_that_send_wait_for_room_and_others_do_not() {
    let limits = Limits { outbox_messages_max: 4, ..Limits::default() };
    let grid = accounts().partitions(1).limits(limits);
    grid.run(async |grid| {
        let a = grid.entity::<Account>("a");
        a.deposit(100).await.unwrap();
        grid.persisted().await.unwrap();
        grid.faults().hold(Calls::Writes);
        for _ in 0..4 {
            a.pay("b".to_owned(), 10).await.unwrap().unwrap();
        }
        let busy = grid.complete(a.pay("b".to_owned(), 10)).await;
        assert!(matches!(busy, Err(AskError::Busy(_))), "{busy:?}");
        let busy = grid.complete(grid.entity::<Account>("c").cents()).await;
        assert_eq!(busy.unwrap(), 0);
        grid.faults().heal();
        grid.complete(a.pay("b".to_owned(), 10)).await.unwrap().unwrap();
        quiet(grid).await;
        assert_eq!(grid.entity::<Vault>("b").cents().await.unwrap(), 25);
    });
}

/// A small generator of chance, so that each seed is a run of its own.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn transfers(grid: &mut TestGrid, seed: u64) {
    let mut chance = Chance(seed);
    for name in NAMES {
        grid.entity::<Account>(name).deposit(100).await.unwrap();
    }
    grid.persisted().await.unwrap();
    for _ in 0..60 {
        let name = |chance: &mut Chance| NAMES[chance.below(NAMES.len() as u64) as usize];
        match chance.below(12) {
            0 => {
                grid.faults().heal();
                grid.crash().await.unwrap();
            }
            1 => grid.faults().fail_after(chance.below(6) as usize, Calls::Writes),
            2 => grid.faults().heal(),
            3 => grid.advance(Duration::from_millis(chance.below(3000))).await,
            4 => grid.entity::<Account>(name(&mut chance)).rest().await.unwrap(),
            _ => {
                let (from, to) = (name(&mut chance), name(&mut chance).to_owned());
                let pay = AccountPay { to, cents: chance.below(20) };
                let _ = grid.entity::<Account>(from).tell(pay).detach();
            }
        }
    }
    grid.faults().heal();
    if chance.below(2) == 0 {
        grid.crash().await.unwrap();
    }
    quiet(grid).await;
    assert_eq!(sum(grid).await, 500, "seed {seed}");
    for to in NAMES {
        for from in NAMES {
            let came = grid.entity::<Vault>(to).came(from.to_owned()).await.unwrap();
            assert!(came.is_sorted_by(|a, b| a < b), "seed {seed}: {from} to {to}: {came:?}");
        }
    }
}

#[test]
fn transfers_preserve_the_sum_whatever_crashes() {
    for seed in 0..100 {
        accounts().run(async |grid| transfers(grid, seed).await);
    }
}
