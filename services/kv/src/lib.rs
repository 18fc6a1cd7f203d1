//! A replicated key-value store as a pure state machine.
//!
//! [`Store`] is a [`StateMachine`](synod_consensus::StateMachine): committed commands go in, answers
//! come out, and every node that applies the same commands in the same order is in the same state. It
//! knows neither which log carries them nor what time it is.
//!
//! | part | what it says |
//! |---|---|
//! | [`message`] | the vocabulary, shared with clients |
//! | [`limits`] | the bounds, which are part of what the commands mean |
//! | `keys`, `txn` | what the operations do to the keys; revisions |
//! | `tree` | the map of keys, whose copies take constant time |
//! | `history` | what happened lately, for watchers |
//! | `sessions` | exactly once: sessions, kept answers, expiry by replicated time |
//! | `store` | the state machine that binds both |
//! | [`rules`] | what exactly-once rests on, by name |
//! | [`snapshot`] | the state as bytes, and back |
//! | [`wire`] | how clients and servers say all this over a connection |
//!
//! Promises, each with the place that keeps it:
//!
//! 1. A command takes effect at most once, however often and in whatever order its copies commit
//!    (`sessions`: a command is a duplicate only by its own number).
//! 2. A command of a session that is unknown, closed or expired changes nothing (`store`).
//! 3. Sessions expire at the same place of the log on all nodes (`sessions`: time is ticks).
//! 4. A write that changed something has a revision of its own; nothing else has (`keys`).
//! 5. A restored store answers every later command as the original would (`snapshot`).
//! 6. A transaction does one of its branches, all of it at one revision, or nothing (`txn`).
//! 7. All nodes remember the same events and have forgotten the same ones, restored or not: whoever
//!    has seen everything up to a revision gets every later event, once and in order, or is told
//!    that they are compacted (`history`).
//!
//! Left out: leases on keys, and reading what keys held at an earlier revision
//! (`docs/decisions/0008-revisions-and-watches.md` says why).
//!
//! `no_std` keeps I/O and clocks out of this crate, though its persistent map
//! ([imbl](https://docs.rs/imbl)) links the standard library: a B-tree, so no result depends on hash
//! seeds or addresses.

#![no_std]

extern crate alloc;

mod history;
mod key;
mod keys;
pub mod limits;
pub mod message;
pub mod rules;
mod sessions;
pub mod snapshot;
mod store;
mod tree;
mod txn;
pub mod wire;

pub use store::Store;
