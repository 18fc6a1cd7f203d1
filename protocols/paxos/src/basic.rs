//! Basic Paxos: nodes that agree on one value, once and for ever.
//!
//! Many nodes may propose values; one of them is *chosen*; whoever learns the outcome learns the same
//! value, however messages are lost and nodes crash, and as long as a majority of the acceptors can
//! talk somebody does learn it. It is the protocol from which replicated logs are made, one instance
//! per entry.
//!
//! # Roles
//!
//! | role | what it does | where |
//! |---|---|---|
//! | client | hands its value to a proposer and waits for the outcome, whichever value that is | every node |
//! | proposer | gets a ballot promised, then asks for a value to be accepted in it | [`Config::proposers`] |
//! | acceptor | the memory of the group: promises and accepts | [`Config::acceptors`] |
//! | learner | finds out what a majority of the acceptors has accepted | [`Config::learners`], [`Learning`] |
//!
//! A node may have any of them; each owns its data, and a node talks to its own roles by messages to
//! itself, which arrive once what it said before is durable.
//!
//! # Messages
//!
//! | message | from | to | meaning |
//! |---|---|---|---|
//! | `Request` | client, learner | proposer | get this value, or another, chosen |
//! | `Prepare` | proposer | acceptors | phase 1a: promise me this ballot |
//! | `Promise` | acceptor | proposer | phase 1b: promised; this is the highest proposal I have accepted |
//! | `Accept` | proposer | acceptors | phase 2a: accept this value in this ballot |
//! | `Accepted` | acceptor | learners | phase 2b: accepted |
//! | `Refused` | acceptor | proposer | a higher ballot is promised |
//! | `Ask` | learner | acceptors, learners | what did I miss? |
//! | `Chosen` | who knows | who asks; learners that acceptors do not tell | this is the chosen value |
//!
//! Whoever knows the chosen value answers `Request`, `Prepare`, `Accept` and `Ask` with it: nothing
//! is left to do.
//!
//! # Records
//!
//! Five facts survive a crash, and each is durable before it counts: a ballot is used (`Propose`), a
//! ballot is promised (`Promise`), a proposal is accepted (`Accept`), a majority has acknowledged it
//! (`Acknowledge`), the outcome is known by another's word (`Commit`). See [`Record`].
//!
//! # Invariants
//!
//! The first three are the paper's safety requirements (§2).
//!
//! 1. **Agreement**: no two nodes learn different values.
//! 2. **Validity**: a learned value was asked for by a client.
//! 3. **Only what is chosen is learned**: when a node learns a value, a majority of the acceptors has
//!    accepted it in one ballot.
//! 4. **One value per ballot**: all `Accept`s of a ballot carry the same value.
//! 5. **Chosen once**: when a majority of the acceptors has accepted a value in a ballot, every `Accept`
//!    of a higher ballot carries that value (P2b, §2.2).
//! 6. **Promises are kept**: an acceptor that has promised a ballot, and told so, accepts nothing
//!    below it, and still knows the promise after a crash.
//! 7. **Acceptance does not fall**: the ballot that an acceptor has accepted in, and told of, never
//!    falls, in crashes either.
//! 8. **The outcome is stable**: a node that told the chosen value, to its user or to another node, knows
//!    it in all later lives.
//!
//! # Example
//!
//! Three nodes in the simulator, two of which want different things while messages are lost and
//! nodes crash.
//!
//! ```
//! use std::time::Duration;
//! use synod_engine::{Engine, NodeId, Token};
//! use synod_paxos::basic::{Config, Paxos, Request, Safety};
//! use synod_sim::{Plan, Sim, Transport};
//!
//! let nodes = [1, 2, 3].map(NodeId);
//! let engines = nodes.map(|node| (node, Config::new(node, nodes)));
//! let safety = Safety::new(nodes.into_iter().collect());
//! let plan = Plan { seed: 7, transport: Transport::Datagrams, ..Plan::default() };
//! let mut sim = Sim::<Paxos, (), _, ()>::new(plan, engines, (), safety, ());
//! sim.run_for(Duration::from_millis(20));
//! sim.request(NodeId(1), Token(1), Request::Propose("red".into()));
//! sim.request(NodeId(2), Token(1), Request::Propose("blue".into()));
//! sim.run_for(Duration::from_secs(5));
//! sim.calm();
//! sim.run_for(Duration::from_secs(10));
//! let outcomes: Vec<_> = sim.engines().map(|(_, node)| node.view().chosen).collect();
//! assert!(outcomes[0].is_some());
//! assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
//! ```
//!
//! # What is left out
//!
//! A distinguished proposer (§2.4): whoever is asked proposes. Progress needs that one proposer is left
//! alone for a few round trips; the randomised delay makes that likely, nothing makes it certain (no
//! deterministic protocol can). The roles are given by the configuration, for ever.
//!
//! # Papers
//!
//! Leslie Lamport, *The Part-Time Parliament* (1998) and *Paxos Made Simple* (2001). Sections named
//! here are of the latter.
//!
//! Read on: [`Config`], [`Message`], [`Ballot`], `state.rs`, `node.rs`, `role/proposer.rs`,
//! `role/acceptor.rs`, `role/learner.rs`, `role/client.rs`, [`Rules`], [`Safety`], [`View`].

use crate::Ballot;

mod config;
mod invariants;
mod message;
mod node;
mod proposal;
mod role;
mod rules;
mod state;
mod user;
mod view;

pub use config::{Config, Learning};
pub use invariants::Safety;
pub use message::Message;
pub use node::Paxos;
pub use proposal::{Proposal, Value};
pub use rules::{RULES, Rules};
pub use state::Record;
pub use user::{Event, Refusal, Request, Timer};
pub use view::{Attempt, View};
