//! Messages and reminders as an entity has them, and as its record holds them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::id::{Epoch, PartitionId, Position, Seq};
use crate::engine::instant::Timestamp;
use crate::engine::outbox::Number;
use crate::entity::deeds::{Missed, Parcel, Reminder};

use super::record::Bin;

/// Bytes of a number and the partition that it is of.
const APPLIED_BYTES: usize = 24;

/// Messages and reminders of one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// What it has sent and its partition has not forgotten, ascending.
    sent: Vec<Sent>,
    /// Of each sending partition, the newest message that was applied to it, until the number in
    /// the partition's own row has passed that. Ascending by partition.
    pub(crate) applied: Vec<(PartitionId, Number)>,
    /// Ascending by name.
    pub(crate) reminders: Vec<Reminder>,
    /// Of what it has sent.
    sent_bytes: usize,
}

/// A message that an entity has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) number: Number,
    pub(crate) parcel: Arc<Parcel>,
    pub(crate) parked: Option<Parked>,
}

impl Sent {
    fn bytes(&self) -> usize {
        self.parcel.bytes() as usize
    }
}

/// Why a message waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) at: Timestamp,
}

impl Mail {
    /// Nothing.
    pub(crate) const NONE: Mail =
        Mail { sent: Vec::new(), applied: Vec::new(), reminders: Vec::new(), sent_bytes: 0 };

    pub(crate) fn new(
        sent: Vec<Sent>,
        applied: Vec<(PartitionId, Number)>,
        reminders: Vec<Reminder>,
    ) -> Mail {
        let sent_bytes = sent.iter().map(Sent::bytes).sum();
        Mail { sent, applied, reminders, sent_bytes }
    }

    /// What it takes in memory and in a row, about.
    pub(crate) fn bytes(&self) -> usize {
        let reminders: usize = self.reminders.iter().map(Reminder::bytes).sum();
        self.sent_bytes + APPLIED_BYTES * self.applied.len() + reminders
    }

    /// What the entity has sent and its partition keeps.
    pub(crate) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// The entity has sent a message, of a higher number than those before.
    pub(crate) fn send(&mut self, sent: Sent) {
        self.sent_bytes += sent.bytes();
        self.sent.push(sent);
    }

    /// These, ascending, need not be kept any more.
    pub(crate) fn forget(&mut self, numbers: &[Number]) {
        self.sent.retain(|sent| numbers.binary_search(&sent.number).is_err());
        self.sent_bytes = self.sent.iter().map(Sent::bytes).sum();
    }

    /// A message is parked.
    pub(crate) fn park(&mut self, number: Number, parked: Parked) {
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.number == number) {
            sent.parked = Some(parked);
        }
    }

    /// Takes a message out.
    pub(crate) fn take(&mut self, number: Number) -> Option<Sent> {
        let at = self.sent.iter().position(|sent| sent.number == number)?;
        let sent = self.sent.remove(at);
        self.sent_bytes -= sent.bytes();
        Some(sent)
    }

    /// Whether a message of this number, or a later one, was applied.
    pub(crate) fn has_applied(&self, from: PartitionId, number: Number) -> bool {
        let at = self.applied.binary_search_by_key(&from, |(from, _)| *from);
        at.is_ok_and(|at| self.applied[at].1 >= number)
    }

    /// A message was applied.
    pub(crate) fn apply(&mut self, from: PartitionId, number: Number) {
        match self.applied.binary_search_by_key(&from, |(from, _)| *from) {
            Ok(at) => self.applied[at].1 = number,
            Err(at) => self.applied.insert(at, (from, number)),
        }
    }

    /// Whether it says nothing that must outlive the entity's state.
    pub(crate) fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.applied.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_settled() && self.reminders.is_empty()
    }
}

/// A number as it is stored.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct NumberOut(u64, u64, u32);

impl From<Number> for NumberOut {
    fn from(number: Number) -> NumberOut {
        NumberOut(number.position.epoch.0, number.position.seq.0, number.index)
    }
}

