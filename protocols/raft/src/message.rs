//! What Raft nodes say to each other.
//!
//! # What is sent now, and why it may be
//!
//! Everything is held until the sender's records are durable, but for these:
//!
//! * **Append** and **Heartbeat** reveal entries that their leader may not have on disk yet, and it
//!   does not count itself until it has (its own acknowledgement is a held message to itself). They
//!   reveal its term too, but that is durable: it asked for votes in held messages, and leads.
//! * **HeartbeatReply** says that its sender had seen no higher term *when it answered*. A read rests
//!   on a majority of such answers: a later leader needs a vote of one of them, cast afterwards. That
//!   stays true if the sender then forgets the term, so nothing needs to be durable. Its promise, where
//!   leases are used, is kept by a restart without any record: see `lease.rs`.
//! * **Rest** says no more than a heartbeat, and that there is nothing else to say.
//! * **TimeoutNow** promises nothing and reveals no more than an append does. Whoever obeys it makes its
//!   own term and vote durable first.
//! * **ReadIndex** promises nothing, and goes to a leader whose term its sender is in: no news to it.
//! * **ReadIndexReply** says that an index was committed and current, which a majority's answers and
//!   disks vouch for, in a term that is durable: its sender leads it. (Where the sender does not lead,
//!   it is held.)
//! * **Forward** promises nothing, and goes to a leader whose term its sender is in. **Forwarded** says
//!   where a leader put it in its log: no more than the append that follows it.
//! * **PreVote** and **PreVoteReply** promise nothing: they speak of a term that may come to be. (A
//!   refusal that names the sender's own term is held, since that is an identity.)

mod display;

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Index, Membership, Payload, Snapshot};
use synod_engine::{Blob, Class};
use synod_log::{Answer, EntryId, ReadId, ReadResult};

use crate::Term;

/// No log comes near it; beyond it, indices could not be counted on.
const LAST_INDEX: Index = Index(1 << 62);

/// A message. All carry the sender's term (§5.1), the pre-vote's being the term that may come.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Would you vote for me in this term? From a node that has not heard of its leader, to all
    /// (thesis §9.6).
    PreVote {
        /// The term that an election would be held in.
        term: Term,
        /// The last entry of the sender's log.
        last: EntryId,
    },
    /// Answer to `PreVote`.
    PreVoteReply {
        /// The term that was asked about if granted, else the sender's own.
        term: Term,
        /// Whether it would.
        granted: bool,
        /// The last entry of its log, if that is more up to date and it knows no leader who would share
        /// it.
        better: Option<EntryId>,
    },
    /// RequestVote: from a candidate to all (§5.2).
    Vote {
        /// The candidate's term.
        term: Term,
        /// The last entry of its log (§5.4.1).
        last: EntryId,
        /// Whether the leader wished it: then also who hears that leader may vote (thesis §4.2.3).
        transfer: bool,
    },
    /// Answer to `Vote`; the candidate's own vote comes to it in the same form.
    VoteReply {
        /// The voter's term.
        term: Term,
        /// Whether it votes for the candidate.
        granted: bool,
    },
    /// AppendEntries: from the leader to a follower (§5.3).
    Append {
        /// The leader's term.
        term: Term,
        /// The entry before the new ones.
        previous: EntryId,
        /// The new entries; none to ask how far the logs agree.
        entries: Option<Batch>,
        /// What the leader knows to be committed.
        commit: Index,
    },
    /// Answer to `Append` and `Install`; the leader's own disk answers it in the same form.
    AppendReply {
        /// The follower's term.
        term: Term,
        /// How far the logs agree.
        result: AppendResult,
    },
    /// AppendEntries without entries: the leader is there (§5.2), and something was committed.
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// What the leader knows to be committed; counts up to what the follower knows to share.
        commit: Index,
        /// Up to here the leader knows the follower's log to be its own, by an answer of this term.
        /// A follower that forgot (it restarted, or campaigned in vain) knows it again: it cuts nothing
        /// of that before it leaves the term.
        matched: Index,
        /// The round of read confirmations to answer (thesis §6.4); `None` where none is wanted.
        round: Option<u64>,
    },
    /// Answer to a `Heartbeat` that asks for one.
    HeartbeatReply {
        /// The follower's term.
        term: Term,
        /// The round answered.
        round: u64,
        /// For this long by its own clock the follower votes for nobody; 0 where leases are off.
        promise_ms: u64,
    },
    /// Campaign at once: from a leader to the one it wants in its place (thesis §3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
        /// The last entry of its log. It counts only for a log that ends with the same: a message that
        /// comes late, to a follower that the leader has sent more since, is void.
        last: EntryId,
    },
    /// Which index must a read reach that is asked for now? From a follower or learner to its leader,
    /// for all its reads that wait (thesis §6.4).
    ReadIndex {
        /// The follower's term.
        term: Term,
        /// What to answer to.
        id: ReadId,
    },
    /// Answer to `ReadIndex`.
    ReadIndexReply {
        /// The sender's term.
        term: Term,
        /// The question.
        id: ReadId,
        /// What came of it.
        result: ReadResult,
    },
    /// Proposals of a follower's user (decision 0007).
    Forward {
        /// The follower's term.
        term: Term,
        /// The lane that they are numbered in, which the follower named by chance.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What is proposed.
        commands: Vec<Bytes>,
    },
    /// Answer to `Forward`, or to a part of one: travels before the entries.
    Forwarded {
        /// The leader's term.
        term: Term,
        /// The lane.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What became of each.
        answers: Vec<Answer>,
    },
    /// I rest, since nothing is to be done, and so may you: from an idle leader to its followers.
    Rest {
        /// The leader's term.
        term: Term,
        /// The last entry of its log, which is committed.
        last: EntryId,
    },
    /// Send me what I lack: from a node whose campaign came to nothing, to one whose log is more up to
    /// date. See the private module `catch_up`.
    Pull {
        /// The sender's term.
        term: Term,
        /// The last entry of its log.
        last: EntryId,
        /// An entry that both hold: one that is committed, or was in the last piece.
        shared: EntryId,
    },
    /// Answer to `Pull`: a piece of a log, as it is. Claims and acknowledges nothing.
    Pulled {
        /// The sender's term, at least that of all entries.
        term: Term,
        /// The entry before them, which the receiver named.
        previous: EntryId,
        /// Some entries, without a gap.
        entries: Vec<Batch>,
        /// The last entry of the sender's log.
        last: EntryId,
    },
    /// InstallSnapshot: for a follower that lacks entries which the leader has compacted (§7). The
    /// snapshot's bytes travel along as an attachment.
    Install {
        /// The leader's term.
        term: Term,
        /// What to install.
        snapshot: Snapshot,
        /// Who belongs to the group, as of the snapshot.
        members: Arc<Membership>,
    },
}

