//! Money that goes from account to account, by messages between partitions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::node::{Node, Out};
use super::object::{Deposit, State};
use super::parcel::{Endpoint, Parcel};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::instant::Instant;
use crate::engine::outbox::{Bounds, Config, Effect, Frame, Inbox, Number, Outbox, Receipt};
use crate::engine::table::Row;

const BOUNDS: Bounds = Bounds { messages: 1_000_000, bytes: u64::MAX };

const CONFIG: Config = Config {
    whole: BOUNDS,
    per_receiver: BOUNDS,
    parked_max: 0, // no deposit fails
    frame_max: 8,
    attempts_max: u32::MAX,
    retry_min: Duration::from_millis(50),
    retry_max: Duration::from_secs(1),
    resend_after: Duration::from_millis(200),
};

/// What one partition tells another.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    Frame(Frame<Deposit>),
    Receipt(Receipt),
}

/// The messages of one partition in one reign of its primary.
pub(super) struct Post {
    epoch: Epoch,
    outbox: Outbox<Deposit>,
    pub(super) inbox: Inbox<Deposit>,
    /// Sent, and not committed.
    unreleased: VecDeque<Number>,
}

impl Post {
    /// Of a reign that has committed what it inherited: so nothing of that can be taken back. What
    /// was sent up to `may_leave` may leave.
    pub(super) fn new(epoch: Epoch, state: &State, may_leave: Position) -> Post {
        let (outbox, inbox) = (Outbox::new(CONFIG, epoch), Inbox::new(epoch));
        let mut post = Post { epoch, outbox, inbox, unreleased: VecDeque::new() };
        // In their order, whichever entities have sent them.
        for (number, deposit) in state.sent().collect::<BTreeMap<_, _>>() {
            if number.position <= may_leave {
                post.outbox.restore(number, deposit.to, 1, deposit.clone(), false);
            } else {
                post.send(number, deposit.clone());
            }
        }
        for (from, (_, number)) in &state.inboxes {
            post.inbox.restore(*from, *number);
        }
        post
    }

    pub(super) fn send(&mut self, number: Number, deposit: Deposit) {
        self.outbox.push(number, deposit.to, 1, deposit);
        self.unreleased.push_back(number);
    }

    /// Takes in a letter. Returns which messages need not be kept any more.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: PartitionId,
        letter: Letter,
    ) -> Vec<Number> {
        let mut receipt = match letter {
            Letter::Frame(frame) => {
                self.inbox.receive(from, frame);
                return Vec::new();
            }
            Letter::Receipt(receipt) => receipt,
        };
        if is_broken(Breakage::SenderForgetsAtApplied) {
            receipt.persisted = receipt.applied;
        }
        let mut effects = Vec::new();
        self.outbox.receipt(now, from, receipt, &mut effects);
        let forgotten = |effect| match effect {
            Effect::Forget(number) => Some(number),
            Effect::Send(..) | Effect::Park { .. } => None,
        };
        effects.into_iter().filter_map(forgotten).collect()
    }

    /// Lets go what may leave, and says what is to be sent. All up to `last` was applied, and up to
    /// `durable` can never be lost.
    pub(super) fn exchange(
        &mut self,
        now: Instant,
        may_leave: Position,
        durable: Position,
        last: Position,
    ) -> Vec<(PartitionId, Letter)> {
        let is_ready = |number: &mut Number| {
            number.position <= may_leave || is_broken(Breakage::MessagesLeaveEarly)
        };
        while let Some(number) = self.unreleased.pop_front_if(is_ready) {
            self.outbox.release(number);
        }
        let seq = |position: Position| match position.epoch == self.epoch {
            true => position.seq,
            false => Seq(0), // inherited
        };
        self.inbox.mark(seq(last));
        self.inbox.persisted(seq(durable));
        let mut effects = Vec::new();
        self.outbox.step(now, &mut effects);
        let frame = |effect| match effect {
            Effect::Send(to, frame) => Some((to, Letter::Frame(frame))),
            Effect::Forget(_) | Effect::Park { .. } => None,
        };
        let receipts = self.inbox.take_receipts();
        let receipts = receipts.into_iter().map(|(to, receipt)| (to, Letter::Receipt(receipt)));
        effects.into_iter().filter_map(frame).chain(receipts).collect()
    }
}

impl Node {
    /// Sends a letter to whoever is the primary of a partition, as far as is known here.
    pub(super) fn post(&self, from: PartitionId, to: PartitionId, letter: Letter, out: &mut Out) {
        if let Some(primary) = self.table.row(to).and_then(Row::primary) {
            let node = Endpoint::Node(primary.directory.0 as usize);
            out.parcels.push((node, Parcel::Letter { from, to, letter }));
        }
    }
}
