//! What becomes of what users ask: each proposal and each read ends once, whoever is asked and whoever leads.

use bytes::Bytes;
use synod_consensus::{Epoch, Event, Index, Refusal, Request};
use synod_engine::{Input, LinkState, NodeId, Token};
use synod_log::{ReadId, ReadResult};
use synod_zab::{Message, Phase, Summary, Timer};

use crate::driver::{Node, ZabNode as _, called, config, established, leading, recover};
use crate::words::{Past, ack, entry, new_epoch};

/// Node 1 of three, which serves under node 2 in epoch 2; its history is empty.
fn serving() -> Node {
    let mut node = called();
    let (epoch, last, began) = (Epoch(2), entry(0, 0), Index(0));
    node.hear(2, Message::Diff { epoch, after: last });
    node.hear(2, Message::NewLeader { epoch, last, began });
    node.hear(2, Message::UpToDate { epoch, commit: Index(0) });
    node.sent.clear();
    node.events.clear();
    node
}

fn ask(node: &mut Node, token: u64, request: Request) {
    node.input(Input::Request { token: Token(token), request });
    node.input(Input::Flush);
}

/// How requests ended since the last time.
fn ends(node: &mut Node) -> Vec<(u64, &'static str)> {
    let end = |event: Event| match event {
        Event::Refused { token, refusal } => Some((
            token.0,
            match refusal {
                Refusal::NotLeader { leader: None } => "no leader",
                Refusal::NotLeader { leader: Some(_) } => "ask the leader",
                Refusal::Busy => "busy",
                Refusal::TooLarge { .. } => "too large",
                Refusal::Cancelled => "cancelled",
                other => panic!("{other}"),
            },
        )),
        Event::Unknown { token } => Some((token.0, "unknown")),
        Event::Committed { own, .. } => own.first().map(|(_, token)| (token.0, "committed")),
        Event::ReadReady { tokens, .. } => tokens.first().map(|token| (token.0, "ready")),
        Event::Install(_)
        | Event::Transferred { .. }
        | Event::Members(_)
        | Event::Leadership { .. } => None,
    };
    node.events.drain(..).filter_map(end).collect()
}

/// The lane and the number of the last proposal that was forwarded.
fn forwarded(node: &mut Node) -> (u64, u64) {
    let said = node.said_to(2);
    let request = said.iter().rev().find_map(|message| match message {
        Message::Request { lane, first, .. } => Some((*lane, *first)),
        _ => None,
    });
    request.expect("it forwards")
}

fn requested((lane, first): (u64, u64), index: u64) -> Message {
    Message::Requested { epoch: Epoch(2), lane, first, answers: vec![Ok(Index(index))] }
}

#[test]
fn a_follower_forwards_and_ends_a_proposal_by_what_it_sees_committed() {
    let mut node = serving();
    node.propose(1, "a");
    let which = forwarded(&mut node);
    node.hear(2, requested(which, 1));
    let payload = synod_consensus::Payload::Command(Bytes::from_static(b"a"));
    let entries = synod_consensus::Batch::new(Index(1), Epoch(2), vec![payload]);
    let (epoch, previous, commit) = (Epoch(2), entry(0, 0), Index(0));
    node.hear(2, Message::Propose { epoch, previous, entries, commit });
    assert_eq!(ends(&mut node), []);
    node.hear(2, Message::Commit { epoch, index: Index(1) });
    assert_eq!(ends(&mut node), [(1, "committed")]);
}

/// The leader led another epoch in between, in which the same place may hold something else (seed 24657 of
/// the simulation: it was told as committed).
#[test]
fn what_was_placed_in_an_epoch_that_is_over_is_unknown() {
    let mut node = serving();
    node.propose(1, "a");
    let which = forwarded(&mut node);
    node.hear(2, requested(which, 1));
    node.propose(2, "b");
    node.hear(2, new_epoch(3));
    assert_eq!(ends(&mut node), [(2, "unknown"), (1, "unknown")]);
    assert_eq!(node.view().accepted, Epoch(3));
}

