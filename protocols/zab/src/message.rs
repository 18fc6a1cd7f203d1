//! What ZAB nodes say to each other.
//!
//! # What is sent now, and why it may be
//!
//! Everything is held until the sender's records are durable, but for these:
//!
//! * **FollowerInfo** tells an epoch that may not be durable yet. It is no promise: the leader only makes its
//!   own epoch greater than it.
//! * **Diff**, **Trunc**, **NewLeader**, **Propose**, **Inform**, **UpToDate**, **Commit** and **Ping** reveal
//!   entries that their leader may not have on disk yet, and it does not count itself until it has (its own
//!   acknowledgements are held messages to itself). They reveal its epoch too, but that is durable: its
//!   NewEpoch was held, and a quorum has answered it.
//! * **Pong** says that its sender had accepted no later epoch *when it answered*. A read rests on a quorum
//!   of such answers: a later leader needs the promise of one of them, made afterwards. That stays true if
//!   the sender then forgets the epoch, so nothing needs to be durable.
//! * **Sync** promises nothing, and goes to a leader whose epoch its sender is in: no news to it.
//! * **SyncReply** says that an index was committed and current, which a quorum's answers and disks vouch for,
//!   in an epoch that is durable: its sender leads it. (Where the sender does not lead, it is held.)
//! * **Request** promises nothing, and goes to a leader whose epoch its sender is in. **Requested** says where
//!   a leader put it in its history: no more than the proposal that follows it.
//! * **HandOver** and **Look** promise nothing: whom a node follows is an oracle's word, on which no safety
//!   rests (`leaderOracle` of the published specification).
//! * **Election** messages the embedded engine marks itself.

mod display;
mod sense;

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_consensus::{Batch, Epoch, Index, Membership, Payload, Snapshot};
use synod_election::fle;
use synod_engine::{Blob, Class, NodeId};
use synod_log::{Answer, EntryId, ReadId, ReadResult};

/// No history comes near it; beyond it, indices could not be counted on.
pub(crate) const LAST_INDEX: Index = Index(1 << 62);

/// Runs of one epoch that an `AckEpoch` names at most. A history with more of them behind its newest
/// snapshot is compared from there.
pub(crate) const MAX_RUNS: usize = 256;

