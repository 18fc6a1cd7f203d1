//! What tests say to nodes: entries, pasts, messages, each spelled as short as it can be.

use std::iter;

use synod_consensus::{Change, Epoch, Index, Snapshot};
use synod_election::fle::{Notification, Round, State, Vote};
use synod_engine::NodeId;
use synod_log::EntryId;
pub(crate) use synod_stage::words::{add, batches, entry, founders, snapshot};
use synod_zab::{Checkpoint, Epochs, Message, Record, Summary};

pub(crate) fn promote(node: u64) -> Change {
    Change::Promote(NodeId(node))
}

pub(crate) fn remove(node: u64) -> Change {
    Change::Remove(NodeId(node))
}

/// What a node has lived through.
#[derive(Clone, Default)]
pub(crate) struct Past<'a> {
    pub(crate) accepted: u64,
    pub(crate) current: u64,
    pub(crate) snapshot: Option<Snapshot>,
    /// The last entry before those of the epoch of the snapshot's last.
    pub(crate) began: u64,
    /// The epochs of its entries.
    pub(crate) history: &'a [u64],
}

impl Past<'_> {
    /// Whether it is a founder of a new cluster.
    pub(crate) fn is_none(&self) -> bool {
        self.accepted == 0 && self.snapshot.is_none() && self.history.is_empty()
    }
}

/// A node whose history has these epochs, and which has taken part in them all.
pub(crate) fn took_part(history: &[u64]) -> Past<'_> {
    let newest = history.last().copied().unwrap_or(0);
    Past { accepted: newest, current: newest, snapshot: None, began: 0, history }
}

/// The records of a node that has lived, one for each entry.
pub(crate) fn lived(voters: u64, past: &Past<'_>) -> Vec<Record> {
    let Past { accepted, current, snapshot, began, history } = past;
    let first = snapshot.map_or(1, |snapshot| snapshot.index.0 + 1);
    let before = history.iter().take_while(|epoch| *epoch < current).count() as u64;
    let epochs = Epochs {
        accepted: Epoch(*accepted),
        leader: None,
        current: Epoch(*current),
        began: Index(first - 1 + before),
    };
    let checkpoint = Record::Checkpoint(Checkpoint {
        epochs,
        members: founders(1..=voters),
        snapshot: *snapshot,
        began: Index(*began),
        keeps: 0,
    });
    let entries = (first..).zip(*history).flat_map(|(index, epoch)| batches(index, &[*epoch]));
    iter::once(checkpoint).chain(entries.map(Record::Entries)).collect()
}

pub(crate) fn follower_info(accepted: u64) -> Message {
    Message::FollowerInfo { accepted: Epoch(accepted) }
}

pub(crate) fn new_epoch(epoch: u64) -> Message {
    Message::NewEpoch { epoch: Epoch(epoch) }
}

/// A yes to this epoch, of a node that holds entries of these epochs and took part in `current`.
pub(crate) fn ack_epoch(epoch: u64, current: u64, history: &[u64]) -> Message {
    let mut runs = Vec::new();
    for (place, pair) in (1..).zip(history) {
        match runs.last_mut() {
            Some(EntryId { epoch, index }) if epoch.0 == *pair => *index = Index(place),
            Some(_) | None => runs.push(entry(place, *pair)),
        }
    }
    runs.reverse();
    let summary = Summary { current: Epoch(current), runs, base: EntryId::default() };
    Message::AckEpoch { epoch: Epoch(epoch), counts: true, summary }
}

/// The same, of a node that has accepted the epoch of another leader.
pub(crate) fn not_counting(answer: Message) -> Message {
    let Message::AckEpoch { epoch, summary, .. } = answer else { panic!("{answer}") };
    Message::AckEpoch { epoch, counts: false, summary }
}

pub(crate) fn trunc(epoch: u64, last: EntryId, to: EntryId) -> Message {
    Message::Trunc { epoch: Epoch(epoch), last, to }
}

pub(crate) fn diff(epoch: u64, after: EntryId) -> Message {
    Message::Diff { epoch: Epoch(epoch), after }
}

pub(crate) fn new_leader(epoch: u64, last: EntryId) -> Message {
    Message::NewLeader { epoch: Epoch(epoch), last, began: last.index }
}

pub(crate) fn ack_new_leader(epoch: u64, last: u64) -> Message {
    Message::AckNewLeader { epoch: Epoch(epoch), last: Index(last) }
}

pub(crate) fn up_to_date(epoch: u64, commit: u64) -> Message {
    Message::UpToDate { epoch: Epoch(epoch), commit: Index(commit) }
}

/// Proposals of a leader of `epoch`: entries of these epochs, all the same, after `previous`.
pub(crate) fn propose(epoch: u64, previous: EntryId, entries: &[u64], commit: u64) -> Message {
    let mut entries = batches(previous.index.0 + 1, entries);
    assert_eq!(entries.len(), 1, "one message carries entries of one epoch");
    let entries = entries.remove(0);
    Message::Propose { epoch: Epoch(epoch), previous, entries, commit: Index(commit) }
}

pub(crate) fn ack(epoch: u64, index: u64) -> Message {
    Message::Ack { epoch: Epoch(epoch), index: Index(index) }
}

pub(crate) fn commit(epoch: u64, index: u64) -> Message {
    Message::Commit { epoch: Epoch(epoch), index: Index(index) }
}

/// A word of an election.
pub(crate) fn says(state: State, vote: Vote) -> Message {
    Message::Election(Notification {
        state,
        round: Round(1),
        vote: Some(vote),
        asks: state == State::Looking,
    })
}
