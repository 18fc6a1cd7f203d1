//! The rules that the safety of Paxos rests on, by name.

synod_engine::rules! {
    /// What Paxos would break without. Each is cited where it is applied.
    pub trait Rules {
        /// A ballot is durably used before anybody hears of it, so a restarted proposer takes a
        /// higher one (§2.5).
        fn ballot_is_durable;
        /// No two proposers use the same ballot (§2.5).
        fn one_ballot_per_proposer;
        /// A promise is durable before it is told (§2.5).
        fn promise_is_durable;
        /// An acceptance is durable before it is told (§2.5).
        fn accept_is_durable;
        /// That a majority acknowledged a proposal is durable before the learner that counted tells
        /// anybody (§2.3).
        fn acknowledgement_is_durable;
        /// An outcome that was heard is durable before it is told on.
        fn commit_is_durable;
        /// An acceptor accepts nothing below the ballot that it has promised (§2.2, P1a).
        fn promises_are_kept;
        /// A proposer asks for a value only when a majority of the acceptors has promised (§2.2, P2c).
        fn majority_of_promises;
        /// Only promises of the proposer's present ballot count for it (§2.2).
        fn promises_match_ballot;
        /// A proposer that hears of accepted proposals proposes one of their values (§2.2, P2c).
        fn adopt_accepted;
        /// ... the one accepted in the highest ballot (§2.2, P2c).
        fn adopt_highest_accepted;
        /// A value is chosen when a majority of the acceptors has accepted it (§2.2).
        fn majority_of_acceptances;
        /// ... all in the same ballot (§2.2).
        fn acceptances_match_ballot;
    }
}
