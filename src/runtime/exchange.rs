//! One ask between its caller and its processing unit.
//!
//! Both sides hold the exchange; whoever moves it first out of a stage decides. A caller whose
//! deadline comes while the message is still queued takes it back, and it certainly never runs.
//! Once the unit has claimed it, the caller can only hear that the outcome is indeterminate.

use std::any::Any;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use crate::codec;
use crate::engine::execution::{self, Numbered, Outcome, Verdict};
use crate::engine::id::{PartitionId, RequestId};
use crate::engine::instant::Instant;
use crate::engine::outbox::Outgoing;
use crate::entity::{Entity, MessageTo, Mode};
use crate::error::AskError;
use crate::key::Key;
use crate::metrics::Lookup;
use crate::store::RowKey;

use super::admissions::crowd_of;
use super::entities::Entities;
use super::execution::Execution;
use super::handling::{self, At};

/// What an ask resolves to.
pub(crate) type Reply<M> = Result<<M as crate::entity::Message>::Reply, AskError<M>>;

/// Where an ask goes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target<K> {
    pub(crate) key: K,
    pub(crate) kind: u16,
    pub(crate) partition: PartitionId,
}

pub(crate) struct Exchange<E: Entity, M: MessageTo<E>> {
    target: Target<E::Key>,
    numbered: Option<Numbered>,
    /// An earlier try of the same request may have run: then nothing may be reported as not done.
    is_retry: bool,
    asked_at: Instant,
    deadline: Instant,
    /// Not done only because the partition does not hold the session.
    session_lost: AtomicBool,
    stage: Mutex<Stage<M, M::Reply>>,
}

enum Stage<M, R> {
    /// In a queue; the caller may take the message back.
    Queued(M, Option<Waker>),
    /// The unit has it, or holds its answer.
    Claimed(Option<Waker>),
    /// It has run; the answer waits for what it depends on.
    Held(Result<R, AskError<M>>, Option<Waker>),
    /// The caller may have it.
    Done(Result<R, AskError<M>>),
    /// The caller has it, or is gone.
    Over,
}

/// An exchange as its processing unit sees it: without types.
pub(crate) trait AnyAsk: Send + Sync {
    fn target_kind(&self) -> u16;
    fn partition(&self) -> PartitionId;
    fn writes(&self) -> bool;
    /// See [`crowd_of`].
    fn crowd(&self) -> u64;
    fn asked_at(&self) -> Instant;
    fn deadline(&self) -> Instant;
    fn key_hash(&self, entities: &dyn Any) -> u64;
    /// Where its entity is to be looked for.
    fn look_up(&self, entities: &dyn Any) -> Lookup;
    /// Its entity, as the store names it.
    fn row_key(&self) -> RowKey;
    /// Runs it and leaves its answer with `execution`. Returns what it wants to send if there is no
    /// room for that: then it is queued as before.
    fn execute(
        self: Arc<Self>,
        entities: &mut dyn Any,
        execution: &mut Execution,
    ) -> Option<Box<[Outgoing]>>;
    /// Gives the held answer to the caller, who is to be woken; returns its outcome's name, if the
    /// caller is there.
    fn release(&self, wakers: &mut Vec<Waker>) -> Option<&'static str>;
    /// Ends it without an answer: not done if it has not begun, indeterminate otherwise.
    fn refuse(&self, refusal: Refusal, wakers: &mut Vec<Waker>) -> Option<&'static str>;
}

impl<E: Entity, M: MessageTo<E>> Exchange<E, M> {
    pub(crate) fn new(
        target: Target<E::Key>,
        message: M,
        numbered: Option<Numbered>,
        is_retry: bool,
        asked_at: Instant,
        deadline: Instant,
    ) -> Exchange<E, M> {
        let stage = Mutex::new(Stage::Queued(message, None));
        let session_lost = AtomicBool::new(false);
        Exchange { target, numbered, is_retry, asked_at, deadline, session_lost, stage }
    }

    pub(crate) fn target(&self) -> &Target<E::Key> {
        &self.target
    }

    pub(crate) fn is_session_lost(&self) -> bool {
        self.session_lost.load(Ordering::Relaxed)
    }

    pub(crate) fn numbered(&self) -> Option<&Numbered> {
        self.numbered.as_ref()
    }

