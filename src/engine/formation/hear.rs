//! What a node makes of what others say about formations, and what it answers.

use std::collections::BTreeSet;

use super::{Bootstrap, Effect, Formation, GridId, Kept, Message, Proposal, Refusal};
use crate::engine::id::NodeId;
use crate::engine::table::DirectoryId;

impl Formation {
    pub(super) fn heard(&mut self, from: DirectoryId, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::Propose(proposal) => {
                if proposal.by == from {
                    self.proposed(proposal, effects);
                }
            }
            Message::Accepted(grid) => {
                if self.is_asked(from, grid) {
                    self.accepted.insert(from);
                }
            }
            Message::Refused(grid, why) => self.refused(from, grid, why, effects),
            Message::Ask { grid, by } => self.asked(from, grid, by, effects),
            Message::Formed(grid) => {
                let is_own = self.kept.bound.as_ref().is_some_and(|bound| bound.grid == grid);
                if is_own && self.kept.grid.is_none() {
                    self.write(|kept| kept.grid = Some(grid), effects);
                }
            }
            Message::Withdrawn(grid) => {
                let is_meant = |bound: &Proposal| bound.grid == grid && bound.by == from;
                let is_bound = self.kept.bound.as_ref().is_some_and(is_meant);
                if is_bound && self.kept.grid.is_none() {
                    self.write(|kept| kept.bound = None, effects);
                }
            }
            Message::Enter { grid, shape } => {
                let message = match (self.kept.grid, self.terms.shape.fits(&shape)) {
                    (None, _) => return,
                    (Some(own), _) if own != grid => {
                        Message::Refused(grid, Refusal::ForeignGrid(own))
                    }
                    (_, Err(why)) => Message::Refused(grid, why),
                    (Some(own), Ok(())) => Message::Welcome(own),
                };
                effects.push(Effect::Send { to: from, message });
            }
            Message::Welcome(grid) => {
                let is_free = self.kept.bound.is_none() && self.kept.grid.is_none();
                // It asks only while it sees one grid, and no other.
                let mut seen = self.visible.values().filter_map(|peer| peer.grid);
                let is_seen = seen.clone().next().is_some() && seen.all(|seen| seen == grid);
                if is_free && is_seen && self.terms.bootstrap != Bootstrap::Single {
                    self.write(|kept| kept.grid = Some(grid), effects);
                }
            }
        }
    }

    /// Another wants it to be a member.
    fn proposed(&mut self, proposal: Proposal, effects: &mut Vec<Effect>) {
        let (to, grid) = (proposal.by, proposal.grid);
        let message = match (&self.kept.grid, &self.kept.bound) {
            (Some(own), _) if *own == grid => Message::Formed(grid),
            (Some(own), _) => Message::Refused(grid, Refusal::ForeignGrid(*own)),
            (None, Some(bound)) if bound.grid == grid => Message::Accepted(grid),
            (None, Some(bound)) => {
                let (bound_to, by) = (bound.grid, bound.by);
                Message::Refused(grid, Refusal::Bound { grid: bound_to, by })
            }
            (None, None) => match self.check(&proposal) {
                Err(why) => Message::Refused(grid, why),
                Ok(()) => {
                    self.write(|kept| kept.bound = Some(proposal), effects);
                    return; // it is said when it is written
                }
            },
        };
        effects.push(Effect::Send { to, message });
    }

    fn check(&self, proposal: &Proposal) -> Result<(), Refusal> {
        self.terms.shape.fits(&proposal.shape)?;
        let Proposal { members, .. } = proposal;
        let is_expected = match &self.terms.bootstrap {
            Bootstrap::Join => true,
            Bootstrap::Single => false,
            Bootstrap::Expect(count) => members.len() == *count,
            Bootstrap::Names(names) => {
                let named: BTreeSet<&NodeId> = members.values().collect();
                named.len() == members.len() && named.into_iter().eq(names)
            }
        };
        if !is_expected || members.get(&self.terms.directory) != Some(&self.terms.name) {
            return Err(Refusal::OtherMembers);
        }
        match self.visible.values().find_map(|peer| peer.grid) {
            Some(grid) => Err(Refusal::GridVisible(grid)),
            None => Ok(()),
        }
    }

    /// Somebody will not be a member of what it proposes, or will not have it in its grid.
    fn refused(
        &mut self,
        from: DirectoryId,
        grid: GridId,
        why: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        let own = self.is_asked(from, grid);
        let this = self.terms.directory;
        match why {
            Refusal::Bound { by, grid } if by == this => self.recall(from, grid, effects),
            // It gives way; or waits for the other to.
            Refusal::Bound { by, .. } if own && by < this => self.withdraw(effects),
            Refusal::Bound { .. } => (),
            why => {
                self.report(from, why, effects);
                if own {
                    self.withdraw(effects);
                }
            }
        }
    }

    /// One who has accepted a formation, or thinks of one that has, wants to know.
    fn asked(
        &mut self,
        from: DirectoryId,
        grid: GridId,
        by: DirectoryId,
        effects: &mut Vec<Effect>,
    ) {
        let message = match () {
            () if self.kept.grid == Some(grid) => Message::Formed(grid),
            () if self.kept.withdrawn.contains(&grid) => Message::Withdrawn(grid),
            () if by == self.terms.directory => return self.recall(from, grid, effects),
            () => return, // it does not know either
        };
        effects.push(Effect::Send { to: from, message });
    }

    /// Whether this is one of those whom it asks to be members of its grid.
    fn is_asked(&self, from: DirectoryId, grid: GridId) -> bool {
        let own = self.undecided().filter(|own| own.grid == grid);
        own.is_some_and(|own| own.members.contains_key(&from))
    }

    /// Others know of a proposal of its own. If itself does not, it is not what it was; or, where
    /// it is part of a grid, somebody else has had a copy of its directory.
    fn recall(&mut self, from: DirectoryId, grid: GridId, effects: &mut Vec<Effect>) {
        let Kept { bound, grid: own, withdrawn } = &self.kept;
        let is_bound = bound.as_ref().is_some_and(|bound| bound.grid == grid);
        if is_bound || *own == Some(grid) || withdrawn.contains(&grid) {
            return;
        }
        match own {
            None => self.stop(Refusal::Restored(grid), effects),
            Some(_) => self.report(from, Refusal::Restored(grid), effects),
        }
    }
}
