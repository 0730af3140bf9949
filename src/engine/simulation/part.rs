//! One partition on a node: its copy, and the handlers that run while the copy is the primary's.

use std::collections::VecDeque;
use std::time::Duration;

use super::backlog::Backlog;
use super::mail::{Letter, Post};
use super::object::{Deposit, Entity, Input, Key, Money, Object, Output, Record, State};
use super::parcel::{Ask, Consistency, Reply};
use super::store::{Batch, Stored};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::execution::{
    Numbered, Outcome, Refusal, Session, SessionLimits, Sessions, Verdict,
};
use crate::engine::id::{Epoch, PartitionId, Position, RequestId, Seq, SessionId, Version};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::outbox::Number;
use crate::engine::replica::{Copy, Entry, Round};

const LIMITS: SessionLimits = SessionLimits {
    idle_after: Duration::from_secs(3600),
    window_max: 1_000_000, // a client's number rises with what it asks of any partition
    sessions_max: 100,
};

/// Answers that wait at once.
const HELD_MAX: usize = 1000;

/// An answer that waits for what it depends on.
#[derive(Debug)]
pub(super) struct Held {
    pub client: usize,
    pub number: u64,
    pub reply: Reply,
    pub waits_for: Position,
    /// Of a read that rests on no lease.
    pub round: Option<Round>,
    is_read: bool,
}

/// What the handlers see.
struct Live {
    epoch: Epoch,
    state: State,
    sessions: Sessions,
    /// None until all that was inherited is committed.
    post: Option<Post>,
    /// Likewise.
    backlog: Option<Backlog>,
}

pub(super) struct Part {
    pub copy: Copy<Record>,
    /// What is committed.
    pub folded: State,
    live: Option<Live>,
    pub held: VecDeque<Held>,
}

impl Part {
    pub(super) fn new(copy: Copy<Record>) -> Part {
        Part { copy, folded: State::default(), live: None, held: VecDeque::new() }
    }