    /// Takes the answer, or leaves a waker for it.
    pub(crate) fn poll_answer(&self, cx: &mut TaskContext<'_>) -> Poll<Reply<M>> {
        let mut stage = self.stage();
        match &mut *stage {
            Stage::Queued(_, waker) | Stage::Claimed(waker) | Stage::Held(_, waker) => {
                match waker {
                    Some(known) => known.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Stage::Done(_) => match mem::replace(&mut *stage, Stage::Over) {
                Stage::Done(answer) => Poll::Ready(answer),
                _ => unreachable!("matched above"),
            },
            Stage::Over => Poll::Pending,
        }
    }

    /// Ends the ask at its caller's deadline: busy if it has not begun.
    pub(crate) fn give_up(&self) -> Reply<M> {
        let mut stage = self.stage();
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Queued(message, _) => Err(self.not_done(AskError::Busy(message))),
            Stage::Done(answer) => answer,
            Stage::Claimed(_) | Stage::Held(..) | Stage::Over => Err(self.indeterminate()),
        }
    }

    /// The caller is gone; the message does not run if it has not begun. Returns whether it had.
    pub(crate) fn forget(&self) -> bool {
        !matches!(mem::replace(&mut *self.stage(), Stage::Over), Stage::Queued(..))
    }

    fn request(&self) -> Option<RequestId> {
        self.numbered.map(|numbered| numbered.request)
    }

    fn indeterminate(&self) -> AskError<M> {
        AskError::Indeterminate { request: self.request() }
    }

    /// `refusal`, unless an earlier try may have run.
    fn not_done(&self, refusal: AskError<M>) -> AskError<M> {
        if self.is_retry { self.indeterminate() } else { refusal }
    }

    fn claim(&self) -> Option<M> {
        let mut stage = self.stage();
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Queued(message, waker) => {
                *stage = Stage::Claimed(waker);
                Some(message)
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    /// It has not run after all. Returns whether its caller still waits.
    fn put_back(&self, message: M, execution: &mut Execution) -> bool {
        let mut stage = self.stage();
        let is_there = matches!(*stage, Stage::Claimed(_));
        if let Stage::Claimed(waker) = &mut *stage {
            *stage = Stage::Queued(message, waker.take());
        } else {
            execution.given_up += 1;
        }
        is_there
    }

    /// Leaves the answer to be released later.
    fn hold(&self, answer: Reply<M>) {
        let mut stage = self.stage();
        if let Stage::Queued(_, waker) | Stage::Claimed(waker) = &mut *stage {
            *stage = Stage::Held(answer, waker.take());
        }
    }

    fn done(&self, wakers: &mut Vec<Waker>) -> Option<&'static str> {
        let mut stage = self.stage();
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Held(answer, waker) => {
                let outcome = answer.as_ref().map_or_else(AskError::outcome, |_| "ok");
                *stage = Stage::Done(answer);
                wakers.extend(waker);
                Some(outcome)
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage<M, M::Reply>> {
        // No user code runs under the lock (but the drop of an unwanted message or reply).
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a numbered ask: the answer that it has already, or the floor of its session.
    fn judge(
        &self,
        entities: &Entities<E>,
        slot: Option<u32>,
        execution: &mut Execution,
    ) -> Result<u64, Reply<M>> {
        let Some(numbered) = &self.numbered else { return Ok(0) };
        let request = numbered.request;
        let floor = match execution.sessions.admit(numbered, execution.time) {
            Ok(floor) => floor,
            Err(execution::Refusal::NotOpen) => {
                return Err(match self.claim() {
                    // It was never asked before, so it may be asked anew, under a new opening.
                    Some(message) if !self.is_retry => {
                        self.session_lost.store(true, Ordering::Relaxed);
                        Err(AskError::Unavailable(message))
                    }
                    _ => Err(AskError::Expired { request }),
                });
            }
            Err(execution::Refusal::Full) => {
                return Err(match self.claim() {
                    Some(message) => Err(self.not_done(AskError::Busy(message))),
                    None => Err(self.indeterminate()),
                });
            }
        };
        match entities.judge(slot, numbered, floor) {
            Verdict::Run => Ok(floor),
            Verdict::Answered(outcome) => Err(recorded(outcome)),
            Verdict::Expired => Err(Err(AskError::Expired { request })),
            Verdict::Reused => Err(Err(AskError::RequestReused { request })),
        }
    }
}

impl<E: Entity, M: MessageTo<E>> AnyAsk for Exchange<E, M> {
    fn target_kind(&self) -> u16 {
        self.target.kind
    }

    fn partition(&self) -> PartitionId {
        self.target.partition
    }

    fn writes(&self) -> bool {
        M::Mode::WRITES
    }

    fn crowd(&self) -> u64 {
        if M::Mode::WRITES { crowd_of(self.target.kind, M::NAME) } else { 0 }
    }

    fn asked_at(&self) -> Instant {
        self.asked_at
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn key_hash(&self, entities: &dyn Any) -> u64 {
        entities.downcast_ref::<Entities<E>>().map_or(0, |known| known.hash(&self.target.key))
    }

    fn look_up(&self, entities: &dyn Any) -> Lookup {
        let entities = entities.downcast_ref::<Entities<E>>();
        entities.map_or(Lookup::Miss, |known| known.look_up(&self.target.key))
    }

    fn row_key(&self) -> RowKey {
        let mut key = Vec::new();
        self.target.key.encode(&mut key);
        RowKey { entity_type: E::NAME.into(), key: key.into() }
    }

    fn execute(
        self: Arc<Self>,
        entities: &mut dyn Any,
        execution: &mut Execution,
    ) -> Option<Box<[Outgoing]>> {
        let entities: &mut Entities<E> =
            entities.downcast_mut().expect("the kind's entities are of the ask's type");
        let slot = entities.access(&self.target.key, execution);
        let (answer, (entity, saw)) = match self.judge(entities, slot, execution) {
            Err(known) => (known, entities.seen(slot)),
            Ok(floor) => {
                let Some(message) = self.claim() else {
                    execution.given_up += 1;
                    return None; // the caller gave up, and knows that it did not run
                };
                let at = At { key: &self.target.key, slot, request: self.request() };
                let record = self.numbered.as_ref().map(|numbered| (numbered, floor));
                if !M::Mode::WRITES {
                    (handling::read(at, message, entities, execution), entities.seen(slot))
                } else if execution.post.is_short(self.target.kind) {
                    match handling::write_if_room(at, message, record, entities, execution) {
                        Ok(written) => written,
                        Err((message, outgoing)) => {
                            return self.put_back(message, execution).then_some(outgoing);
                        }
                    }
                } else {
                    handling::write(at, message, record, entities, execution)
                }
            }
        };
        self.hold(answer);
        execution.answer(self, entity, saw, entities.is_write_through());
        None
    }

    fn release(&self, wakers: &mut Vec<Waker>) -> Option<&'static str> {
        self.done(wakers)
    }

    fn refuse(&self, refusal: Refusal, wakers: &mut Vec<Waker>) -> Option<&'static str> {
        let error = match self.claim() {
            Some(message) => self.not_done(match refusal {
                Refusal::Busy => AskError::Busy(message),
                Refusal::Unavailable => AskError::Unavailable(message),
                Refusal::Undecodable(reason) => {
                    AskError::Undecodable { reason: reason.to_string() }
                }
            }),
            None => {
                let mut stage = self.stage();
                match mem::replace(&mut *stage, Stage::Over) {
                    // What it would have said may not be said.
                    Stage::Held(_, waker) => *stage = Stage::Claimed(waker),
                    other => *stage = other,
                }
                drop(stage);
                self.indeterminate()
            }
        };
        self.hold(Err(error));
        self.done(wakers)
    }
}

/// Why a processing unit ends an ask without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Busy,
    Unavailable,
    /// What the store holds of the entity cannot be read.
    Undecodable(Arc<str>),
}

fn recorded<M: crate::entity::Message>(outcome: &Outcome) -> Reply<M> {
    match outcome {
        Outcome::Reply(bytes) => codec::decode(bytes)
            .map_err(|error| AskError::UnreadableReply { reason: error.to_string() }),
        Outcome::Panicked(message) => Err(AskError::Panicked { message: message.to_string() }),
        Outcome::TooLarge { what, bytes, max_bytes } => Err(AskError::TooLarge {
            what: ["reply", "key", "message", "messages", "name", "reminders"]
                .into_iter()
                .find(|known| *known == &**what)
                .unwrap_or("state"),
            bytes: *bytes,
            max_bytes: *max_bytes,
        }),
    }
}
