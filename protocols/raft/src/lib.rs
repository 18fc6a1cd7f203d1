//! Raft (Ongaro and Ousterhout, 2014) as a pure engine.
//!
//! **The problem.** A cluster of nodes agrees on one growing log although nodes crash and messages
//! are lost, late, doubled and out of order, and goes on as long as a majority is up and connected.
//!
//! **The roles.** A *leader*, at most one per term, decides the order of entries and replicates them;
//! *followers* store and acknowledge; a *candidate* campaigns when no leader is heard, first for
//! pre-votes, so that a node which merely lost its link disturbs nobody, then for votes.
//!
//! | message | from, to | meaning | paper |
//! |---|---|---|---|
//! | `PreVote`, `PreVoteReply` | candidate, all | would you vote for me? | thesis §9.6 |
//! | `Vote`, `VoteReply` | candidate, all | RequestVote | §5.2, §5.4.1 |
//! | `Append`, `AppendReply` | leader, follower | AppendEntries with entries, or a question how far the logs agree | §5.3 |
//! | `Heartbeat`, `HeartbeatReply` | leader, follower | AppendEntries without entries; confirms reads, and grants leases | §5.2, §8, thesis §6.4 |
//! | `TimeoutNow` | leader, successor | campaign at once in my place | thesis §3.10 |
//! | `ReadIndex`, `ReadIndexReply` | follower, leader | which index must my reads reach? | thesis §6.4 |
//! | `Forward`, `Forwarded` | follower, leader | my user's proposals; their places in the log | |
//! | `Rest` | leader, follower | nothing is to be done: fall quiet | |
//! | `Pull`, `Pulled` | candidate, voter | my campaign came to nothing since your log is better: send it | |
//! | `Install` | leader, follower | InstallSnapshot; answered by `AppendReply` | §7 |
//!
//! # Invariants (figure 3)
//!
//! 1. **Election Safety**: at most one leader is elected in a term.
//! 2. **Leader Append-Only**: a leader never overwrites or deletes entries of its log.
//! 3. **Log Matching**: two logs with an entry of the same index and term are the same up to it.
//! 4. **Leader Completeness**: an entry committed in a term is in the log of the leaders of all later
//!    terms.
//! 5. **State Machine Safety**: no two nodes are told different committed entries for an index.
//! 6. **One Vote Per Term**: no node tells two candidates of a term that it votes for them (§5.2).
//! 7. **Committed Entries Stay**: a log that holds a committed entry, and ends in the term that it was
//!    committed in or later, never loses it.
//! 8. **Forwarded Once**: a proposal that a follower forwarded has one place in its leader's log.
//!
//! # Where it departs from the paper
//!
//! * The commit index is never persisted; a restarted node learns it anew.
//! * A leader's records become durable while its appends are under way; it counts itself when its own
//!   disk acknowledges, like any follower's (thesis §10.2.1).
//! * Heartbeats carry no consistency check: their commit index counts up to where the follower, or by
//!   its acknowledgements the leader, knows the logs to agree. A follower that did not get on between two heartbeats is asked by an
//!   empty `Append`, and the answer repairs whatever was lost.
//! * A broken link to the leader shortens the election timeout; the pre-vote keeps this harmless, and a
//!   promise that a lease rests on goes before it (thesis §6.4.1).
//! * A leader that hears no majority for an election timeout steps down (thesis §6.2).
//! * Who hears a leader, or leads, ignores votes that no leader wished for (thesis §4.2.3).
//! * A leader that was removed hands over instead of falling silent (thesis §4.2.2, §3.10); so does one
//!   that finds a voter of higher priority up to date.
//! * A candidate that could win but for its log pulls what it lacks, and campaigns again.
//! * Idle groups may fall quiet: no heartbeats and no timers, until something happens.
//! * Acknowledgements, commits and read rounds are gathered until the flush that ends a batch of
//!   inputs: one message per peer and batch.
//!
//! # What is left out
//!
//! Witnesses; forwarding of changes and transfers: their refusal names the leader.
//!
//! # Reading order
//!
//! [`Message`], [`Record`], core's [`synod_log`], the private `state`, then [`Raft`] with its dispatch table and
//! the roles; [`Rules`] and [`Invariants`] say what must not break.
//!
//! | section | file |
//! |---|---|
//! | figure 2, state | `state`, `record` (persistent), `progress` (`nextIndex`, `matchIndex`); core's `log`, `members`, `written` |
//! | figure 2, rules for servers; §5.1 terms | `node`, `terms` |
//! | figure 4 and §5 roles | `role`, `role/follower`, `role/candidate`, `role/leader` |
//! | §5.2 election, §5.4.1 who may win; thesis §9.6 pre-vote | `elections`, `role/candidate`; timeouts: `role/follower`, `config` (§5.6, §9.3) |
//! | thesis §4.2.3 disruptive servers | `elections` |
//! | thesis §3.10 transfer | `role/leader/transfer` (the leader, and priorities), `elections` (its successor) |
//! | §5.3 replication, thesis §10.2.1 parallel writes | `role/leader/replication`, `progress` (the leader), `role/follower` |
//! | §5.4.2 commitment | `role/leader` |
//! | §6, thesis §4.1-§4.3 membership | `role/leader/membership`; core's `members` and `Membership` |
//! | thesis §6.2 leaders step down | `role/leader/replication` |
//! | §7 compaction and InstallSnapshot | `compaction` (when: core's `snapshotting`), `role/leader/replication`, `role/follower` |
//! | §8, thesis §6.4 reads | `role/leader/reading`; at followers `role/follower/reading`; core's `reads`, `questions`, `lease` |
//! | figure 3 | `invariants`; what it rests on: `rules` |
//! | none of the papers | `catch_up`, `role/leader/rest`, `forced`, `view`; core's `proposals`, `forwards` (what a user waits for) |
//!
//! Papers: D. Ongaro, J. Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
//! Version)*, 2014 ("§", "figure"); D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014
//! ("thesis").

#![no_std]

extern crate alloc;

mod catch_up;
mod compaction;
mod config;
mod elections;
mod forced;
mod invariants;
mod message;
mod node;
mod progress;
mod record;
mod role;
mod rules;
mod state;
mod terms;
mod view;

pub use config::Config;
pub use forced::NothingToRecover;
pub use invariants::Invariants;
pub use message::{AppendResult, Message};
pub use node::{Raft, Timer};
pub use record::{Checkpoint, HardState, Record};
pub use rules::{RULES, Rules};
pub use synod_log::{Answer, EntryId, Lease, Log, ReadId, ReadResult};
pub use view::View;

/// A term: a reign of at most one leader (§5.1).
pub type Term = synod_consensus::Epoch;
