//! How a handler is run on its entity.

use crate::codec;
use crate::engine::execution::{Numbered, Outcome};
use crate::engine::id::{EntityId, RequestId, Version};
use crate::entity::{Context, Entity, Message, MessageTo};

use super::entities::{Entities, Executed};
use super::exchange::Reply;
use super::execution::Execution;
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

/// Runs a handler that may change its entity. With `record`, its answer is kept with the entity:
/// as which numbered ask, and under which floor. Returns the answer and what it depends on.
pub(crate) fn write<E: Entity, M: MessageTo<E>>(
    at: At<'_, E>,
    message: M,
    record: Option<(&Numbered, u64)>,
    entities: &mut Entities<E>,
    execution: &mut Execution,
) -> (Reply<M>, (EntityId, Version)) {
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
        Ok(Executed { failed, removed, passivated, value: (reply, encoded) })
    });
    let (answer, outcome) = match result {
        Ok((reply, encoded)) => (Ok(reply), encoded.map(Outcome::Reply)),
        Err(undone) => {
            execution.panics += u64::from(matches!(undone, Undone::Panicked(_)));
            let outcome = undone.outcome();
            (Err(undone.into()), outcome)
        }
    };
    let (numbered, floor) = record.unzip();
    let recorded = numbered.zip(outcome);
    (answer, entities.note(slot, changed, recorded, floor.unwrap_or(0), execution))
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
