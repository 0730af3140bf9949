//! What a partition sends to others and receives from them, which of its entities sent what, and
//! which are to be reminded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::alarms::{self, Alarms};
use crate::engine::hash::partition_of;
use crate::engine::id::{EntityId, Epoch, PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::outbox::{Bounds, Claim, Config, Frame, Inbox, Number};
use crate::engine::outbox::{Outbox, Outgoing, Receipt};
use crate::entity::deeds::Parcel;
use crate::wire::mail::Sent;

use super::inbox_rows::InboxRows;

/// How long a frame waits for its answer. Within one process none is lost; a store that is slow may
/// keep one waiting.
const RESEND_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

/// Messages in one frame: enough to make batches, few enough that asks have their turn.
const FRAME_MAX: usize = 256;

/// What one unit tells another.
#[derive(Debug)]
pub(crate) enum Letter {
    Frame(Frame<Arc<Parcel>>),
    Receipt(Receipt),
}

/// An entity, by the number of its type and its encoded key: it may not be in memory.
pub(crate) type Sleeper = (u16, Arc<[u8]>);

/// What the handler under way may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Right {
    /// Everything: that there is room was looked at before.
    #[default]
    Free,
    /// What there is room for.
    IfRoom,
    /// That, and what the claim allows that came with the message.
    Claim(Option<Claim>),
}

/// The messages of one partition.
pub(crate) struct Post {
    partitions: u16,
    /// Whether there ever was anything: where nobody sends, asks need not look at all of this.
    is_used: bool,
    pub(crate) outbox: Outbox<Arc<Parcel>>,
    pub(crate) inbox: Inbox<Arc<Parcel>>,
    pub(crate) rows: InboxRows,
    /// Which of its entities are to be reminded.
    alarms: Alarms<Sleeper>,
    /// Who sent what is kept.
    pub(crate) owners: BTreeMap<Number, EntityId>,
    /// Entity types, by number, whose handlers were seen to send.
    sending: Vec<bool>,
    /// The number that is given next in the batch under way.
    next: Number,
    /// What the handler under way may send.
    pub(crate) right: Right,
    /// What the handler under way has sent.
    fresh: Vec<Number>,
    /// Whose messages are applied first.
    pub(crate) applies_next: PartitionId,
    /// More was to be applied than was.
    pub(crate) has_more: bool,
    /// When there is something to do by itself.
    pub(crate) wake_at: Option<Instant>,
    /// The other partitions can be reached.
    pub(crate) is_open: bool,
    /// The grid is being left.
    pub(crate) leaving: Leaving,
}

/// How far a partition is in ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaving {
    #[default]
    Not,
    /// No reminder fires any more; messages go on.
    NoReminders,
    /// Nothing is applied or sent any more.
    NoMessages,
}

impl Post {
    pub(crate) fn new(
        (config, alarms): (Config, alarms::Config),
        partitions: u16,
        kinds: usize,
    ) -> Post {
        let epoch = Epoch::default(); // until it begins
        Post {
            partitions,
            is_used: false,
            outbox: Outbox::new(config, epoch),
            inbox: Inbox::new(epoch),
            rows: InboxRows::default(),
            alarms: Alarms::new(alarms),
            owners: BTreeMap::new(),
            sending: vec![false; kinds],
            next: Number::default(),
            right: Right::Free,
            fresh: Vec::new(),
            applies_next: PartitionId(0),
            has_more: false,
            wake_at: None,
            is_open: false,
            leaving: Leaving::Not,
        }
    }

