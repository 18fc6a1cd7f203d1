//! Leader elections: nodes that agree on one of them.
//!
//! Each algorithm is a module with an engine of its own and, inside, the files of a protocol crate.
//!
//! | module | algorithm | what it elects |
//! |---|---|---|
//! | [`fle`] | ZooKeeper's Fast Leader Election | a voter whose history nobody in a quorum surpasses |
//!
//! What these elections come to are suggestions: a leader that is to decide something alone must be
//! one whom a quorum has promised not to follow another, durably. Raft's election, which makes such
//! promises, is part of its log (`protocols/raft`); ZAB embeds [`fle`] and has them given in its
//! discovery phase.
//!
//! Read on: [`fle`].

#![no_std]

extern crate alloc;

pub mod fle;
