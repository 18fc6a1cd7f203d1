//! Raft as a pure engine.
