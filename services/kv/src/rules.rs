//! What exactly-once rests on, by name: see [`synod_engine::rules!`].

synod_engine::rules! {
    /// The rules of the store. Each is cited where it is kept.
    pub trait Rules {
        /// A command whose answer is kept is answered with it and not applied again. Without it,
        /// every retry takes effect once more.
        fn duplicates_are_answered_from_the_table;
        /// A command is a duplicate only by its own number. Without it, the latest answer stands for
        /// all numbers below, and a command that was overtaken is acknowledged but never applied.
        fn each_number_has_its_own_answer;
        /// A command of a session that is not open changes nothing. Without it, the retry of a
        /// command whose session has expired is applied a second time.
        fn expired_sessions_are_refused;
        /// The table of sessions is part of a snapshot. Without it, a node that was restored refuses
        /// what the others apply.
        fn sessions_in_snapshot;
    }
}
