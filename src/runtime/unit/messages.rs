//! A unit's messages: what comes from other partitions is applied, what leaves for them is sent,
//! what they have is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::entities::{Arrival, Arrived};
use super::super::held::Held;
use super::super::post::{Leaving, Letter, Post, Right};
use super::super::undone::{Undone, quietly};
use super::Unit;
use crate::engine::id::{EntityId, PartitionId, Version};
use crate::engine::instant::Instant;
use crate::engine::outbox::{Effect, Number};
use crate::engine::write_behind;
use crate::entity::deeds::Parcel;
use crate::store::RowKey;
use crate::wire::mail::{Parked, Sent};

/// Messages that are applied before asks have their turn.
const APPLIED_AT_ONCE: usize = 512;

/// How long the store may lag behind what the entities' own rows say, too.
const INBOX_DELAY: Duration = Duration::from_secs(1);

/// A message that waits for a person.
#[derive(Clone, Debug)]
pub(crate) struct ParkedMessage {
    pub(crate) number: Number,
    /// Who sent it: type, and key for a person.
    pub(crate) sender: (String, String),
    pub(crate) parcel: Arc<Parcel>,
    pub(crate) parked: Parked,
}

impl Unit {
    /// The other partitions can be reached from now on.
    pub(crate) fn open_post(&mut self, now: Instant) {
        self.now = now;
        self.execution.post.is_open = true;
        self.execution.post.wake_at = Some(now);
    }

    /// The grid is being left. Returns what is still on its way: messages that are kept, and asks
    /// that wait for room for more.
    pub(crate) fn leave(&mut self, now: Instant, leaving: Leaving) -> usize {
        self.now = now;
        let post = &mut self.execution.post;
        post.leaving = leaving;
        post.wake_at = Some(now); // it may go on
        if self.primary.is_fenced() { 0 } else { post.outbox.len() + self.blocked.len() }
    }

    /// Takes in what another partition says.
    pub(crate) fn receive(&mut self, now: Instant, from: PartitionId, letter: Letter) {
        self.now = now;
        match letter {
            Letter::Frame(frame) => self.execution.post.receive(from, frame),
            Letter::Receipt(receipt) => {
                let mut effects = Vec::new();
                self.execution.post.outbox.receipt(now, from, receipt, &mut effects);
                self.perform_outbox(effects);
            }
        }
    }

    /// What is to be brought to other partitions.
    pub(crate) fn take_letters(&mut self) -> Vec<(PartitionId, Letter)> {
        std::mem::take(&mut self.letters)
    }

    /// Applies what has come, and sends what may leave.
    pub(super) fn exchange_letters(&mut self) {
        let is_over = self.primary.is_fenced() || self.execution.post.is_silent();
        if is_over || self.execution.post.is_quiet(self.now) {
            return;
        }
        self.apply_messages(None);
        if !self.execution.post.is_open {
            return;
        }
        let mut effects = Vec::new();
        self.execution.post.outbox.step(self.now, &mut effects);
        self.perform_outbox(effects);
        let post = &mut self.execution.post;
        let receipts = post.inbox.take_receipts();
        let receipts = receipts.into_iter().map(|(to, receipt)| (to, Letter::Receipt(receipt)));
        self.letters.extend(receipts);
        // Asks have their turn in between.
        post.wake_at = if post.has_more { Some(self.now) } else { post.outbox.next_deadline() };
        self.metrics.outbox(post.outbox.len(), post.outbox.parked_len());
    }

