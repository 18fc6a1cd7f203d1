//! Proposals at a follower (decision 0007): each ends once there, and takes effect at most once.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Index, Payload, Refusal, Role};
use synod_engine::{Input, LinkState, NodeId, Token, Without};
use synod_raft::{Message, Rules, Timer};

use crate::cluster::{Cluster, Envelope, RaftCluster as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, append, config, config_with, entry, founders, heartbeat,
    matches, snapshot,
};

/// Node 1 leads three that forward.
fn group<R: Rules>(rules: R) -> Cluster<R> {
    let mut cluster = Cluster::with_logs(0, &[&[][..]; 3], |id| {
        let mut config = config_with(id, 3, rules);
        config.forward_proposals = true;
        config
    });
    cluster.elect(1);
    cluster
}

/// How this request of a node ended, as often as it did.
fn endings<R: Rules>(node: &Node<R>, token: u64) -> Vec<String> {
    let token = Token(token);
    let ending = |event: &Event| match event {
        Event::Committed { own, .. } => {
            let index = own.iter().find(|(_, own)| *own == token).map(|(index, _)| *index);
            index.map(|index| format!("committed at {index}"))
        }
        Event::Refused { token: ended, refusal } if *ended == token => Some(format!("{refusal}")),
        Event::Unknown { token: ended } if *ended == token => Some("unknown".into()),
        _ => None,
    };
    node.events.iter().filter_map(ending).collect()
}

/// How often a command is in a node's log, as far as its user was told.
fn effects<R: Rules>(node: &Node<R>, command: &str) -> usize {
    let is_it = |payload: &&Payload| matches!(payload, Payload::Command(it) if it == command);
    let of = |event: &Event| match event {
        Event::Committed { batch, .. } => batch.payloads().iter().filter(is_it).count(),
        _ => 0,
    };
    node.events.iter().map(of).sum()
}

#[test]
fn what_a_follower_proposes_is_appended_by_its_leader_and_ends_committed_here() {
    let mut cluster = group(synod_engine::Sound);
    cluster.at(2, |node| node.propose(7, "x"));
    cluster.at(3, |node| node.propose(8, "y"));
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 7), ["committed at 2"]);
    assert_eq!(endings(&cluster.nodes[&3], 8), ["committed at 3"]);
    assert_eq!(endings(&cluster.nodes[&1], 7), [""; 0], "the leader's user asked for nothing");
    cluster.assert_sound();
}

#[test]
fn nothing_is_forwarded_unless_that_is_wanted_and_a_leader_is_known() {
    let mut node = Node::founder(2, 3);
    node.hear(1, heartbeat(1, 0));
    node.propose(1, "x");
    assert_eq!(endings(&node, 1), ["not the leader; n1 is"]);
    let mut forwards = config(2, 3);
    forwards.forward_proposals = true;
    let mut node = Node::recover(forwards, []);
    node.propose(1, "x");
    assert_eq!(endings(&node, 1), ["no leader is known"]);
}

#[test]
fn what_a_leader_refuses_is_refused_here() {
    let mut cluster = group(synod_engine::Sound);
    cluster.isolate(&[1, 2]);
    cluster.nodes.get_mut(&2).unwrap().events.clear();
    let mut config = config(1, 3);
    config.forward_proposals = true;
    let long = "x".repeat(config.bounds.max_command_bytes + 1);
    cluster.at(2, |node| node.propose(1, long.clone()));
    assert_eq!(endings(&cluster.nodes[&2], 1).len(), 1, "at once");
    let mut follower = cluster.nodes[&2].clone();
    follower.propose(3, long[1..].to_string());
    assert_eq!(endings(&follower, 3), [""; 0], "the longest there may be");
    cluster.at(2, |node| node.propose(2, "x"));
    let place = cluster
        .network
        .iter()
        .position(|envelope| matches!(envelope.message, Message::Forward { .. }));
    let forward = cluster.network.remove(place.expect("it is forwarded"));
    cluster.heal();
    cluster.at(3, |node| node.hear(2, forward.message));
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 2), [""; 0], "who does not lead is not believed");
}

/// The rule `forwarded_once`: a message that the network doubles appends nothing twice.
pub(crate) fn a_forward_is_doubled(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    cluster.at(2, |node| node.propose(7, "x"));
    let is_forward = |envelope: &&Envelope| matches!(envelope.message, Message::Forward { .. });
    let copies: Vec<_> = cluster.network.iter().filter(is_forward).cloned().collect();
    assert_eq!(copies.len(), 1);
    cluster.network.extend(copies.clone());
    cluster.settle();
    cluster.network.extend(copies);
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 7), ["committed at 2"]);
    let effects = effects(&cluster.nodes[&1], "x");
    (effects != 1).then(|| format!("applied {effects} times"))
}

