//! The rules that ZAB's safety rests on, by name.

synod_engine::rules! {
    /// What ZAB would break without. Each is cited where it is applied; sections are of the paper, the
    /// names in capitals those of the published specifications.
    pub trait Rules {
        /// An epoch that a node accepts is durable before it says so (§IV.A, step f.1.1).
        fn accepted_epoch_is_durable;
        /// A node accepts an epoch of one leader: its answer to a second one of the same epoch counts
        /// for nothing (`LeaderProcessACKEPOCH`, an epoch of -1).
        fn epoch_is_new;
        /// Who leads has a history at least as new as everyone in the quorum that accepted its epoch
        /// (`LeaderProcessACKEPOCH`; §IV.A, step l.1.2).
        fn history_newest_leads;
        /// What comes from a leader of an earlier epoch than was accepted counts for nothing (§IV.A, step
        /// f.1.1; `FollowerProcessNEWLEADER`).
        fn earlier_leaders_are_left;
        /// A follower's history is cut where it departs from its leader's, before anything is put behind
        /// (`FollowerProcessSyncMessage`, TRUNC).
        fn trunc_before_diff;
        /// A follower takes entries only behind ones that it shares with its leader: no hole, in the
        /// synchronisation or later (`IsNextZxid`).
        fn sync_never_skips;
        /// The current epoch is written behind the history that it vouches for (§IV.B, step f.2.1: both at
        /// once).
        fn current_epoch_after_history;
        /// NEWLEADER is acknowledged once the synchronised history and the current epoch are durable
        /// (§IV.B, step f.2.1).
        fn newleader_ack_after_sync_durable;
        /// What a follower acknowledges before NEWLEADER counts for no commit: its history is not yet one
        /// of this epoch (`LeaderProcessACKLD`).
        fn proposals_before_newleader_wait;
        /// A proposal is durable before it is acknowledged, by followers and by the leader itself (§IV.C,
        /// step f.3.2).
        fn proposals_are_durable;
        /// The leader commits what a quorum has acknowledged (§IV.C, step l.3.2).
        fn commit_after_quorum;
        /// A follower delivers up to a commit only what it shares with the leader (`FollowerProcessCOMMIT`:
        /// the next one, of the same zxid).
        fn commit_in_order;
        /// A read waits for a quorum that confirms the leader after it was asked.
        fn read_is_confirmed;
        /// A leader's answer counts only for reads that were asked before the question.
        fn read_answer_is_fresh;
        /// A leader changes no members before a quorum has taken over its history.
        fn established_before_change;
        /// Members change one step at a time: the last change is committed, and a joint one over, before
        /// the next.
        fn one_change_at_a_time;
        /// While a joint change is under way both majorities decide.
        fn both_majorities;
        /// A leader appends what a follower forwards once, however often it arrives.
        fn forwarded_once;
    }
}