    /// Applies what has come, as far as there is room. `loaded` was asked of the store just now.
    pub(super) fn apply_messages(&mut self, loaded: Option<&RowKey>) {
        if self.execution.post.is_silent() {
            return;
        }
        let (mut senders, mut first): (Vec<PartitionId>, Vec<PartitionId>) = {
            let next = self.execution.post.applies_next;
            self.execution.post.inbox.pending().partition(|from| *from < next)
        };
        first.append(&mut senders);
        let mut left = APPLIED_AT_ONCE;
        for from in first {
            while left > 0 && self.apply_next(from, loaded) {
                left -= 1;
            }
            if left == 0 {
                self.execution.post.applies_next = PartitionId(from.0.wrapping_add(1));
                break;
            }
        }
        while left > 0 && self.has_room() {
            let Post { inbox, outbox, .. } = &mut *self.execution.post;
            let Some(from) = inbox.resume(outbox) else { break };
            while left > 0 && self.apply_next(from, loaded) {
                left -= 1;
            }
        }
        self.execution.post.has_more = left == 0;
        self.finish_batch();
        let seq = self.primary.committed();
        self.execution.post.inbox.mark(seq);
        if self.execution.post.inbox.take_urgency() {
            self.step_write_behind(write_behind::Event::Flush);
        }
        let persisted = self.write_behind.as_ref().map_or(seq, |queue| queue.persisted());
        self.execution.post.inbox.persisted(persisted);
    }

    /// Applies the next message of a sender. Returns whether the one behind it may be looked at.
    fn apply_next(&mut self, from: PartitionId, loaded: Option<&RowKey>) -> bool {
        let has_room = self.has_room();
        let Some((number, parcel)) = self.execution.post.inbox.next(from).filter(|_| has_room)
        else {
            return false;
        };
        let (number, parcel) = (*number, Arc::clone(parcel));
        let Some(kind) = self.execution.registry.index_named(&parcel.entity_type) else {
            // Whether it was applied before is known to the entity only.
            let reason = format!(
                "`{}` is no entity type of this grid; it may have been applied before",
                parcel.entity_type
            );
            self.execution.post.inbox.failed(from, reason);
            return false;
        };
        let row_key = || row_key(&parcel);
        let is_loaded = loaded.is_some_and(|loaded| *loaded == row_key());
        if self.loading.has_any() && !is_loaded && self.loading.has(&row_key()) {
            self.loading.want(row_key());
            return false; // others wait for that entity, and came before
        }
        self.begin();
        let arrival = Arrival { from, number, parcel: &parcel, is_loaded };
        let (entities, execution) = (&mut self.entities[kind], &mut self.execution);
        execution.post.right = Right::Claim(execution.post.inbox.claim(from));
        let arrived = quietly(|| entities.arrive(arrival, execution));
        let arrived = arrived.unwrap_or_else(|undone| {
            let Undone::Panicked(message) = undone else { unreachable!("it ran quietly") };
            Arrived::Undone(format!("panicked: {message}"))
        });
        self.execution.post.right = Right::Free;
        let panics = std::mem::take(&mut self.execution.panics);
        if panics > 0 {
            self.metrics.panicked(kind as u16, panics);
        }
        match arrived {
            Arrived::Applied { failed } => {
                self.metrics.message(if failed { "refused" } else { "applied" })
            }
            Arrived::Duplicate => self.metrics.message("duplicate"),
            Arrived::Away => {
                self.loading.want(row_key());
                return false;
            }
            Arrived::NoRoom(outgoing) => {
                self.execution.post.inbox.put_aside(from, outgoing);
                return false;
            }
            Arrived::Undone(reason) => {
                self.metrics.message("undone");
                self.execution.post.inbox.failed(from, reason);
                return false;
            }
        }
        self.execution.post.inbox.applied(from);
        true
    }

    /// What the store holds of an entity cannot be read: the messages to it cannot be applied.
    pub(super) fn refuse_messages(&mut self, key: &RowKey, reason: &str) {
        let senders: Vec<PartitionId> = self.execution.post.inbox.pending().collect();
        for from in senders {
            let next = self.execution.post.inbox.next(from);
            if next.is_some_and(|(_, parcel)| row_key(parcel) == *key) {
                self.execution.post.inbox.failed(from, reason.to_owned());
            }
        }
    }

