//! A unit's sessions, and what is tidied up when they are over.

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::held::Held;
use super::{HOUSEKEEPING_EVERY, Unit};
use crate::engine::execution::Session;
use crate::engine::id::SessionId;
use crate::engine::instant::Instant;

/// How long the store may lag behind the opening of a session that is not durable.
const SESSION_DELAY: Duration = Duration::from_secs(1);

impl Unit {
    /// Opens a session, or finds it open; `opened` hears where, once that is durable if the session
    /// is to be. Dropped without a word at the bound.
    pub(crate) fn open_session(
        &mut self,
        now: Instant,
        session: SessionId,
        durable: bool,
        opened: oneshot::Sender<Session>,
    ) {
        self.now = now;
        let position = self.primary.next_position();
        let time = self.time.at(now);
        if self.primary.is_fenced() {
            if !durable {
                // Its asks are refused here, and that as what they are.
                let closed = Session::closed(position);
                let _ = opened.send(closed); // whoever asked may be gone
            }
            return;
        }
        let Ok((state, is_new)) = self.execution.sessions.open(session, durable, position, time)
        else {
            return;
        };
        if is_new {
            self.note_session(session, durable);
        }
        self.hold_session(session, state, opened);
        self.finish_batch();
    }

    /// Closes a session: its answers may be forgotten. `closed` hears of it when that is durable.
    pub(crate) fn close_session(
        &mut self,
        now: Instant,
        session: SessionId,
        closed: oneshot::Sender<Session>,
    ) {
        self.now = now;
        let Some(state) = self.execution.sessions.session(session).copied() else {
            // Never opened, or closed already: then that must be durable before anyone says so.
            let over = Session { durable: true, ..Session::closed(self.primary.next_position()) };
            self.hold_session(session, over, closed);
            self.finish_batch();
            return;
        };
        self.execution.sessions.close(session);
        self.note_session(session, state.durable);
        self.hold_session(session, state, closed);
        self.finish_batch();
    }

    /// Drops idle sessions, and what was kept of removed entities for sessions that are over.
    pub(super) fn keep_house(&mut self) {
        self.housekeeping_at = self.now + HOUSEKEEPING_EVERY;
        if self.primary.is_fenced() {
            return; // nothing is noted any more
        }
        for session in self.session_rows.take_orphans() {
            self.note_session(session, false);
        }
        let time = self.time.at(self.now);
        for session in self.execution.sessions.idle(time) {
            self.execution.sessions.close(session);
            self.note_session(session, false);
        }
        for session in self.execution.sessions.behind() {
            if self.write_behind.is_some() {
                self.note_session(session, false); // it may lag: the entities' rows know, too
            } else if let Some(open) = self.execution.sessions.session(session) {
                let floor = open.floor; // nothing outlives the process
                self.execution.sessions.floor_stored(session, floor);
            }
        }
        self.note_inboxes();
        for entities in &mut self.entities {
            entities.sweep(&self.execution.sessions, &self.execution.post);
        }
        self.begin();
        for id in self.execution.removed.clone() {
            let entities = &mut self.entities[usize::from(id.kind)];
            if !entities.bury(id.slot, &mut self.execution) {
                self.execution.removed.remove(&id);
            }
        }
        self.finish_batch();
    }

    fn note_session(&mut self, session: SessionId, durable: bool) {
        let has_store = self.write_behind.is_some();
        let delay = if durable && has_store { Duration::ZERO } else { SESSION_DELAY };
        self.begin();
        self.session_rows.note(session, delay, &mut self.execution);
    }

    fn hold_session(
        &mut self,
        session: SessionId,
        state: Session,
        teller: oneshot::Sender<Session>,
    ) {
        let (entity, saw) = self.session_rows.seen(session);
        self.execution.hold(Held::Session(teller, state), entity, saw, state.durable);
    }
}
