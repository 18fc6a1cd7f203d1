//! Paxos as a pure engine.
