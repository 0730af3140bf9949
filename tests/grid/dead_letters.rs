//! What a person does with what the store refused.

use fastness::store::Row;
use fastness::testkit::{Calls, FaultyStore};
use fastness::{AskError, DeadLetterError, DeadLetterId, EntityOptions, Eviction, Grid, Limits};

use crate::entities::{Counter, CounterAdd, Wallet};
use crate::stored;

fn refuse(store: &FaultyStore, is_refused: impl Fn(&Row) -> bool + Send + 'static) {
    store.faults().refuse_records(is_refused);
}

fn refuse_nothing(store: &FaultyStore) {
    refuse(store, |_| false);
}

/// A wallet whose row says 5, and whose refused change says 12.
async fn refused_wallet(store: &FaultyStore) -> (Grid, DeadLetterId) {
    let grid = stored(store).start().await.unwrap();
    grid.entity::<Wallet>("bob").deposit(5).await.unwrap();
    grid.persisted().await.unwrap();
    refuse(store, |row| &*row.key.entity_type == "wallet");
    grid.entity::<Wallet>("bob").deposit(7).await.unwrap();
    grid.persisted().await.unwrap();
    let letters = grid.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    (grid, letters[0].id.clone())
}

async fn balance(grid: &Grid) -> u64 {
    grid.entity::<Wallet>("bob").balance().await.unwrap()
}

#[tokio::test]
async fn a_letter_is_opened_also_after_a_restart_and_by_its_text() {
    let store = FaultyStore::new();
    let (grid, id) = refused_wallet(&store).await;
    let inspection = grid.dead_letters().inspect(&id).await.unwrap();
    let text = r#"{"balance": 12, "log": ["+5", "+7"]}"#;
    assert_eq!(inspection.text().as_deref(), Some(text));
    assert_eq!(inspection.schema(), Some(1));
    assert!(inspection.state::<Wallet>().unwrap().is_some());
    assert_eq!(inspection.letter.key, "\"bob\"");
    assert_eq!(inspection.letter.reason, "refused, as the test decided");
    assert!(inspection.letter.attempts >= 1);
    drop(grid);

    let grid = stored(&store.crash()).start().await.unwrap();
    let id: DeadLetterId = id.to_string().parse().unwrap();
    assert_eq!(grid.dead_letters().inspect(&id).await.unwrap(), inspection);
    assert_eq!(balance(&grid).await, 12, "the acknowledged write stands");
}

#[tokio::test]
async fn a_replayed_letter_is_stored_once_the_store_takes_it() {
    let store = FaultyStore::new();
    let (grid, id) = refused_wallet(&store).await;
    let refused = grid.dead_letters().replay(&id).await.unwrap_err();
    assert_eq!(
        refused,
        DeadLetterError::Refused { reason: "refused, as the test decided".to_owned() }
    );
    assert_eq!(grid.dead_letters().replay(&id).await, Err(DeadLetterError::NotFound));
    let letters = grid.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 1);
    refuse_nothing(&store);
    grid.dead_letters().replay(&letters[0].id).await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    drop(grid);

    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    assert_eq!(balance(&grid).await, 12);
}

#[tokio::test]
async fn a_discarded_letter_leaves_the_row_and_its_answers_never_run_again() {
    let store = FaultyStore::new();
    let (grid, _) = refused_wallet(&store).await;
    let session = grid.session("shop").await.unwrap();
    let bob = grid.entity::<Wallet>("bob");
    let deposit = || bob.deposit(100).request(session.request(1)).into_future();
    assert_eq!(deposit().await.unwrap(), 112);
    grid.persisted().await.unwrap();
    let id = grid.dead_letters().list().await.unwrap()[0].id.clone();
    refuse_nothing(&store);
    grid.dead_letters().discard(&id).await.unwrap();
    assert_eq!(balance(&grid).await, 5);
    assert_eq!(deposit().await.unwrap(), 112, "its answer is kept, and it does not run again");
    assert_eq!(balance(&grid).await, 5);
    drop(grid);

    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    assert_eq!(balance(&grid).await, 5);
    assert_eq!(grid.dead_letters().discard(&id).await, Err(DeadLetterError::NotFound));
}

