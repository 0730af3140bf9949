//! Exactly once: which numbered ask runs, which hears its recorded answer, which is too late.
//!
//! A session numbers its asks. A partition knows the sessions that were opened there, and of each
//! the *floor*: the highest number under which the session will never ask again. An entity keeps
//! the answers that it gave above the floor, inside its own record, so that a change and its answer
//! are stored together or not at all. Of one number, one entity, three things can be true:
//!
//! * there is an answer: a retry hears it;
//! * there is none and the number is at or under the floor: too late to know, it never runs;
//! * there is none above the floor: it runs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::id::{Position, RequestId, SessionId};
use super::instant::Timestamp;

/// What a numbered ask brings with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// The ask's identity.
    pub request: RequestId,
    /// Where its session was opened on this partition, as the session was told.
    pub opening: Position,
    /// The session asks for nothing at or under this number again.
    pub floor: u64,
    /// Which message it is: a hash of its wire name, to tell a retry from a misuse.
    pub message: u32,
}

/// How a handler's run ended, as far as a retry may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The encoded reply (the handler's own `Err` is a reply, too).
    Reply(Box<[u8]>),
    /// The handler panicked with this message, and was undone.
    Panicked(Box<str>),
    /// The resulting state or reply was over the limit, and the handler was undone.
    TooLarge {
        /// Which of the two.
        what: Box<str>,
        /// Its size.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
}

/// One recorded answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Number of the ask in its session.
    pub number: u64,
    /// Hash of the wire name of the message that was answered.
    pub message: u32,
    /// The answer.
    pub outcome: Outcome,
}

/// One session's answers at one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionAnswers {
    /// Whose answers.
    pub session: SessionId,
    /// Which opening of that session they belong to.
    pub opening: Position,
    /// Answers at or under this number have been forgotten.
    pub floor: u64,
    /// Ascending by number, each above the floor.
    pub answers: VecDeque<Answer>,
}

/// All answers that one entity still keeps. Ascending by session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    sessions: Vec<SessionAnswers>,
}

/// What is to be done with a numbered ask.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// It has not run: run it.
    Run,
    /// It has run: this was the answer.
    Answered(&'a Outcome),
    /// Its number is closed and its answer gone: it must not run.
    Expired,
    /// Its number was used for another message of the same entity.
    Reused,
}

impl Answers {
    /// None.
    #[must_use]
    pub(crate) const fn new() -> Answers {
        Answers { sessions: Vec::new() }
    }

    /// Judges an ask that the partition has admitted with `floor` (see [`Sessions::admit`]).
    #[must_use]
    pub(crate) fn judge(&self, ask: &Numbered, floor: u64) -> Verdict<'_> {
        let number = ask.request.number;
        let Some(kept) = self.of(ask.request.session).filter(|kept| kept.opening == ask.opening)
        else {
            return if number <= floor { Verdict::Expired } else { Verdict::Run };
        };
        match kept.answers.binary_search_by_key(&number, |answer| answer.number) {
            Ok(at) if kept.answers[at].message == ask.message => {
                Verdict::Answered(&kept.answers[at].outcome)
            }
            Ok(_) => Verdict::Reused,
            Err(_) if number <= floor.max(kept.floor) => Verdict::Expired,
            Err(_) => Verdict::Run,
        }
    }

    /// Records the answer of an ask that has run, and forgets that session's answers at or under
    /// `floor`.
    pub(crate) fn record(&mut self, ask: &Numbered, floor: u64, outcome: Outcome) {
        let session = ask.request.session;
        let at = match self.sessions.binary_search_by_key(&session, |kept| kept.session) {
            Ok(at) => at,
            Err(at) => {
                let fresh = SessionAnswers {
                    session,
                    opening: ask.opening,
                    floor: 0,
                    answers: VecDeque::new(),
                };
                self.sessions.insert(at, fresh);
                at
            }
        };
        let kept = &mut self.sessions[at];
        if kept.opening != ask.opening {
            // The session was dropped and opened anew; nobody can ask for the old answers.
            kept.opening = ask.opening;
            kept.floor = 0;
            kept.answers.clear();
        }
        kept.forget(floor);
        let number = ask.request.number;
        if let Err(at) = kept.answers.binary_search_by_key(&number, |answer| answer.number) {
            kept.answers.insert(at, Answer { number, message: ask.message, outcome });
        }
    }

    /// Forgets what no session may ask for again. Returns whether anything is kept.
    pub(crate) fn prune(&mut self, sessions: &Sessions) -> bool {
        self.sessions.retain_mut(|kept| match sessions.open.get(&kept.session) {
            Some(open) if open.opening == kept.opening => {
                kept.forget(open.floor);
                // Without answers, the floor alone must outlive a crash: until the session's own
                // row says so, this is the only place that knows what was forgotten.
                !kept.answers.is_empty() || (open.durable && kept.floor > open.stored_floor)
            }
            _ => false,
        });
        !self.sessions.is_empty()
    }

    /// Whether no answer is kept.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The answers by session, ascending.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &SessionAnswers> {
        self.sessions.iter()
    }

    fn of(&self, session: SessionId) -> Option<&SessionAnswers> {
        let at = self.sessions.binary_search_by_key(&session, |kept| kept.session).ok()?;
        self.sessions.get(at)
    }
}

