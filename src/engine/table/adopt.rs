//! A grid that has served nothing yet takes over a store that another has left.

use super::{PartitionTable, Refusal, Reign, RowVersion, TableVersion};
use crate::engine::adoption::GridId;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::id::Epoch;

impl PartitionTable {
    /// Whose store an operator has said is to be this grid's.
    pub(crate) fn adopts(&self) -> Option<GridId> {
        self.adopts
    }

    /// All rows begin above what was found. Nobody holds what is stored: whoever is named first
    /// puts its partition together.
    pub(super) fn adopt(
        &mut self,
        store: GridId,
        highest: Epoch,
        version: TableVersion,
    ) -> Result<(), Refusal> {
        if self.rows.iter().any(|row| row.reign != Reign::Unborn) {
            return Err(Refusal::HasReigned);
        }
        if self.adopts == Some(store) && self.rows.iter().all(|row| row.epoch > highest) {
            return Err(Refusal::AlreadySo);
        }
        self.adopts = Some(store);
        for row in self.rows.iter_mut().filter(|row| row.epoch <= highest) {
            if !is_broken(Breakage::AdoptedBelowFences) {
                row.epoch = highest.next();
            }
            row.version = RowVersion(row.version.0 + 1);
            row.changed_at = version;
        }
        Ok(())
    }
}
