//! Mistakes that can be made on purpose, one at a time, to show that the simulator finds them.
//!
//! Only where the simulator is built. Elsewhere [`is_broken`](crate::engine::breakage::is_broken)
//! is no code at all.

use std::cell::Cell;

/// A rule of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    /// A store of another grid is taken for one's own.
    OtherGridIgnored,
    /// A store is taken though epochs have reigned there that the table does not know.
    HigherFencesIgnored,
    /// A grid that takes a store over begins with its own first epoch.
    AdoptedBelowFences,
    /// It does not read what is there.
    AdoptedUnread,
    /// What the primary holds counts as committed.
    AckBeforeBackups,
    /// A backup takes records of an epoch that is over.
    NoFence,
    /// A process that was restarted takes itself for the one that it was.
    IdentityKept,
    /// A copy is taken into the in-sync set before it has everything.
    InSyncWithoutCatchUp,
    /// A commit does not wait for whom a proposal would add.
    PendingIgnored,
    /// A commit does not wait for whom a proposal would remove.
    DroppedBeforeCommit,
    /// Anybody may become primary.
    PromotedOutOfSync,
    /// A change of a row applies whatever has happened to the row.
    NoRowVersion,
    /// A backup acks what it was sent before it has cut what is not the primary's.
    AckedWithoutJoin,
    /// A promotion leaves no other candidates.
    NoCandidates,
    /// A new primary activates while an old one may still answer.
    LeaseNotWaited,
    /// An answer is given without asking whether it may be.
    LeaseNotChecked,
    /// A copy that was sent whole counts as having everything.
    SnapshotWithoutTail,
    /// Answers do not wait for the commit.
    AnsweredBeforeCommit,
    /// Reads do not.
    ReadBeforeCommit,
    /// Who is removed from the in-sync set, or not taken into it, is forgotten at once.
    RemovedAtOnce,
    /// Recorded answers are with the primary only.
    AnswersNotReplicated,
    /// Open sessions are with the primary only.
    SessionsNotReplicated,
    /// What a session will never ask for again is known to the primary only.
    FloorsNotReplicated,
    /// A retry hears its recorded answer before that is committed.
    RecordedBeforeCommit,
    /// A lease counts though its giver knew another row.
    LeaseOfOlderTable,
    /// A promotion takes the epoch that an armed row has given away.
    ArmedEpochReused,
    /// A copy takes another in place of its own, though it holds more.
    OldSnapshotTaken,
    /// What changes behind the cursor of a snapshot is not sent.
    ChunksWithoutTail,
    /// A part of a snapshot is taken though one before it is missing.
    ChunkMissing,
    /// A copy takes a part of a snapshot for the whole.
    PartTakenForWhole,
    /// What a snapshot does not name stays.
    UnnamedKept,
    /// A log forgets what a copy needs that is brought up to date.
    TailNotKept,
    /// A copy is taken in without what its primary has found at its beginning.
    InheritedIgnored,
    /// A primary answers whoever the table names, as far as it is known here.
    RowNotAsked,
    /// A lease counts from when it was heard of, and not from when it was asked for.
    LeaseFromAnswer,
    /// A promotion begins no epoch of its own.
    EpochKept,
    /// Who has no duties counts as proven dead.
    DownTakenForDead,
    /// A new primary begins with what it knows to be committed.
    UnfoldedIgnored,
    /// A primary goes on with what it saw in an earlier reign.
    LiveKept,
    /// Answers of a reign that is over are given in the next.
    HeldOutlivesReign,
    /// A retry runs once more.
    RetryRuns,
    /// A message leaves before the change that it is part of is committed.
    MessagesLeaveEarly,
    /// A message is forgotten once it is applied, though that is not committed.
    SenderForgetsAtApplied,
    /// Which messages were applied is known to the primary only.
    AppliedNotReplicated,
    /// A read that rests on no clock does not ask anybody either.
    ConfirmedUnasked,
    /// What is committed counts as stored.
    WatermarkTooHigh,
    /// A new primary leaves it to the store what earlier ones have not stored.
    PendingForgotten,
    /// What is not committed goes to the store.
    StoredBeforeCommit,
    /// An answer that is to be stored first is given without that.
    AnsweredBeforeStored,
    /// What was found after a loss of all memory is not sent to who has nothing.
    FoundNotSent,
    /// All that was found after a loss of all memory counts as all that there was.
    GapUnderstated,
    /// With too few copies, an answer is given before what it depends on is stored.
    ShortNotStored,
    /// With too few copies, an answer is given that is to wait for more.
    ShortAnswered,
    /// What a store of a node's own holds is taken for all up to its newest version.
    StoreTakenForPrefix,
    /// A store of a node's own keeps what another past has left there.
    StoreNotEqualised,
    /// A shared store is read while others may still write.
    FenceNotRaised,
    /// A partition is put together before all have said what they have stored of it.
    StoresNotAwaited,
    /// A primary that has put a partition together forgets whose stores it took that from, before
    /// it is in its own.
    SettledUnstored,
    /// A partition is put together only when every node that is up has said what it has.
    EverybodyAwaited,
    /// A copy whose store takes nothing any more counts on.
    DeadStoreKept,
    /// What was read from a store for an earlier reign counts in this one.
    OldLoadInstalled,
    /// A primary whose own store takes nothing any more goes on.
    OwnStoreTrusted,
    /// A node that is the primary, and no holder yet, is brought up to date besides.
    TwoCopiesOnOneNode,
    /// An entity leaves memory though the store does not have it as it is.
    DirtyEvicted,
    /// What was read from the store for an earlier question counts for this one.
    LateLoadInstalled,
    /// That nothing is there is said to be so since what is known of it.
    AbsenceDated,
    /// What is still to be removed from a store is read there.
    ForgottenLoaded,
    /// Of its memory a copy says only what is in it at the moment, and not what has left it for its
    /// own store.
    EvictedNotRecalled,
    /// A store takes a batch that comes after a later one.
    LateBatchWritten,
    /// What a store refuses counts as stored before its dead letter is.
    ParkedUnstored,
    /// Who loads an entity from a store gets its row, though a dead letter is newer.
    LettersNotLoaded,
    /// So does who puts a partition together, or reads it from a store of its own.
    LettersNotFound,
    /// So does who is sent a whole copy.
    LettersNotCopied,
    /// A dead letter stays though a newer row is there.
    LetterKept,
    /// A write counts as stored though the store has kept something newer.
    SupersededCountsAsStored,
    /// What another has written is taken in place of what was written since, if it was taken once.
    DecisionForgotten,
    /// What another has written is taken in, when it is loaded, without a record.
    FoundUnrecorded,
    /// What is left of removed entities is dropped before all stores know that they are removed.
    TombstonesDroppedEarly,
    /// It is dropped though somebody is brought up to date, or would be asked, who may not know.
    TombstonesDroppedForAll,
    /// Entities expire by each primary's own time, without a record: so in a hand-over by two.
    ExpiredWithoutRecord,
    /// Each reign begins a partition's time anew.
    PartitionTimeRestarts,
    /// Reminders are with the primary only.
    RemindersNotReplicated,
    /// Only the partition's own number tells which messages were applied.
    EntityNumbersIgnored,
    /// A voter that has lost its log takes itself for the one that it was.
    VoterForgot,
    /// While it is changed who votes, those who did are not asked any more.
    OldVotersIgnored,
    /// A voter that is down keeps its place for ever.
    GoneVoterKept,
    /// Two nodes may have one name.
    NameShared,
    /// A process joins with a generation that its directory has had.
    GenerationReused,
    /// A primary that stood still takes the others' silence for theirs.
    StandstillIgnored,
    /// A lease counts though its giver knows a newer table.
    LeaseOfNewerTable,
    /// Of those that were removed, one is chosen though another may live that holds more.
    LeavingNotAwaited,
    /// News of the table are taken in though some before them were lost.
    GapIgnored,
    /// The leader believes itself and nobody else.
    LeaderAloneJudges,
    /// Who hears nobody is believed.
    DeafHeeded,
    /// That a member has something to tell the leader, which does not hear it, is no reason.
    LogNotNeeded,
    /// A primary is obeyed that wants to be rid of its last backup, which nobody else accuses.
    StarvedObeyed,
    /// Who gives a lease counts it as if all clocks ran alike.
    MarginIgnored,
    /// An answer counts though an earlier life of this node has asked.
    EarlierLifeAnswered,
    /// A process takes its generation from the clock alone.
    ClockBelieved,
    /// A backup that lacks something is promoted in place of being removed.
    LaggardPromoted,
    /// Of an asynchronous type anything is answered, however much of it is not committed.
    AsyncLagUnbounded,
    /// It is answered whether or not somebody else may be the primary.
    AsyncWithoutLease,
    /// What it has changed goes to the store before it is committed.
    AsyncStoredEarly,
    /// What a copy has answered and must cut is forgotten.
    HandInForgotten,
    /// What is handed in twice is settled twice.
    HandInTwice,
}

