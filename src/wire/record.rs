//! The record: one entity's newest change, whole, as it is replicated and stored.
//!
//! Final: what is written here must be readable by every later release (golden bytes below).
//!
//! ```text
//! offset  bytes
//!      0      4  magic "FSTN"
//!      4      1  format, 1
//!      5      4  CRC-32 (IEEE) of everything from offset 9, big-endian
//!      9      8  epoch    \
//!     17      8  seq       } version, big-endian, so that a store compares it without decoding
//!     25      4  index    /
//!     29      …  body: MessagePack map with names
//!                { type: str, key: bin, time: uint (partition time, microseconds),
//!                  change: {state: [schema, bin]} | "removed" | {changes: [bin, …]},
//!                  sessions: [{session: bin 16, opening: [epoch, seq], floor: uint,
//!                              answers: [[number, message, outcome], …]}, …],
//!                  outbox: [{number: [epoch, seq, index], type: str, key: bin, message: str,
//!                            body: bin, parked: [reason, attempts, time] | nil}, …],
//!                  reminders: [{name: str, due_at: uint (partition time), every: uint
//!                               (microseconds) | nil, missed: "once" | {each: uint} | "skip",
//!                               message: str, body: bin}, …],
//!                  applied: [[partition, [epoch, seq, index]], …] (left out where there is none),
//!                  expires_at: uint (partition time) | nil }
//! ```

use std::collections::VecDeque;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::execution::{Answer, Answers, Outcome, SessionAnswers};
use crate::engine::id::{Epoch, Position, Seq, SessionId, Version};
use crate::engine::instant::Timestamp;
use crate::error::DecodeError;

use super::mail::{AppliedOut, Mail, ReminderOut, SentOut};

const MAGIC: [u8; 4] = *b"FSTN";
const FORMAT: u8 = 1;
const CRC_AT: usize = 5;
const VERSION_AT: usize = 9;
const BODY_AT: usize = 29;

/// What a record says of its entity's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change<'a> {
    /// The whole state: the schema version of its type, and its bytes.
    State(u32, #[serde(borrow)] Bin<'a>),
    /// The entity does not exist; the record is kept for the answers in it.
    Removed,
    /// Changes to apply to the state before it. Reserved in the format; no type makes them yet.
    Changes(#[serde(borrow)] Vec<Bin<'a>>),
}

/// One record, borrowing its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Wire name of the entity type.
    pub(crate) entity_type: &'a str,
    /// The encoded key.
    pub(crate) key: &'a [u8],
    pub(crate) version: Version,
    /// Partition time of the change.
    pub(crate) time: Timestamp,
    pub(crate) change: Change<'a>,
    /// Answers that sessions may still ask for again.
    pub(crate) answers: Answers,
    /// Messages and reminders.
    pub(crate) mail: Mail,
    /// Partition time at which the entity is gone.
    pub(crate) expires_at: Option<Timestamp>,
}