#[test]
fn a_parcel_that_comes_late_is_not_taken_after_later_ones() {
    let mut cluster = group(synod_engine::Sound);
    cluster.at(2, |node| node.propose(1, "first"));
    cluster.at(2, |node| node.propose(2, "second"));
    cluster.network.reverse();
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 2).len(), 1);
    assert_eq!(
        (effects(&cluster.nodes[&1], "first"), effects(&cluster.nodes[&1], "second")),
        (0, 1)
    );
    cluster.run(Duration::from_secs(2));
    assert_eq!(endings(&cluster.nodes[&2], 1), ["unknown"], "no answer came");
}

#[test]
fn when_leader_link_or_answer_are_lost_the_fate_is_unknown_and_what_was_not_sent_is_refused() {
    let lost = |case: fn(&mut Cluster)| {
        let mut cluster = group(synod_engine::Sound);
        cluster.at(2, |node| node.propose(7, "x"));
        let forward = cluster.network.drain(..).collect::<Vec<_>>();
        case(&mut cluster);
        let ended = endings(&cluster.nodes[&2], 7);
        cluster.network.extend(forward);
        cluster.settle();
        cluster.run(Duration::from_secs(2));
        assert_eq!(endings(&cluster.nodes[&2], 7), ended, "once");
        assert!(effects(&cluster.nodes[&1], "x") <= 1);
        ended
    };
    let peer = NodeId(1);
    let link: fn(&mut Cluster) =
        |cluster| cluster.input(2, Input::Link { peer: NodeId(1), state: LinkState::Closed });
    assert_eq!(lost(link), ["unknown"]);
    assert_eq!(lost(|cluster| cluster.at(2, |node| node.hear(3, heartbeat(2, 0)))), ["unknown"]);
    assert_eq!(lost(|cluster| cluster.campaign(2)), ["unknown"]);
    let mut cluster = group(synod_engine::Sound);
    let request = synod_consensus::Request::Propose("x".into());
    cluster.at(2, |node| {
        node.input(Input::Request { token: Token(1), request: request.clone() });
        node.input(Input::Request { token: Token(2), request });
        node.input(Input::Cancel(Token(1)));
        node.hear(3, heartbeat(2, 0));
    });
    assert_eq!(endings(&cluster.nodes[&2], 1), ["cancelled"]);
    assert_eq!(endings(&cluster.nodes[&2], 2).len(), 1, "{peer} leads no more");
    cluster.settle();
    assert_eq!(effects(&cluster.nodes[&1], "x"), 0);
}

/// Node 2, which forwarded a proposal with token 7 to its leader 1, in this lane.
fn forwarder() -> (Node, u64) {
    let mut config = config(2, 3);
    config.forward_proposals = true;
    let mut node = Node::recover(config, []);
    node.hear(1, append(1, entry(0, 0), &[1; 30], 0));
    node.propose(7, "x");
    let Some(Message::Forward { lane, .. }) = node.said_to(1).pop() else {
        panic!("it is forwarded")
    };
    (node, lane)
}

/// The leader commits for others meanwhile, and says so each time: that makes nothing old. Time does.
#[test]
fn an_answer_is_taken_to_be_lost_after_a_time_and_not_after_so_many_messages() {
    let (mut node, lane) = forwarder();
    (1..=30).for_each(|commit| node.hear(1, heartbeat(1, commit)));
    let mut waits = node.clone();
    let (term, answers) = (Epoch(1), vec![Ok(Index(31))]);
    node.hear(1, Message::Forwarded { term, lane, first: 0, answers });
    node.hear(1, append(1, entry(30, 1), &[1], 31));
    assert_eq!(endings(&node, 7), ["committed at 31"]);
    node.fire(Timer::Forward);
    assert!(!node.timers.contains_key(&Timer::Forward), "nothing waits");
    let times = (1..=100).find(|_| {
        waits.hear(1, heartbeat(1, 30));
        waits.fire(Timer::Forward);
        !endings(&waits, 7).is_empty()
    });
    assert_eq!((times, endings(&waits, 7)), (Some(21), vec!["unknown".into()]));
    assert!(!waits.timers.contains_key(&Timer::Forward));
    let (mut deposed, _) = forwarder();
    deposed.hear(3, heartbeat(2, 0));
    assert!(!deposed.timers.contains_key(&Timer::Forward), "its proposals have ended");
}

