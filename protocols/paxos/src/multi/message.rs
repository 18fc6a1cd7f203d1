//! What Multi-Paxos nodes say to each other.
//!
//! # What is sent now, and why it may be
//!
//! Everything is held until the sender's records are durable, but for these:
//!
//! * **Prepare** reveals a ballot in which nothing was proposed, and nothing will be before its proposer
//!   has durably promised it itself. If it crashes before, another life of it may ask for the same ballot;
//!   it is told the same, for an acceptor that promised accepts nothing lower in between.
//! * **Accept** and **Heartbeat** reveal a ballot, but one that their leader has durably promised; and
//!   values that it may not have on disk yet, which it does not count itself for until it has (its own
//!   acceptance is a held message to itself). If the leader crashes, no later life of it uses the ballot,
//!   so nobody can hear of a second value in it.
//! * **HeartbeatReply** says that its sender had promised no higher ballot *when it answered*. A read
//!   rests on a majority of such answers: a later leader needs a promise of one of them, made afterwards.
//!   That stays true if the sender then forgets what it promised, so nothing needs to be durable. Its
//!   promise to hear nobody else, where leases are used, is kept by a restart without any record.
//! * **TakeOver** promises nothing, and reveals no more than an accept does.
//! * **Learn**, **ReadIndex** and **Forward** promise nothing. What is learned counts only if its asker still
//!   has promised the ballot that it asked in.
//! * **Learned** says what was chosen, which is so for ever: a majority has it on disk.
//! * **ReadIndexReply** says that an index was chosen and current, which a majority's answers and disks
//!   vouch for. **Forwarded** says where a leader put a value: no more than the accept that follows it.
//!   (Where the sender does not lead, both are held.)

mod display;

pub(crate) use self::display::InBallot;

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Index, Membership, Payload, Snapshot};
use synod_engine::{Blob, Class};
use synod_log::{Answer, ReadId, ReadResult};

use crate::Ballot;

/// No log comes near it; beyond it, indices could not be counted on.
const LAST_INDEX: Index = Index(1 << 62);

