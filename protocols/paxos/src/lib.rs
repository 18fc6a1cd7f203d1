//! The Paxos family: agreement by ballots that a majority promises and accepts.
//!
//! | module | what its nodes agree on |
//! |---|---|
//! | [`basic`] | one value, once and for ever (*Paxos Made Simple*, §2) |
//! | [`multi`] | a growing log of values, an instance for each (*Paxos Made Simple*, §3) |
//!
//! What its members share is the [`Ballot`]: the number that a proposer acts under, ordered, and never
//! used by anybody else.
//!
//! Papers: Leslie Lamport, *The Part-Time Parliament*, 1998; *Paxos Made Simple*, 2001.

#![no_std]

extern crate alloc;

mod ballot;
pub mod basic;
pub mod multi;

pub use ballot::Ballot;
