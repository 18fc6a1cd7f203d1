//! The client of a replicated key-value cluster.