#[tokio::test]
async fn without_a_row_a_discarded_letter_leaves_nothing() {
    let store = FaultyStore::new();
    refuse(&store, |row| &*row.key.entity_type == "counter");
    let grid = stored(&store).start().await.unwrap();
    grid.entity::<Counter>(1).add(5).await.unwrap();
    grid.persisted().await.unwrap();
    let id = grid.dead_letters().list().await.unwrap()[0].id.clone();
    refuse_nothing(&store);
    grid.dead_letters().discard(&id).await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
    drop(grid);
    let grid = stored(&store.crash()).start().await.unwrap();
    assert_eq!(grid.entity::<Counter>(1).value().await.unwrap(), 0);
}

#[tokio::test]
async fn a_newer_write_overtakes() {
    let store = FaultyStore::new();
    let (grid, id) = refused_wallet(&store).await;
    // While the newer write is not stored yet, the letter is there, and may not be touched.
    store.faults().hold(Calls::Writes);
    refuse_nothing(&store);
    assert_eq!(grid.entity::<Wallet>("bob").deposit(1).await.unwrap(), 13);
    assert_eq!(grid.dead_letters().discard(&id).await, Err(DeadLetterError::NotFound));
    assert_eq!(grid.dead_letters().replay(&id).await, Err(DeadLetterError::NotFound));
    let inspected = grid.dead_letters().inspect(&id).await;
    assert_eq!(inspected, Err(DeadLetterError::NotFound), "its state is not in memory any more");
    store.faults().release();
    grid.persisted().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap(), []);
    assert_eq!(balance(&grid).await, 13);
}

#[tokio::test]
async fn letters_stay_in_memory_however_little_there_is() {
    let store = FaultyStore::new();
    let options = EntityOptions::new().evict(Eviction::new().entities_per_partition(2));
    let build = |store: &FaultyStore| {
        Grid::builder().partitions(1).entity::<Counter>(options).store(store.clone())
    };
    refuse(&store, |row| row.key.key.last().is_some_and(|key| key % 2 == 1));
    let grid = build(&store).start().await.unwrap();
    for key in 0..40 {
        grid.entity::<Counter>(key).add(key).await.unwrap();
    }
    grid.persisted().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap().len(), 20);
    drop(grid);
    let grid = build(&store.crash()).start().await.unwrap();
    assert_eq!(grid.dead_letters().list().await.unwrap().len(), 20);
    for key in 0..40 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
    }
    refuse_nothing(&store);
    for letter in grid.dead_letters().list().await.unwrap() {
        grid.dead_letters().replay(&letter.id).await.unwrap();
    }
    for key in 0..40 {
        assert_eq!(grid.entity::<Counter>(key).value().await.unwrap(), key);
    }
}

#[tokio::test]
async fn with_as_many_letters_as_there_may_be_a_partition_takes_no_writes() {
    let store = FaultyStore::new();
    refuse(&store, |row| &*row.key.entity_type == "counter");
    let limits = Limits { dead_letters_per_partition_max: 3, ..Limits::default() };
    let grid = stored(&store).partitions(1).limits(limits).start().await.unwrap();
    for key in 0..3 {
        grid.entity::<Counter>(key).add(1).await.unwrap();
    }
    grid.persisted().await.unwrap();
    let more = || grid.entity::<Counter>(9).ask(CounterAdd { by: 1 });
    let full = more().deadline(std::time::Duration::from_millis(20)).await;
    assert!(matches!(full, Err(AskError::Busy(_))), "{full:?}");
    assert_eq!(grid.entity::<Counter>(0).value().await.unwrap(), 1, "reads go on");
    let waiting = tokio::spawn(more().into_future());
    refuse_nothing(&store);
    for letter in grid.dead_letters().list().await.unwrap() {
        grid.dead_letters().replay(&letter.id).await.unwrap();
    }
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}
