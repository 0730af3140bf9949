//! The client's side of sessions: numbers asks, and knows which numbers are still open.
//!
//! The grid's own asks use one session for each partition, so that an ask that takes long holds up
//! the floor of its own partition only. A durable session is one for all partitions, numbered by
//! its user.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::execution::{Numbered, Session};
use crate::engine::id::{PartitionId, Position, RequestId, SessionId};
use crate::engine::instant::Instant;

/// The session of this grid's own asks of one partition.
pub(crate) struct ClientSession {
    id: SessionId,
    window_max: u64,
    numbers: Mutex<Numbers>,
    /// Held while the session is being opened, so that it is opened once.
    pub(crate) opening: tokio::sync::Mutex<()>,
    /// The floor has risen.
    pub(crate) room: Notify,
}

#[derive(Default)]
struct Numbers {
    opening: Option<Position>,
    /// Every number at or under it is closed.
    floor: u64,
    /// For each number above the floor that was given out, in order: whether it is closed.
    closed: VecDeque<bool>,
    /// Numbers at or under it were given out under an opening that is lost: whether they have run
    /// can no longer be found out.
    lost: u64,
    /// Numbers of indeterminate asks, and until when they stay open for a retry.
    kept: VecDeque<(Instant, u64)>,
}

/// Why there is no number now.
pub(crate) enum NoNumber {
    /// The session must be opened at the partition first.
    NotOpen,
    /// Too many numbers are open above the oldest one.
    Full,
}

