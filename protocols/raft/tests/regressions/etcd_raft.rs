//! etcd-io/raft.

use synod_consensus::{Epoch, Index, Role};
use synod_engine::{Engine as _, Input};
use synod_raft::{Message, Timer};

use crate::cluster::{Cluster, Envelope, RaftCluster as _};

use crate::driver::{
    Disk, Node, RaftNode as _, Whole as _, append, config, entry, matches, vote, vote_reply,
};

/// etcd-io/raft#31 (slow_follower_after_compaction.txt): a follower's whole window is lost and the log
/// is compacted behind it; its flow is paused, and nothing more is ever sent.
#[test]
fn slow_follower_after_compaction() {
    let mut cluster = Cluster::with_logs(0, &[&[], &[], &[]], |id| {
        let mut config = config(id, 3);
        (
            config.bounds.max_in_flight_appends,
            config.bounds.snapshot_every,
            config.bounds.keep_log_bytes,
        ) = (2, 7, 0);
        config
    });
    cluster.elect(1);
    for token in 12..=14 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    let appends_to_third = |envelope: &Envelope| {
        envelope.to == 3 && matches!(envelope.message, Message::Append { .. })
    };
    for token in 15..=18 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle_but(appends_to_third);
    }
    assert_eq!(cluster.commits()[..2], [8, 8]);
    cluster.at(1, |node| node.compact(8));
    for _ in 0..3 {
        cluster.at(1, |node| node.fire(Timer::Heartbeat));
        cluster.settle();
    }
    assert_eq!(cluster.commits(), [8, 8, 8]);
    assert_eq!(cluster.sometimes.count("snapshot installed"), 1);
    cluster.assert_sound();
}

/// etcd-io/raft#8 (async_storage_writes_append_aba_race.txt): an entry is written, replaced by another
/// leader's before the write is down, and replaced again by itself. That the first write is down says
/// nothing of the third.
#[test]
fn append_aba_race_with_async_storage() {
    let mut node = Node::with_log(1, 3, 1, &[]);
    node.disk = Disk::Manual;
    node.hear(2, append(1, entry(0, 0), &[1], 0));
    node.hear(3, append(2, entry(0, 0), &[2], 0));
    node.hear(2, append(3, entry(0, 0), &[1], 0));
    assert_eq!(node.terms(), [1]);
    let mut said = false;
    for _ in 0..node.records.len() {
        node.sync_one();
        said |= node.said_to(2).contains(&matches(3, 1));
        let down = node.rebuilt();
        let is_down = (down.view().term, down.log().last()) == (Epoch(3), entry(1, 1));
        assert!(is_down || !said, "what is down is {}", down.view());
    }
    assert!(said, "once it is down");
}

/// The same for a leader's own disk: it led, was deposed before its entries were down, lost them, and
/// leads again. That the old entries are down must not count for the new ones.
#[test]
fn append_aba_race_of_a_leader_that_leads_again() {
    let mut node = Node::with_log(1, 3, 0, &[]);
    node.win(&[2]);
    node.disk = Disk::Manual;
    (0..3).for_each(|token| node.propose(token, "x"));
    assert_eq!(node.view().last, entry(4, 1));
    node.hear(3, append(2, entry(1, 1), &[2], 0));
    assert_eq!(node.view().last, entry(2, 2), "its own entries were replaced");
    node.wait(std::time::Duration::from_secs(1));
    node.fire(Timer::Election);
    node.hear(3, Message::PreVoteReply { term: Epoch(3), granted: true, better: None });
    let from = node.id();
    node.input(Input::Message { from, message: matches(1, 4) });
    let mut led = false;
    for _ in 0..20 {
        node.sync_one();
        if node.view().role == Role::Candidate {
            node.hear(3, vote_reply(3, true));
        }
        if node.view().role == Role::Leader {
            led = true;
            node.hear(3, matches(3, 3));
            let down = node.rebuilt().log().last();
            assert!(node.view().commit < Index(3) || down == entry(3, 3), "{down}");
        }
    }
    assert!(led && node.view().commit == Index(3), "{}", node.view());
}

/// etcd-io/raft#8, the vote: what is promised while the disk writes is promised once.
#[test]
fn a_vote_that_is_being_written_is_not_given_again() {
    let mut node = Node::with_log(1, 3, 1, &[]);
    node.disk = Disk::Manual;
    node.hear(2, vote(2, entry(0, 0)));
    node.hear(3, vote(2, entry(0, 0)));
    assert_eq!(node.sent, []);
    node.sync();
    assert_eq!(node.said_to(2), [vote_reply(2, true)]);
    assert_eq!(node.said_to(3), [vote_reply(2, false)]);
}
