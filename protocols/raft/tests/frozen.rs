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
use synod_engine::{Blob, Incarnation, NodeId};
use synod_raft::{
    AppendResult, Checkpoint, EntryId, HardState, Message, ReadId, ReadResult, Record,
};
use synod_stage::assert_frozen;

const TERM: Epoch = Epoch(300);
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
    Batch::new(LAST.index.next(), TERM, vec![Payload::Noop, command(b""), command(b"put")])
}

/// Every kind of message, with and without its optional parts.
fn messages() -> Vec<Message> {
    let id = ReadId { life: u64::MAX, number: 5 };
    let read = |result| Message::ReadIndexReply { term: TERM, id, result };
    let refused = |refusal| Err(refusal);
    vec![
        Message::PreVote { term: TERM, last: LAST },
        Message::PreVoteReply { term: TERM, granted: true, better: None },
        Message::PreVoteReply { term: TERM, granted: false, better: Some(LAST) },
        Message::Vote { term: TERM, last: LAST, transfer: true },
        Message::VoteReply { term: TERM, granted: true },
        Message::Append { term: TERM, previous: LAST, entries: None, commit: Index(69_000) },
        Message::Append {
            term: TERM,
            previous: LAST,
            entries: Some(batch()),
            commit: Index(69_000),
        },
        Message::AppendReply { term: TERM, result: AppendResult::Matches(Index(70_001)) },
        Message::AppendReply {
            term: TERM,
            result: AppendResult::Conflict { previous: LAST.index, last: Index(9), hint: LAST },
        },
        Message::Heartbeat { term: TERM, commit: Index(1), matched: Index(2), round: None },
        Message::Heartbeat { term: TERM, commit: Index(1), matched: Index(2), round: Some(3) },
        Message::HeartbeatReply { term: TERM, round: 3, promise_ms: 250 },
        Message::TimeoutNow { term: TERM, last: LAST },
        Message::ReadIndex { term: TERM, id },
        read(ReadResult::Index(Index(70_000))),
        read(ReadResult::Busy),
        read(ReadResult::NotLeader),
        Message::Forward {
            term: TERM,
            lane: 77,
            first: 128,
            commands: vec![Bytes::from_static(b"put"), Bytes::new()],
        },
        Message::Forwarded {
            term: TERM,
            lane: 77,
            first: 128,
            answers: vec![
                Ok(Index(70_001)),
                refused(Refusal::NotLeader { leader: Some(NodeId(2)) }),
                refused(Refusal::Busy),
                refused(Refusal::TooLarge { max_bytes: 1 << 20 }),
                refused(Refusal::DiskFull { node: NodeId(3), reserve_bytes: 1 << 28 }),
                refused(Refusal::Cancelled),
                refused(Refusal::ChangePending),
                refused(Refusal::NotCaughtUp { node: NodeId(4), behind: 1000 }),
                refused(Refusal::TooFewVoters),
                refused(Refusal::BadChange(BadChange::NoMember(NodeId(9)))),
                refused(Refusal::NoSuccessor),
            ],
        },
        Message::Rest { term: TERM, last: LAST },
        Message::Pull { term: TERM, last: LAST, shared: EntryId::default() },
        Message::Pulled { term: TERM, previous: LAST, entries: vec![batch()], last: LAST },
        Message::Install { term: TERM, snapshot: SNAPSHOT, members: members() },
    ]
}

/// Every kind of record.
fn records() -> Vec<Record> {
    let hard = |vote| HardState { term: TERM, vote };
    let change = Batch::new(Index(1), Epoch(1), vec![Payload::Members(members())]);
    let checkpoint = |members, snapshot, keeps| {
        let hard = hard(Some(NodeId(3)));
        Record::Checkpoint(Checkpoint { hard, members, snapshot, keeps })
    };
    vec![
        Record::HardState(hard(None)),
        Record::HardState(hard(Some(NodeId(2)))),
        Record::Entries(batch()),
        Record::Entries(change),
        checkpoint(Arc::default(), None, 0),
        checkpoint(members(), Some(SNAPSHOT), 17),
    ]
}

#[test]
fn messages_of_versions_2_and_3() {
    assert_frozen(&messages(), include_str!("frozen/messages_2.txt"));
}

#[test]
fn records_of_version_1() {
    assert_frozen(&records(), include_str!("frozen/records_1.txt"));
}
