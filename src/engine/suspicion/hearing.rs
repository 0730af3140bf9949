//! Whom one node hears, and what others say that they do not hear.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Patience, may_live, members};
use crate::engine::instant::Instant;
use crate::engine::table::{Member, Members, PartitionTable};

/// Whom one node hears.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    pub(super) me: Member,
    pub(super) patience: Patience,
    others: BTreeMap<Member, Signs>,
    stood_still_at: Option<Instant>,
}

/// Of another node's life.
#[derive(Clone, Copy, Debug)]
struct Signs {
    /// When the newest beat was sent that was answered: it lived then.
    lived_at: Instant,
    broken_at: Option<Instant>,
    doubted_at: Option<Instant>,
}

/// What a node says of the others. Of those it hears, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Whom it suspects.
    pub suspects: Members,
    /// Of whom it has heard nothing for half the time after which it would suspect them.
    pub quiet: Members,
}

/// What others have told the leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    by: BTreeMap<Member, (Instant, Word)>,
}

impl Hearing {
    pub(crate) fn new(me: Member, patience: Patience) -> Hearing {
        Hearing { me, patience, others: BTreeMap::new(), stood_still_at: None }
    }

    /// The table is this now: whom it names is listened to from now on.
    pub(crate) fn learn(&mut self, table: &PartitionTable, now: Instant) {
        self.others.retain(|member, _| may_live(table, *member));
        let others = members(table).filter(|member| *member != self.me);
        for member in others.filter(|member| may_live(table, *member)) {
            self.others.entry(member).or_insert(Signs::begin(now));
        }
    }

    /// A beat that was sent at `asked_at` was answered. An answer that was on its way for long is
    /// worth as much less.
    pub(crate) fn answered(&mut self, from: Member, asked_at: Instant) {
        let Some(signs) = self.others.get_mut(&from) else { return };
        let is_later = |since: &Instant| *since > asked_at;
        signs.lived_at = signs.lived_at.max(asked_at);
        signs.broken_at = signs.broken_at.filter(is_later);
        signs.doubted_at = signs.doubted_at.filter(is_later);
    }

    /// A connection to it was refused or reset.
    pub(crate) fn broke(&mut self, to: Member, now: Instant) {
        if let Some(signs) = self.others.get_mut(&to) {
            signs.broken_at.get_or_insert(now);
        }
    }

    /// Gossip says that it is dead. (That it lives is no news.)
    #[cfg_attr(not(test), expect(dead_code, reason = "there is no gossip yet"))]
    pub(crate) fn doubt(&mut self, member: Member, now: Instant) {
        if !self.has_stood_still(now)
            && let Some(signs) = self.others.get_mut(&member)
        {
            signs.doubted_at = Some(now);
        }
    }

    /// This node stood still: it knows nothing of the others.
    pub(crate) fn stood_still(&mut self, now: Instant) {
        self.stood_still_at = Some(now);
        for signs in self.others.values_mut() {
            *signs = Signs::begin(now);
        }
    }

    /// Whether it stood still so lately that nothing follows from what it has not heard.
    pub(super) fn has_stood_still(&self, now: Instant) -> bool {
        let since = self.stood_still_at;
        since.is_some_and(|at| now.saturating_since(at) < self.patience.suspect_after)
    }

    /// What it has to say now.
    pub(crate) fn word(&self, now: Instant) -> Word {
        let others = || self.others.keys().copied();
        let is_quiet = |member: &Member| {
            self.silence(*member, now) * 2 >= self.patience.suspect_after
                || self.is_suspected(*member, now)
        };
        Word {
            suspects: others().filter(|member| self.is_suspected(*member, now)).collect(),
            quiet: others().filter(is_quiet).collect(),
        }
    }

    pub(super) fn is_suspected(&self, member: Member, now: Instant) -> bool {
        let Some(signs) = self.others.get(&member) else { return false };
        let lasts = |since: Instant, most: Duration| now.saturating_since(since) >= most;
        signs.doubted_at.is_some()
            || lasts(signs.lived_at, self.patience.suspect_after)
            || signs.broken_at.is_some_and(|since| lasts(since, self.patience.grace))
    }

    /// For how long it has been silent.
    pub(super) fn silence(&self, member: Member, now: Instant) -> Duration {
        let signs = self.others.get(&member);
        signs.map_or(Duration::ZERO, |signs| now.saturating_since(signs.lived_at))
    }
}

impl Signs {
    fn begin(now: Instant) -> Signs {
        Signs { lived_at: now, broken_at: None, doubted_at: None }
    }
}

impl Words {
    /// A member has answered the leader's beat of `asked_at`, and said this.
    pub(crate) fn heard(&mut self, from: Member, asked_at: Instant, word: Word) {
        if self.by.get(&from).is_none_or(|(last, _)| *last < asked_at) {
            self.by.insert(from, (asked_at, word));
        }
    }

    /// What it has said last, if anything yet.
    pub(super) fn of(&self, member: Member) -> Option<&Word> {
        self.by.get(&member).map(|(_, word)| word)
    }

    /// The table is this now. Who is no longer in it says nothing.
    pub(crate) fn learn(&mut self, table: &PartitionTable) {
        self.by.retain(|member, _| table.status(*member).is_some());
    }

    /// All that was said is forgotten.
    pub(crate) fn forget(&mut self) {
        self.by.clear();
    }
}
