//! The one face of every replicated log, and of every state machine on top of one.
//!
//! A [`ReplicatedLog`] is an [`Engine`](synod_engine::Engine) whose local user speaks the words of
//! this crate: [`Request`]s go in, [`Event`]s come out, snapshots are [`Task`]s. A service is a
//! [`StateMachine`]: deterministic, without a clock, and unaware of which log it runs on.
//!
//! ```text
//!   propose(token, command) ──▶ ┌─────────────────┐ ──▶ committed(batch, tokens) ─┐
//!   read(token) ──────────────▶ │  replicated log │ ──▶ read ready(index, tokens) ├─▶ one ordered
//!   applied(index) ───────────▶ │                 │ ──▶ install(snapshot) ────────┘   queue: apply
//!                               └─────────────────┘ ──▶ refused(token), unknown(token)
//! ```
//!
//! **Every proposal ends exactly once**: committed, refused (it never took and never will take
//! effect), or unknown. **Every read ends exactly once**: ready, or refused.
//!
//! `committed`, `install` and `read ready` come in one order that the local user keeps: a read that
//! is ready at an index comes after everything up to that index.

#![no_std]

extern crate alloc;

mod batch;
mod log;
mod state_machine;

pub use batch::{Batch, Epoch, Index, Payload};
pub use log::{
    Event, Outcome, Output, Refusal, ReplicatedLog, Request, Role, Snapshot, Status, Task,
};
pub use state_machine::{RestoreError, StateMachine};
