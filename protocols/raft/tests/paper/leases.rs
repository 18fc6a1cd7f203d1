//! Reads by lease: thesis §6.4.1.

use std::time::Duration;

use synod_consensus::{Change, Epoch, Request, Role};
use synod_engine::{Engine as _, Input, LinkState, NodeId, Sound, Token, Without};
use synod_raft::{Config, Lease, Message, Rules, Timer};

use crate::cluster::{Cluster, RaftCluster as _};
use crate::driver::{
    Node, RaftNode as _, Whole as _, add, append, config_with, entry, heartbeat, lived, pre_vote,
    vote,
};
use crate::reads::ready;
use crate::rules::read_index;

/// The shortest election timeout, in ms: for so long nobody votes who answered a heartbeat.
const PROMISE_MS: u64 = 300;
/// How long a lease lasts by the leader's clock: 300 ms, less a tenth too slow here and a tenth too fast
/// there.
const LEASE_MS: u64 = 245;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn trusting<R: Rules>(id: u64, voters: u64, rules: R) -> Config<R> {
    let mut config = config_with(id, voters, rules);
    config.timing.lease = Some(Lease { max_drift_percent: 10 });
    assert_eq!(config.timing.election_timeout_min_ms, PROMISE_MS);
    config
}

/// Three nodes that use leases; node 1 leads, and its no-op is committed.
fn group<R: Rules>(rules: R) -> Cluster<R> {
    let mut cluster = Cluster::with_logs(0, &[&[], &[], &[]], |id| trusting(id, 3, rules));
    cluster.at(1, |node| node.wait(ms(1000)));
    cluster.elect(1);
    cluster
}

/// A lease for node 1, from now on.
fn renew<R: Rules>(cluster: &mut Cluster<R>) {
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
}

/// The reads of node 1 that are ready, of one that is asked now and hears of nobody.
fn read<R: Rules>(cluster: &mut Cluster<R>) -> Vec<(u64, Vec<u64>)> {
    ready(cluster.node(1));
    cluster.at(1, |node| node.read(7));
    ready(cluster.node(1))
}

/// Node 1 of three leads term 1 by lease since a heartbeat at its present time, with the answers that
/// `promises` says.
fn leader(promises: &[(u64, u64)]) -> Node {
    let mut node = Node::recover(trusting(1, 3, Sound), []);
    node.win(&[2]);
    node.hear(2, crate::driver::matches(1, 1));
    node.fire(Timer::Heartbeat);
    for (peer, promise_ms) in promises {
        node.hear(*peer, promise(1, *promise_ms));
    }
    node.sent.clear();
    node.events.clear();
    node
}

fn promise(round: u64, promise_ms: u64) -> Message {
    Message::HeartbeatReply { term: Epoch(1), round, promise_ms }
}

/// Node 2 of three follows node 1 in term 1, and has just answered a heartbeat.
fn bound() -> Node {
    let mut node = Node::recover(trusting(2, 3, Sound), []);
    node.hear(1, append(1, entry(0, 0), &[], 0));
    node.hear(1, heartbeat(1, 0));
    node.sent.clear();
    node
}

fn votes(node: &mut Node, from: u64, message: Message) -> bool {
    let is_granted = |message: &Message| {
        matches!(
            message,
            Message::VoteReply { granted: true, .. } | Message::PreVoteReply { granted: true, .. }
        )
    };
    node.answer(from, message).iter().any(is_granted)
}

/// "Once the leader's heartbeats were acknowledged by a majority of the cluster … the leader can reply to
/// read-only queries during this period without performing any additional communication."
#[test]
fn a_leader_that_a_majority_acknowledged_reads_without_a_round() {
    let mut node = leader(&[(2, PROMISE_MS)]);
    node.read(7);
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    assert_eq!(node.sent, []);
    let mut cluster = group(Sound);
    renew(&mut cluster);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.isolate(&[1]);
    assert_eq!(read(&mut cluster), [(2, vec![7])]);
}

