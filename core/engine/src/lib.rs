//! What a protocol is in synod: an [`Engine`], a pure state machine.
//!
//! An engine does no I/O, reads no clock, and owns no random source. It has one way in,
//! [`Engine::step`], which takes an [`Input`] and leaves ordered [`Effect`]s in its [`Context`].
//! A *driver* performs them: the simulator in virtual time, the explorer in every order, the runtime
//! on sockets and disks. What was watched, broken and checked is what runs.
//!
//! ```text
//!            Input                                  Effect
//!   message ─┐                                   ┌─ persist a record
//!   timer   ─┤   ┌──────────────────────────┐    ├─ send            (held | now)
//!   request ─┼──▶│ step(&mut self, context) │───▶├─ set, cancel a timer
//!   link    ─┤   └──────────────────────────┘    ├─ start (held | now), abort a task
//!   task    ─┤      context: now, random         └─ emit an event   (held | now)
//!   flush   ─┘
//! ```
//!
//! # The order of effects
//!
//! Sends, events and task starts are **held** unless marked **now**. Held effects are performed in
//! order, once everything that this engine has persisted *so far*, in this step or any earlier one,
//! is durable ([`HeldQueue`] is that rule as code). *Now* effects and timers are performed at once
//! and may overtake held ones; a *now* effect may reveal what is not yet durable, never an identity
//! or a promise (a term, vote, ballot, epoch, incarnation or lease). Every kind of *now* message is
//! listed in its protocol's `message.rs` with the reason why it is safe.
//!
//! A held send to oneself is delivered reliably and in order: it is how an engine learns that its
//! own record is durable, so that nobody counts itself, or a vote for itself, early.
//!
//! # Batches
//!
//! Every batch of inputs ends with [`Input::Flush`]: no more input is at hand, send what was
//! gathered. A record may be put off to the flush; later held effects then wait for it too, since
//! they are emitted after it or released with it.
//!
//! # Recovery
//!
//! An engine is rebuilt from its configuration and the records it persisted, in order
//! ([`Engine::replay`]), starting at the newest checkpoint. What was not persisted, the engine must
//! be able to lose.
//!
//! # Rules and invariants
//!
//! Every safety rule that a protocol would break without is a method of its `Rules` parameter, made
//! by [`rules!`]: [`Sound`] keeps them all and is what servers run; [`Without`] takes some out, to
//! show what they prevent. What must always hold is written as folds over the steps of all nodes:
//! [`Invariants`].
//!
//! # One engine inside another
//!
//! An engine may own another one and pass its inputs on: [`Embeds`] says how what the inner one says,
//! writes and sets is wrapped, and [`Context::embed`] does it.
//!
//! Read on: [`Engine`], [`Input`], [`Effect`], [`Context`], [`HeldQueue`], [`Embeds`], [`Invariants`].

#![no_std]

extern crate alloc;

mod blob;
mod config;
mod context;
mod effect;
mod embed;
mod engine;
mod held;
mod id;
mod input;
mod invariants;
mod random;
mod rules;
mod time;

pub use blob::Blob;
pub use config::ConfigError;
pub use context::Context;
pub use effect::{Effect, To, When};
pub use embed::Embeds;
pub use engine::{Class, Corrupt, Engine, Message, NoRecord, Record};
pub use held::{HeldQueue, Position};
pub use id::{ClusterId, GroupId, Incarnation, NodeId, TaskId, Token};
pub use input::{Input, LinkState};
pub use invariants::{Invariants, Sometimes, Stepped, Violation};
pub use random::Random;
pub use rules::{Sound, UnknownRule, Without};
pub use time::Instant;