impl ClientSession {
    pub(crate) fn new(id: SessionId, window_max: u64) -> ClientSession {
        ClientSession {
            id,
            window_max,
            numbers: Mutex::new(Numbers::default()),
            opening: tokio::sync::Mutex::new(()),
            room: Notify::new(),
        }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn is_open(&self) -> bool {
        self.numbers().opening.is_some()
    }

    pub(crate) fn opened(&self, at: Position) {
        self.numbers().opening = Some(at);
    }

    /// The partition does not hold this opening (any more).
    pub(crate) fn lost(&self, opening: Position) {
        let mut numbers = self.numbers();
        if numbers.opening == Some(opening) {
            numbers.opening = None;
            numbers.lost = numbers.floor + numbers.closed.len() as u64;
        }
    }

    /// A new number, open until [`close`](Self::close) or [`keep`](Self::keep).
    pub(crate) fn next(&self, now: Instant, message: u32) -> Result<Numbered, NoNumber> {
        let mut numbers = self.numbers();
        let opening = numbers.opening.ok_or(NoNumber::NotOpen)?;
        while let Some((_, number)) = numbers.kept.pop_front_if(|(until, _)| *until <= now) {
            numbers.close(number);
        }
        if numbers.closed.len() as u64 >= self.window_max {
            return Err(NoNumber::Full);
        }
        numbers.closed.push_back(false);
        let number = numbers.floor + numbers.closed.len() as u64;
        let request = RequestId { session: self.id, number };
        Ok(Numbered { request, opening, floor: numbers.floor, message })
    }

    /// The number again, for a retry, if it is still open.
    pub(crate) fn again(&self, request: RequestId, message: u32) -> Option<Numbered> {
        let numbers = self.numbers();
        if request.number <= numbers.lost {
            return None;
        }
        let at = usize::try_from(request.number.checked_sub(numbers.floor + 1)?).ok()?;
        let is_open = numbers.closed.get(at).is_some_and(|closed| !closed);
        let opening = numbers.opening.filter(|_| is_open)?;
        Some(Numbered { request, opening, floor: numbers.floor, message })
    }

    /// Nobody will ask under this number again.
    pub(crate) fn close(&self, number: u64) {
        self.numbers().close(number);
        self.room.notify_waiters();
    }

    /// Its outcome is not known: it may be asked again until `until`.
    pub(crate) fn keep(&self, number: u64, until: Instant) {
        let mut numbers = self.numbers();
        numbers.kept.retain(|(_, kept)| *kept != number); // it was asked again meanwhile
        numbers.kept.push_back((until, number));
    }

    /// When the first of the kept numbers is closed, if any is kept: then there may be room.
    pub(crate) fn kept_until(&self) -> Option<Instant> {
        self.numbers().kept.iter().map(|(until, _)| *until).min()
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // Nothing in here panics half-way, so a poisoned lock still guards a whole state.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn close(&mut self, number: u64) {
        let Some(at) = number.checked_sub(self.floor + 1) else { return };
        if let Some(closed) = usize::try_from(at).ok().and_then(|at| self.closed.get_mut(at)) {
            *closed = true;
        }
        while self.closed.pop_front_if(|closed| *closed).is_some() {
            self.floor += 1;
        }
    }
}

/// A durable session, as its user has opened it.
pub(crate) struct DurableSession {
    id: SessionId,
    /// By partition.
    openings: Vec<Position>,
    window_max: u64,
    floor: AtomicU64,
    /// The floor has risen.
    pub(crate) room: Notify,
}

impl DurableSession {
    /// The session as the partitions, in their order, have it.
    pub(crate) fn new(id: SessionId, opened: &[Session], window_max: u64) -> DurableSession {
        let openings = opened.iter().map(|session| session.opening).collect();
        // Each partition knows an older or the newest checkpoint, and none a later one.
        let floor = opened.iter().map(|session| session.floor).max().unwrap_or(0);
        let (floor, room) = (AtomicU64::new(floor), Notify::new());
        DurableSession { id, openings, window_max, floor, room }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// Whether it is the same life of the same session.
    pub(crate) fn is_same(&self, other: &DurableSession) -> bool {
        self.id == other.id && self.openings == other.openings
    }

    pub(crate) fn raise_floor(&self, floor: u64) {
        self.floor.fetch_max(floor, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// The request, unless it is too far ahead of what the source has checkpointed.
    pub(crate) fn numbered(
        &self,
        number: u64,
        partition: PartitionId,
        message: u32,
    ) -> Result<Numbered, NoNumber> {
        let floor = self.floor.load(Ordering::Relaxed);
        if number.saturating_sub(floor) > self.window_max {
            return Err(NoNumber::Full);
        }
        let opening = self.openings.get(usize::from(partition.0)).ok_or(NoNumber::NotOpen)?;
        let request = RequestId { session: self.id, number };
        Ok(Numbered { request, opening: *opening, floor, message })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session() -> ClientSession {
        let session = ClientSession::new(SessionId(1), 3);
        session.opened(Position::default());
        session
    }

    fn next(session: &ClientSession) -> Option<(u64, u64)> {
        let numbered = session.next(Instant::default(), 0).ok()?;
        Some((numbered.request.number, numbered.floor))
    }

    #[test]
    fn the_floor_is_below_the_oldest_open_number() {
        let session = session();
        assert_eq!([next(&session), next(&session)], [Some((1, 0)), Some((2, 0))]);
        session.close(2);
        assert_eq!(next(&session), Some((3, 0)));
        session.close(1);
        assert_eq!(next(&session), Some((4, 2)));
    }

    #[test]
    fn a_number_of_a_lost_opening_cannot_be_asked_again() {
        let session = session();
        next(&session);
        let request = RequestId { session: session.id(), number: 1 };
        session.keep(1, Instant::default() + Duration::from_secs(60));
        assert!(session.again(request, 0).is_some());
        session.lost(Position::default());
        session.opened(Position::default());
        assert!(session.again(request, 0).is_none(), "under a new opening it might run twice");
        assert_eq!(next(&session), Some((2, 0)));
    }

    #[test]
    fn numbers_run_only_so_far_ahead() {
        let session = session();
        assert!([next(&session), next(&session), next(&session)].iter().all(Option::is_some));
        session.close(3);
        assert_eq!(next(&session), None, "3 is closed, but 1 holds the floor");
        session.close(1);
        assert_eq!(next(&session), Some((4, 1)));
    }

    #[test]
    fn a_kept_number_can_be_asked_again_until_its_time_is_over() {
        let session = session();
        next(&session);
        let request = RequestId { session: session.id(), number: 1 };
        session.keep(1, Instant::default() + Duration::from_secs(1));
        assert!(session.again(request, 0).is_some());
        let later = Instant::default() + Duration::from_secs(1);
        assert_eq!(session.kept_until(), Some(later));
        assert_eq!(session.next(later, 0).map(|numbered| numbered.floor).ok(), Some(1));
        assert!(session.again(request, 0).is_none());
        assert!(session.again(RequestId { number: 7, ..request }, 0).is_none(), "never given out");
    }
}
