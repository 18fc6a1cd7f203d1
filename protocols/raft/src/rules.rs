//! The rules that Raft's safety rests on, by name.

synod_engine::rules! {
    /// What Raft would break without. Each is cited where it is applied.
    pub trait Rules {
        /// A vote, and the term it is cast in, is durable before it is told (§5.2, figure 2).
        fn vote_is_durable;
        /// A node grants one vote per term (§5.2).
        fn one_vote_per_term;
        /// A vote goes only to a candidate whose log is at least as up to date (§5.4.1).
        fn vote_for_up_to_date_log;
        /// Entries are durable before they are acknowledged, by followers and by the leader itself
        /// (§5.3, figure 2).
        fn entries_are_durable;
        /// A follower takes entries only after ones that it shares with the leader (§5.3).
        fn consistency_check;
        /// An entry is committed by counting only if it is of the leader's own term (§5.4.2).
        fn own_term_commit;
        /// Replies of an earlier term count for nothing (§5.1).
        fn replies_are_of_this_term;
        /// A read waits for a majority that confirms the leader after it was asked (§8; thesis §6.4).
        fn read_is_confirmed;
        /// A new leader serves no read before an entry of its own term is committed (§8).
        fn read_after_own_commit;
        /// A leader's answer counts only for reads that were asked before the question (thesis §6.4).
        fn read_answer_is_fresh;
        /// Whoever promised to vote for nobody does not, whatever happens to its link or term (thesis
        /// §6.4.1).
        fn promise_is_kept;
        /// A node that starts again keeps the promises that it cannot remember (thesis §6.4.1).
        fn promise_outlives_restart;
        /// A lease counts from when the round was sent, not from when it was answered (thesis §6.4.1).
        fn lease_counts_from_send;
        /// A lease ends before the promises do, whatever clocks do within their bound (thesis §6.4.1).
        fn lease_allows_for_drift;
        /// A leader that wishes for a successor holds no lease any more (thesis §6.4.1).
        fn handover_ends_lease;
        /// A new leader changes no members before an entry of its own term is committed (thesis §4.1,
        /// as corrected in 2015).
        fn noop_before_change;
        /// Members change one step at a time: the last change is committed, and a joint one over, before
        /// the next (§6; thesis §4.1).
        fn one_change_at_a_time;
        /// A node without a leader takes entries of another only if that log is more up to date than its
        /// own.
        fn catch_up_on_better_log_only;
        /// A node without a leader that cuts entries enters a new term first: the leader of the last one
        /// may live on, and believe that they agree.
        fn new_term_before_cut;
        /// A leader appends what a follower forwards once, however often it arrives (decision 0007).
        fn forwarded_once;
        /// While a joint change is under way both majorities decide (§6).
        fn both_majorities;
    }
}
