//! Indeterminate operations of one object that may still come to light.

use std::collections::{BTreeMap, BTreeSet};

/// Operations that may have taken effect by now and explain nothing yet, by their marks.
pub(crate) struct Pool<'h, I> {
    by_mark: BTreeMap<u64, Vec<&'h I>>,
    /// Marks of everything that was ever put in.
    known: BTreeSet<u64>,
    len: usize,
}

impl<I> Default for Pool<'_, I> {
    fn default() -> Self {
        Pool { by_mark: BTreeMap::new(), known: BTreeSet::new(), len: 0 }
    }
}

impl<'h, I: Ord> Pool<'h, I> {
    /// From here on `input`, recognised by `mark`, may have taken effect.
    pub(super) fn put(&mut self, mark: u64, input: &'h I) {
        self.by_mark.entry(mark).or_default().push(input);
        self.known.insert(mark);
        self.len += 1;
    }

    /// Takes out an operation of this mark.
    pub(super) fn take(&mut self, mark: u64) -> Option<&'h I> {
        let last = self.of(mark).last().copied()?;
        self.take_exactly(mark, last);
        Some(last)
    }

    /// Takes out an operation of any mark.
    pub(super) fn take_any(&mut self) -> Option<(u64, &'h I)> {
        let mark = *self.by_mark.first_key_value()?.0;
        self.take(mark).map(|input| (mark, input))
    }

    /// Takes out an operation that is equal to `input`, if there is one.
    pub(super) fn take_exactly(&mut self, mark: u64, input: &I) {
        let Some(inputs) = self.by_mark.get_mut(&mark) else { return };
        let Some(at) = inputs.iter().rposition(|other| *other == input) else { return };
        inputs.swap_remove(at);
        self.len -= 1;
        if inputs.is_empty() {
            self.by_mark.remove(&mark);
        }
    }

    /// Operations of this mark.
    pub(super) fn of(&self, mark: u64) -> &[&'h I] {
        self.by_mark.get(&mark).map_or(&[], Vec::as_slice)
    }

    /// Each mark, and how many operations have it.
    pub(super) fn marks(&self) -> impl DoubleEndedIterator<Item = (u64, usize)> {
        self.by_mark.iter().map(|(mark, inputs)| (*mark, inputs.len()))
    }

    /// Each operation with its mark.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &'h I)> {
        self.by_mark.iter().flat_map(|(mark, inputs)| inputs.iter().map(|input| (*mark, *input)))
    }

    /// Whether an operation of this mark was ever put in, taken out since or not.
    pub(super) fn knew(&self, mark: u64) -> bool {
        self.known.contains(&mark)
    }

    /// Whether nothing was ever put in.
    pub(super) fn is_new(&self) -> bool {
        self.known.is_empty()
    }

    /// How many operations are in.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
