//! The future of an ask.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::engine::id::RequestId;
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
                    *this.state = start(call)?;
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
                            Finished::Answered(answer) => return Poll::Ready(answer),
                            Finished::SessionLost(call) if *this.sends < SENDS_MAX => {
                                this.sleep.set(None);
                                *this.state = State::Start(call);
                                continue;
                            }
                            Finished::SessionLost(call) => {
                                return Poll::Ready(Err(AskError::Busy(call.message)));
                            }
                        }
                    }
                    if this.sleep.is_none() {
                        let sleep = sent.router.clock.sleep_until(sent.exchange.deadline());
                        this.sleep.set(Some(sleep));
                    }
                    let sleep = this.sleep.as_mut().as_pin_mut();
                    if sleep.is_some_and(|sleep| sleep.poll(cx).is_ready()) {
                        let answer = sent.exchange.give_up();
                        return match sent.finish(answer) {
                            Finished::Answered(answer) => Poll::Ready(answer),
                            Finished::SessionLost(call) => {
                                Poll::Ready(Err(AskError::Busy(call.message)))
                            }
                        };
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
pub(crate) fn send_now<E: Entity, M: MessageTo<E>>(call: Call<E, M>) -> Result<(), AskError<M>> {
    match try_send(call)? {
        Ok(sent) => {
            sent.detach();
            Ok(())
        }
        Err(call) => Err(AskError::Busy(call.message)),
    }
}

fn start<E: Entity, M: MessageTo<E>>(call: Call<E, M>) -> Result<State<E, M>, AskError<M>> {
    Ok(match try_send(call)? {
        Ok(sent) => State::Sent(sent),
        Err(call) => State::Admitting(Box::pin(send(call))),
    })
}

/// Sends the ask if that needs no waiting, else gives it back.
#[allow(clippy::type_complexity)] // three outcomes, each said once
fn try_send<E: Entity, M: MessageTo<E>>(
    call: Call<E, M>,
) -> Result<Result<Sent<E, M>, Call<E, M>>, AskError<M>> {
    let at = match check(&call) {
        Ok(at) => at,
        Err(error) => return Err(error.of(call.message)),
    };
    let admitted = call.router.try_admit(at.1).and_then(|()| {
        call.router.try_number::<M>(call.which, at).inspect_err(|_| {
            call.router.admissions.release(at.1, 1);
        })
    });
    match admitted {
        Ok(numbered) => {
            let deadline = call.deadline();
            Ok(Ok(Sent::new(call, numbered, deadline)))
        }
        Err(NotIn::NotNow) => Ok(Err(call)),
        Err(not_in) => Err(not_in.of(call)),
    }
}

async fn send<E: Entity, M: MessageTo<E>>(call: Call<E, M>) -> Result<Sent<E, M>, AskError<M>> {
    let deadline = call.deadline();
    let at = match check(&call) {
        Ok(at) => at,
        Err(error) => return Err(error.of(call.message)),
    };
    let router = Arc::clone(&call.router);
    let admission = async {
        router.admit(at.1).await?;
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
        Ok(numbered) => Ok(Sent::new(call, numbered, deadline)),
        Err(not_in) => Err(not_in.of(call)),
    }
}

/// A place at a partition, given back unless an ask takes it over.
struct Place<'a> {
    router: &'a Router,
    at: (u16, crate::engine::id::PartitionId),
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

fn check<E: Entity, M>(
    call: &Call<E, M>,
) -> Result<(u16, crate::engine::id::PartitionId), Unsendable> {
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
        match (self, call.which) {
            (NotIn::Expired(request), _) => AskError::Expired { request },
            // An earlier try may have run.
            (_, Which::Given(request)) => AskError::Indeterminate { request: Some(request) },
            (NotIn::NotNow, _) => AskError::Busy(call.message),
            (NotIn::Unavailable, _) => AskError::Unavailable(call.message),
        }
    }
}

impl<E: Entity, M> Call<E, M> {
    fn deadline(&self) -> Instant {
        let patience = self.patience.unwrap_or(self.router.registry.default_deadline);
        self.router.clock.now() + patience
    }
}

/// An ask on its way.
struct Sent<E: Entity, M: MessageTo<E>> {
    router: Arc<Router>,
    exchange: Arc<Exchange<E, M>>,
    which: Which,
    patience: Option<Duration>,
    is_over: bool,
}

enum Finished<E: Entity, M: Message> {
    Answered(Reply<M>),
    /// Not done: the partition has forgotten the grid's own session. Send it anew.
    SessionLost(Call<E, M>),
}

impl<E: Entity, M: MessageTo<E>> Sent<E, M> {
    fn new(
        call: Call<E, M>,
        numbered: Option<crate::engine::execution::Numbered>,
        deadline: Instant,
    ) -> Sent<E, M> {
        let Call { router, target, message, which, patience } = call;
        let Ok(target) = target else { unreachable!("checked before it was admitted") };
        let is_retry = matches!(which, Which::Given(_));
        let now = router.clock.now();
        let exchange = Exchange::new(target, message, numbered, is_retry, now, deadline);
        let exchange = Arc::new(exchange);
        router.send(Arc::clone(&exchange) as _);
        Sent { router, exchange, which, patience, is_over: false }
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
                    patience: self.patience,
                })
            }
            (answer, _) => Finished::Answered(answer),
        }
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
            // Its caller gave up: nobody will hear the answer, nor ask again.
            self.exchange.forget();
            self.end_number(false);
        }
    }
}
