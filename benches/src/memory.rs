//! Bytes per entity, in all: `u64` key, 100 bytes of state, no store, after an ask to each.
//!
//! Counted are the bytes that were asked of the allocator and not given back. Peers that keep an
//! actor for each entity need a table to find it by its key, which is counted, too.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::Duration;

use fastness::prelude::*;
use fastness::{EntityOptions, Grid, Limits, ManualClock, Threads, Timestamp};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde_big_array::BigArray;
use slab::Slab;

use crate::counting::{held, held_by, held_by_async};
use crate::load::on_this_thread;
use crate::report::{Aim, Report};

const WORK: &str = "memory, 100 bytes of state";
const AFTER: &str = "memory, a fifth more entities";
const UNIT: &str = "B/entity";

/// In all, that is with the 100 bytes of the state and the 8 of the key.
const BYTES_MAX: f64 = 150.0;

/// Tables double when they are full, and a million is nearly 2^20: there they are at their best.
/// With so many more they have just doubled, and are at their worst.
const AFTER_DOUBLING: f64 = 1.2;

/// More often than that a unit does not tidy up.
const TIDIED_EVERY: Duration = Duration::from_secs(11);

/// So many times nothing was freed: then nothing more will be.
const IDLE_TIMES: u32 = 20;

#[derive(Entity, Clone, Serialize, Deserialize)]
#[entity(key = u64)]
struct Blob {
    #[serde(with = "BigArray")]
    bytes: [u8; 100],
}

impl Default for Blob {
    fn default() -> Blob {
        Blob { bytes: [0; 100] }
    }
}

#[handlers]
impl Blob {
    fn fill(&mut self, byte: u8) {
        self.bytes = [byte; 100];
    }
}

pub(crate) fn run(report: &mut Report) {
    let entities = report.amount(1_000_000);
    let per = |bytes: usize, entities: usize| bytes as f64 / entities as f64;

    let bytes = in_a_table(entities as u64);
    report.note(WORK, "HashMap", UNIT, per(bytes, entities));
    let bytes = in_a_slab(entities as u64);
    report.note(WORK, "index and slab", UNIT, per(bytes, entities));

    let (bytes, _) = ours(entities as u64, EntityOptions::new().at_most_once());
    report.hold(WORK, "ours", UNIT, per(bytes, entities), Aim::AtMost(BYTES_MAX));
    let (open, dropped) = ours(entities as u64, EntityOptions::new());
    report.note(WORK, "ours, sessions open", UNIT, per(open, entities));
    let dropped = per(dropped, entities);
    report.hold(WORK, "ours, sessions dropped", UNIT, dropped, Aim::AtMost(BYTES_MAX));

    let more = (entities as f64 * AFTER_DOUBLING) as usize;
    let bytes = in_a_slab(more as u64);
    report.note(AFTER, "index and slab", UNIT, per(bytes, more));
    let (bytes, _) = ours(more as u64, EntityOptions::new().at_most_once());
    report.note(AFTER, "ours", UNIT, per(bytes, more));

    let actors = report.amount(20_000);
    report.note(WORK, "an actix actor each", UNIT, per(on_actix(actors as u64), actors));
    report.note(WORK, "a kameo actor each", UNIT, per(on_kameo(actors as u64), actors));
    report.note(WORK, "a ractor actor each", UNIT, per(on_ractor(actors as u64), actors));
}

fn in_a_table(entities: u64) -> usize {
    let fill = || {
        let mut table: HashMap<u64, [u8; 100], RandomState> = HashMap::default();
        for key in 0..entities {
            table.insert(key, [1; 100]);
        }
        table
    };
    held_by(fill).1
}

fn in_a_slab(entities: u64) -> usize {
    let fill = || {
        let (mut index, mut slots, hasher) =
            (HashTable::<u32>::new(), Slab::new(), RandomState::default());
        for key in 0..entities {
            let slot = slots.insert((key, [1u8; 100])) as u32;
            let hash_of = |slot: &u32| hasher.hash_one(slots[*slot as usize].0);
            index.insert_unique(hasher.hash_one(key), slot, hash_of);
        }
        (index, slots)
    };
    held_by(fill).1
}

