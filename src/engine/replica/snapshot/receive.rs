//! The receiver's side of a snapshot: which chunks fit.

use super::{Chunk, Reached};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Epoch;

/// A snapshot of which not everything is here.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Receiving {
    epoch: Epoch,
    reached: Reached,
}

impl Receiving {
    pub(in super::super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(in super::super) fn reached(&self) -> Reached {
        self.reached
    }

    /// What is known of a snapshot when this chunk is taken in, if it fits.
    pub(in super::super) fn next<R, S>(
        known: Option<Receiving>,
        epoch: Epoch,
        chunk: &Chunk<R, S>,
    ) -> Option<Receiving> {
        if known.is_some_and(|known| known.epoch > epoch) {
            return None;
        }
        let reached = known.filter(|known| known.epoch == epoch).map(|known| known.reached);
        let fits = match reached {
            _ if chunk.is_first() => {
                reached.is_none_or(|reached| chunk.reached.at > reached.at)
                    || is_broken(Breakage::OldSnapshotTaken)
            }
            Some(reached) => reached == chunk.after || is_broken(Breakage::ChunkMissing),
            None => false,
        };
        fits.then_some(Receiving { epoch, reached: chunk.reached })
    }
}