/// A message. All but `Learned` and `Install` count only in the ballot that they carry.
///
/// What was chosen is so for ever; those two count in later ballots too.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Phase 1a, of all instances from one on at once (§2.2, §3): from a node without a leader to the
    /// voters. Answered by `Promise` or `Refused`.
    Prepare {
        /// The ballot that it wants promised.
        ballot: Ballot,
        /// The first instance that it asks about; of a question asked again, the first that is missing.
        from: Index,
        /// The ballot of the leader that wished it, if one did: whoever has promised no higher one may promise
        /// this, though it hears that leader.
        handover: Option<Ballot>,
    },
    /// Phase 1b (§2.2): the acceptor will accept nothing below this ballot; and a piece of what it has
    /// accepted and does not know to be chosen. The proposer asks for the next piece.
    Promise {
        /// The ballot that was asked about.
        ballot: Ballot,
        /// The first instance that was asked about.
        from: Index,
        /// What it has accepted from there on, each in the ballot that is its epoch.
        accepted: Vec<Batch>,
        /// Where the next piece begins; `None` if that was all.
        next: Option<Index>,
        /// Up to here it knows what is chosen.
        chosen: Index,
    },
    /// The acceptor has promised a higher ballot, or hears a leader: to a proposer (§2.5).
    Refused {
        /// The ballot that is refused.
        ballot: Ballot,
        /// The highest ballot that it has promised.
        promised: Ballot,
    },
    /// Phase 2a (§2.2): from the leader to a follower. Its ballot is the epoch of the batch.
    Accept {
        /// The values, and of which instances.
        batch: Batch,
        /// Up to here the leader knows the values to be chosen.
        chosen: Index,
    },
    /// Phase 2b (§2.2): from a follower, and from the leader's own disk, to the leader.
    Accepted {
        /// The ballot.
        ballot: Ballot,
        /// It has all values up to here: accepted in this ballot, or known to be chosen.
        prefix: Index,
        /// And it accepted these in this ballot, from the first to the last.
        beyond: Option<(Index, Index)>,
        /// Up to here it knows the values to be chosen; if members changed there, durably.
        chosen: Index,
    },
    /// The leader is there, and something was chosen.
    Heartbeat {
        /// The ballot.
        ballot: Ballot,
        /// Up to here the leader knows the values to be chosen.
        chosen: Index,
        /// What the leader knows of the follower's prefix; who has more tells it again.
        prefix: Index,
        /// At a regular heartbeat, the last instance that a value was proposed for.
        last: Option<Index>,
        /// The round of confirmations to answer; `None` where none is wanted.
        round: Option<u64>,
    },
    /// Answer to a `Heartbeat` that asks for one.
    HeartbeatReply {
        /// The ballot.
        ballot: Ballot,
        /// The round answered.
        round: u64,
        /// For this long by its own clock the follower promises no other ballot; 0 where leases are off.
        promise_ms: u64,
    },
    /// Send me what you have from this instance on (§2.3): from who lacks it to its leader; from a
    /// candidate to an acceptor that knows more to be chosen; or from who has no leader and may not lead to
    /// any other. Answered by `Learned` or `Install`, or `Refused` by who has promised a higher ballot.
    Learn {
        /// The ballot that its sender has promised.
        ballot: Ballot,
        /// The first instance.
        from: Index,
    },
    /// Answer to `Learn`: chosen values, without a gap.
    Learned {
        /// The ballot that was asked in; its sender had promised no higher one.
        ballot: Ballot,
        /// The values.
        values: Vec<Batch>,
        /// Up to here its sender knows the values to be chosen.
        chosen: Index,
    },
    /// Answer to `Learn` where the values are given up: the snapshot in their place. Its bytes travel along
    /// as an attachment.
    Install {
        /// The ballot that was asked in; its sender had promised no higher one.
        ballot: Ballot,
        /// What to install.
        snapshot: Snapshot,
        /// Who belongs to the group, as of the snapshot.
        members: Arc<Membership>,
    },
    /// Prepare a ballot of your own at once: from a leader to the one it wants in its place.
    TakeOver {
        /// The leader's ballot.
        ballot: Ballot,
        /// The last instance that it proposed a value for. It counts only for a follower that has exactly
        /// these: a message that comes late, to one that was sent more since, is void.
        last: Index,
    },
    /// Which index must a read reach that is asked for now? From a follower or learner to its leader, for
    /// all its reads that wait.
    ReadIndex {
        /// The ballot.
        ballot: Ballot,
        /// What to answer to.
        id: ReadId,
    },
    /// Answer to `ReadIndex`.
    ReadIndexReply {
        /// The ballot that was asked in.
        ballot: Ballot,
        /// The question.
        id: ReadId,
        /// What came of it.
        result: ReadResult,
    },
    /// Proposals of a follower's user (decision 0007).
    Forward {
        /// The ballot.
        ballot: Ballot,
        /// The lane that they are numbered in, which the follower named by chance.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What is proposed.
        commands: Vec<Bytes>,
    },
    /// Answer to `Forward`, or to a part of one: travels before the values.
    Forwarded {
        /// The ballot.
        ballot: Ballot,
        /// The lane.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What became of each.
        answers: Vec<Answer>,
    },
}

