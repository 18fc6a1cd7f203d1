//! Runs engines on real sockets, disks and clocks.
//!
//! [`start`] makes a [`Node`] of a directory, a replicated log and a state machine; a [`Handle`] takes
//! requests to it, and each ends in one [`Outcome`].
//!
//! ```text
//!   handles ──▶ door ──┐                        ┌──▶ journal ──▶ sync thread ──▶ the log
//!   peers   ──▶ inbox ─┼─▶ core: host, engine ──┼──▶ outboxes ──▶ peers
//!   disk    ──▶ inbox ─┘     (one task)         └──▶ queue ──▶ apply thread ──▶ replies
//! ```
//!
//! * The **core** ([`host`], `core`) takes in all that has arrived, steps the engine, and gives away
//!   its effects. It shares a current-thread runtime with the connections and never blocks.
//! * The **sync thread** (`sync`) makes one batch of records durable while the core gathers the next;
//!   what is held is released when it reports.
//! * The **apply thread** (`replica`) owns the state machine and answers.
//! * **Bulk bytes** (`blobs`) have connections and threads of their own.
//!
//! Every queue is bounded: see [`Limits`] for the bounds and for what happens beyond them. Only the
//! monotonic clock is read.
//!
//! # What is left out
//!
//! One group per node; peers come from the configuration; no TLS; datagrams travel by TCP.

mod acquaintances;
mod blobs;
mod config;
mod core;
mod directory;
mod disk;
mod handle;
pub mod host;
mod identity;
mod inbox;
mod metrics;
mod node;
mod outlets;
mod pending;
mod plant;
mod recovery;
mod replica;
mod reply;
mod sync;
mod timers;
mod transport;

pub use config::{Limits, NodeConfig};
pub use disk::{FreeSpace, LogDisk};
pub use handle::{Call, Disk, Handle, Leadership, NodeStatus, PeerStatus};
pub use identity::{FORMAT, Identity, IdentityError, Lock};
pub use node::{Node, StartError, StopReason, start};
pub use reply::{Answer, Oneshot, Reply};
pub use synod_consensus::Outcome;
