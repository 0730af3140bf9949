//! A faulty store without faults is a store.

use async_trait::async_trait;
use fastness::store::Store;
use fastness::store::conformance::{self, Place};
use fastness::testkit::FaultyStore;

#[derive(Default)]
struct Faultless(Option<FaultyStore>);

#[async_trait]
impl Place for Faultless {
    async fn open(&mut self) -> Box<dyn Store> {
        let store = self.0.take().unwrap_or_default().crash();
        self.0 = Some(store.clone());
        Box::new(store)
    }
}

#[tokio::test]
async fn it_keeps_every_rule() {
    conformance::run(Faultless::default).await;
}
