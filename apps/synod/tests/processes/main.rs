//! The binary as people run it: real processes, sockets, disks and signals.
//!
//! [`cluster`] starts nodes and takes them down, [`synod::network`] is between them, [`history`]
//! drives them and judges what they answered; the others tell stories.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod churn;
mod cluster;
mod command_line;
mod crashes;
mod engines;
mod history;
mod members;
mod modes;
mod partitions;
mod paxos;
mod recover;
mod repair;
mod serving;
mod torture;
mod up;
mod upgrade;
mod watches;
