//! ZAB, ZooKeeper's atomic broadcast (Junqueira, Reed and Serafini, 2011), as a pure engine.
//!
//! **The problem.** A cluster of nodes agrees on one growing history although nodes crash and messages are
//! lost and late, and goes on as long as a majority is up and connected. What a leader proposes is delivered in
//! the order in which it proposed it, and after all that earlier leaders proposed.
//!
//! **The roles.** A node *looks* until an election, or a leader that calls, tells it whom to follow. Who was
//! elected *leads* and the others *follow*; who has no vote *observes*. That is only a suggestion: what makes
//! a leader is that a quorum accepts its epoch (phase 1) and takes over its history (phase 2).
//!
//! ```text
//!  phase 0       1 discovery            2 synchronisation              3 broadcast
//!  election      FollowerInfo ─▶        ◀─ Diff | Trunc | Snap         ◀─ Propose
//!                ◀─ NewEpoch            ◀─ Propose ...                    Ack ─▶
//!                AckEpoch ─▶            ◀─ NewLeader                   ◀─ Commit
//!                                       AckNewLeader ─▶
//!                                       ◀─ UpToDate
//! ```
//!
//! | message | from, to | meaning | specification, paper |
//! |---|---|---|---|
//! | `Election` | all, all | fast leader election | `FastLeaderElection.tla`; §III.A oracle |
//! | `FollowerInfo` | follower, leader | I follow you; the newest epoch that I accepted | CEPOCH, FOLLOWERINFO; f.1.1 |
//! | `NewEpoch` | leader, follower | accept this epoch | NEWEPOCH, LEADERINFO; l.1.1 |
//! | `AckEpoch` | follower, leader | accepted; how my history ends | ACKEPOCH; f.1.2 |
//! | `Diff`, `Trunc`, `Snap` | leader, follower | what you have is mine up to here; cut it here; take this in its place | syncFollower |
//! | `NewLeader` | leader, follower | now your history is mine: make it so | NEWLEADER; l.2.1 |
//! | `AckNewLeader` | follower, leader | durable | ACKLD; f.2.1 |
//! | `UpToDate` | leader, follower | a quorum has it: serve | COMMITLD, UPTODATE; l.2.2 |
//! | `Propose`, `Ack`, `Commit` | leader, follower | two-phase commit without aborts | §IV.C |
//! | `Inform` | leader, observer | entries that are committed | INFORM |
//! | `Ping`, `Pong` | leader, follower | I am there; confirms reads | PING |
//! | `Request`, `Requested` | follower, leader | my user's proposals; their places | REQUEST |
//! | `Sync`, `SyncReply` | follower, leader | which index must my reads reach? | SYNC |
//! | `HandOver`, `Look` | leader, all | follow this one; look | |
//!
//! A zxid is an epoch and a counter within it. Here an entry has an index in the whole history, as in every
//! replicated log of this house, and its epoch; both orders are the same, and the counter is the distance from
//! where the epoch began.
//!
//! # Invariants (of the published specification, `Zab.tla`)
//!
//! 1. **Leadership**: at most one leader is established in an epoch.
//! 2. **One History**: two histories with an entry of the same zxid are the same up to it.
//! 3. **Integrity**: what is in a history was proposed by the leader of its epoch.
//! 4. **Prefix Consistency**: no two nodes are told different entries for an index, nor is one skipped. With it
//!    come **Agreement** and **Total Order**: what is delivered anywhere is a beginning of one sequence.
//! 5. **Local Primary Order**: a leader proposes one entry after the other behind its history.
//! 6. **Global Primary Order**: epochs never fall in what a node is told.
//! 7. **Primary Integrity**: who leads an epoch has all that was committed in earlier ones; and **Committed
//!    Entries Stay**: no history that holds a committed entry loses it.
//! 8. **One Acceptance**: no node tells two leaders that it accepts the same epoch.
//! 9. **Forwarded Once**: a proposal that a follower forwarded has one place in its leader's history.
//!
//! # Where it departs from the paper, and from ZooKeeper
//!
//! * As ZooKeeper, and unlike the paper, who was elected takes over no follower's history: it looks again if a
//!   follower in its quorum has a newer one. Elections choose the newest.
//! * A node says whom it accepted an epoch of; asked again by that leader, its answer counts again.
//! * One stream carries what a follower lacks, NEWLEADER, and what was proposed since: its order is the order of
//!   the follower's disk. Each message with entries names the entry before them, and commits name how far; so a
//!   loss is found by what follows it, and the follower says how its history ends: nothing rests on links
//!   that keep order, but speed.
//! * A link that broke leads back to phase 1 with the same leader, whose epoch the follower has accepted; it
//!   looks only if that leader does not answer.
//! * A follower in synchronisation delivers what its leader knows to be committed, as far as they share it: so
//!   a late one does not hold all it lacks in memory.
//! * A snapshot holds what is applied, and so is committed; ZooKeeper's may hold more. Thus it is safe at any
//!   moment to take one over (`role/follower/synchronisation`).
//! * Established leaders call nodes that look, with their pings; a leader that learns that a voter has
//!   accepted a later epoch, of one that came to nothing, makes way for a newer one, or that voter could
//!   not come back.
//! * Reads are linearizable where asked: a round of pings (ZooKeeper's `sync` trusts the leader's word).
//!
//! # What is left out
//!
//! Leases; hierarchical quorums; forwarding of changes and transfers: their refusal names the leader.
//!
//! # Reading order
//!
//! [`Message`], [`Record`], the private `state`, then [`Zab`] with its dispatch table and the roles; [`Rules`]
//! and [`Invariants`] say what must not break.
//!
//! | phase | file |
//! |---|---|
//! | 0 election | `election` (the embedded engine), `role/looking`, `following` |
//! | 1 discovery | `role/discovery` (the leader), `role/follower/synchronisation` |
//! | 2 synchronisation | `role/leader/synchronisation`, `role/leader/old_log`, `role/follower/synchronisation`: why a crash in between is harmless |
//! | 3 broadcast | `role/leader/broadcast`, `progress`, `role/follower/broadcast` |
//! | reads, forwarding | `role/leader/reading`, `role/leader/forwarded`; `role/follower/reading`, `role/follower/forwarding` |
//! | members, transfer | `role/leader/membership`, `role/leader/transfer` |
//! | snapshots | `compaction` |
//!
//! Sources: F. Junqueira, B. Reed, M. Serafini, *Zab: High-performance broadcast for primary-backup systems*,
//! DSN 2011 ("§", "step"); the TLA+ specifications of Apache ZooKeeper, `zookeeper-specifications`
//! ("published specification", names in capitals), which it follows where the two differ.

#![no_std]

extern crate alloc;

mod compaction;
mod config;
mod election;
mod following;
mod invariants;
mod local;
mod message;
mod node;
mod progress;
mod record;
mod role;
mod rules;
mod state;
mod view;

pub use config::Config;
pub use invariants::Invariants;
pub use message::{Message, Summary};
pub use node::{Timer, Zab};
pub use record::{Checkpoint, Epochs, Record};
pub use rules::{RULES, Rules};
pub use synod_election::fle::Zxid;
pub use view::{Phase, View};
