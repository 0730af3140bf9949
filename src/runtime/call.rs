//! The future of an ask.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::coop::{self, unconstrained};

use crate::engine::execution::Numbered;
use crate::engine::id::{PartitionId, RequestId};
use crate::engine::instant::Instant;
use crate::entity::{Entity, Message, MessageTo};
use crate::error::AskError;

use super::clock::Sleep;
use super::exchange::{AnyAsk, Exchange, Reply, Target};
use super::router::{NotIn, Router, UNKNOWN_KIND, Which};

/// An ask that has not been sent.
pub(crate) struct Call<E: Entity, M> {
    pub(crate) router: Arc<Router>,
    /// Where it goes, or the size of a key that is too large.
    pub(crate) target: Result<Target<E::Key>, usize>,
    pub(crate) message: M,
    pub(crate) which: Which,
    /// The caller's wish; the grid's default otherwise.
    pub(crate) patience: Option<Duration>,
    /// When it ends, once that is settled.
    pub(crate) deadline: Option<Instant>,
}

/// How often an ask is sent anew after the partition has forgotten its session. Once is enough,
/// unless the session is idle for its whole life again and again.
const SENDS_MAX: u32 = 3;

pin_project! {
    /// The future of an ask. Resolves to the handler's reply when that is as durable as the entity
    /// type asks for, and at the deadline at the latest. Dropped before, it takes the message back
    /// if its handler has not begun.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct AskFuture<E: Entity, M: MessageTo<E>> {
        state: State<E, M>,
        #[pin]
        sleep: Option<Sleep>,
        sends: u32,
    }
}

type Admission<E, M> = Pin<Box<dyn Future<Output = Result<Sent<E, M>, AskError<M>>> + Send>>;

enum State<E: Entity, M: MessageTo<E>> {
    Start(Call<E, M>),
    /// Waiting for a place, or for a session.
    Admitting(Admission<E, M>),
    Sent(Sent<E, M>),
    Over,
}

impl<E: Entity, M: MessageTo<E>> AskFuture<E, M> {
    pub(crate) fn new(call: Call<E, M>) -> AskFuture<E, M> {
        AskFuture { state: State::Start(call), sleep: None, sends: 0 }
    }
}

impl<E: Entity, M: MessageTo<E>> Future for AskFuture<E, M> {
    type Output = Result<M::Reply, AskError<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match std::mem::replace(this.state, State::Over) {
                State::Start(call) => {
                    *this.sends += 1;
                    *this.state = match begin(call, has_turn(cx))? {
                        Begun::Answered(reply) => return Poll::Ready(reply),
                        Begun::Sent(sent) => State::Sent(sent),
                        // Also without a turn it takes its place among those that wait.
                        Begun::MustWait(call) => {
                            State::Admitting(Box::pin(unconstrained(send(call))))
                        }
                    };
                }
                State::Admitting(mut admission) => match admission.as_mut().poll(cx) {
                    Poll::Ready(sent) => *this.state = State::Sent(sent?),
                    Poll::Pending => {
                        *this.state = State::Admitting(admission);
                        return Poll::Pending;
                    }
                },
                State::Sent(mut sent) => {
                    if let Poll::Ready(answer) = sent.exchange.poll_answer(cx) {
                        match sent.finish(answer) {
                            Finished::SessionLost(call) if *this.sends < SENDS_MAX => {
                                *this.state = State::Start(call);
                                continue;
                            }
                            finished => return Poll::Ready(finished.answer()),
                        }
                    }
                    if this.sleep.is_none() {
                        let sleep = sent.router.clock.sleep_until(sent.exchange.deadline());
                        this.sleep.set(Some(sleep));
                    }
                    let sleep = this.sleep.as_mut().as_pin_mut();
                    if sleep.is_some_and(|sleep| sleep.poll(cx).is_ready()) {
                        return Poll::Ready(sent.give_up());
                    }
                    *this.state = State::Sent(sent);
                    return Poll::Pending;
                }
                State::Over => return Poll::Pending,
            }
        }
    }
}

impl<E: Entity, M: MessageTo<E>> fmt::Debug for AskFuture<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskFuture").field("message", &M::NAME).finish_non_exhaustive()
    }
}

/// Sends the ask without waiting; if there is no place now, it is not done.
pub(crate) fn send_now<E: Entity, M: MessageTo<E>>(
    mut call: Call<E, M>,
) -> Result<(), AskError<M>> {
    call.deadline = Some(Instant::FAR); // nobody would hear that it was given up
    match begin(call, true)? {
        Begun::Answered(_) => Ok(()),
        Begun::Sent(sent) => {
            sent.detach();
            Ok(())
        }
        Begun::MustWait(call) => Err(NotIn::NotNow.of(call)),
    }
}

