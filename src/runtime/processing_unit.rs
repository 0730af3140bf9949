//! The actor that owns one partition: its control plane.
//!
//! Asks reach the partition through its thread's lane, not through this mailbox, which bounds
//! nothing and starves what else runs on its thread. Control messages are few by construction:
//! one outstanding answer of the store to a batch and one to a load, one opening of a session at a
//! time and client, and what an operator asks for.

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::oneshot;

use crate::engine::execution::Session;
use crate::engine::id::{PartitionId, SessionId};
use crate::engine::outbox::Number;
use crate::engine::write_behind;
use crate::store::{self, Loaded, Row, RowKey};

use super::lane::Lane;
use super::post::{Leaving, Letter};
use super::unit::{LetterId, Opened, ParkedMessage, Settled};

pub(crate) struct ProcessingUnit {
    lane: Rc<Lane>,
    /// Which unit of the lane.
    index: usize,
}

impl ProcessingUnit {
    pub(crate) fn new(lane: Rc<Lane>, index: usize) -> ProcessingUnit {
        ProcessingUnit { lane, index }
    }
}

impl Actor for ProcessingUnit {
    type Context = Context<ProcessingUnit>;
}

/// The store has answered the outstanding batch.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Written(pub(crate) write_behind::Event);

impl Handler<Written> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, Written(event): Written, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.stored(now, event));
    }
}

/// The store has answered what it was asked for.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Found(pub(crate) Vec<(RowKey, Result<Loaded, store::Error>)>);

impl Handler<Found> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, Found(answers): Found, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.loaded(now, answers));
    }
}

/// Every partition is served: messages may be sent to these units.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Begin(pub(crate) Arc<[Addr<ProcessingUnit>]>);

impl Handler<Begin> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, Begin(peers): Begin, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.set_peers(peers);
        self.lane.with_unit(self.index, |unit| unit.open_post(now));
    }
}

/// Another unit says something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver {
    pub(crate) from: PartitionId,
    pub(crate) letter: Letter,
}

impl Handler<Deliver> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, Deliver { from, letter }: Deliver, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.receive(now, from, letter));
    }
}

/// The grid is being left; answered with what is still on its way.
#[derive(Message)]
#[rtype(result = "usize")]
pub(crate) struct Leave(pub(crate) Leaving);

impl Handler<Leave> for ProcessingUnit {
    type Result = usize;

    fn handle(&mut self, Leave(leaving): Leave, _: &mut Context<Self>) -> usize {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.leave(now, leaving)).unwrap_or_default()
    }
}

/// List the messages that wait for a person.
#[derive(Message)]
#[rtype(result = "Vec<ParkedMessage>")]
pub(crate) struct ListParked;

impl Handler<ListParked> for ProcessingUnit {
    type Result = Vec<ParkedMessage>;

    fn handle(&mut self, _: ListParked, _: &mut Context<Self>) -> Self::Result {
        self.lane.with_unit(self.index, |unit| unit.parked_messages()).unwrap_or_default()
    }
}

/// Send a parked message anew, or discard it; `done` is dropped if there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SettleParked {
    pub(crate) number: Number,
    pub(crate) again: bool,
    pub(crate) done: oneshot::Sender<()>,
}

impl Handler<SettleParked> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, settle: SettleParked, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        let SettleParked { number, again, done } = settle;
        self.lane.with_unit(self.index, |unit| unit.settle_parked(now, number, again, done));
    }
}

/// Open a session here; `opened` is dropped if that is refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OpenSession {
    pub(crate) session: SessionId,
    pub(crate) durable: bool,
    pub(crate) opened: oneshot::Sender<Session>,
}

impl Handler<OpenSession> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        let OpenSession { session, durable, opened } = open;
        self.lane.with_unit(self.index, |unit| unit.open_session(now, session, durable, opened));
    }
}

/// Close a session here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CloseSession {
    pub(crate) session: SessionId,
    pub(crate) closed: oneshot::Sender<Session>,
}

impl Handler<CloseSession> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, close: CloseSession, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane
            .with_unit(self.index, |unit| unit.close_session(now, close.session, close.closed));
    }
}

/// Say when everything that is acknowledged by now is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Persist(pub(crate) oneshot::Sender<()>);

impl Handler<Persist> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, Persist(persisted): Persist, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.persist(now, persisted));
    }
}

/// Show a dead letter.
#[derive(Message)]
#[rtype(result = "Option<Opened>")]
pub(crate) struct OpenLetter(pub(crate) LetterId);

impl Handler<OpenLetter> for ProcessingUnit {
    type Result = Option<Opened>;

    fn handle(&mut self, OpenLetter(id): OpenLetter, _: &mut Context<Self>) -> Self::Result {
        self.lane.with_unit(self.index, |unit| unit.open_letter(&id)).flatten()
    }
}

/// Write what a dead letter holds once more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReplayLetter {
    pub(crate) id: LetterId,
    pub(crate) done: oneshot::Sender<Settled>,
}

impl Handler<ReplayLetter> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, ReplayLetter { id, done }: ReplayLetter, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        self.lane.with_unit(self.index, |unit| unit.replay(now, &id, done));
    }
}

/// Go back from a dead letter to the row, which is given here as the store has it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DiscardLetter {
    pub(crate) id: LetterId,
    pub(crate) row: Option<Row>,
    pub(crate) done: oneshot::Sender<Settled>,
}

impl Handler<DiscardLetter> for ProcessingUnit {
    type Result = ();

    fn handle(&mut self, discard: DiscardLetter, _: &mut Context<Self>) {
        let now = self.lane.clock.now();
        let DiscardLetter { id, row, done } = discard;
        self.lane.with_unit(self.index, |unit| unit.discard(now, &id, row.as_ref(), done));
    }
}

/// List the writes that the store refused: each entity's key, for a person, and its dead letter.
#[derive(Message)]
#[rtype(result = "Vec<(String, store::DeadLetter)>")]
pub(crate) struct ListDeadLetters;

impl Handler<ListDeadLetters> for ProcessingUnit {
    type Result = Vec<(String, store::DeadLetter)>;

    fn handle(&mut self, _: ListDeadLetters, _: &mut Context<Self>) -> Self::Result {
        self.lane
            .with_unit(self.index, |unit| {
                unit.dead_letters().map(|(key, letter)| (key, letter.clone())).collect()
            })
            .unwrap_or_default()
    }
}
