//! Whether a correct node could have sent a message, as far as it shows by itself: one that was decoded may
//! still be nonsense.

use synod_consensus::Epoch;

use synod_log::ReadResult;

use super::{LAST_INDEX, MAX_RUNS, Message, Summary};
use synod_log::EntryId;

impl Message {
    /// Whether a correct node could have sent it.
    pub(crate) fn makes_sense(&self) -> bool {
        match self {
            Self::Propose { epoch, previous, entries, .. }
            | Self::Inform { epoch, previous, entries, .. } => {
                entries.first().previous() == Some(previous.index)
                    && (previous.epoch..=*epoch).contains(&entries.epoch())
                    && entries.last() < LAST_INDEX
            }
            Self::AckEpoch { epoch, summary, .. } => summary.makes_sense(*epoch),
            Self::Trunc { epoch, last, to } => {
                to < last
                    && to.index < last.index
                    && last.epoch <= *epoch
                    && last.index < LAST_INDEX
            }
            Self::Diff { epoch, after: entry } | Self::HandOver { epoch, last: entry, .. } => {
                entry.epoch <= *epoch && entry.index < LAST_INDEX
            }
            Self::NewLeader { epoch, last, began } => {
                last.epoch <= *epoch && last.index < LAST_INDEX && *began <= last.index
            }
            Self::Snap { epoch, snapshot, began, members } => {
                *began < snapshot.index
                    && snapshot.index < LAST_INDEX
                    && snapshot.epoch <= *epoch
                    && !members.is_empty()
            }
            Self::Request { first, commands, .. } => !commands.is_empty() && *first < LAST_INDEX.0,
            Self::Requested { first, answers, .. } => {
                *first < LAST_INDEX.0 && answers.iter().flatten().all(|index| *index < LAST_INDEX)
            }
            Self::SyncReply { result: ReadResult::Index(index), .. } => *index < LAST_INDEX,
            Self::Election(_)
            | Self::FollowerInfo { .. }
            | Self::NewEpoch { .. }
            | Self::AckNewLeader { .. }
            | Self::UpToDate { .. }
            | Self::Ack { .. }
            | Self::Commit { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Sync { .. }
            | Self::SyncReply { result: ReadResult::Busy | ReadResult::NotLeader, .. }
            | Self::Look { .. } => true,
        }
    }
}

impl Summary {
    /// Whether entries and epochs fall from one run to the next, down to the base, and none is later than
    /// `epoch`.
    fn makes_sense(&self, epoch: Epoch) -> bool {
        let falls =
            |pair: &[EntryId]| pair[0].epoch > pair[1].epoch && pair[0].index > pair[1].index;
        let end = self.runs.last().copied().unwrap_or(self.base);
        self.runs.windows(2).all(falls)
            && self.runs.len() <= MAX_RUNS
            && end >= self.base
            && end.index >= self.base.index
            && self.last().epoch <= epoch
            && self.last().index < LAST_INDEX
            && self.current <= epoch
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use synod_consensus::{Batch, Index, Membership, Payload, Snapshot};
    use synod_engine::{Blob, NodeId};
    use synod_log::ReadId;

    use super::*;

    const EPOCH: Epoch = Epoch(4);
    const BLOB: Blob = Blob { id: 1, size_bytes: 1, checksum: 0 };

    fn id(index: u64, epoch: u64) -> EntryId {
        EntryId { epoch: Epoch(epoch), index: Index(index) }
    }

    fn propose(previous: EntryId, first: u64, epoch: u64) -> Message {
        let entries = Batch::new(Index(first), Epoch(epoch), vec![Payload::Noop; 2]);
        Message::Propose { epoch: EPOCH, previous, entries, commit: Index(0) }
    }

    fn ack_epoch(runs: &[EntryId], base: EntryId, current: u64) -> Message {
        let summary = Summary { current: Epoch(current), runs: runs.to_vec(), base };
        Message::AckEpoch { epoch: EPOCH, counts: true, summary }
    }

    #[test]
    fn proposals_follow_on_their_entry_in_epochs_that_do_not_fall() {
        assert!(propose(id(7, 3), 8, 3).makes_sense() && propose(id(7, 3), 8, 4).makes_sense());
        assert!(!propose(id(7, 3), 9, 3).makes_sense(), "a hole");
        assert!(!propose(id(7, 3), 8, 2).makes_sense(), "an epoch before the entry's");
        assert!(!propose(id(7, 3), 8, 5).makes_sense(), "an epoch after the leader's");
        let end = LAST_INDEX.0 - 1;
        assert!(!propose(id(end - 1, 3), end, 3).makes_sense(), "beyond all that can be counted");
    }

    #[test]
    fn a_summary_falls_from_its_last_entry_to_its_base() {
        let base = id(2, 1);
        assert!(ack_epoch(&[id(9, 4), id(5, 2)], base, 4).makes_sense());
        assert!(ack_epoch(&[], base, 1).makes_sense());
        let nonsense = [
            ack_epoch(&[id(5, 2), id(9, 4)], base, 4),
            ack_epoch(&[id(9, 4), id(9, 2)], base, 4),
            ack_epoch(&[id(9, 4), id(5, 4)], base, 4),
            ack_epoch(&[id(9, 4), id(1, 1)], base, 4),
            ack_epoch(&[id(9, 5)], base, 4),
            ack_epoch(&[id(9, 4)], base, 5),
            ack_epoch(&[EntryId { index: LAST_INDEX, ..id(9, 4) }], base, 4),
        ];
        for message in nonsense {
            assert!(!message.makes_sense(), "{message:?}");
        }
        let runs: Vec<_> = (0..=MAX_RUNS as u64).rev().map(|at| id(10 + at, 10 + at)).collect();
        let summary = |runs: &[EntryId]| Summary { current: EPOCH, runs: runs.to_vec(), base };
        assert!(summary(&runs[1..]).makes_sense(Epoch(1000)));
        assert!(!summary(&runs).makes_sense(Epoch(1000)), "too many");
    }

    #[test]
    fn what_a_leader_says_of_a_history_is_of_its_epoch_or_an_earlier_one() {
        let (epoch, began) = (EPOCH, Index(5));
        for (entry, fits) in [(id(9, 4), true), (id(9, 5), false)] {
            let said = [
                Message::Diff { epoch, after: entry },
                Message::Trunc { epoch, last: entry, to: id(2, 1) },
                Message::NewLeader { epoch, last: entry, began },
                Message::HandOver { epoch, successor: NodeId(1), last: entry },
            ];
            for message in said {
                assert_eq!(message.makes_sense(), fits, "{message}");
            }
        }
        let cuts_nothing = Message::Trunc { epoch, last: id(9, 4), to: id(9, 3) };
        let begins_later = Message::NewLeader { epoch, last: id(9, 4), began: Index(10) };
        assert!(!cuts_nothing.makes_sense() && !begins_later.makes_sense());
    }

    #[test]
    fn nothing_lies_beyond_what_can_be_counted() {
        let (epoch, began, base) = (EPOCH, Index(5), id(2, 1));
        let command = || vec![bytes::Bytes::new()];
        let said = |index: Index| {
            let entry = EntryId { index, ..id(0, 4) };
            let snapshot = Snapshot { index, epoch, blob: BLOB };
            let members: Arc<Membership> =
                Arc::new(Membership::founded_by(&[NodeId(1)].into_iter().collect()));
            let (lane, first) = (1, index.0);
            let result = ReadResult::Index(index);
            [
                Message::Diff { epoch, after: entry },
                Message::Trunc { epoch, last: entry, to: base },
                Message::NewLeader { epoch, last: entry, began },
                Message::HandOver { epoch, successor: NodeId(1), last: entry },
                Message::Snap { epoch, snapshot, began, members },
                Message::Request { epoch, lane, first, commands: command() },
                Message::Requested { epoch, lane, first, answers: vec![Ok(Index(1))] },
                Message::Requested { epoch, lane, first: 0, answers: vec![Ok(index)] },
                Message::SyncReply { epoch, id: ReadId { life: 1, number: 1 }, result },
            ]
        };
        for message in said(Index(LAST_INDEX.0 - 1)) {
            assert!(message.makes_sense(), "{message}");
        }
        for message in said(LAST_INDEX) {
            assert!(!message.makes_sense(), "{message}");
        }
        assert!(!Message::Request { epoch, lane: 1, first: 0, commands: vec![] }.makes_sense());
    }

    #[test]
    fn a_cut_leaves_less_and_a_snapshot_holds_more_than_before_its_epoch() {
        let (epoch, base) = (EPOCH, id(2, 1));
        let trunc = |last, to| Message::Trunc { epoch, last, to };
        assert!(!trunc(base, base).makes_sense(), "nothing is cut");
        assert!(!trunc(id(2, 4), base).makes_sense(), "another entry at the same place");
        assert!(!trunc(base, id(9, 4)).makes_sense(), "backwards");
        let snap = |index, of, nodes: &[NodeId]| {
            let snapshot = Snapshot { index: Index(index), epoch: Epoch(of), blob: BLOB };
            let members = Arc::new(Membership::founded_by(&nodes.iter().copied().collect()));
            Message::Snap { epoch, snapshot, began: Index(5), members }
        };
        let one = [NodeId(1)];
        assert!(snap(6, 4, &one).makes_sense());
        assert!(!snap(5, 4, &one).makes_sense(), "it ends where its epoch began");
        assert!(!snap(6, 5, &one).makes_sense(), "of an epoch after the leader's");
        let Message::Snap { snapshot, began, .. } = snap(6, 4, &one) else { unreachable!() };
        let nobody = Message::Snap { epoch, snapshot, began, members: Arc::default() };
        assert!(!nobody.makes_sense(), "whose members are nobody");
        let ends = Message::NewLeader { epoch, last: id(5, 4), began: Index(5) };
        assert!(ends.makes_sense(), "an epoch without entries");
    }

    #[test]
    fn what_follows_an_election_names_its_epoch() {
        assert_eq!(Message::Look { epoch: EPOCH }.epoch(), Some(EPOCH));
        assert_eq!(propose(id(7, 3), 8, 3).epoch(), Some(EPOCH), "its leader's, not its entries'");
        assert_eq!(Message::FollowerInfo { accepted: EPOCH }.epoch(), None);
    }
}