/// A message. All but an election's, and `FollowerInfo`, carry the epoch of the leader that sent it, or
/// that it is meant for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Phase 0: a word of the embedded fast leader election.
    Election(fle::Notification),
    /// Phase 1, CEPOCH or FOLLOWERINFO: you lead, by my election; from a follower to the leader.
    FollowerInfo {
        /// The newest epoch that the sender accepted.
        accepted: Epoch,
    },
    /// NEWEPOCH or LEADERINFO: will you accept my epoch? It is later than what a quorum had accepted.
    NewEpoch {
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// ACKEPOCH: yes; and how my history ends. A follower says it again when it is asked again, and
    /// unasked when it finds that something was lost.
    AckEpoch {
        /// The leader's epoch.
        epoch: Epoch,
        /// Whether it accepted that epoch of this leader and no other: only then does the answer count.
        counts: bool,
        /// How its history ends.
        summary: Summary,
    },
    /// Phase 2, DIFF: your history is a part of mine; the proposals that follow go on behind this entry.
    Diff {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last entry that both have, or an earlier one.
        after: EntryId,
    },
    /// TRUNC: your history departs from mine behind this entry; cut it there. Proposals follow.
    Trunc {
        /// The leader's epoch.
        epoch: Epoch,
        /// How the follower's history ended when it said so: one that ends otherwise by now is not meant.
        last: EntryId,
        /// The last entry that both have.
        to: EntryId,
    },
    /// SNAP: for a follower that lacks entries which the leader has compacted. The snapshot's bytes travel
    /// along as an attachment. Answered by an `AckEpoch`.
    Snap {
        /// The leader's epoch.
        epoch: Epoch,
        /// What to install.
        snapshot: Snapshot,
        /// The last entry before those of the epoch of the snapshot's last.
        began: Index,
        /// Who belongs to the group, as of the snapshot.
        members: Arc<Membership>,
    },
    /// NEWLEADER: with what came before, your history is mine; make it so, and this epoch your current one.
    NewLeader {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last entry of what the follower has now.
        last: EntryId,
        /// The last entry before the epoch's own: they are counted from here.
        began: Index,
    },
    /// ACK of NEWLEADER: all that is durable. The leader's own disk answers in the same form.
    AckNewLeader {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last entry that NEWLEADER named.
        last: Index,
    },
    /// UPTODATE or COMMITLD: a quorum has my history, so it is committed; serve.
    UpToDate {
        /// The leader's epoch.
        epoch: Epoch,
        /// What the leader knows to be committed by now, not only what the follower acknowledged.
        commit: Index,
    },
    /// Phase 3, PROPOSE: entries for a voter. The same carries what a synchronisation sends.
    Propose {
        /// The leader's epoch.
        epoch: Epoch,
        /// The entry before them.
        previous: EntryId,
        /// The entries, of this epoch or, in a synchronisation, of an earlier one.
        entries: Batch,
        /// What the leader knows to be committed.
        commit: Index,
    },
    /// INFORM: entries for an observer, all of them committed.
    Inform {
        /// The leader's epoch.
        epoch: Epoch,
        /// The entry before them.
        previous: EntryId,
        /// The entries.
        entries: Batch,
        /// What the leader knows to be committed.
        commit: Index,
    },
    /// ACK: up to here the history is the leader's, and durable. The leader's own disk answers in the same
    /// form.
    Ack {
        /// The leader's epoch.
        epoch: Epoch,
        /// Up to here.
        index: Index,
    },
    /// COMMIT: up to here a quorum has it.
    Commit {
        /// The leader's epoch.
        epoch: Epoch,
        /// Up to here.
        index: Index,
    },
    /// The leader is there. Calls who has none to follow it.
    Ping {
        /// The leader's epoch.
        epoch: Epoch,
        /// Whether a quorum has taken over its history.
        established: bool,
        /// What the leader knows to be committed.
        commit: Index,
        /// The round of confirmations to answer.
        round: u64,
    },
    /// Answer to `Ping`: the follower is there, and has accepted no later epoch. To a leader that gave that epoch
    /// up and was elected again it is a `FollowerInfo`.
    Pong {
        /// The leader's epoch.
        epoch: Epoch,
        /// The round answered.
        round: u64,
    },
    /// Proposals of a follower's user (decision 0007).
    Request {
        /// The leader's epoch.
        epoch: Epoch,
        /// The lane that they are numbered in, which the follower named by chance.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What is proposed.
        commands: Vec<Bytes>,
    },
    /// Answer to `Request`, or to a part of one: travels before the entries.
    Requested {
        /// The leader's epoch.
        epoch: Epoch,
        /// The lane.
        lane: u64,
        /// The number of the first.
        first: u64,
        /// What became of each.
        answers: Vec<Answer>,
    },
    /// Which index must a read reach that is asked for now? From a follower or observer, for all its reads
    /// that wait: ZooKeeper's `sync`.
    Sync {
        /// The leader's epoch.
        epoch: Epoch,
        /// What to answer to.
        id: ReadId,
    },
    /// Answer to `Sync`.
    SyncReply {
        /// The epoch of the leader that was asked.
        epoch: Epoch,
        /// The question.
        id: ReadId,
        /// What came of it.
        result: ReadResult,
    },
    /// I lead no more; this one has all that I have: follow it, and if you are it, lead. From a leader to
    /// all. ZAB has no such message.
    HandOver {
        /// The leader's epoch.
        epoch: Epoch,
        /// Who should lead.
        successor: NodeId,
        /// The last entry of the leader's history, all of which is committed.
        last: EntryId,
    },
    /// I lead no more: look for another. From a leader to all that follow it.
    Look {
        /// The leader's epoch.
        epoch: Epoch,
    },
}

