//! What a copy holds that its primary does not, of asynchronous types: it is handed in, and each
//! type does with it what it wants. Sets take in what was added; of registers the primary's memory
//! wins.

use std::collections::VecDeque;
use std::time::Duration;

use super::Node;
use super::asynchronous::Reconciled;
use super::node::Out;
use super::object::{Entity, Key, Object};
use super::parcel::{Endpoint, Parcel};
use super::part::Part;
use super::record::Record;
use super::serve::{recorded, to_record};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::execution::{Numbered, Outcome, Verdict};
use crate::engine::id::{Epoch, PartitionId, Position, RequestId, Version};
use crate::engine::instant::Instant;
use crate::engine::replica::{Claim, Entry, Replication};
use crate::engine::table::{Member, Row};

/// When what is not settled is handed in again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Part {
    /// These are here and not there, or may not be.
    pub(super) fn lacks(&mut self, entries: Vec<Entry<Record>>) {
        if is_broken(Breakage::HandInForgotten) {
            return;
        }
        let is_async = |entry: &Entry<Record>| {
            let entity = entry.record.entity.as_ref();
            entity.is_some_and(|(key, _)| self.asynchronous.of(*key) != Replication::Sync)
        };
        self.hand_in.add(entries.into_iter().filter(is_async));
    }

    /// The row is this now. A copy that it does not name is never told what to cut: what is not
    /// committed there, as far as is known, may be lacking.
    pub(super) fn left_out(&mut self, me: Member, row: &Row) {
        let is_named = row.holders().is_some_and(|holders| holders.contains(me))
            || row.catching_up.contains(me);
        if row.epoch > self.copy.joined() && !is_named {
            self.lacks(self.copy.unfolded());
        }
    }

    /// Does with records of others what their types want, in the epoch of this copy's reign.
    /// Returns which of them are settled for good, and what was done. What waits for its entity to
    /// be read goes on when that is there.
    fn reconcile_handed_in(
        &mut self,
        epoch: Epoch,
        from: Endpoint,
        entries: Vec<Entry<Record>>,
    ) -> (Vec<Position>, Vec<Reconciled>) {
        let (mut settled, mut done) = (Vec::new(), Vec::new());
        let mut entries = VecDeque::from(entries);
        while let Some(Entry { position, record }) = entries.pop_front() {
            let Some((key, lost)) = &record.entity else { continue };
            let key = *key;
            if position.epoch >= epoch {
                break; // it knows of a later reign than this
            }
            if self.copy.holds(position) == Some(true) {
                settled.push(position);
                continue;
            }
            if !self.is_at_hand(key) {
                self.live().loads.begin(key);
                entries.push_front(Entry { position, record });
                self.claims.insert(from, Vec::from(entries));
                break;
            }
            let entity = self.entity(key);
            match entity.settled.judge(position) {
                Claim::New if !self.copy.has_room() => break,
                Claim::New => done.push(self.settle(key, entity, position, lost)),
                Claim::Settled if self.is_settled(key, &entity, position) => settled.push(position),
                Claim::Settled => (), // and not committed yet
                Claim::TooOld => {
                    settled.push(position);
                    done.push(Reconciled { position, at: None, is_kept: false });
                }
            }
        }
        (settled, done)
    }

    /// Whether that it is settled is committed.
    fn is_settled(&self, key: Key, entity: &Entity, position: Position) -> bool {
        let folded = self.folded.entities.get(&key);
        Some(entity.changed_at) <= self.copy.committed()
            || folded.is_some_and(|folded| folded.settled.judge(position) == Claim::Settled)
    }

    fn settle(
        &mut self,
        key: Key,
        mut entity: Entity,
        position: Position,
        lost: &Entity,
    ) -> Reconciled {
        let next = self.next();
        let is_kept = match (&mut entity.object, &lost.object) {
            (Object::Set(here), Object::Set(there)) => {
                let before = here.len();
                here.extend(there);
                here.len() > before
            }
            _ => false,
        };
        if is_kept {
            entity.written_at = next;
            self.take_answers(&mut entity, lost, next);
        }
        entity.settled.settle(position);
        self.execute(Record { entity: Some((key, entity)), ..Record::default() });
        Reconciled { position, at: Some(next), is_kept }
    }

    /// Who asked for it, and has not heard, is to hear that it is done when it asks again.
    fn take_answers(&mut self, entity: &mut Entity, lost: &Entity, at: Position) {
        for kept in lost.answers.sessions() {
            let session = self.live().sessions.session(kept.session).copied();
            let Some(session) = session.filter(|it| it.opening == kept.opening) else { continue };
            for answer in &kept.answers {
                let request = RequestId { session: kept.session, number: answer.number };
                let (opening, floor) = (kept.opening, session.floor);
                let ask = Numbered { request, opening, floor, message: answer.message };
                let (Verdict::Run, Outcome::Reply(bytes)) =
                    (entity.answers.judge(&ask, floor), &answer.outcome)
                else {
                    continue;
                };
                let (output, _, _) = recorded(bytes);
                let version = Version { position: at, index: 0 };
                let outcome = Outcome::Reply(to_record(at, version, &output));
                entity.answers.record(&ask, floor, outcome);
            }
        }
    }
}

impl Node {
    /// Hands in what is due to whoever is the primary, as far as is known here.
    pub(super) fn hand_in(&mut self, now: Instant, partition: PartitionId, out: &mut Out) {
        let Some(primary) = self.table.row(partition).and_then(Row::primary) else { return };
        let part = &mut self.parts[usize::from(partition.0)];
        if let Some(entries) = part.hand_in.due(now, AGAIN_AFTER) {
            let node = Endpoint::Node(primary.directory.0 as usize);
            out.parcels.push((node, Parcel::HandIn { partition, entries }));
        }
    }

    /// Somebody hands in what it has.
    pub(super) fn handed_in(
        &mut self,
        now: Instant,
        from: Endpoint,
        partition: PartitionId,
        entries: Vec<Entry<Record>>,
        out: &mut Out,
    ) {
        let part = &mut self.parts[usize::from(partition.0)];
        if part.copy.serves().is_some() {
            part.claims.insert(from, entries);
        } // else it is said again
        self.go_on(now, partition, out);
    }

    /// Settles what was handed in.
    pub(super) fn settle(&mut self, now: Instant, partition: PartitionId, out: &mut Out) {
        let part = &mut self.parts[usize::from(partition.0)];
        let claims = std::mem::take(&mut part.claims);
        let Some(epoch) = part.copy.serves().filter(|_| !claims.is_empty()) else { return };
        part.go_live(now, epoch);
        for (from, entries) in claims {
            let (settled, done) = part.reconcile_handed_in(epoch, from, entries);
            out.reconciled.extend(done.into_iter().map(|done| (partition, done)));
            if !settled.is_empty() {
                out.parcels.push((from, Parcel::Settled { partition, settled }));
            }
        }
    }
}
