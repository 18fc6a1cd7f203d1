//! The one face of every replicated log, and of every state machine on top of one.
//!
//! A [`ReplicatedLog`] is an [`Engine`](synod_engine::Engine) whose local user speaks the words of
//! this crate: [`Request`]s go in, [`Event`]s come out, snapshots are [`Task`]s. A service is a
//! [`StateMachine`]: deterministic, without a clock, and unaware of which log it runs on.
//!
//! ```text
//!   propose(token, command) ──▶ ┌─────────────────┐ ──▶ committed(batch, tokens) ─┐
//!   change(token, wishes) ────▶ │  replicated log │ ──▶ read ready(index, tokens) ├─▶ one ordered
//!   read(token) ──────────────▶ │                 │ ──▶ install(snapshot) ────────┘   queue: apply
//!   transfer(token, node) ────▶ │                 │ ──▶ members(list), leadership(role)
//!   applied(index) ───────────▶ └─────────────────┘ ──▶ refused(token), unknown(token)
//! ```
//!
//! **Every proposal ends exactly once**, and so does every change of members: committed, refused (it
//! never took and never will take effect), or unknown. **Every read ends exactly once**: ready, or
//! refused; and **every transfer**: transferred, or refused.
//!
//! `committed`, `install` and `read ready` come in one order that the local user keeps: a read that
//! is ready at an index comes after everything up to that index.

#![no_std]

extern crate alloc;

mod batch;
mod log;
mod members;
mod state_machine;

pub use batch::{Batch, Epoch, Index, Payload};
pub use log::{
    Event, LogRecord, Outcome, Output, Peer, Refusal, ReplicatedLog, Request, Role, Snapshot,
    Status, Task,
};
pub use members::{
    BadChange, Change, Contact, DEFAULT_PRIORITY, MAX_ADDRESS_BYTES, MAX_MEMBERS, Member,
    Membership, Seat,
};
pub use state_machine::{RestoreError, StateMachine};
