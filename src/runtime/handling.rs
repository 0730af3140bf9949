//! How a handler is run on its entity.

use crate::codec;
use crate::engine::execution::{Numbered, Outcome};
use crate::engine::id::{EntityId, RequestId, Version};
use crate::engine::outbox::Outgoing;
use crate::entity::deeds::Deeds;
use crate::entity::delivery::Accepted;
use crate::entity::{Context, Entity, Message, MessageTo};

use super::entities::{Entities, Executed, Source};
use super::exchange::Reply;
use super::execution::Execution;
use super::post::Right;
use super::undone::{Undone, check_size, quietly};

/// Which entity a message goes to, and as which request.
pub(crate) struct At<'a, E: Entity> {
    pub(crate) key: &'a E::Key,
    /// Where it is, if anything is known of it.
    pub(crate) slot: Option<u32>,
    pub(crate) request: Option<RequestId>,
}

pub(crate) fn read<E: Entity, M: MessageTo<E>>(
    at: At<'_, E>,
    message: M,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> Reply<M> {
    let mut fresh = None;
    let entity = match entities.look(at.slot)? {
        Some(entity) => entity,
        None => fresh.insert(quietly(E::default)?),
    };
    let mut cx = Context::new(at.key, execution.time, None);
    let _span = span::<E, M>(None).entered();
    quietly(|| message.deliver(entity, &mut cx)).map_err(|undone| {
        execution.panics += 1;
        undone.into()
    })
}

/// An answer, and what it depends on.
pub(crate) type Written<M> = (Reply<M>, (EntityId, Version));

/// Runs a handler that may change its entity. With `record`, its answer is kept with the entity:
/// as which numbered ask, and under which floor.
pub(crate) fn write<E: Entity, M: MessageTo<E>>(
    at: At<'_, E>,
    message: M,
    record: Option<(&Numbered, u64)>,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> Written<M> {
    run_write(at, message, record, entities, execution).unwrap_or_else(|(undone, seen)| {
        (Err(undone.into()), seen) // it may send whatever it wants to
    })
}

/// Likewise; if there is no room for what it sends, it has not run, and the message comes back. It
/// is read back from its encoding for that, so this is only for when there may be none.
pub(crate) fn write_if_room<E: Entity, M: MessageTo<E>>(
    at: At<'_, E>,
    message: M,
    record: Option<(&Numbered, u64)>,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> Result<Written<M>, (M, Box<[Outgoing]>)> {
    let Some(spare) = copy(&message) else {
        return Ok(write(at, message, record, entities, execution));
    };
    execution.post.right = Right::IfRoom;
    let written = run_write(at, message, record, entities, execution);
    execution.post.right = Right::Free;
    match written {
        Err((Undone::NoRoom(outgoing), _)) => Err((spare, outgoing)),
        Err((undone, seen)) => Ok((Err(undone.into()), seen)),
        Ok(written) => Ok(written),
    }
}

fn copy<M: Message>(message: &M) -> Option<M> {
    let copy = quietly(|| {
        let mut bytes = Vec::new();
        codec::encode_into(message, &mut bytes).ok()?;
        codec::decode(&bytes).ok()
    });
    copy.ok().flatten()
}

/// `Err` if there is no room for what it sends.
fn run_write<E: Entity, M: MessageTo<E>>(
    at: At<'_, E>,
    message: M,
    record: Option<(&Numbered, u64)>,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> Result<Written<M>, (Undone, (EntityId, Version))> {
    let slot = at.slot.unwrap_or_else(|| entities.insert(at.key, execution.time));
    let (time, limits) = (execution.time, execution.limits());
    let _span = span::<E, M>(at.request).entered();
    let (result, changed) = entities.change(slot, execution.has_store, limits, |entity| {
        let mut cx = Context::new(at.key, time, at.request);
        let reply = message.deliver(entity, &mut cx);
        let encoded = match record {
            Some(_) => Some(encode_reply::<M>(&reply, limits.reply_bytes_max)?),
            None => None,
        };
        let failed = M::is_failure(&reply);
        let (removed, passivated) = (cx.is_removed(), cx.is_passivated());
        let deeds = take_deeds(&mut cx, failed, execution)?;
        let reminders = reminders(deeds.as_deref());
        Ok(Executed { failed, removed, passivated, reminders, value: (reply, encoded, deeds) })
    });
    let (answer, outcome) = match result {
        Ok((reply, encoded, deeds)) => {
            if let Some(deeds) = deeds {
                entities.perform(slot, *deeds, execution);
            }
            (Ok(reply), encoded.map(Outcome::Reply))
        }
        Err(undone @ Undone::NoRoom(_)) => {
            return Err((undone, entities.note(slot, false, None, 0, execution)));
        }
        Err(undone) => {
            execution.panics += u64::from(matches!(undone, Undone::Panicked(_)));
            let outcome = undone.outcome();
            (Err(undone.into()), outcome)
        }
    };
    let (numbered, floor) = record.unzip();
    let recorded = numbered.zip(outcome);
    let (id, version) = entities.note(slot, changed, recorded, floor.unwrap_or(0), execution);
    execution.hold_fresh(id, version);
    Ok((answer, (id, version)))
}

/// Runs the handler of an encoded message. Returns whether it failed, as it said itself.
pub(crate) fn run_encoded<E: Entity>(
    at: At<'_, E>,
    accepted: &Accepted<E>,
    body: &[u8],
    source: &Source<'_>,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> Result<bool, Undone> {
    let slot = at.slot.unwrap_or_else(|| entities.insert(at.key, execution.time));
    let (time, limits) = (execution.time, execution.limits());
    let _span =
        tracing::trace_span!("message", entity = E::NAME, message = accepted.name).entered();
    let (result, changed) = entities.change(slot, execution.has_store, limits, |entity| {
        let mut cx = Context::new(at.key, time, None);
        let failed = (accepted.run)(body, entity, &mut cx).map_err(|error| {
            Undone::Undecodable(format!("message `{}`: {error}", accepted.name))
        })?;
        let (removed, passivated) = (cx.is_removed(), cx.is_passivated());
        let deeds = take_deeds(&mut cx, failed, execution)?;
        let reminders = reminders(deeds.as_deref());
        Ok(Executed { failed, removed, passivated, reminders, value: (failed, deeds) })
    });
    let result = result.map(|(failed, deeds)| {
        let consumed = entities.consume(slot, source, failed, execution);
        if let Some(deeds) = deeds {
            entities.perform(slot, *deeds, execution);
        }
        (failed, consumed)
    });
    execution.panics += u64::from(matches!(result, Err(Undone::Panicked(_))));
    let is_noted = changed || matches!(result, Ok((_, true)));
    let (id, version) = entities.note(slot, is_noted, None, 0, execution);
    execution.hold_fresh(id, version);
    result.map(|(failed, _)| failed)
}

/// Which reminders it has set.
fn reminders(deeds: Option<&Deeds>) -> Vec<Box<str>> {
    let Some(deeds) = deeds else { return Vec::new() };
    let set = deeds.reminders.iter().filter(|(_, reminder)| reminder.is_some());
    set.map(|(name, _)| name.clone()).collect()
}

/// What a handler that has succeeded did beyond its entity's state.
fn take_deeds<E: Entity>(
    cx: &mut Context<'_, E>,
    failed: bool,
    execution: &Execution,
) -> Result<Option<Box<Deeds>>, Undone> {
    match cx.take_deeds().filter(|_| !failed) {
        None => Ok(None),
        Some(deeds) => execution.check(&deeds).map(|()| Some(deeds)),
    }
}

/// What a handler logs is inside it.
fn span<E: Entity, M: Message>(request: Option<RequestId>) -> tracing::Span {
    let request = request.map(tracing::field::display);
    tracing::trace_span!("ask", entity = E::NAME, message = M::NAME, request)
}

fn encode_reply<M: Message>(reply: &M::Reply, bytes_max: usize) -> Result<Box<[u8]>, Undone> {
    let mut bytes = Vec::new();
    codec::encode_into(reply, &mut bytes).map_err(|error| Undone::Panicked(error.to_string()))?;
    check_size("reply", bytes.len(), bytes_max)?;
    Ok(bytes.into_boxed_slice())
}
