//! The rules of the election, by name.

synod_engine::rules! {
    /// What the election would be worthless without. What it elects is a suggestion that the protocol
    /// around it checks, so most of these are about electing the right one, and anyone at all, in the
    /// end. Each is cited where it is applied.
    pub trait Rules {
        /// Votes are compared by epoch and zxid, and by id only where these are equal.
        fn standing_before_id;
        /// Only voters are heard and elected; and whoever stands higher than the hearer, since voters may
        /// have been added that it does not know yet. Only voters are counted.
        fn voters_only;
        /// A leader is elected when a quorum has voted alike.
        fn quorum_of_votes;
        /// Votes of a lower round are not counted and convince nobody.
        fn votes_match_round;
        /// A voter that hears of a higher round begins it anew: with the better of that vote and its
        /// own standing, not with what convinced it before.
        fn higher_round_restarts;
        /// A voter that hears of a lower round tells its own, so that the laggard catches up.
        fn lower_round_is_answered;
        /// A quorum waits for a better vote before it elects.
        fn finalize_wait;
        /// A better vote opens the poll again.
        fn better_vote_reopens;
        /// A node that does not look tells those who look whom it follows.
        fn settled_answers;
        /// A node joins a sitting leader only if a quorum follows it.
        fn quorum_follows;
        /// A node joins a sitting leader only if that one says itself that it leads: its followers may
        /// not know yet that it is dead.
        fn leader_confirms;
    }
}
