//! Proposals at a follower (decision 0007): each ends once there, and takes effect at most once.

use std::time::Duration;

use synod_consensus::{Event, Index, Payload, Refusal, Request, Role};
use synod_engine::{Input, LinkState, NodeId, Sound, Token, Without};
use synod_paxos::multi::{Config, Message, RULES, Rules, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, PaxosCluster as _};
use crate::driver::{Node, ballot, founders, heartbeat, snapshot, values};

/// Node 1 leads three that forward.
fn group<R: Rules>(rules: R, tune: impl Fn(&mut Config<R>)) -> Cluster<R> {
    let mut cluster = Cluster::keeping(rules, 3, |config| {
        config.forward_proposals = true;
        tune(config);
    });
    cluster.elect(1);
    cluster
}

/// Three nodes that forward, led by 1; this one of them by itself.
fn alone(id: u64) -> Node {
    let mut cluster = group(Sound, |_| {});
    cluster.settle();
    let mut node = cluster.nodes.remove(&id).expect("one of three");
    node.events.clear();
    node
}

/// How this request of a node ended, as often as it did.
fn endings<R: Rules>(node: &Node<R>, token: u64) -> Vec<String> {
    let token = Token(token);
    let ending = |event: &Event| match event {
        Event::Committed { own, .. } => {
            let index = own.iter().find(|(_, own)| *own == token).map(|(index, _)| *index);
            index.map(|index| format!("chosen at {index}"))
        }
        Event::Refused { token: ended, refusal } if *ended == token => Some(format!("{refusal}")),
        Event::Unknown { token: ended } if *ended == token => Some("unknown".into()),
        _ => None,
    };
    node.events.iter().filter_map(ending).collect()
}

/// How often a node's user was told this command.
fn effects<R: Rules>(node: &Node<R>, command: &str) -> usize {
    let is_it = |payload: &&Payload| matches!(payload, Payload::Command(it) if it == command);
    let of = |event: &Event| match event {
        Event::Committed { batch, .. } => batch.payloads().iter().filter(is_it).count(),
        _ => 0,
    };
    node.events.iter().map(of).sum()
}

fn forward(round: u64, proposer: u64, lane: u64, first: u64) -> Message {
    let commands = vec!["x".into()];
    Message::Forward { ballot: ballot(round, proposer), lane, first, commands }
}

#[test]
fn what_a_follower_proposes_is_proposed_by_its_leader_and_ends_chosen_here() {
    let mut cluster = group(Sound, |_| {});
    cluster.at(2, |node| node.propose(7, "x"));
    cluster.at(3, |node| node.propose(8, "y"));
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 7), ["chosen at 1"]);
    assert_eq!(endings(&cluster.nodes[&3], 8), ["chosen at 2"]);
    assert_eq!(endings(&cluster.nodes[&1], 7), [""; 0], "the leader's user asked for nothing");
    cluster.assert_sound();
}

#[test]
fn nothing_is_forwarded_unless_that_is_wanted_and_a_leader_is_known() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.at(2, |node| node.propose(1, "x"));
    assert_eq!(endings(&cluster.nodes[&2], 1), ["not the leader; n1 is"]);
    let mut cluster = Cluster::with(3, |config| config.forward_proposals = true);
    cluster.at(2, |node| node.propose(1, "x"));
    assert_eq!(endings(&cluster.nodes[&2], 1), ["no leader is known"]);
    assert!(cluster.network.is_empty());
}

#[test]
fn what_is_too_large_is_refused_here_or_by_the_leader() {
    let mut cluster = group(Sound, |config| {
        config.bounds.max_command_bytes = if config.part.node == NodeId(1) { 5 } else { 10 };
    });
    cluster.at(2, |node| node.propose(1, "01234567890"));
    assert!(cluster.network.is_empty(), "too large for itself");
    cluster.at(2, |node| node.propose(2, "0123456789"));
    cluster.at(2, |node| node.propose(3, "01234"));
    cluster.settle();
    let too_large = |max_bytes| Refusal::TooLarge { max_bytes }.to_string();
    assert_eq!(endings(&cluster.nodes[&2], 1), [too_large(10)]);
    assert_eq!(endings(&cluster.nodes[&2], 2), [too_large(5)]);
    assert_eq!(endings(&cluster.nodes[&2], 3), ["chosen at 1"]);
}

#[test]
fn a_leader_that_is_busy_says_so_of_each() {
    let mut cluster = group(Sound, |config| {
        (config.bounds.max_command_bytes, config.bounds.max_uncommitted_bytes) = (10, 30);
    });
    cluster.at(2, |node| {
        for token in 1..=4 {
            let request = Request::Propose("0123456789".into());
            node.input(Input::Request { token: Token(token), request });
        }
        node.input(Input::Flush);
    });
    cluster.settle();
    let ended = [1, 2, 3, 4].map(|token| endings(&cluster.nodes[&2], token).concat());
    let busy = Refusal::Busy.to_string();
    assert_eq!(ended, ["chosen at 1", "chosen at 2", &busy, &busy]);
}

