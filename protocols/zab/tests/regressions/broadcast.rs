//! What is proposed while a late follower joins. Issues 1 to 3 of the published specification
//! (`protocol-spec/issues.md`): three ways in which the paper's wording loses a commit, or calls what is right
//! an error.

use std::time::Duration;

use synod_zab::{Message, Phase};

use crate::cluster::{Cluster, Envelope, Founded as _, ZabCluster as _};
use crate::driver::{Disk, Node, ZabNode as _, called};
use crate::words::{ack, diff, entry, new_leader, propose};

const SECOND: Duration = Duration::from_secs(1);

/// Node 1 has got NEWLEADER of 3 and not acknowledged it yet, for its disk is slow; 3 leads with 2.
fn joining() -> Cluster {
    let mut cluster = Cluster::start(3);
    cluster.isolate(&[1]);
    assert_eq!(cluster.establish(), 3);
    cluster.write(1, "before");
    cluster.heal();
    assert!(cluster.run_until(|cluster| cluster.nodes[&1].view().phase == Phase::Synchronisation));
    cluster.node(1).disk = Disk::Manual;
    cluster.settle();
    assert_eq!(cluster.nodes[&1].view().phase, Phase::Synchronisation);
    assert_eq!(cluster.lasts(), [1, 1, 1]);
    cluster
}

/// Issue 1: what is proposed and committed between NEWLEADER and its acknowledgement is lost to the
/// follower, if proposals go to those only who have acknowledged.
#[test]
fn what_is_proposed_and_committed_before_newleader_is_acknowledged_reaches_the_late_follower() {
    let mut cluster = joining();
    for (token, command) in [(2, "a"), (3, "b")] {
        cluster.at(3, |node| node.propose(token, command));
        cluster.settle();
    }
    assert_eq!(cluster.commits()[1..], [3, 3]);
    cluster.node(1).disk = Disk::Instant;
    cluster.at(1, Node::sync);
    cluster.settle();
    assert_eq!((cluster.lasts(), cluster.commits()), (vec![3; 3], vec![3; 3]));
    assert_eq!(cluster.nodes[&1].view().phase, Phase::Broadcast);
    assert_eq!(cluster.node(1).committed(), [1, 2, 3], "each once, in order");
    cluster.assert_sound();
}

/// The same where the proposals of that time are lost on the way.
#[test]
fn what_was_lost_before_newleader_was_acknowledged_is_sent_again() {
    let mut cluster = joining();
    cluster.at(3, |node| node.propose(2, "a"));
    cluster.settle_but(|envelope| envelope.to == 1);
    assert_eq!(cluster.commits()[1..], [2, 2]);
    cluster.node(1).disk = Disk::Instant;
    cluster.at(1, Node::sync);
    cluster.run(2 * SECOND);
    assert_eq!((cluster.lasts(), cluster.commits()), (vec![2; 3], vec![2; 3]));
    cluster.assert_sound();
}

/// Issue 3: COMMIT-LD with the zxid that the follower acknowledged leaves out what was committed since;
/// the next COMMIT then seems to skip.
#[test]
fn uptodate_names_what_is_committed_not_what_was_acknowledged() {
    let mut cluster = joining();
    cluster.at(3, |node| node.propose(2, "a"));
    cluster.settle();
    cluster.node(1).disk = Disk::Instant;
    cluster.at(1, Node::sync);
    let mut told = Vec::new();
    cluster.settle_but(|envelope: &Envelope| {
        if let (1, Message::UpToDate { commit, .. }) = (envelope.to, &envelope.message) {
            told.push(commit.0);
        }
        false
    });
    assert_eq!(told, [2], "NEWLEADER was for 1");
    cluster.write(3, "b");
    assert_eq!(cluster.commits(), [3, 3, 3]);
    cluster.assert_sound();
}

/// Issue 2: a proposal that comes twice, with the synchronisation and by itself, is no error; it has one
/// place, and is acknowledged again.
#[test]
fn a_proposal_that_comes_twice_has_one_place() {
    let mut node = called();
    node.hear(2, diff(2, entry(0, 0)));
    node.hear(2, propose(2, entry(0, 0), &[1, 1], 0));
    node.hear(2, new_leader(2, entry(2, 1)));
    node.hear(2, propose(2, entry(2, 1), &[2], 2));
    let (before, records) = (node.history(), node.records.len());
    assert_eq!(before, [1, 1, 2]);
    let again = node.answer(2, propose(2, entry(2, 1), &[2], 2));
    assert_eq!(again, [ack(2, 3)]);
    assert_eq!((node.history(), node.records.len()), (before, records));
    let earlier = node.answer(2, propose(2, entry(0, 0), &[1, 1], 2));
    assert_eq!(earlier, [ack(2, 2)], "no further than what it says");
    assert_eq!(node.history(), [1, 1, 2]);
}

/// Every message arrives twice, as on a network that doubles them.
#[test]
fn nothing_happens_twice_where_every_message_comes_twice() {
    let mut cluster = Cluster::start(3);
    cluster.doubles = true;
    assert_eq!(cluster.establish(), 3);
    (0..5).for_each(|token| cluster.write(token, "x"));
    assert_eq!((cluster.lasts(), cluster.commits()), (vec![5; 3], vec![5; 3]));
    for id in 1..=3 {
        assert_eq!(cluster.node(id).committed(), [1, 2, 3, 4, 5]);
    }
    cluster.assert_sound();
}
