//! Runs one engine of any kind by itself: no replicated log, no state machine, datagrams over UDP.
//!
//! [`start`] makes a [`Node`] of a directory, an engine and a [`User`], to whom events are told; requests
//! go in by [`Node::request`].
//!
//! ```text
//!   requests ──▶ mail ─┐                ┌──▶ journal ──▶ sync thread ──▶ the log
//!   disk     ──▶ mail ─┼─▶ core: engine ┼──▶ UDP ──▶ peers
//!   UDP ───────────────┘   (one task)   └──▶ the user: events, and what is seen on the way
//! ```
//!
//! * The **core** (`core`) takes in what has arrived, steps the engine and performs its effects, held ones
//!   once what was persisted before them is durable, by the same [`Host`](crate::host::Host) that hosts
//!   replicated logs. It never blocks.
//! * The **sync thread** (the runtime's own) makes records durable, a batch at a time.
//! * A **datagram** (`datagram`) is one frame with its checksum. What is not one, or is meant for another
//!   node or cluster, is dropped and counted ([`Counts`]).
//! * **Who is who.** A directory has an incarnation, every datagram names that of its sender, and of its
//!   receiver if the sender has met it; a peer's is durable before the first word of that peer is heard. A
//!   node whose directory was emptied is a stranger from then on: nobody hears it, and it hears nobody who
//!   knew it. It has forgotten what it promised, so it must not be counted, not even by itself.
//!
//! # What happens when something is full
//!
//! The socket drops datagrams when its buffers are full, in either direction. While more waits for the
//! disk than [`Limits`] allow, all datagrams are dropped and requests wait; when too many do, more are
//! refused ([`Busy`]). An engine that speaks in datagrams must bear all of that.
//!
//! # What is left out
//!
//! Tasks and bulk bytes; ordered messages and links; more than one engine on a node; a node that was
//! emptied cannot be let in again.

mod config;
mod core;
mod counts;
mod datagram;
mod mail;
mod node;
mod user;

pub use config::{Config, Limits};
pub use counts::Counts;
pub use mail::Busy;
pub use node::{Node, start};
pub use user::{Sight, User};