/// "the leader would assume that no other server will become leader for about an election timeout"; "The
/// lease … would extend its lease to start + election timeout / clock drift bound, since the followers
/// shouldn't time out before then", where start is when the round was sent.
#[test]
fn a_lease_lasts_an_election_timeout_less_the_drift_from_when_its_round_was_sent() {
    let mut node = leader(&[]);
    node.wait(ms(200));
    node.hear(2, promise(1, PROMISE_MS));
    node.wait(ms(LEASE_MS - 200));
    node.read(7);
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.wait(ms(1));
    node.read(8);
    assert_eq!(ready(&mut node), [], "a round is asked for");
    assert!(matches!(node.said_to(2)[..], [Message::Heartbeat { round: Some(2), .. }]));
    node.hear(2, promise(2, PROMISE_MS));
    assert_eq!(ready(&mut node), [(1, vec![8])]);
    node.read(9);
    assert_eq!(ready(&mut node), [(1, vec![9])], "which is a lease, too");
}

#[test]
fn no_lease_without_a_promise_or_by_one_that_is_shorter() {
    let mut node = leader(&[(2, 0)]);
    node.read(7);
    assert_eq!(ready(&mut node), [], "the follower uses no leases");
    let mut node = leader(&[(2, 110)]);
    node.wait(ms(89));
    node.read(7);
    assert_eq!(ready(&mut node), [(1, vec![7])]);
    node.wait(ms(1));
    node.read(8);
    assert_eq!(ready(&mut node), [], "the follower's election timeout is shorter");
    let mut node = leader(&[(9, PROMISE_MS)]);
    node.read(7);
    assert_eq!(ready(&mut node), [], "a stranger's");
}

/// §8 binds leases too.
#[test]
fn a_new_leader_reads_by_no_lease_before_it_committed_an_entry_of_its_term() {
    let mut node = Node::recover(trusting(1, 3, Sound), lived(3, 0, None, &[]));
    node.wait(ms(1000));
    node.win(&[2]);
    node.fire(Timer::Heartbeat);
    node.hear(2, promise(1, PROMISE_MS));
    node.read(7);
    assert_eq!(ready(&mut node), []);
    node.hear(2, crate::driver::matches(1, 1));
    assert_eq!(ready(&mut node), [(1, vec![7])]);
}

/// A pause of any length makes the lease end: it is looked at when the read is answered.
#[test]
fn etcd_20418_a_leader_that_was_paused_reads_by_no_old_lease() {
    let mut node = leader(&[(2, PROMISE_MS), (3, PROMISE_MS)]);
    node.input(Input::Request { token: Token(7), request: Request::Read });
    node.wait(Duration::from_secs(3));
    node.input(Input::Flush);
    assert_eq!(ready(&mut node), []);
    node.hear(2, promise(2, PROMISE_MS));
    assert_eq!(ready(&mut node), [(1, vec![7])], "by a round");
}

#[test]
fn a_question_of_a_follower_is_answered_by_lease_at_once() {
    let mut node = leader(&[(2, PROMISE_MS)]);
    let id = synod_raft::ReadId { life: 9, number: 1 };
    let answer = node.answer(3, Message::ReadIndex { term: Epoch(1), id });
    assert!(matches!(answer[..], [Message::ReadIndexReply { .. }]));
}

/// "servers … deny their votes": whoever answered a heartbeat votes for nobody for an election timeout by
/// its own clock, and campaigns no sooner.
#[test]
fn a_follower_that_answered_votes_for_nobody_while_its_promise_lasts() {
    let mut node = bound();
    node.input(Input::Link { peer: NodeId(1), state: LinkState::Closed });
    node.wait(ms(PROMISE_MS - 1));
    assert!(!votes(&mut node, 3, pre_vote(2, entry(9, 1))));
    assert!(!votes(&mut node, 3, vote(2, entry(9, 1))));
    node.input(Input::Timer(Timer::Election));
    assert_eq!((node.view().role, node.sent.clone()), (Role::Follower, vec![]));
    assert!(node.timers[&Timer::Election] >= node.now + ms(1), "it tries again afterwards");
    node.hear(3, crate::driver::vote_reply(2, false));
    assert!(!votes(&mut node, 3, vote(2, entry(9, 1))), "nor in a term that it comes to know");
    node.wait(ms(1));
    assert!(votes(&mut node, 3, vote(2, entry(9, 1))));
}

