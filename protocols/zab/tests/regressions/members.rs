//! Changes of members, and of who should lead. All of these were found here, by reading.

use std::time::Duration;

use synod_consensus::{Change, Request};
use synod_election::fle::{self, State, Vote};
use synod_engine::{Incarnation, Input, NodeId, Token};
use synod_zab::{Message, Phase, Timer, Zxid};

use crate::cluster::{Cluster, Founded as _, ZabCluster as _};
use crate::driver::{Disk, ZabNode as _, config, recover};
use crate::words::{add, lived, remove, says, took_part};

const SECOND: Duration = Duration::from_secs(1);

fn prioritise(node: u64, priority: u8) -> Change {
    Change::Prioritise { node: NodeId(node), priority }
}

/// Three nodes, of which 3 leads.
fn led_by_3() -> Cluster {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.establish(), 3);
    cluster
}

/// It follows all the while and has nothing to say that it is not asked; the leader took it for one that is
/// away, and waited for a word.
#[test]
fn a_member_that_is_removed_and_added_again_while_it_follows_gets_what_is_proposed() {
    for steps in [vec![vec![remove(1)], vec![add(1)]], vec![vec![remove(1), add(1)]]] {
        let mut cluster = led_by_3();
        for (token, wishes) in (10..).zip(steps) {
            cluster.at(3, |node| node.change(token, wishes));
            cluster.settle();
        }
        assert_eq!(cluster.nodes[&1].view().phase, Phase::Broadcast, "it has not looked");
        cluster.write(1, "x");
        cluster.at(1, |node| node.read(2));
        cluster.run(SECOND);
        let last = cluster.lasts()[2];
        assert_eq!((cluster.lasts(), cluster.commits()), (vec![last; 3], vec![last; 3]));
        assert_eq!(cluster.nodes[&1].ready_at(2), Some(last));
        cluster.assert_sound();
    }
}

/// Node 3 leads three, and should not any more; 1 should not either, and 2 lacks the entry that says so.
fn led_by_a_caretaker() -> Cluster {
    let mut cluster = led_by_3();
    cluster.at(3, |node| node.change(1, [prioritise(1, 0)]));
    cluster.settle();
    cluster.node(2).disk = Disk::Manual;
    cluster.at(3, |node| node.change(2, [prioritise(3, 0)]));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.commits()[2]), (None, 2), "it leads and serves nobody");
    cluster
}

/// A leader that tried to hand over for its priority appended nothing more for the rest of its epoch, and
/// took proposals all the same once it had a priority again.
#[test]
fn a_leader_that_may_lead_again_appends_what_it_takes() {
    let mut cluster = led_by_a_caretaker();
    cluster.crash(2);
    cluster.run(2 * SECOND);
    cluster.at(3, |node| node.change(3, [prioritise(3, 1)]));
    cluster.run(SECOND);
    assert_eq!(cluster.leader(), Some(3));
    cluster.write(4, "x");
    assert_eq!((cluster.commits()[0], cluster.commits()[2]), (4, 4));
    cluster.assert_sound();
}

/// While its successor is heard and does not catch up, the transfer begins again and again: an operator
/// could never give it its priority back.
#[test]
fn a_leader_that_finds_no_successor_can_be_made_one_that_may_lead() {
    let mut cluster = led_by_a_caretaker();
    cluster.run(2 * SECOND);
    cluster.at(3, |node| node.change(3, [prioritise(3, 1)]));
    cluster.run(SECOND);
    assert_eq!(cluster.leader(), Some(3));
    cluster.write(4, "x");
    assert_eq!((cluster.commits()[0], cluster.commits()[2]), (4, 4));
    cluster.assert_sound();
}

/// What its name is entitled to is what it was before it lost all that it had.
#[test]
fn another_life_of_a_voter_elects_nobody_and_is_not_elected() {
    let mut config = config(1, 3);
    config.part = config.part.reborn(Incarnation(2));
    let mut node = recover(config, lived(3, &took_part(&[1, 1])));
    let vote = Vote { epoch: 1, zxid: Zxid::new(1, 2), leader: NodeId(1) };
    for _ in 0..3 {
        for voter in [2, 3] {
            node.hear(voter, says(State::Looking, vote));
        }
        node.fire(Timer::Election(fle::Timer::Finalize));
        node.fire(Timer::Limit);
        assert_eq!(node.view().phase, Phase::Election);
    }
    let votes = |(_, message): &(NodeId, Message)| match message {
        Message::Election(said) => said.vote.is_some(),
        other => panic!("{other}"),
    };
    assert!(!node.sent.is_empty() && !node.sent.iter().any(votes), "it only asks");
}

/// The successor, which does not know of it yet, took such a follower for one that had elected it by itself
/// and sent it looking.
#[test]
fn a_follower_that_hears_of_a_handover_before_the_successor_does_not_look() {
    let mut cluster = led_by_3();
    cluster.write(1, "x");
    cluster.at(3, |node| {
        let request = Request::Transfer(Some(NodeId(2)));
        node.input(Input::Request { token: Token(2), request });
        node.input(Input::Flush);
    });
    let place = |cluster: &Cluster, from: u64, to: u64| {
        cluster.network.iter().position(|it| (it.from, it.to) == (from, to))
    };
    while let Some(next) = place(&cluster, 3, 1).or_else(|| place(&cluster, 1, 2)) {
        cluster.deliver(next);
    }
    assert_eq!(cluster.nodes[&1].view().leader, Some(NodeId(2)));
    assert!(place(&cluster, 3, 2).is_some(), "the successor does not know");
    let looks = |cluster: &mut Cluster| cluster.nodes[&1].view().phase == Phase::Election;
    let led = |cluster: &mut Cluster| {
        assert!(!looks(cluster), "{}", cluster.picture());
        cluster.leader() == Some(2)
    };
    assert!(cluster.run_until(led), "{}", cluster.picture());
    cluster.establish();
    cluster.assert_sound();
}