/// How far an ask comes without waiting.
enum Begun<E: Entity, M: MessageTo<E>> {
    /// It was run on this very thread.
    Answered(Reply<M>),
    Sent(Sent<E, M>),
    /// There is no place for it, or no number, now.
    MustWait(Call<E, M>),
}

/// Takes one of the turns that a task has before it must let others go on. An ask that is answered
/// at once would never yield; without a turn it is queued, in its order, and waits as any other.
fn has_turn(cx: &mut Context<'_>) -> bool {
    match coop::poll_proceed(cx) {
        Poll::Ready(turn) => {
            turn.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

fn begin<E: Entity, M: MessageTo<E>>(
    call: Call<E, M>,
    may_run_here: bool,
) -> Result<Begun<E, M>, AskError<M>> {
    let at = match check(&call) {
        Ok(at) => at,
        Err(error) => return Err(error.of(call.message)),
    };
    let now = call.router.clock.now();
    let call = match may_run_here {
        false => call,
        true => match run_direct(call, at, now) {
            Ok(reply) => return Ok(Begun::Answered(reply)),
            Err(call) => call,
        },
    };
    let admitted = call.router.try_admit::<M>(at).and_then(|()| {
        call.router.try_number::<M>(call.which, at, now).inspect_err(|_| {
            call.router.admissions.release(at.1, 1);
        })
    });
    match admitted {
        Ok(numbered) => {
            let deadline = call.deadline(now);
            Ok(Begun::Sent(Sent::new(call, numbered, now, deadline)))
        }
        Err(NotIn::NotNow) => Ok(Begun::MustWait(call)),
        Err(not_in) => Err(not_in.of(call)),
    }
}

/// Runs a new ask at once, if its entity is on this thread and nothing is to be waited for.
fn run_direct<E: Entity, M: MessageTo<E>>(
    call: Call<E, M>,
    at: (u16, PartitionId),
    now: Instant,
) -> Result<Reply<M>, Call<E, M>> {
    let is_new = !matches!(call.which, Which::Given(_));
    let Some(lane) = call.router.idle_lane_here(at.1).filter(|_| is_new) else { return Err(call) };
    let is_ready = call.target.as_ref().is_ok_and(|target| lane.is_ready::<E, M>(now, target));
    if !is_ready {
        return Err(call);
    }
    let Ok(numbered) = call.router.try_number::<M>(call.which, at, now) else { return Err(call) };
    let Call { router, target: Ok(target), message, .. } = call else {
        unreachable!("checked before")
    };
    let answer = lane.run_direct(&target, numbered.as_ref(), message);
    if let Some(numbered) = numbered {
        router.own_session(at.1).close(numbered.request.number);
    }
    Ok(answer)
}

async fn send<E: Entity, M: MessageTo<E>>(call: Call<E, M>) -> Result<Sent<E, M>, AskError<M>> {
    let asked_at = call.router.clock.now();
    let deadline = call.deadline(asked_at);
    let at = match check(&call) {
        Ok(at) => at,
        Err(error) => return Err(error.of(call.message)),
    };
    let router = Arc::clone(&call.router);
    let admission = async {
        if let Which::Given(_) = call.which {
            // It costs nothing to number it, and one that is far ahead must not hold a place.
            router.number::<M>(call.which, at).await?;
        }
        router.admit::<M>(at).await?;
        let place = Place { router: &router, at };
        let numbered = router.number::<M>(call.which, at).await?;
        std::mem::forget(place); // the ask has it now
        Ok(numbered)
    };
    let admitted = tokio::select! {
        biased;
        admitted = admission => admitted,
        () = router.clock.sleep_until(deadline) => Err(NotIn::NotNow),
    };
    match admitted {
        Ok(numbered) => Ok(Sent::new(call, numbered, asked_at, deadline)),
        Err(not_in) => Err(not_in.of(call)),
    }
}

/// A place at a partition, given back unless an ask takes it over.
struct Place<'a> {
    router: &'a Router,
    at: (u16, PartitionId),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.router.admissions.release(self.at.1, 1);
    }
}

enum Unsendable {
    UnknownEntityType(&'static str),
    KeyTooLarge { bytes: usize, max: usize },
}

impl Unsendable {
    fn of<M>(self, _: M) -> AskError<M> {
        match self {
            Unsendable::UnknownEntityType(name) => AskError::UnknownEntityType { name },
            Unsendable::KeyTooLarge { bytes, max } => {
                let (bytes, max_bytes) = (bytes as u64, max as u64);
                AskError::TooLarge { what: "key", bytes, max_bytes }
            }
        }
    }
}

fn check<E: Entity, M>(call: &Call<E, M>) -> Result<(u16, PartitionId), Unsendable> {
    match &call.target {
        Ok(target) if target.kind == UNKNOWN_KIND => Err(Unsendable::UnknownEntityType(E::NAME)),
        Ok(target) => Ok((target.kind, target.partition)),
        Err(bytes) => {
            let max = call.router.registry.limits.key_bytes_max;
            Err(Unsendable::KeyTooLarge { bytes: *bytes, max })
        }
    }
}

impl NotIn {
    fn of<E: Entity, M>(self, call: Call<E, M>) -> AskError<M> {
        let error = match (self, call.which) {
            (NotIn::Expired(request), _) => AskError::Expired { request },
            (NotIn::NotNumbered, _) => AskError::NoAnswersKept { name: E::NAME },
            // An earlier try may have run.
            (_, Which::Given(request)) => AskError::Indeterminate { request: Some(request) },
            (NotIn::NotNow, _) => AskError::Busy(call.message),
            (NotIn::Unavailable, _) => AskError::Unavailable(call.message),
        };
        if let Ok(target) = &call.target {
            call.router.metrics.ended(target.kind, error.outcome());
        }
        error
    }
}

impl<E: Entity, M> Call<E, M> {
    fn deadline(&self, asked_at: Instant) -> Instant {
        let patience = || self.patience.unwrap_or(self.router.registry.default_deadline);
        self.deadline.unwrap_or_else(|| asked_at + patience())
    }
}

/// An ask on its way.
struct Sent<E: Entity, M: MessageTo<E>> {
    router: Arc<Router>,
    exchange: Arc<Exchange<E, M>>,
    which: Which,
    is_over: bool,
}

enum Finished<E: Entity, M: Message> {
    Answered(Reply<M>),
    /// Not done: the partition has forgotten the grid's own session. Send it anew.
    SessionLost(Call<E, M>),
}

impl<E: Entity, M: Message> Finished<E, M> {
    fn answer(self) -> Reply<M> {
        match self {
            Finished::Answered(answer) => answer,
            Finished::SessionLost(call) => Err(AskError::Busy(call.message)),
        }
    }
}

impl<E: Entity, M: MessageTo<E>> Sent<E, M> {
    fn new(
        call: Call<E, M>,
        numbered: Option<Numbered>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Sent<E, M> {
        let Call { router, target, message, which, .. } = call;
        let Ok(target) = target else { unreachable!("checked before it was admitted") };
        let is_retry = matches!(which, Which::Given(_));
        let exchange = Exchange::new(target, message, numbered, is_retry, asked_at, deadline);
        let exchange = Arc::new(exchange);
        router.send(Arc::clone(&exchange) as _);
        Sent { router, exchange, which, is_over: false }
    }

    /// Takes note of how the ask ended.
    fn finish(&mut self, answer: Reply<M>) -> Finished<E, M> {
        self.is_over = true;
        let may_retry = matches!(answer, Err(AskError::Indeterminate { .. }));
        self.end_number(may_retry);
        match (answer, self.exchange.numbered()) {
            (Err(AskError::Unavailable(message)), Some(numbered))
                if self.exchange.is_session_lost() =>
            {
                self.router.own_session(self.exchange.partition()).lost(numbered.opening);
                Finished::SessionLost(Call {
                    router: Arc::clone(&self.router),
                    target: Ok(self.exchange.target().clone()),
                    message,
                    which: self.which,
                    patience: None,
                    deadline: Some(self.exchange.deadline()),
                })
            }
            (answer, _) => Finished::Answered(answer),
        }
    }

    /// The deadline has come.
    fn give_up(&mut self) -> Reply<M> {
        let answer = self.exchange.give_up();
        let asked_at = self.exchange.asked_at();
        let after = self.exchange.deadline().saturating_since(asked_at);
        let outcome = answer.as_ref().map_or_else(AskError::outcome, |_| "ok");
        self.router.metrics.answered(self.exchange.target().kind, outcome, after);
        self.finish(answer).answer()
    }

    /// Nobody waits for the answer, and the message is to run all the same.
    fn detach(mut self) {
        self.is_over = true;
    }

    fn end_number(&self, may_retry: bool) {
        let Some(RequestId { session, number }) = self.exchange.numbered().map(|n| n.request)
        else {
            return;
        };
        let own = self.router.own_session(self.exchange.partition());
        if own.id() != session {
            return; // a durable session's numbers are its user's affair
        }
        if may_retry {
            let until = self.router.clock.now() + self.router.registry.limits.retry_window;
            own.keep(number, until);
        } else {
            own.close(number);
        }
    }
}

impl<E: Entity, M: MessageTo<E>> Drop for Sent<E, M> {
    fn drop(&mut self) {
        if !self.is_over {
            // Its caller gave up: nobody will hear the answer.
            self.exchange.forget();
            self.router.metrics.ended(self.exchange.target().kind, "given_up");
            // A retry that was given up does not end the request.
            self.end_number(matches!(self.which, Which::Given(_)));
        }
    }
}