/// What was promised is not remembered; but it cannot have been for longer.
#[test]
fn a_node_that_starts_again_votes_for_nobody_for_an_election_timeout() {
    let mut node = bound();
    node.reboot();
    node.wait(ms(PROMISE_MS - 1));
    assert!(!votes(&mut node, 3, vote(2, entry(9, 1))));
    node.wait(ms(1));
    assert!(votes(&mut node, 3, vote(2, entry(9, 1))));
    let mut first = Node::recover(trusting(2, 3, Sound), []);
    assert!(!votes(&mut first, 3, vote(1, entry(0, 0))), "it may have lost all it had written");
    let mut alone = Node::recover(trusting(1, 1, Sound), lived(1, 3, None, &[1]));
    assert_eq!(alone.view().role, Role::Follower, "even if it decides alone");
    alone.fire(Timer::Election);
    assert_eq!(alone.view().role, Role::Leader);
}

#[test]
fn where_leases_are_off_nobody_promises_and_nobody_reads_by_them() {
    let mut node = Node::founder(2, 3);
    node.hear(1, append(1, entry(0, 0), &[], 0));
    let answer = node.answer(1, heartbeat(1, 0));
    assert_eq!(answer, [promise(0, 0)]);
    let mut node = Node::founder(1, 3);
    node.win(&[2]);
    node.hear(2, crate::driver::matches(1, 1));
    node.read(6);
    node.hear(2, promise(1, PROMISE_MS));
    ready(&mut node);
    node.read(7);
    assert_eq!(ready(&mut node), []);
}

/// "the leader would need to expire its lease before transferring leadership": and never has one again
/// in its term, since its successor may campaign at any time.
#[test]
fn a_leader_that_wished_for_a_successor_holds_no_lease_any_more() {
    let mut cluster = group(Sound);
    renew(&mut cluster);
    assert_eq!(read(&mut cluster), [(1, vec![7])]);
    let request = Request::Transfer(Some(NodeId(2)));
    cluster.input(1, Input::Request { token: Token(1), request });
    cluster.network.clear();
    assert_eq!(read(&mut cluster), []);
    cluster.at(1, |node| node.fire(Timer::Transfer));
    cluster.network.clear();
    renew(&mut cluster);
    assert_eq!(cluster.nodes[&1].view().role, Role::Leader);
    assert_eq!(read(&mut cluster), []);
    cluster.settle();
    assert_eq!(ready(cluster.node(1)), [(1, vec![7])], "by a round");
}

