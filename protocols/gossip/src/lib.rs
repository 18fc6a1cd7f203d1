//! Rumor mongering: news that spreads like an epidemic.
//!
//! A node that hears a rumor tells it to others, one at random in each round, until that has become
//! useless too often; then it loses interest. Nearly everybody hears nearly every rumor, within about
//! log n rounds, at a few messages per node, and no node does more than the others. *Nearly*: a share
//! of the nodes, the *residue*, may never hear it. Which is why rumors suit news that is repaired by
//! other means when it is missed.
//!
//! # Roles
//!
//! All nodes are alike. In each round a node *calls* one other, drawn uniformly; to a rumor a node is
//! *susceptible* (has not heard it), *infective* (tells it: the rumor is *hot*) or *removed* (lost
//! interest: the rumor is *cold*).
//!
//! | choice | variants |
//! |---|---|
//! | [`Direction`] | push: the caller tells; pull: the callee tells; push-pull: both |
//! | [`Judgement`] | blind: every telling counts as useless; feedback: the listener says whether it was |
//! | [`Stop`] | coin: after a useless round, lose interest with probability 1/k; counter: after k in a row |
//!
//! # Messages
//!
//! | message | from | to | meaning |
//! |---|---|---|---|
//! | `Call` | a node | one other, at random | these rumors are hot here; tell me yours (pull) |
//! | `Answer` | callee | caller | these rumors are hot here |
//! | `Feedback` | listener | teller | this was news to me, this was not |
//!
//! All are datagrams: what is lost was not told. Nothing is durable: a node that restarts has heard
//! nothing yet, and may hear again what it knew.
//!
//! # Rounds
//!
//! What a node hears counts as news for the rest of its round, and is told from the next round on.
//! With all rounds aligned this is the synchronous model of the paper, cycle for cycle: whether a call
//! was useful is judged by what the callee knew when the cycle began.
//!
//! # Invariants
//!
//! 1. **Nothing is made up**: what a node hears was started by its origin, with these very bytes.
//! 2. **Heard once**: a node hears a rumor as news once in its life, unless it had to forget it.
//! 3. **Bounded**: a node remembers no more than its bound, and every message fits a packet.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use synod_engine::{Engine, NodeId, Token};
//! use synod_gossip::{Config, Gossip, Request, Sanity};
//! use synod_sim::{Mix, Plan, Sim, Transport};
//!
//! let config = Config::new(NodeId(1), (1..=100).map(NodeId));
//! let sanity = Sanity::new(config.max_rumors, config.max_packet_bytes);
//! let engines = (1..=100).map(|id| (NodeId(id), Config { node: NodeId(id), ..config.clone() }));
//! let plan = Plan { mix: Mix::CALM, transport: Transport::Datagrams, ..Plan::default() };
//! let mut sim = Sim::<Gossip, (), _, ()>::new(plan, engines, (), sanity, ());
//! sim.run_for(Duration::from_secs(1));
//! sim.request(NodeId(1), Token(1), Request::Start(Bytes::from_static(b"news")));
//! sim.run_for(Duration::from_secs(30));
//! let views = sim.engines().map(|(_, node)| node.view());
//! let heard = views.filter(|view| view.hot + view.cold > 0).count();
//! assert!(heard >= 99, "{heard} of 100 have heard it");
//! ```
//!
//! # What is left out
//!
//! Connection limits and hunting, spatial distributions, counters kept low by minimization, death
//! certificates, and anti-entropy, which brings the residue to zero.
//!
//! # Paper
//!
//! Alan Demers et al., "Epidemic Algorithms for Replicated Database Maintenance" (1987); rumor
//! mongering ("complex epidemics") is section 1.4 there, tables 1 to 3.
//!
//! Read on: [`Config`], [`Message`], `rumors.rs`, `node.rs`, [`Rules`], [`Sanity`], [`View`].

#![no_std]

extern crate alloc;

mod config;
mod invariants;
mod message;
mod node;
mod rules;
mod rumors;
mod user;
mod view;

pub use config::{Config, Direction, Judgement, Stop};
pub use invariants::Sanity;
pub use message::{Message, Verdict};
pub use node::Gossip;
pub use rules::{RULES, Rules};
pub use rumors::{Rumor, RumorId};
pub use user::{Event, Refusal, Request, Timer};
pub use view::View;
