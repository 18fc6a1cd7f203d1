//! Runs engines in virtual time, under every fault they claim to survive.
//!
//! A [`Sim`] is a cluster of nodes. Each has an engine, rebuilt from its disk in every life, and a
//! local user above it, its [`App`]. Clients are one [`Workload`] outside. What happens is decided
//! by a [`Plan`]: a seed, a [`Mix`] of faults from which each run draws its own, how messages travel.
//! After every step the protocol's invariants are checked. Equal seeds give equal runs, to the byte.
//!
//! ```text
//!   Workload ── call ──▶ App ── request, applied, task done ──▶ ┐
//!   (clients) ◀─ answer ─ (local user) ◀── event, task ──────── ┤ Engine ◀─▶ links to other nodes
//!                          │                                    ├─▶ timers, by the node's clock
//!                          └─▶ blobs                            └─▶ disk: records, synced in batches
//! ```
//!
//! # A run
//!
//! The engine here is a beacon that tells everyone a number that grows, and says what it hears.
//!
//! ```
//! # use std::{fmt, hash::Hasher, time::Duration};
//! # use synod_engine::{Class, Context, Corrupt, Engine, Input, Instant, Message, NodeId, Record, Sound};
//! use synod_sim::{Mix, Plan, Sim, Transport, Unchecked};
//! # #[derive(Clone, Debug)]
//! # struct Word(u64);
//! # impl fmt::Display for Word {
//! #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.0) }
//! # }
//! # impl Record for Word {}
//! # impl Message for Word { fn class(&self) -> Class { Class::Datagram } }
//! #[derive(Clone)]
//! struct Beacon { shone: u64, seen: u64 }
//!
//! impl Engine for Beacon {
//! #   type Config = ();
//! #   type Message = Word;
//! #   type Record = Word;
//! #   type Timer = ();
//! #   type Request = ();
//! #   type Event = Word;
//! #   type Task = ();
//! #   type Output = ();
//! #   type Rules = Sound;
//! #   type View = u64;
//! #   fn new(_: ()) -> Self { Self { shone: 0, seen: 0 } }
//! #   fn fingerprint<H: Hasher>(&self, _: Instant, _: &mut H) {}
//! #   fn view(&self) -> u64 { self.seen }
//!     fn replay(&mut self, Word(shone): Word) -> Result<(), Corrupt> {
//!         self.shone = shone;
//!         Ok(())
//!     }
//!
//!     fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
//!         match input {
//!             Input::Start | Input::Timer(()) => {
//!                 self.shone += 1;
//!                 context.persist(Word(self.shone));
//!                 context.send_others(Word(self.shone));
//!                 context.set_timer((), Duration::from_millis(100));
//!             }
//!             Input::Message { message: Word(shone), .. } => self.seen = self.seen.max(shone),
//!             _ => {}
//!         }
//!     }
//!     // …
//! }
//!
//! let plan = Plan { seed: 7, mix: Mix::LOSSY, max_events: 5_000, ..Plan::default() };
//! let nodes = (1..=5).map(|id| (NodeId(id), ()));
//! let mut sim: Sim<Beacon, (), _, _> = Sim::new(plan, nodes, (), Unchecked, ());
//! let report = sim.run();
//! assert!(report.verdict.is_sound(), "{report}");
//! assert!(sim.engines().any(|(_, beacon)| beacon.seen > 10));
//! ```
//!
//! Many runs: [`Swarm`]. A replicated log with a state machine and clients: [`replicated`]. A story
//! told by hand: [`Sim::run_for`], [`Sim::crash`], [`Sim::isolate`], [`Sim::stall_disk`] and their
//! like, with [`Mix::CALM`]. In the end everything must work again: [`Sim::calm`].
//!
//! # What a run is like
//!
//! - **Time** is virtual, in nanoseconds. Each node has a clock of its own, that starts anywhere in
//!   each life and runs at its own pace within [a bound](Mix::drift_ppm). A batch of inputs may keep a
//!   node busy; what arrives meanwhile is taken in by the next batch. A pause is a long such time: when
//!   it ends, the clock has gone on, timers are late, and everything comes at once.
//! - **Disk**: records written in a batch are synced together, after a time that differs from node
//!   to node. Held effects wait in a [`HeldQueue`](synod_engine::HeldQueue). A crash takes what was
//!   not synced, but for a random prefix; a record torn in half is gone, as a checksum would find.
//!   At start a node has everything from its newest durable checkpoint on. A disk that is full takes
//!   nothing that [may be refused](synod_engine::Message::fills_disk); what is left is for votes.
//! - **A wiped node** comes back as another incarnation that remembers nothing. Peers hear it, but take
//!   no [promise](synod_engine::Message::counts) of it until they are [told](Desk::contacts) of it, and
//!   nothing reaches it that was meant for the one before.
//! - **Links**: ordered messages travel in sessions, first in, first out in each lane. A loss ends
//!   the session: what is sent from then on is lost, both ends see it end, each in its own time, and
//!   only then does a new one begin. Datagrams are lost, repeated, overtaken. With
//!   [`Transport::Datagrams`] everything is a datagram.
//! - **Chance** comes in independent streams ([`Dice`]) that can be recorded and replayed:
//!   [`Decisions`].
//! - **Blobs** are durable once [`App::written`] says so. An attachment leaves the sender's disk when
//!   its message is sent (if it is no longer there, the message is lost), and is on the receiver's
//!   before the message is delivered. A blob goes once a durable checkpoint has made dead the last
//!   record that names it; one that no record names goes when its node restarts.
//!
//! What it does not do: damage records that were synced, run out of the space that is kept for votes,
//! set clocks back (engines see monotonic time only).

mod acquaintances;
mod app;
mod blobs;
mod clock;
mod decisions;
mod dice;
mod disk;
mod due;
mod faults;
mod life;
mod links;
mod mischief;
mod mixes;
mod network;
mod node;
mod plan;
mod queue;
pub mod replicated;
mod report;
mod shapes;
mod shrink;
mod sim;
mod slab;
mod step;
mod swarm;
mod tally;
mod timers;
mod trace;
mod unchecked;
mod workload;
mod world;

pub use app::{App, Caller, Desk};
pub use blobs::Pieces;
pub use decisions::{Decisions, DecisionsError};
pub use dice::Dice;
pub use faults::{Mix, Odds, Often, Recurring, Span};
pub use life::Wipe;
pub use plan::{Chance, Plan, Transport};
pub use report::{Counts, Kind, Report, Verdict};
pub use shrink::{Attempt, shrink};
pub use sim::{Newborn, Sim};
pub use swarm::{Summary, Swarm};
pub use tally::{Spread, Tally};
pub use trace::{Step, parting};
pub use unchecked::Unchecked;
pub use workload::{ClientId, Outside, Workload};
