//! Idle groups fall quiet and wake. That is in no paper; what must hold is that nothing is lost by it.

use std::time::Duration;

use synod_consensus::{Epoch, Event, Request, Role};
use synod_engine::{Input, LinkState, NodeId, Token};
use synod_raft::{Message, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, RaftCluster as _};
use crate::driver::{Node, append, config, entry, matches};

const HOUR: Duration = Duration::from_secs(3600);
const ELECTION: Duration = Duration::from_secs(2);

/// Node 1 leads three that rest after ten idle heartbeats.
fn sleepy() -> Cluster {
    let logs = [&[][..]; 3];
    let mut cluster = Cluster::with_logs(0, &logs, |id| {
        let mut config = config(id, 3);
        config.hibernate_after_heartbeats = Some(10);
        config
    });
    cluster.elect(1);
    cluster
}

/// The same when all rest.
fn asleep() -> Cluster {
    let mut cluster = sleepy();
    cluster.run(Duration::from_secs(1));
    assert!(rests(&cluster));
    cluster
}

fn rests(cluster: &Cluster) -> bool {
    cluster.nodes.values().all(|node| node.timers.is_empty())
}

fn is_rest(envelope: &Envelope) -> bool {
    matches!(envelope.message, Message::Rest { .. })
}

fn link(cluster: &mut Cluster, at: u64, peer: u64, state: LinkState) {
    cluster.input(at, Input::Link { peer: NodeId(peer), state });
}

fn is_committed(cluster: &Cluster, token: u64) -> bool {
    cluster.nodes[&1].events.iter().any(|event| match event {
        Event::Committed { own, .. } => own.iter().any(|(_, own)| *own == Token(token)),
        _ => false,
    })
}

#[test]
fn an_idle_group_says_nothing_and_its_leader_stays() {
    let mut cluster = asleep();
    let mut said = 0;
    cluster.run_but(HOUR, |_| {
        said += 1;
        false
    });
    assert_eq!(said, 0);
    assert_eq!(cluster.leader(), Some(1));
    assert_eq!(cluster.nodes[&3].view().leader, Some(NodeId(1)));
}

#[test]
fn nobody_rests_by_default() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    let mut heartbeats = 0;
    cluster.run_but(HOUR / 60, |envelope| {
        heartbeats += u32::from(matches!(envelope.message, Message::Heartbeat { .. }));
        false
    });
    assert!(heartbeats >= 2 * 60 * 20);
}

#[test]
fn a_proposal_wakes_the_group_and_it_rests_again() {
    let mut cluster = asleep();
    cluster.at(1, |node| node.propose(7, "x"));
    cluster.settle();
    assert!(is_committed(&cluster, 7) && !rests(&cluster));
    cluster.run(Duration::from_secs(1));
    assert!(rests(&cluster));
    assert_eq!(cluster.commits(), [2; 3]);
    cluster.assert_sound();
}

#[test]
fn a_read_wakes_the_group_and_is_confirmed_as_ever() {
    for id in [1, 2] {
        let mut cluster = asleep();
        cluster.at(id, |node| node.read(7));
        let is_ready = |cluster: &Cluster| {
            let ready = |event: &Event| matches!(event, Event::ReadReady { .. });
            cluster.nodes[&id].events.iter().any(ready)
        };
        assert!(!is_ready(&cluster), "nobody has confirmed it");
        cluster.settle();
        assert!(is_ready(&cluster), "at n{id}");
    }
}

/// Reads leave no trace in the log, and keep a group awake all the same.
#[test]
fn a_group_that_is_read_does_not_rest() {
    let mut cluster = sleepy();
    for token in 0..50 {
        cluster.at(1, |node| node.read(token));
        cluster.run(Duration::from_millis(100));
        assert!(!rests(&cluster));
    }
}

/// Who lacks something, or is not heard, keeps the group awake.
#[test]
fn a_group_with_a_member_that_is_away_or_behind_does_not_rest() {
    let mut cluster = sleepy();
    cluster.isolate(&[3]);
    cluster.run(Duration::from_secs(5));
    assert!(!rests(&cluster));
    cluster.heal();
    cluster.run(Duration::from_secs(2));
    assert!(rests(&cluster));
    let mut stalled = sleepy();
    stalled.node(3).disk = crate::driver::Disk::Manual;
    stalled.at(1, |node| node.propose(7, "x"));
    stalled.run(Duration::from_secs(5));
    assert!(!stalled.nodes[&1].timers.is_empty(), "3 has not written it");
}

/// The links tell that the leader died.
#[test]
fn a_leader_that_dies_in_its_sleep_is_replaced() {
    let mut cluster = asleep();
    cluster.isolate(&[1]);
    for id in [2, 3] {
        link(&mut cluster, id, 1, LinkState::Closed);
    }
    cluster.run(ELECTION);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
    cluster.assert_sound();
}