/// How a history ends, and of which epochs it is made.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The epoch whose leader's history it last was.
    pub current: Epoch,
    /// The last entry of each epoch in it, newest first; the last entry of all comes first.
    pub runs: Vec<EntryId>,
    /// The entry before the first that it holds: it is committed.
    pub base: EntryId,
}

impl Summary {
    /// Its last entry.
    #[must_use]
    pub fn last(&self) -> EntryId {
        self.runs.first().copied().unwrap_or(self.base)
    }

    /// What histories are compared by: the newer one is the one of the later epoch, and of two of the same
    /// epoch the longer one.
    #[must_use]
    pub fn age(&self) -> (Epoch, EntryId) {
        (self.current, self.last())
    }
}

impl Message {
    /// The leader's epoch; `None` in an election and in what follows it at once.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Election(_) | Self::FollowerInfo { .. } => None,
            Self::NewEpoch { epoch }
            | Self::AckEpoch { epoch, .. }
            | Self::Diff { epoch, .. }
            | Self::Trunc { epoch, .. }
            | Self::Snap { epoch, .. }
            | Self::NewLeader { epoch, .. }
            | Self::AckNewLeader { epoch, .. }
            | Self::UpToDate { epoch, .. }
            | Self::Propose { epoch, .. }
            | Self::Inform { epoch, .. }
            | Self::Ack { epoch, .. }
            | Self::Commit { epoch, .. }
            | Self::Ping { epoch, .. }
            | Self::Pong { epoch, .. }
            | Self::Request { epoch, .. }
            | Self::Requested { epoch, .. }
            | Self::Sync { epoch, .. }
            | Self::SyncReply { epoch, .. }
            | Self::HandOver { epoch, .. }
            | Self::Look { epoch } => Some(*epoch),
        }
    }
}

impl synod_engine::Message for Message {
    /// What a leader and its follower say about the history comes in order, in one lane. What shows that
    /// they are there does not wait for it, nor for a snapshot.
    fn class(&self) -> Class {
        match self {
            Self::Election(message) => message.class(),
            Self::Ping { .. } | Self::Pong { .. } | Self::Sync { .. } | Self::SyncReply { .. } => {
                Class::Ordered { lane: 0 }
            }
            Self::FollowerInfo { .. }
            | Self::NewEpoch { .. }
            | Self::AckEpoch { .. }
            | Self::Diff { .. }
            | Self::Trunc { .. }
            | Self::NewLeader { .. }
            | Self::AckNewLeader { .. }
            | Self::UpToDate { .. }
            | Self::Propose { .. }
            | Self::Inform { .. }
            | Self::Ack { .. }
            | Self::Commit { .. }
            | Self::Request { .. }
            | Self::Requested { .. }
            | Self::HandOver { .. }
            | Self::Look { .. } => Class::Ordered { lane: 1 },
            Self::Snap { .. } => Class::Ordered { lane: 2 },
        }
    }

    fn attachment(&self) -> Option<Blob> {
        if let Self::Snap { snapshot, .. } = self { Some(snapshot.blob) } else { None }
    }

    /// The answers. A leader is followed whoever it was before: a quorum accepted it as what it is.
    fn counts(&self) -> bool {
        match self {
            Self::FollowerInfo { .. }
            | Self::AckEpoch { .. }
            | Self::AckNewLeader { .. }
            | Self::Ack { .. }
            | Self::Pong { .. } => true,
            Self::Election(message) => message.counts(),
            Self::NewEpoch { .. }
            | Self::Diff { .. }
            | Self::Trunc { .. }
            | Self::Snap { .. }
            | Self::NewLeader { .. }
            | Self::UpToDate { .. }
            | Self::Propose { .. }
            | Self::Inform { .. }
            | Self::Commit { .. }
            | Self::Ping { .. }
            | Self::Request { .. }
            | Self::Requested { .. }
            | Self::Sync { .. }
            | Self::SyncReply { .. }
            | Self::HandOver { .. }
            | Self::Look { .. } => false,
        }
    }