#[test]
fn who_does_not_lead_refuses_and_is_not_believed() {
    let mut cluster = group(Sound, |_| {});
    cluster.at(2, |node| node.propose(2, "x"));
    let said = cluster.network.pop().expect("it is forwarded").message;
    let answer = cluster.node(3).answer(2, said);
    let refusal = Refusal::NotLeader { leader: Some(NodeId(1)) };
    let Message::Forwarded { answers, .. } = &answer[0] else { panic!("{answer:?}") };
    assert_eq!(answers[..], [Err(refusal)]);
    cluster.at(2, |node| node.hear(3, answer[0].clone()));
    assert_eq!(endings(&cluster.nodes[&2], 2), [""; 0], "3 does not lead");
}

/// Whether the network doubles a forward with an effect on the log.
fn doubled(rules: Without) -> usize {
    let mut cluster = group(rules, |_| {});
    cluster.at(2, |node| node.propose(7, "x"));
    let copies = cluster.network.clone();
    assert_eq!(copies.len(), 1);
    cluster.network.extend(copies.clone());
    cluster.settle();
    cluster.network.extend(copies);
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 7), ["chosen at 1"]);
    effects(&cluster.nodes[&1], "x")
}

#[test]
fn forwarded_once_without_it_what_the_network_doubles_is_applied_again() {
    assert_eq!(doubled(Without::named(RULES, &[]).expect("no rule")), 1);
    assert_eq!(doubled(Without::named(RULES, &["forwarded_once"]).expect("a rule")), 3);
}

#[test]
fn a_parcel_that_comes_late_is_not_taken_after_later_ones() {
    let mut cluster = group(Sound, |_| {});
    cluster.at(2, |node| node.propose(1, "first"));
    cluster.at(2, |node| node.propose(2, "second"));
    cluster.network.reverse();
    cluster.settle();
    assert_eq!(endings(&cluster.nodes[&2], 2).len(), 1);
    let of = |word| effects(&cluster.nodes[&1], word);
    assert_eq!((of("first"), of("second")), (0, 1));
    cluster.run(Duration::from_secs(2));
    assert_eq!(endings(&cluster.nodes[&2], 1), ["unknown"], "no answer came");
}

#[test]
fn when_leader_link_or_answer_are_lost_the_fate_is_unknown_and_what_was_not_sent_is_refused() {
    let lost = |case: fn(&mut Cluster)| {
        let mut cluster = group(Sound, |_| {});
        cluster.at(2, |node| node.propose(7, "x"));
        let forward = core::mem::take(&mut cluster.network);
        case(&mut cluster);
        let ended = endings(&cluster.nodes[&2], 7);
        cluster.network.extend(forward);
        cluster.settle();
        cluster.run(Duration::from_secs(2));
        assert_eq!(endings(&cluster.nodes[&2], 7), ended, "once");
        assert!(effects(&cluster.nodes[&1], "x") <= 1);
        ended
    };
    let link_closed: fn(&mut Cluster) =
        |cluster| cluster.input(2, Input::Link { peer: NodeId(1), state: LinkState::Closed });
    assert_eq!(lost(link_closed), ["unknown"]);
    let another_leads: fn(&mut Cluster) =
        |cluster| cluster.at(2, |node| node.hear(3, heartbeat(ballot(2, 3), 0)));
    assert_eq!(lost(another_leads), ["unknown"]);
    assert_eq!(lost(|cluster| cluster.campaign(2)), ["unknown"]);

    let mut node = alone(2);
    let request = Request::Propose("x".into());
    node.input(Input::Request { token: Token(1), request: request.clone() });
    node.input(Input::Request { token: Token(2), request });
    node.input(Input::Cancel(Token(1)));
    node.hear(3, heartbeat(ballot(2, 3), 0));
    assert_eq!(endings(&node, 1), ["cancelled"]);
    assert_eq!(endings(&node, 2), ["no leader is known"]);
    assert!(node.said_to(1).iter().all(|it| !matches!(it, Message::Forward { .. })));
}

/// Node 2, which forwarded a proposal with token 7 to its leader 1, in this lane.
fn forwarder() -> (Node, u64) {
    let mut node = alone(2);
    let batch = values(1, ballot(1, 1), &["y"; 30]);
    node.hear(1, Message::Accept { batch, chosen: Index(0) });
    node.said_to(1);
    node.propose(7, "x");
    let Some(Message::Forward { lane, .. }) = node.said_to(1).pop() else {
        panic!("it is forwarded")
    };
    (node, lane)
}

fn forwarded(lane: u64, index: u64) -> Message {
    let answers = vec![Ok(Index(index))];
    Message::Forwarded { ballot: ballot(1, 1), lane, first: 0, answers }
}