impl Breakage {
    /// Those that seeds look for. Scripts look for the others, too.
    pub(crate) const ALL: &[Breakage] = &[
        Breakage::AckBeforeBackups,
        Breakage::NoFence,
        Breakage::IdentityKept,
        Breakage::InSyncWithoutCatchUp,
        Breakage::PendingIgnored,
        Breakage::DroppedBeforeCommit,
        Breakage::PromotedOutOfSync,
        Breakage::NoRowVersion,
        Breakage::AckedWithoutJoin,
        Breakage::NoCandidates,
        Breakage::LeaseNotWaited,
        Breakage::LeaseNotChecked,
        Breakage::SnapshotWithoutTail,
        Breakage::AnsweredBeforeCommit,
        Breakage::ReadBeforeCommit,
        Breakage::RemovedAtOnce,
        Breakage::AnswersNotReplicated,
        Breakage::SessionsNotReplicated,
        Breakage::FloorsNotReplicated,
        Breakage::RecordedBeforeCommit,
        Breakage::LeaseOfOlderTable,
        Breakage::ArmedEpochReused,
        Breakage::OldSnapshotTaken,
        Breakage::ChunksWithoutTail,
        Breakage::ChunkMissing,
        Breakage::PartTakenForWhole,
        Breakage::UnnamedKept,
        Breakage::RowNotAsked,
        Breakage::LeaseFromAnswer,
        Breakage::EpochKept,
        Breakage::DownTakenForDead,
        Breakage::UnfoldedIgnored,
        Breakage::LiveKept,
        Breakage::HeldOutlivesReign,
        Breakage::RetryRuns,
        Breakage::MessagesLeaveEarly,
        Breakage::SenderForgetsAtApplied,
        Breakage::AppliedNotReplicated,
        Breakage::ConfirmedUnasked,
        Breakage::WatermarkTooHigh,
        Breakage::PendingForgotten,
        Breakage::StoredBeforeCommit,
        Breakage::AnsweredBeforeStored,
        Breakage::ShortNotStored,
        Breakage::GapUnderstated,
        Breakage::FoundNotSent,
        Breakage::StoreTakenForPrefix,
        Breakage::StoreNotEqualised,
        Breakage::EntityNumbersIgnored,
        Breakage::DirtyEvicted,
        Breakage::LateLoadInstalled,
        Breakage::LateBatchWritten,
        Breakage::ParkedUnstored,
        Breakage::LettersNotLoaded,
        Breakage::LettersNotFound,
        Breakage::LetterKept,
        Breakage::SupersededCountsAsStored,
        Breakage::DecisionForgotten,
        Breakage::TombstonesDroppedEarly,
        Breakage::ExpiredWithoutRecord,
        Breakage::PartitionTimeRestarts,
        Breakage::RemindersNotReplicated,
        Breakage::TwoCopiesOnOneNode,
        Breakage::MarginIgnored,
        Breakage::VoterForgot,
        Breakage::OldVotersIgnored,
        Breakage::AsyncLagUnbounded,
        Breakage::AsyncWithoutLease,
        Breakage::AsyncStoredEarly,
        Breakage::HandInForgotten,
        Breakage::HandInTwice,
    ];
}

thread_local! {
    static BROKEN: Cell<Option<Breakage>> = const { Cell::new(None) };
}

/// Runs `work` with a rule left out, on this thread.
pub(crate) fn with<T>(broken: Option<Breakage>, work: impl FnOnce() -> T) -> T {
    BROKEN.set(broken);
    let result = work();
    BROKEN.set(None);
    result
}

/// Whether this rule is left out now.
pub(crate) fn is_broken(breakage: Breakage) -> bool {
    BROKEN.get() == Some(breakage)
}
