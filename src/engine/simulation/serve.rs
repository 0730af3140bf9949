//! The handlers of a partition, which run while its copy is the primary's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::life::Life;
use super::load::{Loads, Waiting};
use super::mail::{Letter, Post};
use super::object::{Deposit, Entity, Input, Key, Money, Object, Output, State};
use super::parcel::{Ask, Consistency, Reply};
use super::part::{Held, Part};
use super::record::Record;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::execution::{
    Numbered, Outcome, Refusal, Session, SessionLimits, Sessions, Verdict,
};
use crate::engine::id::{Epoch, PartitionId, Position, RequestId, Seq, SessionId, Version};
use crate::engine::instant::{Instant, Timestamp};
use crate::engine::outbox::Number;
use crate::engine::replica::{Replication, Scope};

const LIMITS: SessionLimits = SessionLimits {
    idle_after: Duration::from_secs(3600),
    window_max: 1_000_000, // a client's number rises with what it asks of any partition
    sessions_max: 100,
};

/// Answers that wait at once, and asks that wait for what they ask.
const HELD_MAX: usize = 1000;

/// What the handlers see.
pub(super) struct Live {
    epoch: Epoch,
    pub(super) state: State,
    pub(super) sessions: Sessions,
    pub(super) life: Life,
    pub(super) loads: Loads,
    /// None until all that was inherited is committed.
    post: Option<Post>,
    /// Floors of sessions that are not stored yet.
    floors: VecDeque<(Position, SessionId, u64)>,
    /// Numbers of inboxes whose rows may not be, by their senders; and those whose rows are.
    numbers: BTreeMap<PartitionId, (Position, Number)>,
    pub(super) stored_numbers: BTreeMap<PartitionId, Number>,
}