/// The leader gets values of others chosen meanwhile, and says so each time: that makes nothing old. Time
/// does.
#[test]
fn an_answer_is_taken_to_be_lost_after_a_time_and_not_after_so_many_messages() {
    let (mut node, lane) = forwarder();
    (1..=30).for_each(|chosen| node.hear(1, heartbeat(ballot(1, 1), chosen)));
    let mut waits = node.clone();
    node.hear(1, forwarded(lane, 31));
    let batch = values(31, ballot(1, 1), &["x"]);
    node.hear(1, Message::Accept { batch, chosen: Index(31) });
    assert_eq!(endings(&node, 7), ["chosen at 31"]);
    node.fire(Timer::Forward);
    assert!(!node.timers.contains_key(&Timer::Forward), "nothing waits");
    let times = (1..=100).find(|_| {
        waits.hear(1, heartbeat(ballot(1, 1), 30));
        waits.fire(Timer::Forward);
        !endings(&waits, 7).is_empty()
    });
    assert_eq!((times, endings(&waits, 7)), (Some(21), vec!["unknown".into()]));
    assert!(!waits.timers.contains_key(&Timer::Forward));
    let (mut deposed, _) = forwarder();
    deposed.hear(3, heartbeat(ballot(2, 3), 0));
    assert!(!deposed.timers.contains_key(&Timer::Forward), "its proposals have ended");
}

#[test]
fn an_answer_that_comes_after_its_value_was_told_leaves_the_proposal_unknown() {
    let (mut node, lane) = forwarder();
    node.hear(1, heartbeat(ballot(1, 1), 30));
    node.hear(1, forwarded(lane, 30));
    assert_eq!(endings(&node, 7), ["unknown"]);
    node.hear(1, forwarded(lane, 31));
    assert_eq!(endings(&node, 7), ["unknown"], "once");
}

#[test]
fn a_value_that_a_snapshot_covers_leaves_its_proposal_unknown() {
    let (mut node, lane) = forwarder();
    node.hear(1, forwarded(lane, 31));
    assert_eq!(endings(&node, 7), [""; 0]);
    let ballot = ballot(1, 1);
    let (snapshot, members) = (snapshot(31, ballot.epoch().0), founders(1..=3));
    node.hear(1, Message::Install { ballot, snapshot, members });
    assert_eq!(endings(&node, 7), ["unknown"]);
}

/// What a node proposed while it led may be chosen by the next leader: not even a copy of it that comes
/// late is refused.
#[test]
fn who_may_have_led_a_ballot_refuses_nothing_that_was_forwarded_in_it() {
    let mut node = alone(1);
    assert!(matches!(node.answer(2, forward(1, 1, 7, 0))[..], [Message::Forwarded { .. }, ..]));
    node.fire(Timer::Election);
    node.fire(Timer::Election);
    assert_ne!(node.view().role, Role::Leader);
    for number in [0, 1] {
        assert_eq!(node.answer(2, forward(1, 1, 7, number)), []);
    }
    node.reboot();
    assert_eq!(node.answer(2, forward(1, 1, 7, 0)), [], "a restart does not change that");
    let refused = node.answer(2, forward(2, 3, 7, 0));
    assert!(matches!(refused[..], [Message::Forwarded { .. }]), "it never led in that");
}

/// It takes another lane each time that it restarts, or campaigns in vain.
#[test]
fn a_follower_that_took_many_lanes_in_a_ballot_still_forwards() {
    let mut cluster = group(Sound, |_| {});
    for lane in 0..100 {
        let answer = cluster.node(1).answer(2, forward(1, 1, lane, 0));
        let is_taken = |message: &Message| match message {
            Message::Forwarded { answers, .. } => answers.iter().all(Result::is_ok),
            _ => false,
        };
        assert!(answer.iter().any(is_taken), "lane {lane}");
    }
}

#[test]
fn strangers_forward_nothing() {
    let mut node = alone(1);
    assert_eq!(node.answer(9, forward(1, 1, 7, 0)), []);
    assert_eq!(node.view().last, Index(0));
}

/// One message there and one back for all that is proposed at once.
#[test]
fn what_is_forwarded_together_is_answered_together() {
    let mut cluster = group(Sound, |_| {});
    cluster.at(2, |node| {
        for token in 1..=3 {
            let request = Request::Propose("x".into());
            node.input(Input::Request { token: Token(token), request });
        }
        node.input(Input::Flush);
    });
    let mut said = Vec::new();
    cluster.settle_but(|envelope: &Envelope| {
        match &envelope.message {
            Message::Forward { first, commands, .. } => said.push((*first, commands.len())),
            Message::Forwarded { first, answers, .. } => said.push((*first, answers.len())),
            _ => {}
        }
        false
    });
    assert_eq!(said, [(0, 3), (0, 3)]);
    let ended = [1, 2, 3].map(|token| endings(&cluster.nodes[&2], token).concat());
    assert_eq!(ended, ["chosen at 1", "chosen at 2", "chosen at 3"]);
}

#[test]
fn what_waits_to_be_forwarded_is_bounded() {
    let mut cluster = group(Sound, |config| config.bounds.max_forwarded_bytes = 144);
    (1..=4).for_each(|token| cluster.at(2, |node| node.propose(token, "12345678")));
    let is_busy = |token| endings(&cluster.nodes[&2], token) == [Refusal::Busy.to_string()];
    assert_eq!([1, 2, 3, 4].map(is_busy), [false, false, false, true], "two fill it, 72 each");
}
