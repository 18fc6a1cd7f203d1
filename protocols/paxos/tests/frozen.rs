//! What was said and written by a released version of Multi-Paxos is understood, and said and written the
//! same, for as long as that version is spoken.
//!
//! The bytes never change. Whoever changes [`Message`] or [`Record`] gives the protocol between nodes, or
//! the log, another version, keeps the old type to convert from and to, and freezes the new bytes here.

#![allow(clippy::unwrap_used, reason = "what cannot be read has changed")]

use std::sync::Arc;

use bytes::Bytes;
use synod_consensus::{
    BadChange, Batch, Contact, Index, Member, Membership, Payload, Refusal, Seat, Snapshot,
};
use synod_engine::{Blob, Incarnation, NodeId};
use synod_log::ReadId;
use synod_paxos::Ballot;
use synod_paxos::multi::{Checkpoint, Message, ReadResult, Record};
use synod_stage::assert_frozen;

const BALLOT: Ballot = Ballot { round: 300, proposer: NodeId(65_535) };
const BEFORE: Ballot = Ballot { round: 299, proposer: NodeId(2) };
const CHOSEN: Index = Index(69_000);

fn snapshot() -> Snapshot {
    let blob = Blob { id: 0xfeed_beef, size_bytes: 84_000_000, checksum: 0x0123_4567_89ab_cdef };
    Snapshot { index: Index(60_000), epoch: BEFORE.epoch(), blob }
}

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

/// Values from instance `first` on.
fn batch(first: u64, ballot: Ballot) -> Batch {
    let command = |bytes: &'static [u8]| Payload::Command(Bytes::from_static(bytes));
    Batch::new(Index(first), ballot.epoch(), vec![Payload::Noop, command(b""), command(b"put")])
}

/// Every kind of message, with and without its optional parts.
fn messages() -> Vec<Message> {
    let (ballot, chosen, from) = (BALLOT, CHOSEN, Index(69_001));
    let id = ReadId { life: u64::MAX, number: 5 };
    let read = |result| Message::ReadIndexReply { ballot, id, result };
    let (lane, first) = (77, 128);
    vec![
        Message::Prepare { ballot, from, handover: None },
        Message::Prepare { ballot, from, handover: Some(BEFORE) },
        Message::Promise { ballot, from, accepted: vec![], next: None, chosen },
        Message::Promise {
            ballot,
            from,
            accepted: vec![batch(69_001, BEFORE), batch(70_000, BEFORE)],
            next: Some(Index(70_003)),
            chosen,
        },
        Message::Refused { ballot: BEFORE, promised: ballot },
        Message::Accept { batch: batch(70_000, ballot), chosen },
        Message::Accepted { ballot, prefix: Index(70_002), beyond: None, chosen },
        Message::Accepted {
            ballot,
            prefix: from,
            beyond: Some((Index(70_005), Index(70_009))),
            chosen,
        },
        Message::Heartbeat { ballot, chosen, prefix: from, last: None, round: None },
        Message::Heartbeat { ballot, chosen, prefix: from, last: Some(from), round: Some(3) },
        Message::HeartbeatReply { ballot, round: 3, promise_ms: 0 },
        Message::HeartbeatReply { ballot, round: 3, promise_ms: 300 },
        Message::Learn { ballot, from },
        Message::Learned { ballot, values: vec![batch(68_998, BEFORE)], chosen },
        Message::Install { ballot, snapshot: snapshot(), members: members() },
        Message::TakeOver { ballot, last: Index(70_002) },
        Message::ReadIndex { ballot, id },
        read(ReadResult::Index(chosen)),
        read(ReadResult::Busy),
        read(ReadResult::NotLeader),
        Message::Forward {
            ballot,
            lane,
            first,
            commands: vec![Bytes::from_static(b"put"), Bytes::new()],
        },
        Message::Forwarded {
            ballot,
            lane,
            first,
            answers: vec![
                Ok(Index(70_003)),
                Err(Refusal::NotLeader { leader: Some(NodeId(2)) }),
                Err(Refusal::Busy),
                Err(Refusal::TooLarge { max_bytes: 2 << 20 }),
                Err(Refusal::BadChange(BadChange::NoMember(NodeId(9)))),
            ],
        },
    ]
}

/// Every kind of record.
fn records() -> Vec<Record> {
    let change = Batch::new(Index(70_000), BALLOT.epoch(), vec![Payload::Members(members())]);
    let checkpoint = |members, snapshot, base, keeps| {
        Record::Checkpoint(Checkpoint { promised: BALLOT, members, snapshot, base, keeps })
    };
    vec![
        Record::Promise(BALLOT),
        Record::Accept { batch: batch(70_000, BALLOT), chosen: Index::ZERO },
        Record::Accept { batch: change, chosen: CHOSEN },
        Record::Chosen(CHOSEN),
        checkpoint(Arc::default(), None, Index::ZERO, 0),
        checkpoint(members(), Some(snapshot()), Index(50_000), 17),
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
