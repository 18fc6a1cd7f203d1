//! Runs engines on real sockets, disks and clocks.
//!
//! [`start`] makes a [`Node`] of a directory, a replicated log and a state machine, [`start_groups`] of
//! many logs and state machines; a [`Handle`] takes requests to one of them, and each ends in one
//! [`Outcome`].
//!
//! ```text
//!   handles ──▶ doors ─┐                        ┌──▶ journal ──▶ sync thread ──▶ the log
//!   peers   ──▶ inbox ─┼─▶ core: hosts, engines ┼──▶ outboxes ──▶ peers
//!   disk    ──▶ inbox ─┘     (one task)         └──▶ pool ──▶ apply threads ──▶ replies
//! ```
//!
//! * The **core** ([`host`], `group`, `core`) takes in all that has arrived, steps the engines that it
//!   is for, and gives away their effects. It shares a current-thread runtime with the connections and
//!   never blocks.
//! * The **sync thread** (`sync`) makes one batch of records, of all groups, durable while the core
//!   gathers the next; what is held is released when it reports.
//! * The **apply threads** (`apply`, `replica`) own the state machines and answer.
//! * **Bulk bytes** (`blobs`) have connections and threads of their own.
//!
//! An engine that is no replicated log, and speaks in datagrams, runs by itself: see [`solo`].
//!
//! Every queue is bounded: see [`Limits`] for the bounds and for what happens beyond them. Only the
//! monotonic clock is read.
//!
//! # What is left out
//!
//! Groups are added at a start only; no TLS; datagrams of replicated logs travel by TCP.

mod acquaintances;
mod admissions;
mod apply;
mod blobs;
mod budget;
mod config;
mod core;
mod directory;
mod disk;
mod door;
pub mod force;
mod group;
mod groups;
mod handle;
pub mod host;
mod hosted;
mod identity;
mod inbox;
mod links;
mod metrics;
mod node;
mod old_log;
mod outlets;
mod pending;
mod plant;
mod recovery;
pub mod repair;
mod replica;
mod reply;
mod snapshots;
pub mod solo;
mod stall;
mod sync;
mod timers;
mod transport;

pub use blobs::file::read_snapshot;
pub use config::{Limits, NodeConfig};
pub use disk::{FreeSpace, LogDisk};
pub use groups::Seed;
pub use handle::{Call, Disk, Handle, Leadership, NodeStatus, Operation, PeerStatus};
pub use hosted::{HostedEngine, HostedLog, HostedState};
pub use identity::{FORMAT, Identity, IdentityError, Lock};
pub use node::{Node, StartError, StopReason, start, start_groups};
pub use reply::{Answer, Oneshot, Reply};
pub use synod_consensus::Outcome;
pub use transport::version::PeerVersion;
