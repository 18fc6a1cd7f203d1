//! The Paxos family: agreement by ballots that a majority promises and accepts.
//!
//! | module | what its nodes agree on |
//! |---|---|
//! | [`basic`] | one value, once and for ever (*Paxos Made Simple*, §2) |
//!
//! What its members share is the [`Ballot`]: the number that a proposer acts under, ordered, and never
//! used by anybody else.
//!
//! Papers: Leslie Lamport, *The Part-Time Parliament*, 1998; *Paxos Made Simple*, 2001.

#![no_std]

extern crate alloc;

mod ballot;
pub mod basic;

pub use ballot::Ballot;
