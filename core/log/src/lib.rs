//! What replicated logs are made of inside, whatever their protocol.
//!
//! Raft, Multi-Paxos and ZAB differ in who may lead, what a new leader must learn first, and when an
//! entry counts as committed. Much of the rest is the same: entries lie in batches, a checkpoint keeps
//! the records that are still needed, each request of a user ends once, a round of confirmations answers
//! many reads, a lease saves the round. That is here, as small values with no protocol in them: they
//! send nothing, persist nothing, set no timer, and return what is to be told. An engine owns them and
//! decides.
//!
//! | value | what it knows | who owns one |
//! |---|---|---|
//! | [`Part`], [`Bounds`], [`Timing`] | the knobs that mean the same in all of them | every node's configuration |
//! | [`Runs`] | batches in memory, by index | every node |
//! | [`Log`], [`EntryId`] | the entries in memory, and the epoch of each in the log | every node |
//! | [`Written`] | which records hold which entries: what a checkpoint keeps, what is read back | every node |
//! | [`Members`] | the memberships that the log names, and since which entry each counts | every node |
//! | [`Snapshotting`] | when a snapshot is due | every node |
//! | [`Unapplied`] | what is committed and not taken in by the state machine: the bound between them | every node |
//! | [`Proposals`] | what the own user, and followers, asked to append | a leader |
//! | [`Window`] | what is under way to one follower | a leader, for each follower |
//! | [`Presence`] | whether a follower answers, and is still a member | a leader, for each follower |
//! | [`Reads`] | reads that wait for a round of confirmations | a leader |
//! | [`Promises`], [`Lease`] | until when nobody else can be elected | a leader |
//! | [`Lanes`] | what followers forwarded, so that nothing is taken twice | a leader |
//! | [`Transfer`], [`Takeover`] | who leads in its place, asked for or by priority | a leader |
//! | [`Forwards`] | what the own user proposed here, for the leader | a follower |
//! | [`Questions`], [`ReadId`] | reads of the own user, for the leader | a follower |
//! | [`Histories`], [`Places`] | what all logs held and what was committed; where forwarded proposals went | invariants |
//!
//! An epoch is a reign of at most one leader: Raft's term, Multi-Paxos's ballot, ZAB's epoch. Where a
//! safety rule decides (see `rules!` of the engine contract), it is an argument here and a named rule of
//! each protocol.

#![no_std]

extern crate alloc;

mod bounds;
mod forwards;
mod histories;
mod lease;
mod log;
mod members;
mod part;
mod presence;
mod proposals;
mod questions;
mod reads;
mod runs;
mod snapshotting;
mod succession;
mod timing;
mod unapplied;
mod window;
mod written;

pub use bounds::Bounds;
pub use forwards::{Answer, Forwards, Lanes, Parcel, Receipt};
pub use histories::{Histories, Places};
pub use lease::{Lease, LeaseRules, Promise, Promises};
pub use log::{EntryId, Log};
pub use members::Members;
pub use part::Part;
pub use presence::Presence;
pub use proposals::{Forwarded, Owner, Proposals};
pub use questions::{Questions, ReadId, ReadIds, ReadResult};
pub use reads::{ReadAnswer, Reads};
pub use runs::Runs;
pub use snapshotting::{Behind, Built, Cause, SnapshotBounds, Snapshotting, Wanted};
pub use succession::{Heir, Standing, Successor, Takeover, Transfer};
pub use timing::{MAX_TIMEOUT_MS, Timing};
pub use unapplied::Unapplied;
pub use window::Window;
pub use written::Written;
