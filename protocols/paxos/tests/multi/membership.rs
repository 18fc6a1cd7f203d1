//! Members change behind a closed window.

use std::time::Duration;

use synod_consensus::{
    BadChange, Change, Event, Index, Output, Refusal, ReplicatedLog, Request, Role,
};
use synod_engine::{Blob, Input, NodeId, Sound, Token, Without};
use synod_paxos::multi::{Message, RULES, Rules, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, PaxosCluster as _};
use crate::driver::add;

fn committed<R: Rules>(cluster: &Cluster<R>, id: u64, token: u64) -> bool {
    let mut events = cluster.nodes[&id].events.iter();
    events.any(|event| {
        matches!(event, Event::Committed { own, .. } if own.iter().any(|(_, own)| *own == Token(token)))
    })
}

fn refusal<R: Rules>(cluster: &Cluster<R>, id: u64, token: u64) -> Option<Refusal> {
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
    let knows = |it: &Envelope| matches!(it.message, Message::Accepted { chosen: Index(2), .. });
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

/// 1 makes a change known to 2 alone. 2 leads and gets a value chosen behind it with 3, who lacks the
/// change. Then 3 leads with 1: neither knows that the change is chosen, so 3 decides on it by the old
/// members, and must not forget what it accepted behind.
#[test]
fn a_value_chosen_behind_a_change_by_who_knew_of_it_is_not_lost() {
    let broken = Without::named(RULES, &["values_behind_change_are_asked_for_again"]);
    for (sound, rules) in [(true, Without::default()), (false, broken.expect("a rule"))] {
        let mut cluster = Cluster::keeping(rules, 3, |_| {});
        cluster.elect(1);
        cluster.isolate(&[3]);
        let change = Change::Prioritise { node: NodeId(2), priority: 2 };
        cluster.at(1, |node| node.change(1, [change]));
        let knows =
            |it: &Envelope| matches!(it.message, Message::Accepted { chosen: Index(1), .. });
        cluster.settle_but(knows);
        assert_eq!(cluster.commits(), [0, 1, 0]);
        cluster.heal();
        cluster.isolate(&[1]);
        let is_change = |it: &Envelope| {
            matches!(&it.message, Message::Learned { .. } | Message::Install { .. })
        };
        cluster.elect_but(2, is_change);
        cluster.at(2, |node| node.propose(2, "behind"));
        cluster.settle_but(is_change);
        assert_eq!(cluster.commits(), [0, 2, 0]);
        for _ in 0..3 {
            cluster.at(1, |node| node.fire(Timer::Election));
        }
        cluster.network.clear();
        cluster.heal();
        cluster.isolate(&[2]);
        cluster.elect(3);
        cluster.at(3, |node| node.propose(3, "other"));
        cluster.settle();
        assert_eq!(cluster.violation.is_none(), sound, "{:?}", cluster.violation);
        if sound {
            cluster.heal();
            cluster.beat(3);
            cluster.assert_sound();
        }
    }
}

/// 1, cut off, is asked for a value, and behind it for the removal of 2. In the place of the value the others
/// choose another change: 3 is removed. When 1 leads again, nothing may come of a change that was made from
/// other members.
#[test]
fn a_change_behind_a_value_that_is_not_chosen_comes_to_nothing() {
    let broken = Without::named(RULES, &["change_follows_chosen"]).expect("a rule");
    for (sound, rules) in [(true, Without::default()), (false, broken)] {
        let mut cluster = Cluster::keeping(rules, 3, |_| {});
        cluster.elect(1);
        cluster.isolate(&[1]);
        cluster.at(1, |node| node.propose(1, "x"));
        cluster.at(1, |node| node.change(2, [Change::Remove(NodeId(2))]));
        cluster.settle();
        assert_eq!(refusal(&cluster, 1, 2), None, "it waits");
        cluster.elect(2);
        cluster.heal();
        cluster.beat(2);
        assert_eq!(
            refusal(&cluster, 1, 2).is_some(),
            sound,
            "what was not proposed is refused, what was may yet be chosen"
        );
        cluster.at(2, |node| node.change(3, [Change::Remove(NodeId(3))]));
        cluster.settle();
        assert!(committed(&cluster, 2, 3));
        cluster.reboot(2);
        cluster.elect(1);
        cluster.at(1, |node| node.propose(4, "y"));
        cluster.settle();
        cluster.beat(1);
        assert_eq!(committed(&cluster, 1, 4), sound);
        cluster.assert_sound();
    }
}

/// 3 is dead and removed, so that 1 and 2 must both know. 1 loses its reign while it makes that known, and
/// leads again in the same life.
#[test]
fn a_change_is_finished_by_a_leader_that_began_it_in_an_earlier_reign() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.change(2, [Change::Remove(NodeId(3))]));
    let tells = |it: &Envelope| matches!(it.message, Message::Heartbeat { chosen: Index(1), .. });
    cluster.settle_but(tells);
    assert_eq!(cluster.commits(), [0, 0, 0], "chosen, and nobody else knows");
    cluster.isolate(&[1]);
    for _ in 0..3 {
        cluster.at(1, |node| node.fire(Timer::Election));
    }
    assert_ne!(cluster.node(1).view().role, Role::Leader);
    cluster.network.clear();
    cluster.heal();
    cluster.isolate(&[3]);
    cluster.elect(1);
    cluster.beat(1);
    cluster.at(1, |node| node.propose(3, "x"));
    cluster.settle();
    assert_eq!(cluster.commits()[..2], [2, 2]);
    cluster.assert_sound();
}