    /// The reign is over.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Held> {
        self.live.take_if(|_| !is_broken(Breakage::LiveKept));
        let kept = if is_broken(Breakage::HeldOutlivesReign) { self.held.len() } else { 0 };
        self.held.drain(kept..)
    }

    /// These are committed.
    pub(super) fn fold(&mut self, entries: Vec<Entry<Record>>) {
        for Entry { position, record } in entries {
            let backlog = self.live.as_mut().and_then(|live| live.backlog.as_mut());
            if let Some((backlog, (key, _))) = backlog.zip(record.entity.as_ref())
                && !is_broken(Breakage::StoredBeforeCommit)
            {
                backlog.note(position, *key);
            }
            self.folded.write(record);
        }
    }

    /// Sends to the store what is due there.
    pub(super) fn drain(&mut self, now: Instant, partition: PartitionId) -> Option<Batch> {
        let committed = self.copy.committed()?;
        let live = self.live.as_mut()?;
        let seen = if is_broken(Breakage::StoredBeforeCommit) { &live.state } else { &self.folded };
        let drained = live.backlog.as_mut()?.drain(now, partition, committed, seen);
        self.persisted(drained)
    }

    /// The store has answered.
    pub(super) fn stored(&mut self, now: Instant, stored: Stored) -> Option<Batch> {
        let live = self.live.as_mut()?;
        let seen = if is_broken(Breakage::StoredBeforeCommit) { &live.state } else { &self.folded };
        let drained = live.backlog.as_mut()?.stored(now, stored, seen);
        self.persisted(drained)
    }

    fn persisted(&mut self, (batch, upto): (Option<Batch>, Option<Position>)) -> Option<Batch> {
        if let Some(upto) = upto {
            self.copy.persist(upto);
        }
        batch
    }

    /// Runs an ask, in the epoch of this copy's reign. Returns what is said at once.
    pub(super) fn ask(
        &mut self,
        epoch: Epoch,
        client: usize,
        number: u64,
        ask: Ask,
    ) -> Option<Reply> {
        if !self.copy.has_room() || self.held.len() >= HELD_MAX {
            return Some(Reply::Refused);
        }
        self.go_live(epoch);
        let request = RequestId { session: SessionId(client as u128), number };
        let answered = match ask {
            Ask::Open => Ok(self.open(request.session)),
            Ask::Read(key, input, _) => Ok(self.read(key, input)),
            Ask::Write { key, input, opening, floor } => {
                let numbered = Numbered { request, opening, floor, message: 0 };
                self.write(key, input, &numbered)
            }
        };
        match answered {
            Ok((reply, waits_for)) => {
                let is_read = matches!(ask, Ask::Read(..));
                let round = match ask {
                    Ask::Read(.., Consistency::Confirmed) => self.copy.confirm(),
                    _ => None,
                };
                self.held.push_back(Held { client, number, reply, waits_for, round, is_read });
                None
            }
            Err(reply) => Some(reply),
        }
    }

    fn go_live(&mut self, epoch: Epoch) {
        if let Some(live) = &mut self.live {
            live.epoch = epoch;
            return;
        }
        let mut state = self.folded.clone();
        if !is_broken(Breakage::UnfoldedIgnored) {
            self.copy.unfolded().into_iter().for_each(|entry| state.write(entry.record));
        }
        let mut sessions = Sessions::new(LIMITS);
        state.sessions.iter().for_each(|(id, session)| sessions.restore(*id, *session));
        self.live = Some(Live { epoch, state, sessions, post: None, backlog: None });
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("it was made so")
    }

    fn open(&mut self, session: SessionId) -> (Reply, Position) {
        let next = self.next();
        let opened = self.live().sessions.open(session, true, next, Timestamp::default());
        let (opened, is_new) = opened.expect("there is room for all clients");
        if is_new {
            self.execute(Record { session: Some((session, opened)), ..Record::default() });
        }
        (Reply::Opened(opened.opening), opened.opening)
    }

    fn read(&mut self, key: Key, input: Input) -> (Reply, Position) {
        let entity = self.entity(key);
        let output = entity.object.clone().step(input);
        let written_at = entity.written_at;
        let version = Version { position: written_at, index: 0 };
        (Reply::Done { output, version }, written_at)
    }

    fn write(
        &mut self,
        key: Key,
        input: Input,
        ask: &Numbered,
    ) -> Result<(Reply, Position), Reply> {
        let last = self.copy.last();
        let floor = match self.live().sessions.admit(ask, Timestamp::default()) {
            Ok(floor) => floor,
            // That it is not there is an answer as any other.
            Err(Refusal::NotOpen) => return Ok((Reply::NotOpen, last)),
            Err(Refusal::Full) => return Err(Reply::Refused),
        };
        let mut entity = self.entity(key);
        match entity.answers.judge(ask, floor) {
            Verdict::Run => (),
            Verdict::Answered(_) if is_broken(Breakage::RetryRuns) => (),
            Verdict::Answered(Outcome::Reply(bytes)) => return Ok(recorded(bytes)),
            Verdict::Expired => return Ok((Reply::Expired, last)),
            verdict => unreachable!("{verdict:?} of {ask:?}"),
        }
        let position = self.next();
        let output = entity.object.step(input);
        if !input.is_changeless(&output) {
            entity.written_at = position;
        }
        let version = Version { position: entity.written_at, index: 0 };
        let outcome = Outcome::Reply(to_record(position, version, &output));
        // The record says the floor, too: so what is under it can be forgotten.
        let sessions = &mut self.live().sessions;
        sessions.floor_stored(ask.request.session, floor);
        entity.answers.prune(sessions);
        entity.answers.record(ask, floor, outcome);
        let session = self.session(ask.request.session);
        let sent = sent(input, &output).map(|deposit| (Number { position, index: 0 }, deposit));
        if let Some(((number, deposit), post)) = sent.clone().zip(self.live().post.as_mut()) {
            post.send(number, deposit);
        }
        let entity = Some((key, entity));
        self.execute(Record { entity, session, sent, ..Record::default() });
        Ok((Reply::Done { output, version }, position))
    }

    /// Takes in what another partition says, in the epoch of this copy's reign.
    pub(super) fn receive(&mut self, now: Instant, from: PartitionId, letter: Letter) {
        let Some(post) = self.live.as_mut().and_then(|live| live.post.as_mut()) else {
            return; // it is said again
        };
        let forgotten = post.receive(now, from, letter);
        if !forgotten.is_empty() {
            self.execute(Record { forgotten, ..Record::default() });
        }
    }

    /// Applies what other partitions have sent, and says what they are to be told.
    pub(super) fn exchange(&mut self, now: Instant, epoch: Epoch) -> Vec<(PartitionId, Letter)> {
        self.go_live(epoch);
        let Some(committed) = self.copy.committed() else { return Vec::new() };
        let has_begun = self.copy.inherited().is_some_and(|inherited| committed >= inherited);
        let live = self.live();
        if live.post.is_none() && has_begun {
            live.post = Some(Post::new(epoch, &live.state, committed));
            self.take_up();
        }
        let live = self.live();
        let Some(post) = &live.post else { return Vec::new() };
        for from in post.inbox.pending().collect::<Vec<_>>() {
            while self.copy.has_room() && self.apply(from) {}
        }
        let last = self.copy.last();
        let post = self.live().post.as_mut();
        post.map(|post| post.exchange(now, committed, last)).unwrap_or_default()
    }

    /// What earlier primaries have not stored comes once more, as records of this reign.
    fn take_up(&mut self) {
        let persisted = self.copy.persisted();
        let is_pending = |entity: &Entity| entity.changed_at > persisted;
        let pending: Vec<(Key, Entity)> = self
            .live()
            .state
            .entities
            .iter()
            .filter(|(_, entity)| is_pending(entity) && !is_broken(Breakage::PendingForgotten))
            .map(|(key, entity)| (*key, entity.clone()))
            .collect();
        for entity in pending {
            self.execute(Record { entity: Some(entity), ..Record::default() });
        }
        let (epoch, last) = (self.live().epoch, self.copy.last());
        self.live().backlog = Some(Backlog::new(epoch, last));
    }

    /// Applies the next message of a partition, if there is one.
    fn apply(&mut self, from: PartitionId) -> bool {
        let post = self.live().post.as_ref();
        let next = post.and_then(|post| post.inbox.next(from)).cloned();
        let Some((number, Deposit { key, amount, .. })) = next else { return false };
        let mut entity = self.entity(key);
        if let Object::Account(balance) = &mut entity.object {
            *balance += amount;
        }
        entity.written_at = self.next();
        let (entity, applied) = (Some((key, entity)), Some((from, number)));
        self.execute(Record { entity, applied, ..Record::default() });
        if let Some(post) = self.live().post.as_mut() {
            post.inbox.applied(from);
        }
        true
    }

    fn session(&mut self, id: SessionId) -> Option<(SessionId, Session)> {
        self.live().sessions.session(id).map(|session| (id, *session))
    }

    fn entity(&mut self, key: Key) -> Entity {
        self.live().state.entities.get(&key).cloned().unwrap_or_else(|| Entity::new(key))
    }

    fn next(&mut self) -> Position {
        let epoch = self.live().epoch;
        self.copy.next_position(epoch)
    }

    fn execute(&mut self, mut record: Record) {
        let position = self.next();
        if let Some((key, entity)) = &mut record.entity {
            entity.changed_at = position;
            if is_broken(Breakage::StoredBeforeCommit)
                && let Some(backlog) = &mut self.live().backlog
            {
                backlog.note(position, *key);
            }
        }
        self.live().state.write(record.clone());
        self.copy.execute(record.replicated());
    }

    /// Takes the answers that depend on nothing that is not committed, in their order: by lease, if
    /// there is one, and by round.
    pub(super) fn take_ready(&mut self, committed: Position, has_lease: bool) -> Vec<Held> {
        let confirmed = self.copy.confirmed();
        let is_allowed = |held: &Held| match held.round {
            Some(round) => confirmed >= Some(round) || is_broken(Breakage::ConfirmedUnasked),
            None => has_lease,
        };
        let is_ready = |held: &Held| {
            let is_early = is_broken(Breakage::AnsweredBeforeCommit)
                || (held.is_read && is_broken(Breakage::ReadBeforeCommit));
            is_allowed(held) && (held.waits_for <= committed || is_early)
        };
        // Each waits for what it saw, and not for what came before it.
        let (ready, held) = self.held.drain(..).partition(is_ready);
        self.held = held;
        Vec::from(ready)
    }
}

/// The money that an ask has sent.
fn sent(input: Input, output: &Output) -> Option<Deposit> {
    match (input, output) {
        (Input::Account(Money::Transfer { to, key, amount }), Output::Moved(true)) => {
            Some(Deposit { to, key, amount })
        }
        _ => None,
    }
}

/// An answer as it is recorded: where that was, the version, and what was answered.
fn to_record(at: Position, version: Version, output: &Output) -> Box<[u8]> {
    let places = [at, version.position].map(|place| [place.epoch.0, place.seq.0]);
    let words = places.into_iter().flatten().chain(output.to_words());
    words.flat_map(u64::to_le_bytes).collect()
}

/// What a retry hears, and what that depends on.
fn recorded(bytes: &[u8]) -> (Reply, Position) {
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).expect("whole words");
    let words: Vec<u64> = bytes.chunks(8).map(word).collect();
    let place = |at: usize| Position { epoch: Epoch(words[at]), seq: Seq(words[at + 1]) };
    let version = Version { position: place(2), index: 0 };
    let reply = Reply::Done { output: Output::from_words(&words[4..]), version };
    let waits_for =
        if is_broken(Breakage::RecordedBeforeCommit) { Position::default() } else { place(0) };
    (reply, waits_for)
}
