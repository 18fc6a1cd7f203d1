//! The rules that rumor mongering rests on, by name.

synod_engine::rules! {
    /// What would break without them. Each is cited where it is applied.
    pub trait Rules {
        /// A rumor that a node lost interest in is remembered, so that it is not news again: without
        /// it an epidemic never ends (section 1.4, "removed").
        fn cold_is_remembered;
        /// A message carries no more rumors than fit in a packet.
        fn packets_are_bounded;
        /// A node that has no room forgets a cold rumor, or takes up no other.
        fn memory_is_bounded;
    }
}