/// Snapshots make nodes forget since when the members are what they are; and a leader that nobody asks for
/// anything finds out all the same that they know.
#[test]
fn members_are_settled_for_every_later_leader_though_nothing_happens() {
    let mut cluster = with_learner(Sound);
    for id in [1, 2, 3] {
        cluster.at(id, |node| {
            node.input(Input::Applied(1));
            node.input(Input::Request { token: Token(9), request: Request::Compact });
            let (task, _) = node.tasks.pop().expect("a snapshot is asked for");
            let blob = Blob { id, size_bytes: 1, checksum: 0 };
            let output = Output::Snapshot { index: Index(1), blob };
            node.input(Input::TaskDone { id: task, output });
        });
    }
    for leader in [2, 3, 1] {
        cluster.elect(leader);
        cluster.beat(leader);
        assert!(cluster.node(leader).engine.status().members_settled);
    }
}

/// 4 decides alone from now on, and is the only one that does not know: it accepted both steps of the change,
/// but heard of neither that it is chosen. 1, who did not hear either, campaigns, finds out, and then may
/// not lead. By then the others have promised more than 4 has.
#[test]
fn the_one_who_may_lead_finds_out_from_those_who_may_not() {
    let mut cluster = with_learner(Sound);
    let wishes = [1, 2, 3].map(|id| Change::Remove(NodeId(id)));
    let wishes = [vec![Change::Promote(NodeId(4))], wishes.to_vec()].concat();
    cluster.at(1, |node| node.change(101, wishes));
    let tells_4 = |it: &Envelope| {
        let tells = matches!(it.message, Message::Heartbeat { .. } | Message::Learned { .. });
        it.to == 4 && tells
    };
    cluster.settle_but(tells_4);
    assert_eq!(cluster.commits(), [1, 2, 2, 1]);
    cluster.isolate(&[1]);
    cluster.elect_but(2, tells_4);
    assert_eq!(cluster.commits(), [1, 2, 3, 1]);
    cluster.reboot(2);
    for _ in 0..3 {
        cluster.at(1, |node| node.fire(Timer::Election));
    }
    cluster.heal();
    cluster.isolate(&[4]);
    cluster.campaign(1);
    assert_eq!(cluster.commits(), [3, 3, 3, 1]);
    cluster.heal();
    assert!(cluster.node(4).view().ballot < cluster.node(3).view().ballot);
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.leader(), Some(4));
    cluster.at(4, |node| node.propose(1, "x"));
    assert!(committed(&cluster, 4, 1));
    cluster.assert_sound();
}

/// Its user is told of its own removal once those who stay know of it: it may go for good.
#[test]
fn a_leader_removes_itself_and_the_other_goes_on_alone() {
    let broken = Without::named(RULES, &["new_majority_holds_prefix"]).expect("a rule");
    for (sound, rules) in [(true, Without::default()), (false, broken)] {
        let mut cluster = Cluster::keeping(rules, 2, |_| {});
        cluster.elect(1);
        cluster.at(1, |node| node.change(1, [Change::Remove(NodeId(1))]));
        while !committed(&cluster, 1, 1) {
            cluster.deliver(0);
        }
        cluster.isolate(&[1]);
        cluster.campaign(2);
        assert_eq!(cluster.node(2).view().role == Role::Leader, sound);
        cluster.at(2, |node| node.propose(1, "x"));
        assert_eq!(committed(&cluster, 2, 1), sound);
        cluster.assert_sound();
    }
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
    let members =
        |cluster: &Cluster, id: u64| cluster.nodes[&id].engine.status().members.to_string();
    assert_eq!(members(&cluster, 3), "{n3,n4,n5}");
    assert_eq!(members(&cluster, 2), "{n3,n4,n5}", "who was removed hears of it");
    let leader = cluster.leader().expect("it handed over");
    assert!((3..=5).contains(&leader));
    cluster.assert_sound();
}
