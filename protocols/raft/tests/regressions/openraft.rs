//! databendlabs/openraft.

mod replication;
mod snapshots;