/// No link tells: nobody notices, until somebody asks for something. Then the one who was asked wakes the
/// others by campaigning, and they do not refuse it for ever.
#[test]
fn a_leader_that_stands_still_in_its_sleep_is_replaced_once_somebody_asks() {
    let mut cluster = asleep();
    cluster.isolate(&[1]);
    cluster.run(HOUR);
    assert_eq!(cluster.leader(), Some(1), "nobody misses it");
    cluster.at(2, |node| node.propose(7, "x"));
    cluster.run(ELECTION);
    assert!(matches!(cluster.leader(), Some(2 | 3)));
    let term = cluster.nodes[&2].view().term;
    cluster.heal();
    link(&mut cluster, 1, 2, LinkState::Opened);
    cluster.run(ELECTION);
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower);
    assert_eq!(cluster.nodes[&1].view().term, term);
    cluster.assert_sound();
}

/// A follower that was not told to rest campaigns in vain, and that wakes the leader.
#[test]
fn a_lost_call_to_rest_costs_no_leadership() {
    let mut cluster = sleepy();
    let mut lost = 0;
    cluster.run_but(Duration::from_secs(3), |envelope| {
        let loses = is_rest(envelope) && envelope.to == 3 && lost == 0;
        lost += u32::from(loses);
        loses
    });
    assert_eq!(lost, 1);
    assert!(rests(&cluster), "all were told in the end");
    assert_eq!((cluster.leader(), cluster.nodes[&3].view().term.0), (Some(1), 1));
}

/// Who restarts finds its leader, and disturbs nobody.
#[test]
fn a_follower_that_restarts_among_sleepers_is_brought_up_to_date() {
    let mut cluster = asleep();
    cluster.reboot(3);
    cluster.run(ELECTION);
    assert_eq!(cluster.nodes[&3].view().leader, Some(NodeId(1)));
    assert_eq!((cluster.leader(), cluster.commits()), (Some(1), vec![1; 3]));
    assert!(rests(&cluster));
}

/// Who lacks an entry, or does not know that it is committed, does not rest whatever it is told.
#[test]
fn a_follower_rests_only_with_all_there_is() {
    let mut cluster = sleepy();
    let call = |index, term| Message::Rest { term: Epoch(1), last: entry(index, term) };
    for wrong in [call(0, 0), call(2, 1)] {
        cluster.at(2, |node| node.hear(1, wrong));
        assert!(cluster.nodes[&2].timers.contains_key(&Timer::Election));
    }
    cluster.at(2, |node| node.hear(1, call(1, 1)));
    assert!(!cluster.nodes[&2].timers.contains_key(&Timer::Election));
    cluster.at(2, |node| node.hear(1, crate::driver::heartbeat(1, 1)));
    assert!(cluster.nodes[&2].timers.contains_key(&Timer::Election), "a heartbeat wakes it");
}

/// Its answer may be lost, or its leader be another by now, so it rests only when nothing is under way.
#[test]
fn a_follower_whose_user_waits_for_its_leader_does_not_rest() {
    let mut config = config(2, 3);
    (config.forward_proposals, config.hibernate_after_heartbeats) = (true, Some(10));
    let mut node = Node::recover(config, []);
    node.hear(1, append(1, entry(0, 0), &[1], 1));
    node.propose(7, "x");
    let rest = Message::Rest { term: Epoch(1), last: entry(1, 1) };
    node.hear(1, rest.clone());
    assert!(node.timers.contains_key(&Timer::Election));
    node.input(Input::Link { peer: NodeId(1), state: LinkState::Closed });
    assert!(node.events.contains(&Event::Unknown { token: Token(7) }));
    node.hear(1, rest);
    assert!(!node.timers.contains_key(&Timer::Election));
}

/// An answer wakes nobody, but this one ends what the node rested for.
#[test]
fn a_follower_that_rests_and_hears_of_a_later_term_waits_for_a_leader() {
    let mut config = config(3, 3);
    config.hibernate_after_heartbeats = Some(10);
    let mut node = Node::recover(config, []);
    node.hear(1, append(1, entry(0, 0), &[1], 1));
    node.hear(1, Message::Rest { term: Epoch(1), last: entry(1, 1) });
    assert!(node.timers.is_empty());
    node.hear(2, Message::PreVoteReply { term: Epoch(2), granted: false, better: None });
    assert_eq!(node.view().term, Epoch(2));
    assert!(node.timers.contains_key(&Timer::Election));
}

/// A heartbeat may be due between a proposal and the flush that appends it.
#[test]
fn a_leader_with_a_proposal_at_hand_does_not_rest() {
    let mut cluster = sleepy();
    cluster.settle();
    let mut leader = cluster.nodes[&1].clone();
    for _ in 0..20 {
        let request = Request::Propose("x".into());
        leader.input(Input::Request { token: Token(7), request });
        leader.input(Input::Timer(Timer::Heartbeat));
        assert!(leader.timers.contains_key(&Timer::Heartbeat));
        leader.input(Input::Cancel(Token(7)));
        [2, 3].into_iter().for_each(|peer| leader.hear(peer, matches(1, 1)));
    }
    for _ in 0..20 {
        leader.input(Input::Timer(Timer::Heartbeat));
        [2, 3].into_iter().for_each(|peer| leader.hear(peer, matches(1, 1)));
    }
    assert!(!leader.timers.contains_key(&Timer::Heartbeat));
}