/// What a node appended while it led may be committed by the next leader: not even a copy of it that comes
/// late is refused.
#[test]
fn who_may_have_led_a_term_refuses_nothing_that_was_forwarded_in_it() {
    let mut config = config(1, 3);
    config.forward_proposals = true;
    let mut node = Node::recover(config, []);
    let forward = |term, first| {
        let commands = vec!["x".into()];
        Message::Forward { term: Epoch(term), lane: 7, first, commands }
    };
    node.win(&[2]);
    assert!(matches!(node.answer(2, forward(1, 0))[..], [Message::Forwarded { .. }, ..]));
    node.fire(Timer::Election);
    assert_eq!((node.view().role, node.view().last), (Role::Follower, entry(2, 1)));
    for number in [0, 1] {
        assert_eq!(node.answer(2, forward(1, number)), []);
    }
    node.reboot();
    assert_eq!(node.answer(2, forward(1, 0)), [], "its vote is durable");
    let refused = node.answer(2, forward(2, 0));
    assert!(matches!(refused[..], [Message::Forwarded { term: Epoch(2), .. }]), "it never led");
}

/// It takes another lane each time that it restarts, or campaigns in vain.
#[test]
fn a_follower_that_took_many_lanes_in_a_term_still_forwards() {
    let mut config = config(1, 3);
    config.forward_proposals = true;
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    for lane in 0..100 {
        let (term, commands) = (Epoch(1), vec!["x".into()]);
        let answer = node.answer(2, Message::Forward { term, lane, first: 0, commands });
        let is_taken = |message: &Message| match message {
            Message::Forwarded { answers, .. } => answers.iter().all(Result::is_ok),
            _ => false,
        };
        assert!(answer.iter().any(is_taken), "lane {lane}");
        let last = node.view().last.index.0;
        node.hear(2, matches(1, last));
    }
}

#[test]
fn an_entry_that_a_snapshot_covers_leaves_its_proposal_unknown() {
    let mut config = config(2, 3);
    config.forward_proposals = true;
    let mut node = Node::recover(config, []);
    node.hear(1, append(1, entry(0, 0), &[1], 1));
    node.propose(7, "x");
    let Some(Message::Forward { lane, first, .. }) = node.said_to(1).pop() else {
        panic!("it is forwarded")
    };
    let term = Epoch(1);
    node.hear(1, Message::Forwarded { term, lane, first, answers: vec![Ok(Index(2))] });
    assert_eq!(endings(&node, 7), [""; 0]);
    let (snapshot, members) = (snapshot(5, 1), founders(1..=3));
    node.hear(1, Message::Install { term, snapshot, members });
    assert_eq!(endings(&node, 7), ["unknown"]);
}

/// One message there and one back for all that is proposed at once.
#[test]
fn what_is_forwarded_together_is_answered_together() {
    let mut cluster = group(synod_engine::Sound);
    cluster.at(2, |node| {
        for token in 1..=3 {
            let request = synod_consensus::Request::Propose("x".into());
            node.input(Input::Request { token: Token(token), request });
        }
        node.input(Input::Flush);
    });
    let mut said = Vec::new();
    cluster.settle_but(|envelope| {
        match &envelope.message {
            Message::Forward { first, commands, .. } => said.push((*first, commands.len())),
            Message::Forwarded { first, answers, .. } => said.push((*first, answers.len())),
            _ => {}
        }
        false
    });
    assert_eq!(said, [(0, 3), (0, 3)]);
    let ended = [1, 2, 3].map(|token| endings(&cluster.nodes[&2], token));
    assert_eq!(ended, [["committed at 2"], ["committed at 3"], ["committed at 4"]]);
}

#[test]
fn what_waits_to_be_forwarded_is_bounded() {
    let mut config = config(2, 3);
    (config.forward_proposals, config.bounds.max_forwarded_bytes) = (true, 144);
    let mut node = Node::recover(config, []);
    node.hear(1, heartbeat(1, 0));
    (1..=4).for_each(|token| node.propose(token, "12345678"));
    let is_busy = |token| endings(&node, token) == [Refusal::Busy.to_string()];
    assert_eq!([1, 2, 3, 4].map(is_busy), [false, false, false, true], "two fill it, 72 each");
}