impl FromIterator<SessionAnswers> for Answers {
    fn from_iter<I: IntoIterator<Item = SessionAnswers>>(iter: I) -> Answers {
        let mut sessions: Vec<SessionAnswers> = iter.into_iter().collect();
        sessions.sort_by_key(|kept| kept.session);
        sessions.dedup_by_key(|kept| kept.session);
        Answers { sessions }
    }
}

impl SessionAnswers {
    fn forget(&mut self, floor: u64) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        while self.answers.front().is_some_and(|answer| answer.number <= floor) {
            self.answers.pop_front();
        }
    }
}

/// One open session of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Where it was opened; asks that carry another opening are of an earlier life of its name.
    pub opening: Position,
    /// It asks for nothing at or under this number again.
    pub floor: u64,
    /// The floor that its own row in the store says; the floor itself where there is no store.
    pub(crate) stored_floor: u64,
    /// Kept until it is closed, however long it is silent.
    pub durable: bool,
    /// Partition time of its newest ask.
    pub used_at: Timestamp,
}

impl Session {
    /// A session that no partition holds.
    #[must_use]
    pub(crate) fn closed(opening: Position) -> Session {
        let used_at = Timestamp::default();
        Session { opening, floor: 0, stored_floor: 0, durable: false, used_at }
    }
}

/// Bounds of a partition's sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// A session that is not durable and silent for longer is dropped.
    pub idle_after: Duration,
    /// How far a session's numbers may run ahead of its floor: as many answers may have to be
    /// kept, so further asks are refused until older ones are closed.
    pub window_max: u64,
    /// Sessions open at once; further ones are refused until others are closed or idle.
    pub sessions_max: usize,
}

/// The sessions that are open on one partition.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    limits: SessionLimits,
}

/// Why a numbered ask, or the opening of a session, may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This partition does not hold that opening of the session (any more).
    NotOpen,
    /// Too far ahead of the floor, or too many sessions; later it may pass.
    Full,
}

impl Sessions {
    /// No session is open.
    #[must_use]
    pub(crate) fn new(limits: SessionLimits) -> Sessions {
        Sessions { open: BTreeMap::new(), limits }
    }

    /// Opens `session` at `position`, unless it is open: then its first opening holds. Returns the
    /// session as it is then, and whether it is new (and so a record must be made of it).
    ///
    /// # Errors
    /// [`Refusal::Full`] at the bound.
    pub(crate) fn open(
        &mut self,
        session: SessionId,
        durable: bool,
        position: Position,
        now: Timestamp,
    ) -> Result<(Session, bool), Refusal> {
        if let Some(open) = self.open.get_mut(&session) {
            open.used_at = open.used_at.max(now);
            return Ok((*open, false));
        }
        if self.open.len() >= self.limits.sessions_max {
            return Err(Refusal::Full);
        }
        let opened =
            Session { opening: position, floor: 0, stored_floor: 0, durable, used_at: now };
        self.open.insert(session, opened);
        Ok((opened, true))
    }

