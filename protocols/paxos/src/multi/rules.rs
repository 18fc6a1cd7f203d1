//! The rules that Multi-Paxos's safety rests on, by name.

synod_engine::rules! {
    /// What Multi-Paxos would break without. Each is cited where it is applied. Sections are of *Paxos
    /// Made Simple*.
    pub trait Rules {
        /// A proposer has durably promised its own ballot before it proposes in it, so a restarted one takes
        /// a higher one (§2.5).
        fn ballot_is_unique_across_restarts;
        /// A promise is durable before it is told (§2.5).
        fn promise_is_durable;
        /// An acceptance is durable before it is told, and before the leader counts its own (§2.5).
        fn accept_is_durable;
        /// An acceptor promises and accepts nothing below the ballot that it has promised (§2.2, P1a).
        fn promises_are_kept;
        /// A node leads once a majority has promised its ballot and told what it accepted (§2.2, P2c).
        fn majority_promises;
        /// Only promises and acceptances of the own ballot count (§2.2).
        fn own_ballot_only;
        /// Of the values that were accepted for an instance a new leader proposes the one of the highest
        /// ballot (§2.2, P2c).
        fn highest_accepted_is_adopted;
        /// An instance for which nobody accepted anything, before one for which somebody did, gets a no-op
        /// (§3): its place in the log is not given to another value.
        fn gaps_are_noops;
        /// A value is chosen when a majority has accepted it (§2.2).
        fn majority_accepts;
        /// A follower takes what its leader says is chosen to be so only where it accepted the value in that
        /// leader's own ballot (§2.3).
        fn chosen_in_own_ballot_only;
        /// A change of members is proposed only behind what is chosen, so it follows upon the members that it
        /// was made from (§3).
        fn change_follows_chosen;
        /// Behind an entry that changes the members nothing is proposed until that is chosen (§3).
        fn window_closes_for_change;
        /// ... and until a majority of the new members follows the leader and knows durably that it, and
        /// everything before it, is chosen.
        fn new_majority_holds_prefix;
        /// A leader that was told of values behind a change which it did not know to be chosen asks the new
        /// members for them, in a higher ballot, before it proposes there.
        fn values_behind_change_are_asked_for_again;
        /// Members change one step at a time: the last change is over before the next.
        fn one_change_at_a_time;
        /// While a joint change is under way both majorities decide.
        fn both_majorities;
        /// A read waits for a majority that confirms the leader's ballot after it was asked.
        fn read_is_confirmed;
        /// A new leader serves no read before all that it adopted is chosen.
        fn read_after_adopted_is_chosen;
        /// A leader's answer counts only for reads that were asked before the question.
        fn read_answer_is_fresh;
        /// Whoever promised to promise no other ballot for a while does not, whatever happens to its link
        /// or leader.
        fn lease_is_kept;
        /// A node that starts again keeps the leases that it cannot remember.
        fn lease_outlives_restart;
        /// A lease counts from when the round was sent, not from when it was answered.
        fn lease_counts_from_send;
        /// A lease ends before the promises do, whatever clocks do within their bound.
        fn lease_allows_for_drift;
        /// A leader that wishes for a successor holds no lease any more.
        fn handover_ends_lease;
        /// A leader proposes what a follower forwards once, however often it arrives.
        fn forwarded_once;
    }
}
