//! What was said and written by a released version is understood, and said and written the same, for
//! as long as that version is spoken.
//!
//! The bytes never change. Whoever changes [`Message`] or [`Record`] gives the protocol between nodes, or
//! the log, another version, keeps the old type to convert from and to, and freezes the new bytes here.

#![allow(clippy::unwrap_used, reason = "what cannot be read has changed")]

use std::sync::Arc;

use bytes::Bytes;
use synod_consensus::{
    BadChange, Batch, Contact, Epoch, Index, Member, Membership, Payload, Refusal, Seat, Snapshot,
};
use synod_election::fle::{Notification, Round, State, Vote, Zxid};
use synod_engine::{Blob, Incarnation, NodeId};
use synod_log::{EntryId, ReadId, ReadResult};
use synod_stage::assert_frozen;
use synod_zab::{Checkpoint, Epochs, Message, Record, Summary};

const EPOCH: Epoch = Epoch(300);
const LAST: EntryId = EntryId { epoch: Epoch(299), index: Index(70_000) };
const SNAPSHOT: Snapshot = Snapshot {
    index: Index(60_000),
    epoch: Epoch(298),
    blob: Blob { id: 0xfeed_beef, size_bytes: 84_000_000, checksum: 0x0123_4567_89ab_cdef },
};

fn members() -> Arc<Membership> {
    let seats = [Seat::Learner, Seat::Voter, Seat::Incoming, Seat::Outgoing, Seat::Demoted];
    let contact = Contact {
        incarnation: Incarnation(u64::MAX),
        address: "10.0.0.4:7201".into(),
        client_address: "10.0.0.4:7101".into(),
    };
    let members = (1..).zip(seats).map(|(node, seat)| Member {
        node: NodeId(node),
        seat,
        priority: node as u8 - 1,
        contact: (node % 2 == 0).then(|| contact.clone()),
    });
    Arc::new(Membership::new(members).unwrap())
}

fn batch() -> Batch {
    let command = |bytes: &'static [u8]| Payload::Command(Bytes::from_static(bytes));
    Batch::new(LAST.index.next(), EPOCH, vec![Payload::Noop, command(b""), command(b"put")])
}

/// Every kind of message, with and without its optional parts.
fn messages() -> Vec<Message> {
    let id = ReadId { life: u64::MAX, number: 5 };
    let read = |result| Message::SyncReply { epoch: EPOCH, id, result };
    let refused = |refusal| Err(refusal);
    let vote = Vote { epoch: 299, zxid: Zxid::new(299, 7), leader: NodeId(3) };
    let election = |state, vote| {
        let asks = state == State::Looking;
        Message::Election(Notification { state, round: Round(9), vote, asks })
    };
    let summary = Summary { current: LAST.epoch, runs: vec![LAST], base: EntryId::default() };
    let (epoch, previous, commit) = (EPOCH, LAST, Index(69_000));
    vec![
        election(State::Looking, Some(vote)),
        election(State::Following, Some(vote)),
        election(State::Leading, Some(vote)),
        election(State::Observing, None),
        Message::FollowerInfo { accepted: LAST.epoch },
        Message::NewEpoch { epoch },
        Message::AckEpoch { epoch, counts: true, summary },
        Message::Diff { epoch, after: LAST },
        Message::Trunc { epoch, last: LAST, to: EntryId::default() },
        Message::Snap { epoch, snapshot: SNAPSHOT, began: Index(50_000), members: members() },
        Message::NewLeader { epoch, last: LAST, began: LAST.index },
        Message::AckNewLeader { epoch, last: LAST.index },
        Message::UpToDate { epoch, commit },
        Message::Propose { epoch, previous, entries: batch(), commit },
        Message::Inform { epoch, previous, entries: batch(), commit },
        Message::Ack { epoch, index: Index(70_001) },
        Message::Commit { epoch, index: commit },
        Message::Ping { epoch, established: true, commit, round: 3 },
        Message::Pong { epoch, round: 3 },
        Message::Request {
            epoch,
            lane: 77,
            first: 128,
            commands: vec![Bytes::from_static(b"put"), Bytes::new()],
        },
        Message::Requested {
            epoch,
            lane: 77,
            first: 128,
            answers: vec![
                Ok(Index(70_001)),
                refused(Refusal::NotLeader { leader: Some(NodeId(2)) }),
                refused(Refusal::Busy),
                refused(Refusal::BadChange(BadChange::NoMember(NodeId(9)))),
            ],
        },
        Message::Sync { epoch, id },
        read(ReadResult::Index(Index(70_000))),
        read(ReadResult::Busy),
        read(ReadResult::NotLeader),
        Message::HandOver { epoch, successor: NodeId(2), last: LAST },
        Message::Look { epoch },
    ]
}

/// Every kind of record.
fn records() -> Vec<Record> {
    let change = Batch::new(Index(1), Epoch(1), vec![Payload::Members(members())]);
    let epochs = Epochs {
        accepted: EPOCH,
        leader: Some(NodeId(3)),
        current: LAST.epoch,
        began: Index(65_000),
    };
    let checkpoint = |members, snapshot, keeps| {
        let began = Index(50_000);
        Record::Checkpoint(Checkpoint { epochs, members, snapshot, began, keeps })
    };
    vec![
        Record::Epochs(epochs),
        Record::Epochs(Epochs { leader: None, ..epochs }),
        Record::Entries(batch()),
        Record::Entries(change),
        Record::Truncated(LAST.index),
        checkpoint(Arc::default(), None, 0),
        checkpoint(members(), Some(SNAPSHOT), 17),
    ]
}

#[test]
fn messages_of_version_1() {
    assert_frozen(&messages(), include_str!("frozen/messages_1.txt"));
}

#[test]
fn records_of_version_1() {
    assert_frozen(&records(), include_str!("frozen/records_1.txt"));
}
