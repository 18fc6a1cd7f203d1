//! Judges recorded histories: linearizability.