    /// Takes note of an ask's floor and returns the session's floor, for [`Answers::judge`].
    ///
    /// # Errors
    /// [`Refusal::NotOpen`] if it must never run, [`Refusal::Full`] if it may be tried again.
    pub(crate) fn admit(&mut self, ask: &Numbered, now: Timestamp) -> Result<u64, Refusal> {
        let session = self
            .open
            .get_mut(&ask.request.session)
            .filter(|session| session.opening == ask.opening)
            .ok_or(Refusal::NotOpen)?;
        session.floor = session.floor.max(ask.floor);
        session.used_at = session.used_at.max(now);
        if ask.request.number.saturating_sub(session.floor) > self.limits.window_max {
            return Err(Refusal::Full);
        }
        Ok(session.floor)
    }

    /// Puts back a session that was read from the store.
    pub(crate) fn restore(&mut self, session: SessionId, restored: Session) {
        self.open.insert(session, restored);
    }

    /// Closes a session. Returns whether it was open (and so a record must be made of it).
    pub(crate) fn close(&mut self, session: SessionId) -> bool {
        self.open.remove(&session).is_some()
    }

    /// Sessions that are to be dropped for having been silent too long, ascending.
    #[must_use]
    pub(crate) fn idle(&self, now: Timestamp) -> Vec<SessionId> {
        let is_idle = |session: &Session| {
            !session.durable && now.saturating_since(session.used_at) > self.limits.idle_after
        };
        self.open.iter().filter(|(_, session)| is_idle(session)).map(|(id, _)| *id).collect()
    }

    /// Durable sessions whose own row is to be written again, for its floor, ascending.
    #[must_use]
    pub(crate) fn behind(&self) -> Vec<SessionId> {
        let is_behind = |session: &Session| session.durable && session.floor > session.stored_floor;
        self.open.iter().filter(|(_, session)| is_behind(session)).map(|(id, _)| *id).collect()
    }

    /// The session's own row, with this floor, is durable.
    pub(crate) fn floor_stored(&mut self, session: SessionId, floor: u64) {
        if let Some(open) = self.open.get_mut(&session) {
            open.stored_floor = open.stored_floor.max(floor);
        }
    }