impl Part {
    /// Runs an ask, in the epoch of this copy's reign. Returns what is said at once.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        epoch: Epoch,
        client: usize,
        number: u64,
        ask: Ask,
    ) -> Option<Reply> {
        if !self.copy.has_room() || self.held.len() >= HELD_MAX {
            return Some(Reply::Refused);
        }
        self.go_live(now, epoch);
        if let Ask::Read(key, ..) | Ask::Write { key, .. } = ask
            && !self.is_at_hand(key)
        {
            let is_kept = self.live().loads.wait(key, Waiting { client, number, ask });
            return (!is_kept).then_some(Reply::Refused);
        }
        self.run(client, number, ask)
    }

    /// Runs an ask of what is at hand.
    pub(super) fn run(&mut self, client: usize, number: u64, ask: Ask) -> Option<Reply> {
        let is_read = matches!(ask, Ask::Read(..));
        if !is_read && !self.durability.admits(self.is_short) {
            return Some(Reply::Refused);
        }
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
                let round = match ask {
                    Ask::Read(.., Consistency::Confirmed) => self.copy.confirm(),
                    _ => None,
                };
                let replication = self.replication(ask, &reply);
                let is_early = false;
                let held = Held {
                    client,
                    number,
                    reply,
                    waits_for,
                    round,
                    is_read,
                    replication,
                    is_early,
                };
                self.held.push_back(held);
                None
            }
            Err(reply) => Some(reply),
        }
    }

    /// Sessions belong to no type: that one is open, or is not, waits for every copy.
    fn replication(&self, ask: Ask, reply: &Reply) -> Replication {
        match (ask, reply) {
            (Ask::Read(key, ..) | Ask::Write { key, .. }, Reply::Done { .. }) => {
                self.asynchronous.of(key)
            }
            _ => Replication::Sync,
        }
    }

    pub(super) fn go_live(&mut self, now: Instant, epoch: Epoch) {
        if let Some(live) = &mut self.live {
            live.epoch = epoch;
            live.life.pass(now);
            return;
        }
        let state = match is_broken(Breakage::UnfoldedIgnored) {
            true => self.folded.clone(),
            false => self.remembered(),
        };
        let mut sessions = Sessions::new(LIMITS);
        let persisted = self.copy.persisted();
        for (id, (at, session)) in &state.sessions {
            let stored_floor = if *at <= persisted { session.floor } else { 0 };
            sessions.restore(*id, Session { stored_floor, ..*session });
        }
        let (floors, numbers, stored_numbers) =
            (VecDeque::new(), state.inboxes.clone(), BTreeMap::new());
        self.live = Some(Live {
            epoch,
            life: Life::new(&state, now),
            loads: Loads::default(),
            state,
            sessions,
            post: None,
            floors,
            numbers,
            stored_numbers,
        });
    }

    pub(super) fn live(&mut self) -> &mut Live {
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
        let read_at = match self.asynchronous.of(key) {
            Replication::Sync => self.live().loads.read_at.get(&key).copied(),
            // What it has seen may be lost at any rate.
            Replication::Async { .. } => None,
        };
        (Reply::Done { output, version }, written_at.max(read_at.unwrap_or_default()))
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
            Verdict::Answered(Outcome::Reply(bytes)) => {
                let (output, version, at) = recorded(bytes);
                return Ok((Reply::Done { output, version }, at));
            }
            Verdict::Expired => return Ok((Reply::Expired, last)),
            verdict => unreachable!("{verdict:?} of {ask:?}"),
        }
        let position = self.next();
        let output = entity.object.step(input);
        if !input.is_changeless(&output) {
            entity.written_at = position;
            self.set_times(&mut entity, input);
        }
        let version = Version { position: entity.written_at, index: 0 };
        let outcome = Outcome::Reply(to_record(position, version, &output));
        // The record says the floor, too. What is under it is forgotten once that is stored.
        let live = self.live();
        live.floors.push_back((position, ask.request.session, floor));
        entity.answers.prune(&live.sessions);
        entity.answers.record(ask, floor, outcome);
        let session = self.session(ask.request.session);
        if let Some(deposit) = sent(input, &output) {
            let number = Number { position, index: 0 };
            entity.sent.insert(number, deposit.clone());
            if let Some(post) = &mut self.live().post {
                post.send(number, deposit);
            }
        }
        let entity = Some((key, entity));
        self.execute(Record { entity, session, ..Record::default() });
        Ok((Reply::Done { output, version }, position))
    }

    /// Takes in what another partition says, in the epoch of this copy's reign.
    pub(super) fn receive(&mut self, now: Instant, from: PartitionId, letter: Letter) {
        let Some(post) = self.live.as_mut().and_then(|live| live.post.as_mut()) else {
            return; // it is said again
        };
        let forgotten = post.receive(now, from, letter);
        let mut changed: BTreeMap<Key, Entity> = BTreeMap::new();
        for (key, entity) in &self.live().state.entities {
            if forgotten.iter().any(|number| entity.sent.contains_key(number)) {
                changed.insert(*key, entity.clone());
            }
        }
        for (key, mut entity) in changed {
            entity.sent.retain(|number, _| !forgotten.contains(number));
            self.execute(Record { entity: Some((key, entity)), ..Record::default() });
        }
    }

    /// Applies what other partitions have sent, and says what they are to be told.
    pub(super) fn exchange(&mut self, now: Instant, epoch: Epoch) -> Vec<(PartitionId, Letter)> {
        self.go_live(now, epoch);
        self.settle_conflicts();
        self.live_on(now);
        let Some(committed) = self.copy.committed() else { return Vec::new() };
        let has_begun = self.copy.inherited().is_some_and(|inherited| committed >= inherited);
        let persisted = self.copy.persisted();
        let stores_first = self.durability.stores_first(self.is_short);
        let may_leave = if stores_first { committed.min(persisted) } else { committed };
        let live = self.live();
        if live.post.is_none() && has_begun {
            live.post = Some(Post::new(epoch, &live.state, may_leave));
            self.take_up();
        }
        self.note_stored(persisted);
        let Some(post) = &self.live().post else { return Vec::new() };
        for from in post.inbox.pending().collect::<Vec<_>>() {
            while self.copy.has_room() && self.apply(from) {}
        }
        let last = self.copy.last();
        let durable = committed.min(persisted);
        let post = self.live().post.as_mut();
        post.map(|post| post.exchange(now, may_leave, durable, last)).unwrap_or_default()
    }

    /// What waits for rows to be stored goes on.
    fn note_stored(&mut self, persisted: Position) {
        let live = self.live();
        while let Some((_, session, floor)) = live.floors.pop_front_if(|(at, ..)| *at <= persisted)
        {
            live.sessions.floor_stored(session, floor);
        }
        let Some(post) = &mut live.post else { return };
        let stored: Vec<_> = live.numbers.extract_if(.., |_, (at, _)| *at <= persisted).collect();
        for (from, (_, number)) in stored {
            post.inbox.stored(from, number);
            live.stored_numbers.insert(from, number);
        }
        let behind = post.inbox.behind().into_iter();
        let behind: Vec<_> = behind
            .filter(|from| !live.numbers.contains_key(from))
            .map(|from| (from, post.inbox.to_store(from)))
            .collect();
        for (from, number) in behind {
            let inbox = Some((from, number));
            if self.copy.has_room() {
                let position = self.execute(Record { inbox, ..Record::default() });
                self.live().numbers.insert(from, (position, number));
            }
        }
    }

    /// A record of its own tells what this reign has stored from what it was left.
    fn take_up(&mut self) {
        if self.copy.scope() == Scope::Shared {
            self.begin_backlog(BTreeSet::new());
        }
        self.execute(Record::default());
    }

    /// Applies the next message of a partition, if there is one.
    fn apply(&mut self, from: PartitionId) -> bool {
        let post = self.live().post.as_ref();
        let next = post.and_then(|post| post.inbox.next(from)).cloned();
        let Some((number, Deposit { key, amount, number: transfer, .. })) = next else {
            return false;
        };
        if !self.is_at_hand(key) {
            self.live().loads.begin(key);
            return false; // those after it wait, too
        }
        let mut entity = self.entity(key);
        // The partition's own number says what is stored, and an entity may say more.
        let is_new = entity.applied.get(&from) < Some(&number);
        if is_new || is_broken(Breakage::EntityNumbersIgnored) {
            if let Object::Account(account) = &mut entity.object {
                account.receive(amount, transfer);
            }
            entity.written_at = self.next();
            let stored = &self.live().stored_numbers;
            entity.applied.retain(|from, number| stored.get(from) < Some(number));
            entity.applied.insert(from, number);
            self.execute(Record { entity: Some((key, entity)), ..Record::default() });
        }
        if let Some(post) = self.live().post.as_mut() {
            post.inbox.applied(from);
        }
        true
    }

    fn session(&mut self, id: SessionId) -> Option<(SessionId, Session)> {
        let session = self.live().sessions.session(id)?;
        // What is stored of it each primary finds out for itself.
        Some((id, Session { stored_floor: 0, ..*session }))
    }

    /// An entity that is at hand.
    pub(super) fn entity(&mut self, key: Key) -> Entity {
        self.expire(key);
        let last = self.copy.last();
        let known = self.live().state.entities.get(&key).cloned();
        let mut entity = known.unwrap_or_else(|| Entity::new(key));
        if entity.object == Object::Gone && !is_broken(Breakage::AbsenceDated) {
            // That it is not there is so as of now. Since when, the next to be asked may not know:
            // tombstones go, and some store may have one still.
            entity.written_at = last;
        }
        entity
    }

    pub(super) fn next(&mut self) -> Position {
        let epoch = self.live().epoch;
        self.copy.next_position(epoch)
    }

    pub(super) fn execute(&mut self, mut record: Record) -> Position {
        let position = self.next();
        let live = self.live();
        record.at = live.life.time();
        if let Some((key, entity)) = &mut record.entity {
            (entity.changed_at, entity.time) = (position, record.at);
            live.life.watch(*key, entity);
            live.loads.missing.remove(key);
        }
        let is_early = |record: &Record| {
            let key = record.entity.as_ref().map(|(key, _)| *key);
            is_broken(Breakage::AsyncStoredEarly)
                && key.is_some_and(|key| self.asynchronous.of(key) != Replication::Sync)
        };
        if let Some(backlog) = &mut self.backlog
            && (is_broken(Breakage::StoredBeforeCommit) || is_early(&record))
        {
            record.keys().into_iter().for_each(|key| backlog.note(position, key));
        }
        self.live().state.write(position, &record);
        self.copy.execute(record.replicated())
    }
}

/// The money that an ask has sent.
fn sent(input: Input, output: &Output) -> Option<Deposit> {
    match (input, output) {
        (Input::Account(Money::Transfer { to, key, amount, number }), Output::Moved(true)) => {
            Some(Deposit { to, key, amount, number })
        }
        _ => None,
    }
}

/// An answer as it is recorded: where that was, the version, and what was answered.
pub(super) fn to_record(at: Position, version: Version, output: &Output) -> Box<[u8]> {
    let places = [at, version.position].map(|place| [place.epoch.0, place.seq.0]);
    let words = places.into_iter().flatten().chain(output.to_words());
    words.flat_map(u64::to_le_bytes).collect()
}

/// What a retry hears, and what that depends on.
pub(super) fn recorded(bytes: &[u8]) -> (Output, Version, Position) {
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).expect("whole words");
    let words: Vec<u64> = bytes.chunks(8).map(word).collect();
    let place = |at: usize| Position { epoch: Epoch(words[at]), seq: Seq(words[at + 1]) };
    let version = Version { position: place(2), index: 0 };
    let waits_for =
        if is_broken(Breakage::RecordedBeforeCommit) { Position::default() } else { place(0) };
    (Output::from_words(&words[4..]), version, waits_for)
}
