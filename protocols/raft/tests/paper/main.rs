//! The binding sentences of the Raft paper, and of the contract between an engine and its driver,
//! each as a test that is named by what it demands.
//!
//! [`driver`] runs one node by hand and [`cluster`] several; the other modules go by concept and say
//! which sections they stand for. "§" and "figure" are of the paper's extended version, "thesis" is
//! Ongaro's.

mod catch_up;
mod chaos;
mod cluster;
mod commitment;
mod contract;
mod driver;
mod elections;
mod follower_reads;
mod forwarding;
mod hibernation;
mod hostile;
mod invariants;
mod leases;
mod loss;
mod membership;
mod old_log;
mod properties;
mod proposals;
mod reads;
mod recovery;
mod replication;
mod rules;
mod snapshots;
mod transfer;