    /// The session as this partition knows it.
    #[must_use]
    pub(crate) fn session(&self, session: SessionId) -> Option<&Session> {
        self.open.get(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::id::{Epoch, Seq};

    const SESSION: SessionId = SessionId(7);
    const OPENING: Position = Position { epoch: Epoch(1), seq: Seq(1) };

    fn sessions() -> Sessions {
        let limits =
            SessionLimits { idle_after: Duration::from_secs(1), window_max: 3, sessions_max: 2 };
        let mut sessions = Sessions::new(limits);
        let opened = sessions.open(SESSION, false, OPENING, Timestamp::default());
        assert!(matches!(opened, Ok((Session { opening: OPENING, .. }, true))));
        sessions
    }

    fn ask(number: u64, floor: u64) -> Numbered {
        let request = RequestId { session: SESSION, number };
        Numbered { request, opening: OPENING, floor, message: 1 }
    }

    fn reply(byte: u8) -> Outcome {
        Outcome::Reply([byte].into())
    }

    #[test]
    fn numbers_run_only_so_far_ahead_of_the_floor() {
        let mut sessions = sessions();
        assert_eq!(sessions.admit(&ask(3, 0), Timestamp::default()), Ok(0));
        assert_eq!(sessions.admit(&ask(4, 0), Timestamp::default()), Err(Refusal::Full));
        assert_eq!(sessions.admit(&ask(4, 1), Timestamp::default()), Ok(1));
        // A floor that comes late does not lower the floor.
        assert_eq!(sessions.admit(&ask(3, 0), Timestamp::default()), Ok(1));
    }

    #[test]
    fn an_opening_that_is_not_held_is_not_open() {
        let mut sessions = sessions();
        let other = Numbered { opening: Position::default(), ..ask(1, 0) };
        assert_eq!(sessions.admit(&other, Timestamp::default()), Err(Refusal::NotOpen));
        assert!(sessions.close(SESSION));
        assert_eq!(sessions.admit(&ask(1, 0), Timestamp::default()), Err(Refusal::NotOpen));
        assert!(!sessions.close(SESSION));
    }

    #[test]
    fn sessions_are_bounded_and_opened_once() {
        let mut sessions = sessions();
        let later = Position { epoch: Epoch(1), seq: Seq(9) };
        let again = sessions.open(SESSION, false, later, Timestamp::default());
        assert!(matches!(again, Ok((Session { opening: OPENING, .. }, false))));
        assert!(sessions.open(SessionId(8), true, later, Timestamp::default()).is_ok());
        let third = sessions.open(SessionId(9), true, later, Timestamp::default());
        assert_eq!(third.err(), Some(Refusal::Full));
    }

    #[test]
    fn only_sessions_that_are_not_durable_become_idle() {
        let mut sessions = sessions();
        let start = Timestamp::default();
        assert!(sessions.open(SessionId(8), true, OPENING, start).is_ok());
        assert_eq!(sessions.idle(start + Duration::from_secs(1)), []);
        assert_eq!(sessions.idle(start + Duration::from_secs(2)), [SESSION]);
        assert_eq!(sessions.admit(&ask(1, 0), start + Duration::from_secs(2)), Ok(0));
        assert_eq!(sessions.idle(start + Duration::from_secs(2)), []);
    }

    #[test]
    fn a_number_runs_once_is_answered_until_it_is_forgotten_and_expires_then() {
        let mut answers = Answers::new();
        assert_eq!(answers.judge(&ask(1, 0), 0), Verdict::Run);
        answers.record(&ask(1, 0), 0, reply(1));
        assert_eq!(answers.judge(&ask(1, 0), 0), Verdict::Answered(&reply(1)));
        let other = Numbered { message: 2, ..ask(1, 0) };
        assert_eq!(answers.judge(&other, 0), Verdict::Reused);
        answers.record(&ask(2, 1), 1, reply(2));
        assert_eq!(answers.judge(&ask(1, 0), 0), Verdict::Expired, "whatever floor it brings");
        assert_eq!(answers.judge(&ask(2, 0), 5), Verdict::Answered(&reply(2)), "still there");
        assert_eq!(answers.judge(&ask(3, 0), 3), Verdict::Expired, "closed without an answer");
    }

    #[test]
    fn answers_of_an_earlier_life_of_a_session_count_for_nothing() {
        let mut answers = Answers::new();
        answers.record(&ask(1, 0), 0, reply(1));
        let anew = Numbered { opening: Position { epoch: Epoch(2), seq: Seq(1) }, ..ask(1, 0) };
        assert_eq!(answers.judge(&anew, 0), Verdict::Run);
        answers.record(&anew, 0, reply(2));
        assert_eq!(answers.judge(&anew, 0), Verdict::Answered(&reply(2)));
    }

    #[test]
    fn what_no_session_asks_for_is_pruned_but_not_a_floor_that_only_this_row_knows() {
        let mut sessions = sessions();
        let mut answers = Answers::new();
        answers.record(&ask(1, 0), 0, reply(1));
        assert!(answers.prune(&sessions));
        assert_eq!(sessions.admit(&ask(2, 1), Timestamp::default()), Ok(1));
        assert!(!answers.prune(&sessions), "the session is not durable");

        let durable = SessionId(8);
        assert!(sessions.open(durable, true, OPENING, Timestamp::default()).is_ok());
        let request = RequestId { session: durable, number: 1 };
        answers.record(&Numbered { request, ..ask(1, 0) }, 0, reply(1));
        let closed = Numbered { request: RequestId { number: 2, ..request }, ..ask(2, 1) };
        assert_eq!(sessions.admit(&closed, Timestamp::default()), Ok(1));
        assert!(answers.prune(&sessions), "the store does not know the floor");
        sessions.floor_stored(durable, 1);
        assert!(!answers.prune(&sessions));
    }
}
