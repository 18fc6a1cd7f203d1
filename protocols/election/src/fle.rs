//! ZooKeeper's Fast Leader Election: of a quorum that can talk, the voter that knows most leads.
//!
//! A node that lost its leader, or never had one, *looks*. It votes for itself, tells all voters, and
//! takes over every better vote that it hears; when a quorum votes alike, and nobody brings a better
//! vote for a while, the one voted for leads. A node that comes late is told by the others whom they
//! follow.
//!
//! It is made for ZAB, which owns such an engine ([`Embeds`](synod_engine::Embeds)), hands it the node's
//! standing when it looks, and does with the outcome what it likes. It can run alone.
//!
//! # Roles
//!
//! | role | what it does | file |
//! |---|---|---|
//! | looking | votes and listens; an observer, which has no vote, only asks | `role/looking.rs` |
//! | following, leading, observing | tells those who look whom it follows | `role/settled.rs` |
//!
//! # Messages
//!
//! | message | from | to | meaning |
//! |---|---|---|---|
//! | [`Notification`], looking | a voter that looks | all voters | in this round I vote so |
//! | [`Notification`], looking, no vote | an observer that looks | all voters | who leads? |
//! | [`Notification`], looking | a voter that looks | who asks, or votes in an older round | this is my vote |
//! | [`Notification`], following or leading | a settled node | who looks | this is my leader, of this round |
//!
//! When n nodes with equal histories begin together on links that lose nothing, they elect the highest
//! id with (n-1)(2n-1) to (n-1)n(n+1)/2 messages: each tells n-1 others its own vote, and again whenever
//! it improves, which the node of the i-th highest id does at least once and at most i-1 times.
//!
//! # What it promises
//!
//! Not one leader: two may lead in the same round, even where nothing fails, since who has elected may
//! be left by somebody who hears of a better vote a moment later; and a restarted node votes again in a
//! round in which it has voted. It promises that
//!
//! 1. **A quorum elects**: who elects a leader has the same vote in the same round from a quorum, or joins
//!    a leader on whom a quorum had settled in the same epoch.
//! 2. **Nobody votes below himself**: a voter's vote is for a standing (epoch, then zxid) at least as high
//!    as its own. With 1: no voter of the quorum that elects surpasses the one who is elected.
//! 3. **Votes rise**: while a voter looks, its round never falls, and within a round its vote never does.
//! 4. **Voters lead, voters follow**: who is elected is a voter, or beats who elects it and may be one by
//!    now; observers lead nobody and are counted nowhere.
//! 5. **One leader is followed**: at any moment a quorum has settled on at most one node that leads.
//!
//! and, where in the end messages arrive and timers fire in time and whoever follows nobody that leads
//! looks again, that all nodes settle on one leader.
//!
//! # What is durable
//!
//! Nothing: an engine that crashes begins in round 1 and knows no vote. So it may vote twice in a round.
//! That is sound because nothing rests on the outcome but time. Whoever is elected must get an epoch
//! promised by a quorum, durably, before it proposes anything (ZAB's discovery), each of whom promises
//! each epoch to one; and it must find that nobody of that quorum knows more than it does. Of two who are
//! elected in one round at most one gets through. Standing is the outer engine's, durable with it: a vote
//! is a held send, so it leaves after the history that it tells of is on disk.
//!
//! # What is left out
//!
//! ZooKeeper's notifications carry the configuration, so that who has an old one learns the new one while
//! it looks. Here members come with the log; until then a node hears whoever stands higher than itself,
//! known or not, begins the round of whom it knows, and counts those. Its finalize wait begins anew with every message and deafens
//! to higher rounds; here it has a fixed end and hears all. Its observers vote among themselves; here they
//! ask. Weights and groups of voters come with [`Quorum`](synod_quorum::Quorum).
//!
//! # Papers
//!
//! Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup systems" (DSN 2011)
//! leaves the election open. Medeiros, "ZooKeeper's atomic broadcast protocol: theory and practice"
//! (2012), section 3.2, and ZooKeeper's TLA+ specification of it say what ZooKeeper does.
//!
//! Read on: [`Config`], `vote.rs`, [`Notification`], `node.rs`, `role/looking.rs`, `role/settled.rs`,
//! [`Rules`], [`Safety`], [`View`].

mod config;
mod invariants;
mod message;
mod node;
mod role;
mod rules;
mod user;
mod view;
mod vote;
mod zxid;

pub use config::Config;
pub use invariants::Safety;
pub use message::Notification;
pub use node::Fle;
pub use rules::{RULES, Rules};
pub use user::{Event, Request, Timer};
pub use view::View;
pub use vote::{Round, State, Vote};
pub use zxid::Zxid;
