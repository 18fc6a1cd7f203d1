//! Commands and snapshots of a released version are understood for as long as nodes of that version may
//! be in the cluster, or may have written what a newer one reads.
//!
//! The bytes never change. A new kind of command is added behind the others, and proposed only once no
//! node of an older program is left: an older one stops rather than skip what it cannot read.

mod client;

use bytes::Bytes;
use client::{Log, append, put, snapshot};
use synod_consensus::StateMachine;
use synod_kv::Store;
use synod_kv::limits::MIN_LEASE_MS;
use synod_kv::message::{
    Action, Command, Compare, Expect, Op, Relation, SessionId, Span, Target, Txn,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(line: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("a hexadecimal digit");
    (0..line.len()).step_by(2).map(byte).collect()
}

/// Every kind of command.
fn commands() -> Vec<Command> {
    let session = SessionId(70_000);
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let cas = |expect| Op::Cas { key: bytes("key"), expect, value: bytes("value") };
    let relations = [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater];
    let targets = [
        Target::Value(bytes("value")),
        Target::Version(2),
        Target::Created(3),
        Target::Modified(4),
    ];
    let all = || Span::Range { start: bytes("a"), end: Some(bytes("z")) };
    let compare = |(relation, target)| Compare { keys: all(), relation, target };
    let txn = Op::Txn(Txn {
        compares: relations.into_iter().zip(targets).map(compare).collect(),
        success: vec![
            Action::Put { key: bytes("key"), value: bytes("value"), prev: true },
            Action::Get { keys: Span::One(bytes("key")), limit: 10 },
        ],
        failure: vec![Action::Delete { keys: all(), prev: false }],
    });
    let ops = [
        txn,
        put("key", "value"),
        append("key", "value"),
        Op::Delete { key: bytes("key") },
        cas(Expect::Absent),
        cas(Expect::Value(bytes("old"))),
        cas(Expect::Revision(300)),
    ];
    let write = |op| Command::Write { session, number: 9, answered_below: 7, op };
    let mut commands = vec![
        Command::Open { lease_ms: 60_000 },
        Command::KeepAlive { session, answered_below: 7 },
        Command::Close { session },
        Command::Tick { elapsed_ms: 1_000 },
    ];
    commands.extend(ops.map(write));
    commands
}

#[test]
fn commands_of_version_1() {
    let frozen: Vec<&str> = include_str!("frozen/commands_1.txt").lines().collect();
    let mut now = Vec::new();
    for command in commands() {
        let mut bytes = Vec::new();
        synod_codec::encode(&command, &mut bytes);
        now.push(hex(&bytes));
    }
    assert_eq!(now, frozen, "encoded");
    let decoded = frozen.iter().map(|line| synod_codec::decode(&unhex(line)));
    assert_eq!(decoded.collect::<Result<Vec<Command>, _>>(), Ok(commands()));
}

/// The store that the frozen snapshot was taken of.
fn store() -> Store {
    let mut log = Log::default();
    let sessions = [log.open(MIN_LEASE_MS), log.open(2 * MIN_LEASE_MS)];
    log.write(sessions[0], 1, put("a", "1"));
    log.write(sessions[0], 2, append("a", "2"));
    log.write(sessions[1], 1, put("b", ""));
    log.write_above(sessions[1], 3, 2, Op::Delete { key: Bytes::from_static(b"b") });
    log.pass_ms(5);
    log.write(sessions[0], 3, put("c", "3"));
    log.store
}

#[test]
fn a_snapshot_of_version_2() {
    let frozen = include_str!("frozen/snapshot_2.txt").trim_end();
    assert_eq!(hex(&snapshot(&store()).concat()), frozen, "written");
    let pieces = std::iter::once(Bytes::from(unhex(frozen)));
    assert!(Store::new().restore(pieces).expect("it is read") == store());
}