/// What a record is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) entity_type: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) version: Version,
    pub(crate) time: Timestamp,
    pub(crate) change: &'a Change<'a>,
    pub(crate) answers: &'a Answers,
    pub(crate) mail: &'a Mail,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Bytes, written as MessagePack `bin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bin<'a>(pub(crate) &'a [u8]);

/// Encodes a record; the result is what [`decode`] reads.
///
/// # Panics
/// Never: every part of a record has an encoding.
pub(crate) fn encode(parts: Parts<'_>) -> Vec<u8> {
    let Parts { entity_type, key, version, time, change, answers, mail, expires_at } = parts;
    let mut out = Vec::with_capacity(BODY_AT + 64 + key.len() + change.len());
    out.extend_from_slice(&MAGIC);
    out.push(FORMAT);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&version.position.epoch.0.to_be_bytes());
    out.extend_from_slice(&version.position.seq.0.to_be_bytes());
    out.extend_from_slice(&version.index.to_be_bytes());
    let body = BodyOut {
        entity_type,
        key: Bin(key),
        time,
        change,
        sessions: answers.sessions().map(SessionOut::from).collect(),
        outbox: mail.sent().iter().map(SentOut::from).collect(),
        reminders: mail.reminders.iter().map(ReminderOut::from).collect(),
        applied: mail.applied.iter().map(AppliedOut::from).collect(),
        expires_at,
    };
    crate::codec::encode_into(&body, &mut out).expect("every part of a record has an encoding");
    let crc = crc32fast::hash(&out[VERSION_AT..]);
    out[CRC_AT..VERSION_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Reads a record back.
///
/// # Errors
/// When the bytes are damaged, of another format, or hold what this build does not know.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let version = check(bytes)?;
    let body: BodyIn<'_> = crate::codec::decode_borrowed(&bytes[BODY_AT..])
        .map_err(|error| DecodeError::new(format!("record body: {error}")))?;
    Ok(Record {
        entity_type: body.entity_type,
        key: body.key.0,
        version,
        time: body.time,
        change: body.change,
        answers: body.sessions.into_iter().map(SessionAnswers::from).collect(),
        mail: Mail::new(
            body.outbox.into_iter().map(SentOut::into_sent).collect(),
            body.applied.into_iter().map(AppliedOut::into_applied).collect(),
            body.reminders.into_iter().map(ReminderOut::into_reminder).collect(),
        ),
        expires_at: body.expires_at,
    })
}

/// Checks magic, format and checksum of a record, and returns its version.
///
/// # Errors
/// When the bytes are damaged or of another format.
pub(crate) fn check(bytes: &[u8]) -> Result<Version, DecodeError> {
    let header: &[u8; BODY_AT] = bytes
        .first_chunk()
        .ok_or_else(|| DecodeError::new(format!("{} bytes are no record", bytes.len())))?;
    if header[..4] != MAGIC {
        return Err(DecodeError::new("record does not start with its magic number"));
    }
    if header[4] != FORMAT {
        return Err(DecodeError::new(format!("record format {} is not known here", header[4])));
    }
    let stored = u32::from_be_bytes(field(header, CRC_AT));
    let found = crc32fast::hash(&bytes[VERSION_AT..]);
    if stored != found {
        return Err(DecodeError::new(format!(
            "record checksum is {found:08x}, not {stored:08x} as written"
        )));
    }
    Ok(Version::new(
        u64::from_be_bytes(field(header, VERSION_AT)),
        u64::from_be_bytes(field(header, VERSION_AT + 8)),
        u32::from_be_bytes(field(header, VERSION_AT + 16)),
    ))
}

fn field<const N: usize>(header: &[u8; BODY_AT], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

impl Change<'_> {
    fn len(&self) -> usize {
        match self {
            Change::State(_, bytes) => bytes.0.len(),
            Change::Removed => 0,
            Change::Changes(changes) => changes.iter().map(|change| change.0.len()).sum(),
        }
    }
}

#[derive(Serialize)]
struct BodyOut<'a> {
    #[serde(rename = "type")]
    entity_type: &'a str,
    key: Bin<'a>,
    time: Timestamp,
    change: &'a Change<'a>,
    sessions: Vec<SessionOut<'a>>,
    outbox: Vec<SentOut<'a>>,
    reminders: Vec<ReminderOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applied: Vec<AppliedOut>,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct BodyIn<'a> {
    #[serde(rename = "type")]
    entity_type: &'a str,
    #[serde(borrow)]
    key: Bin<'a>,
    time: Timestamp,
    #[serde(borrow)]
    change: Change<'a>,
    #[serde(borrow)]
    sessions: Vec<SessionIn<'a>>,
    #[serde(borrow)]
    outbox: Vec<SentOut<'a>>,
    #[serde(borrow)]
    reminders: Vec<ReminderOut<'a>>,
    #[serde(default)]
    applied: Vec<AppliedOut>,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct SessionOut<'a> {
    session: Id,
    opening: (u64, u64),
    floor: u64,
    answers: Vec<(u64, u32, OutcomeOut<'a>)>,
}

#[derive(Deserialize)]
struct SessionIn<'a> {
    session: Id,
    opening: (u64, u64),
    floor: u64,
    #[serde(borrow)]
    answers: Vec<(u64, u32, OutcomeOut<'a>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeOut<'a> {
    Reply(#[serde(borrow)] Bin<'a>),
    Panicked(&'a str),
    TooLarge(&'a str, u64, u64),
}

struct Id(SessionId);

impl<'a> From<&'a SessionAnswers> for SessionOut<'a> {
    fn from(from: &'a SessionAnswers) -> SessionOut<'a> {
        let answers = from.answers.iter().map(|answer| {
            let outcome = match &answer.outcome {
                Outcome::Reply(bytes) => OutcomeOut::Reply(Bin(bytes)),
                Outcome::Panicked(message) => OutcomeOut::Panicked(message),
                Outcome::TooLarge { what, bytes, max_bytes } => {
                    OutcomeOut::TooLarge(what, *bytes, *max_bytes)
                }
            };
            (answer.number, answer.message, outcome)
        });
        SessionOut {
            session: Id(from.session),
            opening: (from.opening.epoch.0, from.opening.seq.0),
            floor: from.floor,
            answers: answers.collect(),
        }
    }
}

impl From<SessionIn<'_>> for SessionAnswers {
    fn from(from: SessionIn<'_>) -> SessionAnswers {
        let answers = from.answers.into_iter().map(|(number, message, outcome)| Answer {
            number,
            message,
            outcome: match outcome {
                OutcomeOut::Reply(bytes) => Outcome::Reply(bytes.0.into()),
                OutcomeOut::Panicked(message) => Outcome::Panicked(message.into()),
                OutcomeOut::TooLarge(what, bytes, max_bytes) => {
                    Outcome::TooLarge { what: what.into(), bytes, max_bytes }
                }
            },
        });
        SessionAnswers {
            session: from.session.0,
            opening: Position { epoch: Epoch(from.opening.0), seq: Seq(from.opening.1) },
            floor: from.floor,
            answers: answers.collect::<VecDeque<_>>(),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.0.to_be_bytes())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let bytes = Bin::deserialize(deserializer)?.0;
        let bytes = bytes.try_into().map_err(|_| D::Error::invalid_length(bytes.len(), &"16"))?;
        Ok(Id(SessionId(u128::from_be_bytes(bytes))))
    }
}

impl Serialize for Bin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bin<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bin<'a>, D::Error> {
        // `&[u8]` takes both `bin` and borrowed bytes, and refuses an array of numbers.
        <&[u8]>::deserialize(deserializer).map(Bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::execution::Numbered;
    use crate::engine::id::RequestId;

    fn answers() -> Answers {
        let mut answers = Answers::new();
        let opening = Position { epoch: Epoch(2), seq: Seq(9) };
        let mut record = |number, outcome| {
            let request = RequestId { session: SessionId(0x0102), number };
            answers.record(&Numbered { request, opening, floor: 0, message: 77 }, 3, outcome);
        };
        record(4, Outcome::Reply([0xc0].into()));
        record(5, Outcome::Panicked("boom".into()));
        record(6, Outcome::TooLarge { what: "state".into(), bytes: 20, max_bytes: 10 });
        answers
    }

    fn golden(change: &Change<'_>, answers: &Answers) -> Vec<u8> {
        let version = Version::new(2, 10, 1);
        let time = Timestamp::from_micros(1_000_000);
        let (entity_type, key, mail) = ("cart", &b"alice\0\0"[..], &Mail::default());
        encode(Parts { entity_type, key, version, time, change, answers, mail, expires_at: None })
    }

    /// What is stored must be readable for ever: if one of these fails, it is the code that is
    /// wrong.
    #[test]
    fn golden_bytes_never_change() {
        let state = golden(&Change::State(1, Bin(&[0x81, 0xa1, b'n', 7])), &answers());
        let removed = golden(&Change::Removed, &Answers::new());
        let changes = golden(&Change::Changes(vec![Bin(&[1]), Bin(&[2, 3])]), &Answers::new());
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        compare("state", &hex(&state), GOLDEN_STATE);
        compare("removed", &hex(&removed), GOLDEN_REMOVED);
        compare("changes", &hex(&changes), GOLDEN_CHANGES);
        for bytes in [&state, &removed, &changes] {
            let record = decode(bytes).unwrap();
            assert_eq!(record.version, Version::new(2, 10, 1));
            assert_eq!((record.entity_type, record.key), ("cart", &b"alice\0\0"[..]));
        }
        assert_eq!(decode(&state).unwrap().answers, answers());
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let whole = golden(&Change::State(1, Bin(&[7; 40])), &answers());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(decode(&damaged).is_err(), "a flipped bit in byte {at} was not noticed");
            assert!(decode(&whole[..at]).is_err(), "{at} bytes of {} were enough", whole.len());
        }
    }

    #[test]
    fn what_a_later_build_adds_is_refused_and_not_dropped() {
        // As a later build would write it, with something else in the outbox.
        let whole = golden(&Change::Removed, &Answers::new());
        let empty = b"\xa6outbox\x90";
        let at = whole.windows(empty.len()).position(|bytes| bytes == empty).unwrap();
        let mut later = whole[..at].to_vec();
        later.extend_from_slice(b"\xa6outbox\x91\x01");
        later.extend_from_slice(&whole[at + empty.len()..]);
        let crc = crc32fast::hash(&later[VERSION_AT..]);
        later[CRC_AT..VERSION_AT].copy_from_slice(&crc.to_be_bytes());
        assert!(decode(&later).unwrap_err().to_string().contains("record body"));
    }

    fn compare(what: &str, found: &str, golden: &str) {
        assert_eq!(found, golden.replace(char::is_whitespace, ""), "{what}");
    }

    const GOLDEN_STATE: &str = "
        4653544e01810d95470000000000000002000000000000000a0000000188a474797065a463617274
        a36b6579c407616c6963650000a474696d65ce000f4240a66368616e676581a573746174659201c4
        0481a16e07a873657373696f6e739184a773657373696f6ec4100000000000000000000000000000
        0102a76f70656e696e67920209a5666c6f6f7203a7616e73776572739393044d81a57265706c79c4
        01c093054d81a870616e69636b6564a4626f6f6d93064d81a9746f6f5f6c6172676593a573746174
        65140aa66f7574626f7890a972656d696e6465727390aa657870697265735f6174c0";
    const GOLDEN_REMOVED: &str = "
        4653544e0171b484fd0000000000000002000000000000000a0000000188a474797065a463617274
        a36b6579c407616c6963650000a474696d65ce000f4240a66368616e6765a772656d6f766564a873
        657373696f6e7390a66f7574626f7890a972656d696e6465727390aa657870697265735f6174c0";
    const GOLDEN_CHANGES: &str = "
        4653544e0142cbac530000000000000002000000000000000a0000000188a474797065a463617274
        a36b6579c407616c6963650000a474696d65ce000f4240a66368616e676581a76368616e67657392
        c40101c4020203a873657373696f6e7390a66f7574626f7890a972656d696e6465727390aa657870
        697265735f6174c0";
}