#[test]
fn what_was_sent_on_a_link_that_broke_is_unknown_and_reads_are_refused() {
    let mut node = serving();
    node.propose(1, "a");
    ask(&mut node, 2, Request::Read);
    node.link(2, LinkState::Closed);
    assert_eq!(ends(&mut node), [(2, "ask the leader"), (1, "unknown")]);
    node.propose(3, "b");
    ask(&mut node, 4, Request::Read);
    assert_eq!(
        ends(&mut node),
        [(3, "ask the leader"), (4, "ask the leader")],
        "not in this phase"
    );
}

#[test]
fn who_looks_or_is_not_established_refuses() {
    let mut looking = serving();
    looking.fire(Timer::Limit);
    let mut leading = leading(&Past::default(), &[]);
    for node in [&mut looking, &mut leading] {
        node.events.clear();
        node.propose(1, "a");
        ask(node, 2, Request::Read);
        ask(node, 3, Request::Transfer(None));
        ask(node, 4, Request::Transfer(Some(NodeId(2))));
        assert_eq!(ends(node), [1, 2, 3, 4].map(|token| (token, "no leader")));
    }
}

#[test]
fn who_forwards_nothing_names_the_leader() {
    let mut node = serving();
    ask(&mut node, 1, Request::Change(Vec::new()));
    assert_eq!(ends(&mut node), [(1, "ask the leader")], "changes are not forwarded");
}

#[test]
fn bounds_are_told_by_leaders_and_followers() {
    let large = Bytes::from(vec![0; (2 << 20) + 1]);
    let full = Bytes::from(vec![0; 2 << 20]);
    let (mut leader, mut follower) = (established(), serving());
    for node in [&mut leader, &mut follower] {
        node.propose(1, large.clone());
        assert_eq!(ends(node), [(1, "too large")]);
        let busy = (2..100).find(|token| {
            node.propose(*token, full.clone());
            ends(node) == [(*token, "busy")]
        });
        assert!(busy.is_some_and(|token| token > 4), "{busy:?}");
    }
}

#[test]
fn what_is_cancelled_before_it_is_sent_never_takes_effect() {
    let (mut leader, mut follower) = (established(), serving());
    for node in [&mut leader, &mut follower] {
        let request = Request::Propose(Bytes::from_static(b"a"));
        node.input(Input::Request { token: Token(1), request });
        node.input(Input::Request { token: Token(2), request: Request::Read });
        node.input(Input::Cancel(Token(1)));
        node.input(Input::Cancel(Token(2)));
        node.input(Input::Flush);
        assert_eq!(ends(node), [(1, "cancelled"), (2, "cancelled")]);
        let is_said = |message: &Message| {
            matches!(
                message,
                Message::Request { .. } | Message::Sync { .. } | Message::Propose { .. }
            )
        };
        assert!(!node.said_to(2).iter().any(is_said));
    }
}

/// The round must have been asked for after the read, and a quorum must answer it.
#[test]
fn a_leader_reads_once_a_quorum_has_answered_a_ping_that_came_after() {
    let mut node = established();
    ask(&mut node, 1, Request::Read);
    let round = node.sent.iter().find_map(|(_, message)| match message {
        Message::Ping { round, established: true, .. } => Some(*round),
        _ => None,
    });
    let round = round.expect("it asks");
    let pong = |round| Message::Pong { epoch: Epoch(1), round };
    node.hear(2, pong(round - 1));
    assert_eq!(ends(&mut node), []);
    node.hear(2, Message::Pong { epoch: Epoch(2), round });
    assert_eq!(ends(&mut node), [], "another epoch");
    node.hear(2, pong(round));
    assert_eq!(ends(&mut node), [(1, "ready")]);
}