impl From<NumberOut> for Number {
    fn from(NumberOut(epoch, seq, index): NumberOut) -> Number {
        Number { position: Position { epoch: Epoch(epoch), seq: Seq(seq) }, index }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SentOut<'a> {
    number: NumberOut,
    #[serde(rename = "type")]
    entity_type: &'a str,
    #[serde(borrow)]
    key: Bin<'a>,
    message: &'a str,
    #[serde(borrow)]
    body: Bin<'a>,
    #[serde(borrow)]
    parked: Option<(&'a str, u32, Timestamp)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AppliedOut(u16, NumberOut);

#[derive(Serialize, Deserialize)]
pub(super) struct ReminderOut<'a> {
    name: &'a str,
    due_at: Timestamp,
    /// Microseconds.
    every: Option<u64>,
    missed: MissedOut,
    message: &'a str,
    #[serde(borrow)]
    body: Bin<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MissedOut {
    Once,
    Each(u32),
    Skip,
}

impl<'a> From<&'a Sent> for SentOut<'a> {
    fn from(sent: &'a Sent) -> SentOut<'a> {
        let Parcel { entity_type, key, message, body } = &*sent.parcel;
        let parked = sent.parked.as_ref();
        SentOut {
            number: sent.number.into(),
            entity_type,
            key: Bin(key),
            message,
            body: Bin(body),
            parked: parked.map(|parked| (&*parked.reason, parked.attempts, parked.at)),
        }
    }
}

impl SentOut<'_> {
    pub(super) fn into_sent(self) -> Sent {
        let parcel = Parcel {
            entity_type: self.entity_type.into(),
            key: self.key.0.into(),
            message: self.message.into(),
            body: self.body.0.into(),
        };
        let parked = self.parked.map(|(reason, attempts, at)| Parked {
            reason: reason.to_owned(),
            attempts,
            at,
        });
        Sent { number: self.number.into(), parcel: Arc::new(parcel), parked }
    }
}

impl From<&(PartitionId, Number)> for AppliedOut {
    fn from((from, number): &(PartitionId, Number)) -> AppliedOut {
        AppliedOut(from.0, (*number).into())
    }
}

impl AppliedOut {
    pub(super) fn into_applied(self) -> (PartitionId, Number) {
        (PartitionId(self.0), self.1.into())
    }
}

impl<'a> From<&'a Reminder> for ReminderOut<'a> {
    fn from(reminder: &'a Reminder) -> ReminderOut<'a> {
        let micros = |every: Duration| u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        ReminderOut {
            name: &reminder.name,
            due_at: reminder.due_at,
            every: reminder.every.map(micros),
            missed: match reminder.missed {
                Missed::Once => MissedOut::Once,
                Missed::Each(max) => MissedOut::Each(max),
                Missed::Skip => MissedOut::Skip,
            },
            message: &reminder.message,
            body: Bin(&reminder.body),
        }
    }
}

impl ReminderOut<'_> {
    pub(super) fn into_reminder(self) -> Reminder {
        Reminder {
            name: self.name.into(),
            due_at: self.due_at,
            every: self.every.map(Duration::from_micros),
            missed: match self.missed {
                MissedOut::Once => Missed::Once,
                MissedOut::Each(max) => Missed::Each(max),
                MissedOut::Skip => Missed::Skip,
            },
            message: self.message.into(),
            body: self.body.0.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{self, Change, Parts};
    use super::*;
    use crate::engine::execution::Answers;
    use crate::engine::id::Version;

    fn mail() -> Mail {
        let number = |index| Number { position: Position { epoch: Epoch(2), seq: Seq(9) }, index };
        let parcel = Parcel {
            entity_type: "cart".into(),
            key: (*b"a\0\0").into(),
            message: "add".into(),
            body: [0x80].into(),
        };
        let sent = |index, parked| Sent {
            number: number(index),
            parcel: Arc::new(parcel.clone()),
            parked,
        };
        let at = Timestamp::from_micros(7);
        let parked = Parked { reason: "boom".to_owned(), attempts: 5, at };
        let reminder = |name: &str, every, missed| Reminder {
            name: name.into(),
            due_at: at,
            every,
            missed,
            message: "close".into(),
            body: [0x80].into(),
        };
        let hour = Some(Duration::from_secs(3600));
        Mail::new(
            vec![sent(0, None), sent(1, Some(parked))],
            vec![(PartitionId(3), number(4))],
            vec![
                reminder("a", None, Missed::Once),
                reminder("b", hour, Missed::Each(4)),
                reminder("c", hour, Missed::Skip),
            ],
        )
    }

    /// What is stored must be readable for ever: if this fails, it is the code that is wrong.
    #[test]
    fn golden_bytes_never_change() {
        let mail = mail();
        let bytes = record::encode(Parts {
            entity_type: "cart",
            key: b"a\0\0",
            version: Version::new(2, 10, 1),
            time: Timestamp::from_micros(7),
            change: &Change::Removed,
            answers: &Answers::new(),
            mail: &mail,
            expires_at: None,
        });
        assert_eq!(record::decode(&bytes).unwrap().mail, mail);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN.replace(char::is_whitespace, ""));
    }

    const GOLDEN: &str = "
        4653544e0195b93f990000000000000002000000000000000a0000000189a474797065a463617274
        a36b6579c403610000a474696d6507a66368616e6765a772656d6f766564a873657373696f6e7390
        a66f7574626f789286a66e756d62657293020900a474797065a463617274a36b6579c403610000a7
        6d657373616765a3616464a4626f6479c40180a67061726b6564c086a66e756d62657293020901a4
        74797065a463617274a36b6579c403610000a76d657373616765a3616464a4626f6479c40180a670
        61726b656493a4626f6f6d0507a972656d696e646572739386a46e616d65a161a66475655f617407
        a56576657279c0a66d6973736564a46f6e6365a76d657373616765a5636c6f7365a4626f6479c401
        8086a46e616d65a162a66475655f617407a56576657279ced693a400a66d697373656481a4656163
        6804a76d657373616765a5636c6f7365a4626f6479c4018086a46e616d65a163a66475655f617407
        a56576657279ced693a400a66d6973736564a4736b6970a76d657373616765a5636c6f7365a4626f
        6479c40180a76170706c69656491920393020904aa657870697265735f6174c0";
}
