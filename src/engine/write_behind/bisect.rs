//! Entities whose batch failed, in the groups in which they are tried again.
//!
//! After a transient failure that is the batch as it was. After a refusal without a culprit it is
//! its two halves, one after the other: so a refused record is alone after as many steps as the
//! batch can be halved, and everything that was refused only for its company is stored on the way.

use crate::engine::id::EntityId;

/// Groups to be tried again, the next one last.
#[derive(Debug, Default)]
pub(super) struct Again {
    groups: Vec<Vec<EntityId>>,
}

impl Again {
    /// The whole group is next.
    pub(super) fn push(&mut self, group: Vec<EntityId>) {
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    /// The first half of the group is next, then the second.
    pub(super) fn push_halves(&mut self, mut group: Vec<EntityId>) {
        let second = group.split_off(group.len() / 2);
        self.push(second);
        self.push(group);
    }

    /// Takes the next group.
    pub(super) fn pop(&mut self) -> Option<Vec<EntityId>> {
        self.groups.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// All entities that are in a group.
    pub(super) fn entities(&self) -> impl Iterator<Item = EntityId> {
        self.groups.iter().flatten().copied()
    }
}