#[test]
fn a_follower_reads_once_it_has_what_its_leader_names() {
    let mut node = serving();
    ask(&mut node, 1, Request::Read);
    let id = node.said_to(2).iter().find_map(|message| match message {
        Message::Sync { id, .. } => Some(*id),
        _ => None,
    });
    let id = id.expect("it asks");
    let reply = |id, result| Message::SyncReply { epoch: Epoch(2), id, result };
    let other = ReadId { life: id.life.wrapping_add(1), ..id };
    node.hear(2, reply(other, ReadResult::Index(Index(0))));
    node.hear(3, reply(id, ReadResult::Index(Index(0))));
    assert_eq!(ends(&mut node), [], "another life, another leader");
    node.hear(2, reply(id, ReadResult::Index(Index(0))));
    assert_eq!(ends(&mut node), [(1, "ready")]);
    ask(&mut node, 2, Request::Read);
    let id = ReadId { number: id.number + 1, ..id };
    node.hear(2, reply(id, ReadResult::Busy));
    ask(&mut node, 3, Request::Read);
    let id = ReadId { number: id.number + 1, ..id };
    node.hear(2, reply(id, ReadResult::NotLeader));
    assert_eq!(ends(&mut node), [(2, "busy"), (3, "no leader")]);
}

/// A question that was lost is asked again, under another name; for so long as a leader may be silent.
#[test]
fn a_read_that_nobody_answers_is_asked_again_and_refused_in_the_end() {
    let mut node = serving();
    ask(&mut node, 1, Request::Read);
    let asked = |node: &mut Node| {
        let said = node.said_to(2);
        said.iter().filter(|message| matches!(message, Message::Sync { .. })).count()
    };
    assert_eq!(asked(&mut node), 1);
    node.fire(Timer::Read);
    assert_eq!(asked(&mut node), 0, "it has not had a heartbeat's time yet");
    node.fire(Timer::Read);
    assert_eq!(asked(&mut node), 1);
    let beats = (1..20).find(|_| {
        node.fire(Timer::Read);
        !ends(&mut node).is_empty()
    });
    assert_eq!(beats, Some(6), "8 heartbeats of 50 ms");
}

/// Who may have led and appended them says nothing, so that the follower does not take them for refused.
#[test]
fn who_never_led_refuses_what_is_forwarded_and_who_may_have_led_is_silent() {
    let request = |epoch| Message::Request {
        epoch: Epoch(epoch),
        lane: 7,
        first: 0,
        commands: vec![Bytes::from_static(b"a")],
    };
    let refuses = |node: &mut Node, epoch| {
        let answers = node.answer(3, request(epoch));
        answers.iter().any(|message| matches!(message, Message::Requested { .. }))
    };
    let mut node = serving();
    assert!(refuses(&mut node, 2), "its leader's epoch");
    assert!(!refuses(&mut node, 1), "one that is over");
    let mut leader = established();
    leader.hear(2, ack(1, 0));
    leader.fire(Timer::Limit);
    leader.fire(Timer::Limit);
    assert!(!refuses(&mut leader, 1), "it led that");
}

/// From a directory of another cluster, or a damaged peer: whoever leads goes on without it.
#[test]
fn a_history_that_has_nothing_in_common_with_the_leaders_is_not_synchronised() {
    let mut node = established();
    let summary = Summary { current: Epoch(0), runs: Vec::new(), base: entry(7, 1) };
    node.hear(3, Message::AckEpoch { epoch: Epoch(1), counts: true, summary });
    assert_eq!(node.said_to(3), []);
}

/// Each would wait for the other for as long as an election may take.
#[test]
fn two_that_elected_each_other_look_again() {
    let mut node = recover(config(1, 3), []);
    node.follow(2);
    node.hear(2, Message::FollowerInfo { accepted: Epoch(0) });
    assert_eq!(node.view().phase, Phase::Election);
    assert!(node.said_to(2).iter().any(|message| matches!(message, Message::Look { .. })));
}