impl Message {
    /// The ballot that it carries.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        match self {
            Self::Accept { batch, .. } => Ballot::of(batch.epoch()),
            Self::Prepare { ballot, .. }
            | Self::Promise { ballot, .. }
            | Self::Refused { ballot, .. }
            | Self::Accepted { ballot, .. }
            | Self::Heartbeat { ballot, .. }
            | Self::HeartbeatReply { ballot, .. }
            | Self::Learn { ballot, .. }
            | Self::Learned { ballot, .. }
            | Self::Install { ballot, .. }
            | Self::TakeOver { ballot, .. }
            | Self::ReadIndex { ballot, .. }
            | Self::ReadIndexReply { ballot, .. }
            | Self::Forward { ballot, .. }
            | Self::Forwarded { ballot, .. } => *ballot,
        }
    }

    /// Whether only the ballot's own proposer says such a thing.
    pub(crate) fn is_of_proposer(&self) -> bool {
        match self {
            Self::Prepare { .. }
            | Self::Accept { .. }
            | Self::Heartbeat { .. }
            | Self::TakeOver { .. } => true,
            Self::Promise { .. }
            | Self::Refused { .. }
            | Self::Accepted { .. }
            | Self::HeartbeatReply { .. }
            | Self::Learn { .. }
            | Self::Learned { .. }
            | Self::Install { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. } => false,
        }
    }

    /// Whether a correct node could have sent it, as far as it shows by itself. A message that was
    /// decoded may still be nonsense.
    pub(crate) fn makes_sense(&self) -> bool {
        match self {
            Self::Promise { ballot, from, accepted, next, chosen } => {
                is_in_order(*from, accepted)
                    && accepted.iter().all(|batch| batch.epoch() < ballot.epoch())
                    && next.is_none_or(|next| {
                        accepted
                            .last()
                            .is_some_and(|batch| batch.last() < next && next < LAST_INDEX)
                    })
                    && *chosen < LAST_INDEX
            }
            Self::Accept { batch, .. } => batch.last() < LAST_INDEX,
            Self::Learned { values, chosen, .. } => {
                let follows = |pair: &[Batch]| pair[0].last().next() == pair[1].first();
                values.windows(2).all(follows)
                    && values.last().is_none_or(|batch| batch.last() <= *chosen)
                    && *chosen < LAST_INDEX
            }
            Self::Install { snapshot, members, .. } => {
                snapshot.index < LAST_INDEX && !members.is_empty()
            }
            Self::Prepare { from, .. } | Self::Learn { from, .. } => {
                (Index(1)..LAST_INDEX).contains(from)
            }
            Self::Forward { first, commands, .. } => !commands.is_empty() && *first < LAST_INDEX.0,
            Self::Forwarded { first, answers, .. } => {
                *first < LAST_INDEX.0 && answers.iter().flatten().all(|index| *index < LAST_INDEX)
            }
            Self::ReadIndexReply { result: ReadResult::Index(index), .. } => *index < LAST_INDEX,
            Self::Accepted { beyond, .. } => beyond.is_none_or(|(first, last)| first <= last),
            Self::Refused { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::TakeOver { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { result: ReadResult::Busy | ReadResult::NotLeader, .. } => true,
        }
    }
}

impl synod_engine::Message for Message {
    fn class(&self) -> Class {
        match self {
            Self::Promise { .. }
            | Self::Accept { .. }
            | Self::Accepted { .. }
            | Self::Learned { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. } => Class::Ordered { lane: 1 },
            Self::Install { .. } => Class::Ordered { lane: 2 },
            Self::Prepare { .. }
            | Self::Refused { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::Learn { .. }
            | Self::TakeOver { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. } => Class::Ordered { lane: 0 },
        }
    }

    fn attachment(&self) -> Option<Blob> {
        if let Self::Install { snapshot, .. } = self { Some(snapshot.blob) } else { None }
    }

    /// What an acceptor says. What is chosen is so whoever says it.
    fn counts(&self) -> bool {
        match self {
            Self::Promise { .. } | Self::Accepted { .. } | Self::HeartbeatReply { .. } => true,
            Self::Prepare { .. }
            | Self::Refused { .. }
            | Self::Accept { .. }
            | Self::Heartbeat { .. }
            | Self::Learn { .. }
            | Self::Learned { .. }
            | Self::Install { .. }
            | Self::TakeOver { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. } => false,
        }
    }

    /// Not what fills gaps: a new leader could get nothing chosen without it. Nor a change of members: it
    /// may be what brings a disk with room.
    fn fills_disk(&self) -> bool {
        match self {
            Self::Accept { batch, .. } => {
                batch.payloads().iter().any(|payload| matches!(payload, Payload::Command(_)))
            }
            Self::Learned { .. } | Self::Install { .. } | Self::Forward { .. } => true,
            Self::Prepare { .. }
            | Self::Promise { .. }
            | Self::Refused { .. }
            | Self::Accepted { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::Learn { .. }
            | Self::TakeOver { .. }
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::Forwarded { .. } => false,
        }
    }
}

/// Whether these runs begin at `from` or later, in order, and none lies over another.
fn is_in_order(from: Index, runs: &[Batch]) -> bool {
    let mut next = from;
    runs.iter().all(|run| {
        let fits = run.first() >= next && run.last() < LAST_INDEX;
        next = run.last().next();
        fits
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use synod_engine::{Message as _, NodeId};

    use super::*;

    const BALLOT: Ballot = Ballot { round: 7, proposer: NodeId(1) };

    /// One value at this instance, accepted in the ballot of this round.
    fn value(index: u64, round: u64) -> Batch {
        Batch::new(Index(index), Ballot { round, ..BALLOT }.epoch(), vec![Payload::Noop])
    }

    fn promise(accepted: Vec<Batch>, next: Option<u64>, chosen: u64) -> Message {
        let (from, next, chosen) = (Index(5), next.map(Index), Index(chosen));
        Message::Promise { ballot: BALLOT, from, accepted, next, chosen }
    }

    fn learned(values: Vec<Batch>, chosen: u64) -> Message {
        Message::Learned { ballot: BALLOT, values, chosen: Index(chosen) }
    }

    fn forward(first: u64, commands: usize) -> Message {
        let commands = vec![Bytes::new(); commands];
        Message::Forward { ballot: BALLOT, lane: 1, first, commands }
    }

    fn forwarded(first: u64, index: u64) -> Message {
        let answers = vec![Ok(Index(index))];
        Message::Forwarded { ballot: BALLOT, lane: 1, first, answers }
    }

    fn accepted(first: u64, last: u64) -> Message {
        let (prefix, chosen) = (Index(0), Index(0));
        let beyond = Some((Index(first), Index(last)));
        Message::Accepted { ballot: BALLOT, prefix, beyond, chosen }
    }

    fn learn(from: u64) -> Message {
        Message::Learn { ballot: BALLOT, from: Index(from) }
    }

    fn read(index: u64) -> Message {
        let result = ReadResult::Index(Index(index));
        Message::ReadIndexReply { ballot: BALLOT, id: ReadId { life: 1, number: 1 }, result }
    }

    #[test]
    fn a_message_that_contradicts_itself_or_all_bounds_makes_no_sense() {
        let (end, most) = (LAST_INDEX.0, LAST_INDEX.0 - 1);
        let pairs = [
            (promise(vec![value(5, 6), value(7, 2)], Some(8), most), "gaps are fine"),
            (promise(vec![], None, 0), "nothing"),
            (learned(vec![value(5, 3), value(6, 9)], 6), "in any ballots"),
            (learned(vec![], most), "nothing"),
            (Message::Accept { batch: value(most, 7), chosen: Index(0) }, "the last there may be"),
            (forward(end - 1, 1), "one"),
            (forwarded(end - 1, most), "one"),
            (accepted(5, 5), "one"),
            (learn(1), "all"),
            (learn(most), "the last there may be"),
            (read(most), "the last there may be"),
        ];
        for (message, what) in pairs {
            assert!(message.makes_sense(), "{message}: {what}");
        }
        let nonsense = [
            (promise(vec![value(4, 6)], None, 0), "from before what was asked about"),
            (promise(vec![value(7, 6), value(6, 6)], None, 0), "out of order"),
            (promise(vec![value(5, 7)], None, 0), "accepted in the ballot that is asked for"),
            (promise(vec![value(5, 6)], Some(5), 0), "the next piece is the same"),
            (promise(vec![], Some(5), 0), "a next piece of nothing"),
            (promise(vec![value(5, 6)], Some(end), 0), "beyond all bounds"),
            (promise(vec![], None, end), "beyond all bounds"),
            (learned(vec![value(5, 6), value(7, 6)], 9), "a gap"),
            (learned(vec![value(5, 6)], 4), "not known to be chosen"),
            (learned(vec![], end), "beyond all bounds"),
            (Message::Accept { batch: value(end, 7), chosen: Index(0) }, "beyond all bounds"),
            (forward(0, 0), "nothing"),
            (forward(end, 1), "beyond all bounds"),
            (forwarded(end, 1), "beyond all bounds"),
            (forwarded(0, end), "beyond all bounds"),
            (accepted(5, 4), "the end before the beginning"),
            (learn(0), "there is no such instance"),
            (learn(end), "beyond all bounds"),
            (read(end), "beyond all bounds"),
        ];
        for (message, what) in nonsense {
            assert!(!message.makes_sense(), "{message}: {what}");
        }
    }

    /// What an acceptor says counts in a majority, and so only if it is a voter of this life.
    #[test]
    fn what_acceptors_say_counts() {
        let reply = Message::HeartbeatReply { ballot: BALLOT, round: 1, promise_ms: 0 };
        for message in [promise(vec![], None, 0), accepted(1, 1), reply] {
            assert!(message.counts(), "{message}");
        }
        for message in [learn(1), learned(vec![], 0), read(1), forward(0, 1), forwarded(0, 1)] {
            assert!(!message.counts(), "{message}");
        }
    }

    #[test]
    fn values_are_shown_with_their_ballot_and_a_promise_that_binds_with_its_time() {
        let both = Batch::new(Index(5), BALLOT.epoch(), vec![Payload::Noop; 2]);
        let shown = learned(vec![value(4, 3), both], 6).to_string();
        assert_eq!(shown, "Learned 7.n1: 4@3.n1 5..6@7.n1, chosen to 6");
        let reply = |promise_ms| Message::HeartbeatReply { ballot: BALLOT, round: 1, promise_ms };
        assert_eq!(reply(0).to_string(), "HeartbeatReply 7.n1 round 1");
        assert_eq!(reply(300).to_string(), "HeartbeatReply 7.n1 round 1 for 300 ms");
    }
}
