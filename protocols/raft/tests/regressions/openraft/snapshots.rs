//! Snapshots that are installed, due, or in the way.

use std::sync::Arc;

use synod_consensus::{
    Batch, Epoch, Event, Index, Membership, Output, Payload, ReplicatedLog as _, Role,
};
use synod_engine::{Input, LinkState, NodeId};
use synod_raft::{EntryId, Message, Timer};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{
    Disk, Node, RaftNode as _, Whole as _, append, config, entry, founders, matches, snapshot,
};
use crate::endings;

fn install(term: u64, index: u64, of: u64) -> Message {
    let (snapshot, members) = (snapshot(index, of), founders(1..=3));
    Message::Install { term: Epoch(term), snapshot, members }
}

/// openraft#1808: a membership that was never committed outlived the snapshot which covered its entry,
/// since its index was above that of the snapshot's own membership; the node could win by a quorum that
/// never was.
#[test]
fn purged_membership_on_snapshot_install() {
    let mut node = Node::with_log(1, 3, 1, &[1, 1, 1]);
    let five: Membership = Membership::founded_by(&(1..=5).map(NodeId).collect());
    let payload = Payload::Members(Arc::new(five));
    let stale = Batch::new(Index(4), Epoch(2), vec![payload]);
    let (previous, commit) = (entry(3, 1), Index(0));
    node.hear(2, Message::Append { term: Epoch(2), previous, entries: Some(stale), commit });
    assert_eq!(node.engine.status().members.iter().count(), 5, "it counts from its entry on");
    node.hear(3, install(3, 6, 3));
    let after = |node: &Node| {
        let status = node.engine.status();
        (status.members.iter().count(), status.members_settled, status.last)
    };
    assert_eq!(after(&node), (3, true, Index(6)), "the snapshot covers it");
    node.reboot();
    assert_eq!(after(&node), (3, true, Index(6)), "also after a restart");
    node.win(&[2]);
}

/// openraft#1892, #1930: a snapshot with another entry at an index that is committed here was installed.
#[test]
fn snapshot_conflicting_at_committed_index() {
    let mut node = Node::with_log(1, 3, 3, &[1, 1, 2, 2]);
    node.hear(2, append(3, entry(4, 2), &[], 3));
    let (view, records) = (node.view(), node.records.len());
    for (index, term) in [(3, 3), (3, 1), (2, 3), (9, 1)] {
        node.hear(2, install(3, index, term));
        assert_eq!((node.view(), node.records.len()), (view.clone(), records), "{index}@{term}");
    }
    assert!(!node.events.iter().any(|event| matches!(event, Event::Install(_))));
}

/// openraft#1828: the leader's log was purged to its very end, a follower was far behind, and nothing
/// was proposed: it was neither asked nor given the snapshot, for ever.
#[test]
fn fully_purged_log_follower() {
    let mut cluster = Cluster::with_one_behind();
    let EntryId { index, .. } = cluster.nodes[&1].view().base;
    assert_eq!(
        (index, cluster.nodes[&1].view().last.index),
        (Index(21), Index(21)),
        "nothing left"
    );
    *cluster.node(3) = Node::recover(config(3, 3), cluster.nodes[&3].kept().to_vec());
    cluster.heal();
    for state in [LinkState::Closed, LinkState::Opened] {
        cluster.input(1, Input::Link { peer: NodeId(3), state });
    }
    cluster.settle();
    for _ in 0..2 {
        cluster.at(1, |node| node.fire(Timer::Heartbeat));
        cluster.settle();
    }
    assert_eq!(cluster.commits(), [21, 21, 21]);
}

/// openraft#1829: a snapshot that came due while another was being written was forgotten, and on a node
/// where nothing more happens the log stayed as it was.
#[test]
fn lost_snapshot_trigger() {
    let mut config = config(1, 3);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (4, 0);
    let mut node = Node::recover(config, []);
    node.hear(2, append(1, entry(0, 0), &[1; 12], 12));
    node.input(Input::Applied(4));
    let (id, _) = node.tasks.pop().expect("due");
    node.input(Input::Applied(12));
    assert_eq!(node.tasks.len(), 0, "one at a time");
    let (index, blob) = (Index(4), snapshot(4, 1).blob);
    node.input(Input::TaskDone { id, output: Output::Snapshot { index, blob } });
    assert_eq!(node.tasks.len(), 1, "the next is due at once");
    let (again, _) = node.tasks[0];
    assert_ne!(again, id);
}

/// openraft#1761: a former leader's proposal was superseded by a snapshot that reached beyond its log;
/// whoever had proposed it was never answered, and the node panicked when it went on.
#[test]
fn purge_strands_client_responder() {
    let mut node = Node::with_log(1, 3, 0, &[]);
    node.win(&[2]);
    node.disk = Disk::Manual;
    (0..3).for_each(|token| node.propose(token, "x"));
    assert_eq!(node.view().last, entry(4, 1));
    node.hear(2, install(2, 9, 2));
    node.sync();
    assert_eq!(node.view().role, Role::Follower);
    for token in 0..3 {
        assert_eq!(endings(&node, token), 1);
    }
    node.hear(2, append(2, entry(9, 2), &[2, 2], 11));
    node.input(Input::Applied(11));
    node.sync();
    assert_eq!((node.view().commit, node.view().applied), (Index(11), Index(11)));
    assert!((0..3).all(|token| endings(&node, token) == 1), "and never again");
}

/// openraft#1706: while a follower installs a large snapshot, the leader goes on, takes newer ones, and
/// has purged what follows the first when it is done.
#[test]
fn leader_purges_on_while_a_follower_installs() {
    let mut config = config(1, 3);
    (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (5, 0);
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    let write = |node: &mut Node, token: u64| {
        node.propose(token, "x");
        let last = node.view().last.index.0;
        node.hear(2, matches(1, last));
        node.input(Input::Applied(last));
    };
    (0..4).for_each(|token| write(&mut node, token));
    node.compact(5);
    node.hear(3, Message::HeartbeatReply { term: Epoch(1), round: 0, promise_ms: 0 });
    node.input(Input::Link { peer: NodeId(3), state: LinkState::Closed });
    node.input(Input::Flush);
    assert!(matches!(node.said_to(3).last(), Some(Message::Install { .. })));
    (4..13).for_each(|token| write(&mut node, token));
    assert_eq!(node.tasks.len(), 0, "the newer waits for the one that is under way");
    node.hear(3, matches(1, 5));
    let sent = node.said_to(3);
    assert!(matches!(sent.last(), Some(Message::Append { .. })), "it goes on by the log: {sent:?}");
    write(&mut node, 13);
    assert_eq!(node.tasks.len(), 1, "and then its time has come");
}
