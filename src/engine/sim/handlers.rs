//! A unit's handlers: judging an ask, counting it, recording its answer.

use super::Bug;
use super::deed::{Ask, Deed, Message, Reply};
use super::unit::{COUNTERS, Held, ROW_BYTES, Unit};
use crate::engine::execution::{Answers, Outcome, Refusal, Verdict};
use crate::engine::id::{EntityId, Version};

const REQUEST_BYTES: u64 = 8;

impl Unit {
    pub(super) fn run(&mut self, ask: Ask) {
        let entity = EntityId { kind: COUNTERS, slot: ask.counter };
        let through = self.plan.is_write_through(ask.counter);
        let reply = match self.judge(&ask) {
            Err(known) => known,
            Ok(floor) => self.handle(&ask, floor),
        };
        let saw = self.counters.get(&ask.counter).map_or_else(Version::default, |c| c.version);
        let is_read = ask.message == Message::Read;
        let stored = match self.bug {
            Some(Bug::AckedBeforeStored) => false,
            Some(Bug::ReadsNotHeld) => through && !is_read,
            _ => through,
        };
        self.hold(Held::Ask(ask, reply, saw), entity, saw, stored);
    }

    fn judge(&mut self, ask: &Ask) -> Result<u64, Reply> {
        let Some(numbered) = &ask.numbered else { return Ok(0) };
        let floor =
            self.sessions.admit(numbered, self.time()).map_err(|refusal| match refusal {
                Refusal::NotOpen => Reply::Expired,
                Refusal::Full => Reply::Busy,
            })?;
        let none = Answers::new();
        let answers = self.counters.get(&ask.counter).map_or(&none, |counter| &counter.answers);
        match answers.judge(numbered, floor) {
            Verdict::Answered(outcome) if self.bug != Some(Bug::AnswersNotHeard) => {
                Err(recorded(outcome))
            }
            Verdict::Answered(_) | Verdict::Run => Ok(floor),
            Verdict::Expired => Err(Reply::Expired),
            Verdict::Reused => unreachable!("no asker uses a number twice"),
        }
    }

    fn handle(&mut self, ask: &Ask, floor: u64) -> Reply {
        if ask.message == Message::Read {
            let count = self.counters.get(&ask.counter).map_or(0, |counter| counter.ledger.len());
            return Reply::Count(count as u64);
        }
        let numbered = ask.numbered.expect("all but reads are numbered");
        self.deeds.push(Deed::Ran);
        let delay = self.plan.delay(ask.counter);
        let counter = self.counters.entry(ask.counter).or_default();
        let reply = match ask.message {
            Message::Fail => Reply::Failed,
            Message::Add | Message::Read => {
                counter.ledger.push(numbered.request);
                Reply::Count(counter.ledger.len() as u64)
            }
        };
        counter.answers.record(&numbered, floor, outcome(reply));
        let bytes = ROW_BYTES + REQUEST_BYTES * counter.ledger.len() as u64;
        let entity = EntityId { kind: COUNTERS, slot: ask.counter };
        let version = self.note(entity, bytes, delay);
        self.counters.entry(ask.counter).or_default().version = version;
        reply
    }
}

fn outcome(reply: Reply) -> Outcome {
    Outcome::Reply(match reply {
        Reply::Count(count) => count.to_be_bytes().into(),
        Reply::Failed | Reply::Expired | Reply::Busy => Box::default(),
    })
}

fn recorded(outcome: &Outcome) -> Reply {
    match outcome {
        Outcome::Reply(bytes) => match <[u8; 8]>::try_from(&**bytes) {
            Ok(bytes) => Reply::Count(u64::from_be_bytes(bytes)),
            Err(_) => Reply::Failed,
        },
        other => unreachable!("no handler ends in {other:?}"),
    }
}