    /// The partition begins to serve in this epoch.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        self.outbox.begin(epoch);
        self.inbox.begin(epoch);
    }

    /// Whether there ever was anything here.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Takes in what another partition says.
    pub(crate) fn receive(&mut self, from: PartitionId, frame: Frame<Arc<Parcel>>) {
        self.is_used = true;
        self.inbox.receive(from, frame);
    }

    /// What is known of what other partitions have sent, to be put back from the store.
    pub(crate) fn restoring(&mut self) -> (&mut InboxRows, &mut Inbox<Arc<Parcel>>) {
        self.is_used = true;
        (&mut self.rows, &mut self.inbox)
    }

    pub(crate) fn alarms(&self) -> &Alarms<Sleeper> {
        &self.alarms
    }

    pub(crate) fn alarms_mut(&mut self) -> &mut Alarms<Sleeper> {
        self.is_used = true;
        &mut self.alarms
    }

    /// Keeps a message that the handler under way has sent.
    pub(crate) fn send(
        &mut self,
        position: Position,
        entity: EntityId,
        parcel: &Arc<Parcel>,
    ) -> Number {
        if self.next.position != position {
            self.next = Number { position, index: 0 };
        }
        self.is_used = true;
        let number = self.next;
        self.next.index += 1;
        let to = partition_of(&parcel.key, self.partitions);
        self.outbox.push(number, to, parcel.bytes(), Arc::clone(parcel));
        self.owners.insert(number, entity);
        self.sending[usize::from(entity.kind)] = true;
        self.fresh.push(number);
        number
    }

    /// Keeps what was found in the store.
    pub(crate) fn restore(&mut self, entity: EntityId, sent: &Sent) {
        if self.owners.insert(sent.number, entity).is_some() {
            return;
        }
        self.is_used = true;
        self.sending[usize::from(entity.kind)] = true;
        let (parcel, is_parked) = (Arc::clone(&sent.parcel), sent.parked.is_some());
        let to = partition_of(&parcel.key, self.partitions);
        self.outbox.restore(sent.number, to, parcel.bytes(), parcel, is_parked);
    }

    /// Whether the handler under way has sent anything.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_used && !self.fresh.is_empty()
    }

    pub(crate) fn take_fresh(&mut self) -> Vec<Number> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether what asks of this entity type send may not fit.
    pub(crate) fn is_short(&self, kind: u16) -> bool {
        self.is_used && !self.outbox.has_room() && self.sending[usize::from(kind)]
    }

    /// Where messages go, and how large they are.
    pub(crate) fn outgoing(&self, sent: &[Parcel]) -> Box<[Outgoing]> {
        let to = |parcel: &Parcel| partition_of(&parcel.key, self.partitions);
        sent.iter().map(|parcel| (to(parcel), parcel.bytes())).collect()
    }

    /// Whether the handler under way may send these.
    pub(crate) fn may_send(&self, outgoing: &[Outgoing]) -> bool {
        match self.right {
            Right::Free => true,
            Right::IfRoom => self.outbox.fits(outgoing),
            Right::Claim(claim) => self.outbox.admits(outgoing, claim),
        }
    }

    /// The handler under way has succeeded, and sends these.
    pub(crate) fn admitted(&mut self, sent: &[Parcel]) {
        if matches!(self.right, Right::Claim(_)) && !self.outbox.has_room() {
            let outgoing = self.outgoing(sent);
            self.outbox.admitted(&outgoing);
        }
    }

    /// Whether nothing is applied or sent any more.
    pub(crate) fn is_silent(&self) -> bool {
        self.leaving == Leaving::NoMessages
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        !self.outbox.is_stirred()
            && !self.inbox.is_stirred()
            && self.wake_at.is_none_or(|at| at > now)
    }
}

/// The bounds of the engine from those of the grid.
pub(crate) fn config(limits: &crate::config::Limits) -> (Config, alarms::Config) {
    let alarms = alarms::Config {
        attempts_max: limits.message_attempts_max,
        retry_min: limits.retry_min,
        retry_max: limits.retry_max,
    };
    let outbox = Config {
        whole: Bounds { messages: limits.outbox_messages_max, bytes: limits.outbox_bytes_max },
        per_receiver: Bounds {
            messages: limits.outbox_messages_per_receiver_max,
            bytes: limits.outbox_bytes_per_receiver_max,
        },
        parked_max: limits.parked_messages_max,
        frame_max: FRAME_MAX,
        attempts_max: limits.message_attempts_max,
        retry_min: limits.retry_min,
        retry_max: limits.retry_max,
        resend_after: RESEND_AFTER,
    };
    (outbox, alarms)
}