/// A successor is voted for by those who promised: the leader released them.
#[test]
fn a_promise_does_not_keep_from_voting_for_whom_the_leader_wishes() {
    let mut cluster = group(Sound);
    renew(&mut cluster);
    let request = Request::Transfer(Some(NodeId(2)));
    cluster.input(1, Input::Request { token: Token(1), request });
    cluster.settle();
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn a_lease_ends_when_members_change() {
    let mut cluster = group(Sound);
    cluster.join(4, trusting(1, 3, Sound));
    renew(&mut cluster);
    cluster.at(1, |node| node.change(1, [add(4)]));
    assert_eq!(read(&mut cluster), []);
    cluster.settle();
    cluster.beat(1);
    assert_eq!(read(&mut cluster).len(), 1);
    cluster.at(1, |node| node.change(2, [Change::Promote(NodeId(4))]));
    assert_eq!(read(&mut cluster), []);
    cluster.settle();
    renew(&mut cluster);
    assert_eq!(read(&mut cluster).len(), 1);
    cluster.assert_sound();
}

/// Time that passes changes what a node will do, so it changes its fingerprint.
#[test]
fn the_age_of_a_lease_and_of_a_promise_is_in_the_fingerprint() {
    let fingerprint = |node: &Node| {
        use std::hash::Hasher as _;
        let mut hasher = std::hash::DefaultHasher::new();
        node.engine.fingerprint(node.now, &mut hasher);
        hasher.finish()
    };
    for mut node in [leader(&[(2, PROMISE_MS)]), bound()] {
        node.input(Input::Link { peer: NodeId(1), state: LinkState::Closed });
        let before = fingerprint(&node);
        node.wait(ms(10));
        assert_ne!(fingerprint(&node), before);
        let mut later = node.clone();
        node.wait(ms(100_000));
        later.wait(ms(200_000));
        if node.view().role == Role::Follower {
            assert_eq!(fingerprint(&node), fingerprint(&later), "an old promise is none");
        }
    }
}

/// Others elect node 2 as soon as they may, and commit a write; node 1 is cut off and is asked to read
/// when its clock shows `shows` after `start`.
fn stale_read(
    cluster: &mut Cluster<Without>,
    shows: Option<(synod_engine::Instant, Duration)>,
) -> Option<String> {
    cluster.isolate(&[1]);
    for id in [2, 3] {
        let peer = NodeId(1);
        cluster.input(id, Input::Link { peer, state: LinkState::Closed });
    }
    cluster.input(2, Input::Timer(Timer::Election));
    cluster.settle();
    cluster.at(2, |node| node.propose(1, "x"));
    cluster.settle();
    if let Some((start, passed)) = shows {
        cluster.node(1).now = start + passed;
    }
    cluster.node(1).events.clear();
    cluster.at(1, |node| node.read(7));
    let (index, committed) = (read_index(cluster, 1)?, cluster.commits()[1]);
    (index < committed).then(|| format!("a stale read at {index}, and {committed} was committed"))
}

pub(crate) fn voters_lose_their_links(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    renew(&mut cluster);
    stale_read(&mut cluster, None)
}

pub(crate) fn voters_start_again(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    renew(&mut cluster);
    cluster.reboot(2);
    cluster.reboot(3);
    stale_read(&mut cluster, None)
}

pub(crate) fn promises_arrive_late(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    let mut late = Vec::new();
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    cluster.settle_but(|envelope| {
        let is_promise = matches!(envelope.message, Message::HeartbeatReply { .. });
        late.extend(is_promise.then(|| envelope.clone()));
        is_promise
    });
    cluster.at(1, |node| node.wait(ms(PROMISE_MS)));
    for envelope in late {
        cluster.at(1, |node| node.hear(envelope.from, envelope.message));
    }
    stale_read(&mut cluster, None)
}

/// A clock that runs a tenth too slow, beside two that run a tenth too fast: when they show 300 ms, it
/// shows 245.5.
pub(crate) fn a_leader_has_a_slow_clock(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    renew(&mut cluster);
    let start = cluster.nodes[&1].now;
    cluster.at(2, |node| node.wait(ms(PROMISE_MS)));
    stale_read(&mut cluster, Some((start, ms(LEASE_MS + 1))))
}

pub(crate) fn a_successor_takes_over(rules: Without) -> Option<String> {
    let mut cluster = group(rules);
    renew(&mut cluster);
    let request = Request::Transfer(Some(NodeId(2)));
    cluster.input(1, Input::Request { token: Token(1), request });
    cluster.settle_but(|envelope| envelope.to == 1);
    cluster.at(2, |node| node.propose(1, "x"));
    cluster.settle_but(|envelope| envelope.to == 1);
    cluster.node(1).events.clear();
    cluster.at(1, |node| node.read(7));
    let (index, committed) = (read_index(&cluster, 1)?, cluster.commits()[1]);
    Some(format!("a stale read at {index}, and {committed} was committed"))
}