    /// Not a change of members: it may be what brings a disk with room.
    fn fills_disk(&self) -> bool {
        match self {
            Self::Propose { entries, .. } | Self::Inform { entries, .. } => {
                entries.payloads().iter().any(|payload| matches!(payload, Payload::Command(_)))
            }
            Self::Snap { .. } | Self::Request { .. } => true,
            Self::Election(message) => message.fills_disk(),
            Self::FollowerInfo { .. }
            | Self::NewEpoch { .. }
            | Self::AckEpoch { .. }
            | Self::Diff { .. }
            | Self::Trunc { .. }
            | Self::NewLeader { .. }
            | Self::AckNewLeader { .. }
            | Self::UpToDate { .. }
            | Self::Ack { .. }
            | Self::Commit { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Requested { .. }
            | Self::Sync { .. }
            | Self::SyncReply { .. }
            | Self::HandOver { .. }
            | Self::Look { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use synod_engine::Message as _;

    use super::*;

    const EPOCH: Epoch = Epoch(4);

    fn propose(payload: Payload) -> Message {
        Message::Propose {
            epoch: EPOCH,
            previous: EntryId::default(),
            entries: Batch::new(Index(1), EPOCH, vec![payload]),
            commit: Index::ZERO,
        }
    }

    fn ack_epoch() -> Message {
        let summary = Summary { current: EPOCH, runs: Vec::new(), base: EntryId::default() };
        Message::AckEpoch { epoch: EPOCH, counts: true, summary }
    }

    /// What rests on an earlier promise counts only if its sender is who made it; a leader is followed
    /// whoever it was before.
    #[test]
    fn answers_count_in_quorums_and_what_a_leader_says_does_not() {
        let (epoch, last) = (EPOCH, Index(0));
        let answers = [
            Message::FollowerInfo { accepted: epoch },
            ack_epoch(),
            Message::AckNewLeader { epoch, last },
            Message::Ack { epoch, index: last },
            Message::Pong { epoch, round: 0 },
        ];
        assert!(answers.iter().all(Message::counts));
        let others = [
            Message::NewEpoch { epoch },
            Message::Diff { epoch, after: EntryId::default() },
            propose(Payload::Noop),
            Message::Commit { epoch, index: last },
            Message::Ping { epoch, established: true, commit: last, round: 0 },
            Message::Look { epoch },
        ];
        assert!(!others.iter().any(Message::counts));
    }

    #[test]
    fn a_full_disk_still_takes_a_change_of_members_and_no_command() {
        assert!(!propose(Payload::Members(Arc::default())).fills_disk());
        assert!(propose(Payload::Command(Bytes::new())).fills_disk());
    }

    /// A ping is not late because proposals or a snapshot are under way.
    #[test]
    fn the_history_has_one_lane_and_signs_of_life_another() {
        let lane = |message: &Message| match message.class() {
            Class::Ordered { lane } => lane,
            Class::Datagram => panic!("{message} needs its order"),
        };
        let (epoch, index) = (EPOCH, Index(0));
        let history = [
            Message::NewEpoch { epoch },
            ack_epoch(),
            propose(Payload::Noop),
            Message::NewLeader { epoch, last: EntryId::default(), began: index },
            Message::UpToDate { epoch, commit: index },
            Message::Commit { epoch, index },
        ];
        assert!(history.iter().all(|message| lane(message) == 1));
        assert_eq!(lane(&Message::Pong { epoch, round: 0 }), 0);
        let blob = Blob { id: 1, size_bytes: 1, checksum: 0 };
        let snapshot = Snapshot { index: Index(3), epoch: Epoch(1), blob };
        let snap = Message::Snap { epoch, snapshot, began: index, members: Arc::default() };
        assert_eq!((lane(&snap), snap.attachment()), (2, Some(blob)));
    }
}