/// How far a follower's log agrees with its leader's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AppendResult {
    /// Up to this index, and all of it is durable.
    Matches(Index),
    /// It does not hold the entry before the new ones.
    Conflict {
        /// The index that it was asked to hold.
        previous: Index,
        /// The last index it holds.
        last: Index,
        /// The first entry of the term that it has at `previous`, or at `last` where its log is too
        /// short (end of §5.3).
        hint: EntryId,
    },
}

impl Message {
    /// The term that it carries.
    #[must_use]
    pub fn term(&self) -> Term {
        match self {
            Self::PreVote { term, .. }
            | Self::PreVoteReply { term, .. }
            | Self::Vote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::Append { term, .. }
            | Self::AppendReply { term, .. }
            | Self::Heartbeat { term, .. }
            | Self::HeartbeatReply { term, .. }
            | Self::TimeoutNow { term, .. }
            | Self::Rest { term, .. }
            | Self::ReadIndex { term, .. }
            | Self::ReadIndexReply { term, .. }
            | Self::Forward { term, .. }
            | Self::Forwarded { term, .. }
            | Self::Pull { term, .. }
            | Self::Pulled { term, .. }
            | Self::Install { term, .. } => *term,
        }
    }

    /// Whether it answers something that its receiver said.
    pub(crate) fn is_reply(&self) -> bool {
        match self {
            Self::PreVoteReply { .. }
            | Self::VoteReply { .. }
            | Self::AppendReply { .. }
            | Self::HeartbeatReply { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forwarded { .. }
            | Self::Pulled { .. } => true,
            Self::PreVote { .. }
            | Self::Vote { .. }
            | Self::Append { .. }
            | Self::Heartbeat { .. }
            | Self::TimeoutNow { .. }
            | Self::Rest { .. }
            | Self::ReadIndex { .. }
            | Self::Forward { .. }
            | Self::Pull { .. }
            | Self::Install { .. } => false,
        }
    }

    /// Whether a correct node could have sent it, as far as it shows by itself. A message that was
    /// decoded may still be nonsense.
    pub(crate) fn makes_sense(&self) -> bool {
        match self {
            Self::Append { term, previous, entries: Some(entries), .. } => {
                entries.first().previous() == Some(previous.index)
                    && (previous.epoch..=*term).contains(&entries.epoch())
            }
            Self::Append { term, previous, entries: None, .. } => previous.epoch <= *term,
            Self::AppendReply { result: AppendResult::Conflict { previous, last, .. }, .. } => {
                (*previous).max(*last) < LAST_INDEX
            }
            Self::Install { term, snapshot, members } => {
                snapshot.index < LAST_INDEX && snapshot.epoch <= *term && !members.is_empty()
            }
            Self::Forward { first, commands, .. } => !commands.is_empty() && *first < LAST_INDEX.0,
            Self::Forwarded { first, answers, .. } => {
                *first < LAST_INDEX.0 && answers.iter().flatten().all(|index| *index < LAST_INDEX)
            }
            Self::TimeoutNow { term, last }
            | Self::Rest { term, last }
            | Self::Vote { term, last, .. } => last.epoch <= *term,
            Self::PreVote { term, last } => last.epoch < *term,
            Self::ReadIndexReply { result: ReadResult::Index(index), .. } => *index < LAST_INDEX,
            Self::Pull { term, last, shared } => {
                last.epoch <= *term && shared.epoch <= last.epoch && shared.index <= last.index
            }
            Self::Pulled { term, previous, entries, last } => {
                is_a_piece(*previous, entries, *last)
                    && last.epoch <= *term
                    && last.index < LAST_INDEX
            }
            Self::PreVoteReply { .. }
            | Self::VoteReply { .. }
            | Self::AppendReply { result: AppendResult::Matches(_), .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { result: ReadResult::Busy | ReadResult::NotLeader, .. } => true,
        }
    }
}

impl synod_engine::Message for Message {
    fn class(&self) -> Class {
        match self {
            Self::Append { .. }
            | Self::AppendReply { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. }
            | Self::Pulled { .. } => Class::Ordered { lane: 1 },
            Self::Install { .. } => Class::Ordered { lane: 2 },
            Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::Vote { .. }
            | Self::VoteReply { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::TimeoutNow { .. }
            | Self::Rest { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Pull { .. } => Class::Ordered { lane: 0 },
        }
    }

    fn attachment(&self) -> Option<Blob> {
        if let Self::Install { snapshot, .. } = self { Some(snapshot.blob) } else { None }
    }

    /// The answers. A leader is followed whoever it was before: a majority chose it as what it is.
    fn counts(&self) -> bool {
        match self {
            Self::PreVoteReply { .. }
            | Self::VoteReply { .. }
            | Self::AppendReply { .. }
            | Self::HeartbeatReply { .. } => true,
            Self::PreVote { .. }
            | Self::Vote { .. }
            | Self::Append { .. }
            | Self::Heartbeat { .. }
            | Self::TimeoutNow { .. }
            | Self::Rest { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. }
            | Self::Pull { .. }
            | Self::Pulled { .. }
            | Self::Install { .. } => false,
        }
    }

    /// Not the no-op of a new leader: nothing could be committed, and so nothing read, without it. Nor
    /// a change of members: it may be what brings a disk with room.
    fn fills_disk(&self) -> bool {
        match self {
            Self::Append { entries: Some(entries), .. } => {
                entries.payloads().iter().any(|payload| matches!(payload, Payload::Command(_)))
            }
            Self::Install { .. } | Self::Pulled { .. } | Self::Forward { .. } => true,
            Self::Append { entries: None, .. }
            | Self::AppendReply { .. }
            | Self::Forwarded { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::TimeoutNow { .. }
            | Self::Rest { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Pull { .. }
            | Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::Vote { .. }
            | Self::VoteReply { .. } => false,
        }
    }
}

/// Whether these entries follow `previous` without a gap, in terms that do not fall, and belong to a log
/// that ends with `last`.
fn is_a_piece(previous: EntryId, entries: &[Batch], last: EntryId) -> bool {
    let mut end = previous;
    for batch in entries {
        if batch.first().previous() != Some(end.index) || batch.epoch() < end.epoch {
            return false;
        }
        end = EntryId { epoch: batch.epoch(), index: batch.last() };
    }
    end > previous && end.epoch <= last.epoch && end.index <= last.index
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_engine::Message as _;

    use super::*;

    #[test]
    fn a_full_disk_still_takes_the_no_op_that_a_new_leader_commits_by() {
        let append = |payload| Message::Append {
            term: Term::default(),
            previous: EntryId::default(),
            entries: Some(Batch::new(Index(1), Term::default(), vec![payload])),
            commit: Index::ZERO,
        };
        assert!(!append(Payload::Noop).fills_disk());
        assert!(append(Payload::Command(Bytes::new())).fills_disk());
    }

    /// What rests on an earlier promise counts only if its sender is who made it; a leader is followed
    /// whoever it was before.
    #[test]
    fn answers_count_in_quorums_and_what_a_leader_or_candidate_says_does_not() {
        let (term, last, commit) = (Term::default(), EntryId::default(), Index::ZERO);
        let answers = [
            Message::PreVoteReply { term, granted: true, better: None },
            Message::VoteReply { term, granted: true },
            Message::AppendReply { term, result: AppendResult::Matches(commit) },
            Message::HeartbeatReply { term, round: 0, promise_ms: 0 },
        ];
        assert!(answers.iter().all(Message::counts));
        let others = [
            Message::PreVote { term, last },
            Message::Vote { term, last, transfer: false },
            Message::Append { term, previous: last, entries: None, commit },
            Message::Heartbeat { term, commit, matched: commit, round: None },
            Message::TimeoutNow { term, last },
            Message::Rest { term, last },
            Message::Pull { term, last, shared: last },
        ];
        assert!(!others.iter().any(Message::counts));
    }
}
