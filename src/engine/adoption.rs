//! What a grid does with a store that is already there: one is free, its own, or another's.
//!
//! A store says of itself which grid has it, and per partition its fence: the highest epoch that
//! has read or written there. A node asks this before it joins, and judges by the table as it is
//! committed. A refused store is neither read nor written, and its node stays out of the grid.
//!
//! An operator may have a grid that has served nothing yet take such a store over
//! (`Command::AdoptStore`): its rows begin above every fence that was found, and are put together
//! from the store as after a loss of all memory. So nothing that is stored is lost, and whoever
//! still writes for the old grid is fenced.

use std::collections::BTreeMap;
use std::fmt;

use super::breakage::{Breakage, is_broken};
use super::id::{Epoch, PartitionId};
use super::table::PartitionTable;

/// A grid's random number, drawn by whoever proposes it: no two grids have one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GridId(pub u128);

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Says {
    /// Whose it is, if anybody's.
    pub grid: Option<GridId>,
    pub fences: BTreeMap<PartitionId, Epoch>,
}

/// What a grid does with a store that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is nobody's: it is to say that it is the grid's.
    Free,
    /// It is the grid's.
    Own,
    /// It was another's, and an operator has said that it is to be the grid's: it is to say so,
    /// and to heed nobody of an epoch before those of the rows.
    Adopted,
}

/// Why a grid does not touch a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreRefused {
    /// It is another grid's.
    OtherGrid { found: GridId },
    /// Epochs have reigned there that the table does not know: it is another table's, or an old
    /// one.
    HigherFences { partition: PartitionId, fence: Epoch, epoch: Epoch },
}

impl Says {
    #[cfg_attr(not(test), expect(dead_code, reason = "no operator asks yet but in tests"))]
    pub(crate) fn highest_fence(&self) -> Epoch {
        self.fences.values().copied().max().unwrap_or_default()
    }
}

/// Whether a grid may have a store. The table must be no older than what the store says: read from
/// the log after the store was asked.
pub(crate) fn judge(
    says: &Says,
    grid: GridId,
    table: &PartitionTable,
) -> Result<Opening, StoreRefused> {
    let opening = match says.grid {
        None => Opening::Free,
        Some(found) if found == grid => Opening::Own,
        Some(found) if table.adopts() == Some(found) => Opening::Adopted,
        Some(_) if is_broken(Breakage::OtherGridIgnored) => Opening::Own,
        Some(found) => return Err(StoreRefused::OtherGrid { found }),
    };
    if is_broken(Breakage::HigherFencesIgnored) {
        return Ok(opening);
    }
    for (partition, fence) in &says.fences {
        // Of a partition that the table does not have, any is too high.
        let row = table.row(*partition);
        let epoch = row.map(|row| row.epoch).unwrap_or_default();
        // The next epoch of an armed row may reign without the log's knowledge.
        let known = if row.is_some_and(|row| row.is_armed()) { epoch.next() } else { epoch };
        if *fence > known {
            let (partition, fence) = (*partition, *fence);
            return Err(StoreRefused::HigherFences { partition, fence, epoch });
        }
    }
    Ok(opening)
}

impl fmt::Debug for GridId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{:x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::{Command, Refusal};

    const OWN: GridId = GridId(1);
    const OTHER: GridId = GridId(2);
    const P: PartitionId = PartitionId(0);

    fn says(grid: Option<GridId>, fence: u64) -> Says {
        Says { grid, fences: BTreeMap::from([(P, Epoch(fence))]) }
    }

    #[test]
    fn a_store_is_free_or_own_or_refused() {
        let table = PartitionTable::new(1, 2);
        assert_eq!(judge(&says(None, 0), OWN, &table), Ok(Opening::Free));
        assert_eq!(judge(&says(Some(OWN), 0), OWN, &table), Ok(Opening::Own));
        let refused = StoreRefused::OtherGrid { found: OTHER };
        assert_eq!(judge(&says(Some(OTHER), 0), OWN, &table), Err(refused));
        let (fence, epoch) = (Epoch(3), Epoch(0));
        let refused = Err(StoreRefused::HigherFences { partition: P, fence, epoch });
        assert_eq!(judge(&says(Some(OWN), 3), OWN, &table), refused);
        assert_eq!(judge(&says(None, 3), OWN, &table), refused);
    }

    #[test]
    fn a_store_is_adopted_by_its_id_and_below_the_rows() {
        let mut table = PartitionTable::new(1, 2);
        let adopt = |highest| Command::AdoptStore { store: OTHER, highest: Epoch(highest) };
        assert_eq!(table.apply(&[adopt(3)]).refused, []);
        assert_eq!(judge(&says(Some(OTHER), 3), OWN, &table), Ok(Opening::Adopted));
        let refused = StoreRefused::OtherGrid { found: GridId(7) };
        assert_eq!(judge(&says(Some(GridId(7)), 3), OWN, &table), Err(refused));
        assert_eq!(table.apply(&[adopt(3)]).refused, [(0, Refusal::AlreadySo)]);
        // The old grid has gone on meanwhile.
        assert!(judge(&says(Some(OTHER), 5), OWN, &table).is_err());
        assert_eq!(table.apply(&[adopt(5)]).refused, []);
        assert_eq!(judge(&says(Some(OTHER), 5), OWN, &table), Ok(Opening::Adopted));
        assert_eq!(table.row(P).map(|row| row.epoch), Some(Epoch(6)));
    }
}
