//! What is said over a connection is what is heard, and what is no message is refused by name.

mod client;

use bytes::{Bytes, BytesMut};
use client::{Log, bytes, delete, put};
use synod_codec::{encode, frame};
use synod_consensus::Refusal;
use synod_engine::{ClusterId, NodeId};
use synod_kv::limits::MIN_LEASE_MS;
use synod_kv::message::{Command, Op, Query, SessionId, Span};
use synod_kv::wire::{
    Ask, Ended, Filter, FromClient, FromServer, Garbled, Goodbye, Hello, Leader, Limits, Outcome,
    PROTOCOL, Reply, Request, Said, Watch, Welcome, is_for_hosts, write_cancel, write_command,
    write_events, write_members, write_progress, write_query, write_said, write_stale,
    write_status, write_watch,
};

const MAX: usize = 1 << 16;
const WELCOME: u8 = 2;
const WRITE: u8 = 4;
const STATUS: u8 = 6;

fn buffer(write: impl FnOnce(&mut Vec<u8>)) -> BytesMut {
    let mut out = Vec::new();
    write(&mut out);
    BytesMut::from(&out[..])
}

#[test]
fn what_a_client_says_is_what_the_server_hears() {
    let hello = Hello { protocol: PROTOCOL, cluster: Some(ClusterId(7)) };
    let op = Op::Delete { key: Bytes::from_static(b"k") };
    let command = Command::Write { session: SessionId(3), number: 1, answered_below: 1, op };
    let query = Query::Get { key: Bytes::from_static(b"k") };
    let mut stream = buffer(|out| {
        hello.write(out);
        write_command(1, &command, out);
        write_query(2, &query, out);
        write_status(3, out);
    });
    let mut heard = || FromClient::read(&mut stream, MAX).unwrap();
    let request = |id, ask| Some(FromClient::Request(Request { id, ask }));
    assert_eq!(heard(), Some(FromClient::Hello(hello)));
    let mut encoded = Vec::new();
    encode(&command, &mut encoded);
    assert_eq!(heard(), request(1, Ask::Write(encoded.into())));
    assert_eq!(heard(), request(2, Ask::Read(query)));
    assert_eq!(heard(), request(3, Ask::Status));
    assert_eq!(heard(), None);
}

#[test]
fn what_a_server_says_is_what_the_client_hears() {
    let leader = Some(Leader { node: NodeId(2), address: Some("localhost:7".into()) });
    let limits = Limits { max_request_bytes: 9, max_in_flight: 8 };
    let (protocol, cluster, node) = (PROTOCOL, ClusterId(7), NodeId(1));
    let welcome = Welcome { protocol, cluster, node, leader: leader.clone(), limits };
    let refusal = Refusal::NotLeader { leader: Some(NodeId(2)) };
    let reply = Reply { id: 5, outcome: Outcome::Refused { refusal, leader } };
    let mut stream = buffer(|out| {
        welcome.write(out);
        write_members(&["localhost:7".into()], out);
        reply.write(out);
        Goodbye::ShuttingDown.write(out);
    });
    let mut heard = || FromServer::read(&mut stream).unwrap();
    assert_eq!(heard(), Some(FromServer::Welcome(welcome)));
    assert_eq!(heard(), Some(FromServer::Members(vec!["localhost:7".into()])));
    assert_eq!(heard(), Some(FromServer::Reply(reply)));
    assert_eq!(heard(), Some(FromServer::Goodbye(Goodbye::ShuttingDown)));
    assert_eq!(heard(), None);
}

#[test]
fn only_ticks_are_for_hosts() {
    let session = SessionId(4);
    let op = Op::Delete { key: Bytes::new() };
    let of_clients = [
        Command::Open { lease_ms: 4 },
        Command::KeepAlive { session, answered_below: 4 },
        Command::Close { session },
        Command::Write { session, number: 4, answered_below: 4, op },
    ];
    let encoded = |command: &Command| {
        let mut bytes = Vec::new();
        encode(command, &mut bytes);
        bytes
    };
    assert!(of_clients.iter().all(|command| !is_for_hosts(&encoded(command))));
    assert!(is_for_hosts(&encoded(&Command::Tick { elapsed_ms: 1 })));
}

#[test]
fn what_is_no_request_is_refused_by_name() {
    let read = |kind: u8, payload: &'static [u8]| {
        let mut stream =
            buffer(|out| frame::write(kind, 0, out, |out| out.extend_from_slice(payload)));
        FromClient::read(&mut stream, 64)
    };
    assert_eq!(read(WELCOME, b""), Err(Garbled::Kind(WELCOME)));
    assert_eq!(read(WRITE, b"short"), Err(Garbled::Kind(WRITE)));
    assert!(matches!(read(STATUS, b"12345678+"), Err(Garbled::Content(_))));
    assert!(matches!(read(WRITE, &[0; 100]), Err(Garbled::Frame(_))));
}

#[test]
fn what_is_said_of_watches_is_heard() {
    let keys = Span::prefix("k");
    let (from, filter) = (Some(7), Filter::Puts);
    let watch = Watch { keys, from, seen: 5, filter, prev: true };
    let query = Query::Get { key: bytes("k") };
    let mut stream = buffer(|out| {
        write_watch(1, &watch, out);
        write_cancel(1, out);
        write_stale(2, &query, 9, out);
    });
    let request = |id, ask| Some(FromClient::Request(Request { id, ask }));
    let mut heard = || FromClient::read(&mut stream, MAX).unwrap();
    assert_eq!(heard(), request(1, Ask::Watch(watch)));
    assert_eq!(heard(), request(1, Ask::Cancel));
    assert_eq!(heard(), request(2, Ask::Stale { query, at_least: 9 }));

    let mut log = Log::default();
    let session = log.open(MIN_LEASE_MS);
    for (number, op) in (1..).zip([put("k", "v"), delete("k")]) {
        log.write(session, number, op);
    }
    let events: Vec<_> = log.store.events_after(0).cloned().collect();
    let mut encoded = Vec::new();
    events.iter().for_each(|event| encode(event, &mut encoded));
    let ended = Said::Ended(Ended::Compacted { compacted: 3 });
    let mut stream = buffer(|out| {
        write_said(1, &Said::Begun { from: 7 }, out);
        write_events(1, 300, events.len(), &encoded, out);
        write_progress(301, out);
        write_said(1, &ended, out);
    });
    let mut heard = || FromServer::read(&mut stream).unwrap();
    assert_eq!(heard(), Some(FromServer::Told(1, Said::Begun { from: 7 })));
    assert_eq!(heard(), Some(FromServer::Told(1, Said::Events { through: 300, events })));
    assert_eq!(heard(), Some(FromServer::Progress(301)));
    assert_eq!(heard(), Some(FromServer::Told(1, ended)));
}

#[test]
fn a_tick_in_a_longer_spelling_is_a_tick_too() {
    // Numbers have longer spellings: 4 is also [0x84, 0x00]. All of them decode.
    for spelling in [&[0x84, 0x00, 0x01][..], &[0x84, 0x80, 0x00, 0x01], &[0x04, 0x81, 0x00]] {
        let tick = Command::Tick { elapsed_ms: 1 };
        assert_eq!(synod_codec::decode::<Command>(spelling), Ok(tick), "{spelling:?}");
        assert!(is_for_hosts(spelling), "{spelling:?}");
    }
    assert!(!is_for_hosts(&[]));
}
