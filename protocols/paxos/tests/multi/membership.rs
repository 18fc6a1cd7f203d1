//! Members change behind a closed window.

use synod_consensus::{BadChange, Change, Event, Index, Refusal, Role};
use synod_engine::{NodeId, Sound, Token, Without};
use synod_paxos::multi::{Message, RULES, Rules};

use crate::cluster::{Cluster, Envelope};
use crate::driver::add;

fn committed<R: Rules>(cluster: &Cluster<R>, id: u64, token: u64) -> bool {
    let mut events = cluster.nodes[&id].events.iter();
    events.any(|event| {
        matches!(event, Event::Committed { own, .. } if own.iter().any(|(_, own)| *own == Token(token)))
    })
}

fn refusal(cluster: &Cluster, id: u64, token: u64) -> Option<Refusal> {
    cluster.nodes[&id].events.iter().find_map(|event| match event {
        Event::Refused { token: refused, refusal } if *refused == Token(token) => Some(*refusal),
        _ => None,
    })
}

/// 1 leads 1, 2, 3; 4 has joined and caught up.
fn with_learner<R: Rules>(rules: R) -> Cluster<R> {
    let mut cluster = Cluster::keeping(rules, 3, |_| {});
    cluster.elect(1);
    cluster.join(4, rules);
    cluster.at(1, |node| node.change(100, [add(4)]));
    cluster.settle();
    cluster.beat(1);
    cluster.beat(1);
    cluster
}

#[test]
fn a_learner_catches_up_and_becomes_a_voter() {
    let mut cluster = with_learner(Sound);
    assert!(committed(&cluster, 1, 100));
    assert_eq!(cluster.commits(), [1, 1, 1, 1]);
    cluster.at(1, |node| node.change(101, [Change::Promote(NodeId(4))]));
    cluster.settle();
    assert!(committed(&cluster, 1, 101));
    cluster.isolate(&[1]);
    cluster.elect(4);
    cluster.assert_sound();
}

#[test]
fn a_learner_that_lacks_much_is_not_promoted_and_nonsense_is_refused() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.join(4, Sound);
    cluster.isolate(&[4]);
    cluster.at(1, |node| node.change(1, [add(4)]));
    cluster.settle();
    for (token, change) in [
        (2, Change::Promote(NodeId(4))),
        (3, Change::Remove(NodeId(9))),
        (4, Change::Promote(NodeId(8))),
    ] {
        cluster.at(1, |node| node.change(token, [change]));
    }
    cluster.at(2, |node| node.change(5, [Change::Remove(NodeId(3))]));
    assert_eq!(refusal(&cluster, 1, 2), Some(Refusal::NotCaughtUp { node: NodeId(4), behind: 1 }));
    assert_eq!(refusal(&cluster, 1, 3), Some(Refusal::BadChange(BadChange::Unchanged)));
    assert_eq!(refusal(&cluster, 1, 4), Some(Refusal::BadChange(BadChange::NoMember(NodeId(8)))));
    assert_eq!(refusal(&cluster, 2, 5), Some(Refusal::NotLeader { leader: Some(NodeId(1)) }));
}

/// Nothing is proposed behind a change before the new members know of it; what waits meanwhile is proposed
/// then.
#[test]
fn the_window_is_closed_behind_a_change_and_opens_again() {
    let mut cluster = with_learner(Sound);
    let knows = |it: &Envelope| matches!(it.message, Message::Accepted { members: Index(2), .. });
    cluster.at(1, |node| node.change(101, [Change::Promote(NodeId(4))]));
    cluster.at(1, |node| node.propose(7, "behind"));
    cluster.at(1, |node| node.change(102, [Change::Remove(NodeId(2))]));
    assert_eq!(refusal(&cluster, 1, 102), Some(Refusal::ChangePending));
    cluster.settle_but(knows);
    assert_eq!(cluster.commits(), [1, 2, 2, 2], "it is chosen, and the followers know");
    assert!(!committed(&cluster, 1, 101) && !committed(&cluster, 1, 7));
    cluster.beat(1);
    assert!(
        committed(&cluster, 1, 101) && committed(&cluster, 1, 7),
        "who was not heard says it again"
    );
    assert_eq!(cluster.commits(), [3, 3, 3, 3]);
    cluster.assert_sound();
}

/// The leader and 2 make 4 a voter; the leader, 3 and 4 have something chosen behind that, and lack the
/// change itself. So 3 decides by the old members, with 2, who does not know that the change is chosen.
#[test]
fn what_is_chosen_behind_a_change_that_nobody_knows_of_is_lost() {
    let broken = Without::named(RULES, &["new_majority_holds_prefix"]).expect("a rule");
    for (sound, rules) in [(true, Without::default()), (false, broken)] {
        let mut cluster = with_learner(rules);
        let is_change = |it: &Envelope| matches!(&it.message, Message::Accept { batch, .. } if batch.first() == Index(2));
        let tells = |it: &Envelope| matches!(it.message, Message::Heartbeat { .. });
        cluster.at(1, |node| node.change(101, [Change::Promote(NodeId(4))]));
        cluster.settle_but(|it| it.to > 2 || it.to == 2 && tells(it));
        cluster.isolate(&[2]);
        cluster.at(1, |node| node.propose(7, "behind"));
        cluster.settle_but(is_change);
        assert_eq!(committed(&cluster, 1, 7), !sound);
        cluster.network.clear();
        cluster.heal();
        cluster.isolate(&[1]);
        cluster.elect(3);
        cluster.at(3, |node| node.propose(8, "other"));
        cluster.settle();
        assert_eq!(cluster.violation.is_none(), sound, "{:?}", cluster.violation);
    }
}

/// Its user is told of its own removal once those who stay know of it: it may go for good.
#[test]
fn a_leader_removes_itself_and_the_other_goes_on_alone() {
    let mut cluster = Cluster::start(2);
    cluster.elect(1);
    cluster.at(1, |node| node.change(1, [Change::Remove(NodeId(1))]));
    for _ in 0..100 {
        if committed(&cluster, 1, 1) || cluster.network.is_empty() {
            break;
        }
        cluster.deliver(0);
    }
    assert!(committed(&cluster, 1, 1));
    cluster.isolate(&[1]);
    cluster.campaign(2);
    assert_eq!(cluster.node(2).view().role, Role::Leader);
    cluster.at(2, |node| node.propose(1, "x"));
    assert!(committed(&cluster, 2, 1));
    cluster.assert_sound();
}

#[test]
fn several_voters_change_by_way_of_a_joint_membership_that_is_left_by_itself() {
    let mut cluster = with_learner(Sound);
    cluster.join(5, Sound);
    cluster.at(1, |node| node.change(101, [add(5)]));
    cluster.settle();
    cluster.beat(1);
    cluster.beat(1);
    let wishes = [
        Change::Promote(NodeId(4)),
        Change::Promote(NodeId(5)),
        Change::Remove(NodeId(1)),
        Change::Remove(NodeId(2)),
    ];
    cluster.at(1, |node| node.change(102, wishes));
    cluster.settle();
    cluster.beat(1);
    assert!(committed(&cluster, 1, 102));
    let members = |cluster: &Cluster, id: u64| {
        use synod_consensus::ReplicatedLog;
        cluster.nodes[&id].engine.status().members.to_string()
    };
    assert_eq!(members(&cluster, 3), "{n3,n4,n5}");
    assert_eq!(members(&cluster, 2), "{n3,n4,n5}", "who was removed hears of it");
    let leader = cluster.leader().expect("it handed over");
    assert!((3..=5).contains(&leader));
    cluster.assert_sound();
}