    fn perform_outbox(&mut self, effects: Vec<Effect<Arc<Parcel>>>) {
        let mut forgotten = BTreeMap::<EntityId, Vec<Number>>::new();
        self.begin();
        for effect in effects {
            match effect {
                Effect::Send(to, frame) => self.letters.push((to, Letter::Frame(frame))),
                Effect::Forget(number) => {
                    if let Some(owner) = self.execution.post.owners.remove(&number) {
                        forgotten.entry(owner).or_default().push(number);
                    }
                }
                Effect::Park { number, reason, attempts } => {
                    self.park_message(number, reason, attempts);
                }
            }
        }
        for (owner, numbers) in forgotten {
            let entities = &mut self.entities[usize::from(owner.kind)];
            entities.forget_sent(owner.slot, &numbers, &mut self.execution);
        }
        self.finish_batch();
    }

    fn park_message(&mut self, number: Number, reason: String, attempts: u32) {
        let Some(owner) = self.execution.post.owners.get(&number).copied() else { return };
        let partition = self.partition;
        tracing::error!(%partition, ?number, reason, attempts, "message is parked");
        self.metrics.message("parked");
        let parked = Parked { reason, attempts, at: self.execution.time };
        let entities = &mut self.entities[usize::from(owner.kind)];
        let version = entities.park_sent(owner.slot, number, parked, &mut self.execution);
        self.execution.hold(Held::Parked(number), owner, version, true);
    }

    /// Messages that wait for a person.
    pub(crate) fn parked_messages(&self) -> Vec<ParkedMessage> {
        let post = &self.execution.post;
        let parked = post.owners.iter().filter(|(number, _)| post.outbox.is_parked(**number));
        let message = |(number, owner): (&Number, &EntityId)| {
            let sent = self.entities[usize::from(owner.kind)].sent(owner.slot);
            let Sent { parcel, parked, .. } = sent.iter().find(|sent| sent.number == *number)?;
            let entity_type = self.execution.registry.kinds[usize::from(owner.kind)].name;
            Some(ParkedMessage {
                number: *number,
                sender: (entity_type.to_owned(), self.describe(*owner)),
                parcel: Arc::clone(parcel),
                parked: parked.clone()?,
            })
        };
        parked.filter_map(message).collect()
    }

    /// Sends a parked message anew, or discards it. `done` hears that when it is durable, and
    /// nothing if there is no such message.
    pub(crate) fn settle_parked(
        &mut self,
        now: Instant,
        number: Number,
        again: bool,
        done: oneshot::Sender<()>,
    ) {
        self.now = now;
        let post = &mut self.execution.post;
        if self.primary.is_fenced() || !post.outbox.is_parked(number) {
            return;
        }
        post.outbox.discard(number);
        let Some(owner) = post.owners.remove(&number) else { return };
        self.begin();
        let entities = &mut self.entities[usize::from(owner.kind)];
        let settled = entities.settle_parked(owner.slot, number, again, &mut self.execution);
        if let Some(version) = settled {
            self.execution.hold_fresh(owner, version);
            self.execution.hold(Held::Settled(done), owner, version, true);
        }
        self.finish_batch();
    }

    /// Notes the rows that say what was applied, where that has grown.
    pub(super) fn note_inboxes(&mut self) {
        if self.write_behind.is_none() {
            return;
        }
        self.begin();
        for from in self.execution.post.inbox.behind() {
            self.note_inbox(from, INBOX_DELAY);
        }
    }

    pub(super) fn note_inbox(&mut self, from: PartitionId, delay: Duration) -> Version {
        let at = (self.execution.position, self.execution.time);
        let execution = &mut self.execution;
        execution.post.rows.note(from, delay, &mut execution.batch, at)
    }
}

fn row_key(parcel: &Parcel) -> RowKey {
    let key = bytes::Bytes::copy_from_slice(&parcel.key);
    RowKey { entity_type: (&*parcel.entity_type).into(), key }
}