/// What a grid holds after an ask to each entity; and after the session of these asks is over:
/// nobody asks any more, so it ends by idleness, on a clock that is moved by hand.
fn ours(entities: u64, options: EntityOptions) -> (usize, usize) {
    on_this_thread(async || {
        let clock = ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000));
        let build = async || {
            let grid = Grid::builder().entity::<Blob>(options).threads(Threads::Current);
            let grid = grid.clock(clock.clone()).start().await.expect("the grid starts");
            for key in 0..entities {
                grid.entity::<Blob>(key).fill(1).await.expect("the grid serves");
            }
            let open = held();
            clock.advance(Limits::default().session_idle);
            let (mut least, mut idle_times) = (open, 0);
            while idle_times < IDLE_TIMES {
                clock.advance(TIDIED_EVERY);
                for _ in 0..2000 {
                    tokio::task::yield_now().await;
                }
                idle_times = if held() < least { 0 } else { idle_times + 1 };
                least = least.min(held());
            }
            (grid, open)
        };
        let ((grid, open), dropped) = held_by_async(build).await;
        grid.leave().await.expect("the grid ends");
        (open, dropped)
    })
}

fn on_actix(actors: u64) -> usize {
    use actix::{Actor, Addr, Context, Handler, Message};
    struct Holding([u8; 100]);
    #[derive(Message)]
    #[rtype(result = "u8")]
    struct Fill(u8);
    impl Actor for Holding {
        type Context = Context<Self>;
    }
    impl Handler<Fill> for Holding {
        type Result = u8;

        fn handle(&mut self, Fill(byte): Fill, _: &mut Context<Self>) -> u8 {
            self.0 = [byte; 100];
            self.0[99]
        }
    }
    on_this_thread(async || {
        let build = async || {
            let mut by_key: HashMap<u64, Addr<Holding>, RandomState> = HashMap::default();
            for key in 0..actors {
                let actor = by_key.entry(key).or_insert_with(|| Holding([0; 100]).start());
                assert_eq!(actor.send(Fill(1)).await.expect("the actor lives"), 1);
            }
            by_key
        };
        held_by_async(build).await.1
    })
}

fn on_kameo(actors: u64) -> usize {
    use kameo::prelude::{Actor, ActorRef, Context, Message, Spawn};
    #[derive(Actor)]
    struct Holding([u8; 100]);
    struct Fill(u8);
    impl Message<Fill> for Holding {
        type Reply = u8;

        async fn handle(&mut self, Fill(byte): Fill, _: &mut Context<Self, u8>) -> u8 {
            self.0 = [byte; 100];
            self.0[99]
        }
    }
    on_this_thread(async || {
        let build = async || {
            let mut by_key: HashMap<u64, ActorRef<Holding>, RandomState> = HashMap::default();
            for key in 0..actors {
                let actor = by_key.entry(key).or_insert_with(|| Holding::spawn(Holding([0; 100])));
                assert_eq!(actor.ask(Fill(1)).await.expect("the actor lives"), 1);
            }
            by_key
        };
        held_by_async(build).await.1
    })
}

fn on_ractor(actors: u64) -> usize {
    use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
    struct Holding;
    struct Fill(u8, RpcReplyPort<u8>);
    impl Actor for Holding {
        type Msg = Fill;
        type State = [u8; 100];
        type Arguments = ();

        async fn pre_start(
            &self,
            _: ActorRef<Fill>,
            (): (),
        ) -> Result<[u8; 100], ActorProcessingErr> {
            Ok([0; 100])
        }

        async fn handle(
            &self,
            _: ActorRef<Fill>,
            Fill(byte, reply): Fill,
            bytes: &mut [u8; 100],
        ) -> Result<(), ActorProcessingErr> {
            *bytes = [byte; 100];
            Ok(reply.send(bytes[99])?)
        }
    }
    on_this_thread(async || {
        let build = async || {
            let mut by_key: HashMap<u64, ActorRef<Fill>, RandomState> = HashMap::default();
            for key in 0..actors {
                let (actor, _) = Actor::spawn(None, Holding, ()).await.expect("it starts");
                let filled = actor.call(|reply| Fill(1, reply), None).await;
                assert!(filled.is_ok_and(|filled| filled.is_success()));
                by_key.insert(key, actor);
            }
            by_key
        };
        held_by_async(build).await.1
    })
}
