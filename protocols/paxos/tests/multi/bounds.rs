//! What is bounded, what costs no message, and what nobody can have said.

use std::time::Duration;

use synod_consensus::{Batch, Change, Index, Request, Role, Task};
use synod_engine::{Input, NodeId, Sound, Token};
use synod_paxos::Ballot;
use synod_paxos::multi::{Config, Message, Timer};

use crate::cluster::{Cluster, Envelope, Founded as _, PaxosCluster as _};
use crate::driver::{Node, ballot, heartbeat, values};
use crate::phases::told;

const SECOND: Duration = Duration::from_secs(1);

/// The bytes of the values in a message.
fn weight(message: &Message) -> usize {
    match message {
        Message::Promise { accepted, .. } => accepted.iter().map(Batch::size_bytes).sum(),
        Message::Learned { values, .. } => values.iter().map(Batch::size_bytes).sum(),
        Message::Accept { batch, .. } => batch.size_bytes(),
        _ => 0,
    }
}

/// This follower of three, led by 1, with nothing accepted.
fn follower(tune: impl Fn(&mut Config)) -> Node {
    let mut cluster = Cluster::with(3, tune);
    cluster.elect(1);
    let mut node = cluster.nodes.remove(&2).expect("one of three");
    node.sent.clear();
    node
}

fn accept(first: u64, words: &[&'static str], chosen: u64) -> Message {
    Message::Accept { batch: values(first, ballot(1, 1), words), chosen: Index(chosen) }
}

/// 9 bytes a value: two of them and a bit.
#[test]
fn no_message_carries_more_values_than_it_may_by_much() {
    let mut cluster = Cluster::with(3, |config| config.bounds.max_append_bytes = 20);
    cluster.elect(1);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.propose(0, "x"));
    cluster.at(1, |node| {
        for token in 1..10 {
            let request = Request::Propose("x".into());
            node.input(Input::Request { token: Token(token), request });
        }
        node.input(Input::Flush);
    });
    let mut heaviest = 0;
    let mut weigh = |it: &Envelope| {
        heaviest = heaviest.max(weight(&it.message));
        matches!(it.message, Message::Accepted { .. })
    };
    cluster.settle_but(&mut weigh);
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.elect_but(3, &mut weigh);
    for _ in 0..20 {
        cluster.at(3, |node| node.fire(Timer::Heartbeat));
        cluster.settle();
    }
    cluster.heal();
    cluster.isolate(&[2]);
    for _ in 0..20 {
        cluster.at(3, |node| node.fire(Timer::Heartbeat));
        cluster.settle_but(|it| {
            heaviest = heaviest.max(weight(&it.message));
            false
        });
    }
    assert_eq!(cluster.commits()[0], 10);
    assert!((9..20 + 9).contains(&heaviest), "{heaviest}");
    cluster.assert_sound();
}

#[test]
fn what_fits_into_one_promise_comes_in_one() {
    let mut node = follower(|_| {});
    for index in 1..=10 {
        node.hear(1, accept(index, &["x"], 0));
    }
    node.wait(SECOND);
    let asked = Message::Prepare { ballot: ballot(2, 3), from: Index(1), handover: None };
    let promises = node.answer(3, asked);
    let [Message::Promise { accepted, next: None, .. }] = &promises[..] else {
        panic!("{promises:?}")
    };
    assert_eq!(accepted.iter().map(Batch::len).sum::<usize>(), 10);
}

#[test]
fn what_lies_behind_a_gap_is_taken_within_bounds() {
    let mut node = follower(|config| config.bounds.max_in_flight_bytes = 10);
    for index in [3, 5, 7, 9] {
        node.hear(1, accept(index, &["x"], 0));
    }
    assert_eq!(node.engine.slots().last(), Index(5), "9 bytes leave room, 18 do not");
    node.hear(1, accept(1, &["x", "x"], 0));
    assert_eq!(node.engine.slots().epoch_at(Index(2)), Some(ballot(1, 1).epoch()));
}

#[test]
fn a_follower_takes_no_more_while_its_state_machine_is_too_far_behind() {
    let mut node = follower(|config| config.bounds.max_unapplied_entries = 3);
    node.hear(1, accept(1, &["x"; 3], 3));
    node.hear(1, accept(4, &["x"], 3));
    assert_eq!(node.engine.slots().last(), Index(4), "three behind is no more than it may be");
    node.hear(1, accept(5, &["x"], 4));
    node.hear(1, accept(6, &["x"], 4));
    assert_eq!(node.engine.slots().last(), Index(5));
    node.input(Input::Applied(4));
    node.hear(1, accept(6, &["x"], 4));
    assert_eq!(node.engine.slots().last(), Index(6));
}

#[test]
fn a_gap_that_is_filled_before_the_flush_is_not_spoken_of() {
    let mut node = follower(|_| {});
    for index in [2, 1] {
        let message = accept(index, &["x"], 0);
        node.input(Input::Message { from: NodeId(1), message });
    }
    node.input(Input::Flush);
    let said = node.said_to(1);
    assert!(
        matches!(said[..], [Message::Accepted { prefix: Index(2), beyond: None, .. }]),
        "{said:?}"
    );
}

#[test]
fn who_has_everything_is_not_heard_of_beyond_the_answers_to_heartbeats() {
    let mut cluster = Cluster::start(3);
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..3 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    cluster.heal();
    cluster.beat(1);
    cluster.beat(1);
    assert_eq!(cluster.commits(), [3, 3, 3]);
    cluster.at(1, |node| node.fire(Timer::Heartbeat));
    let mut said = Vec::new();
    cluster.settle_but(|it| {
        said.extend((it.to == 1).then(|| it.message.clone()));
        false
    });
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|it| matches!(it, Message::HeartbeatReply { .. })));
}

/// It lacks 2, and has 3 behind the gap: the leader means one that has what it has, and no more.
#[test]
fn a_call_to_take_over_is_for_one_that_has_exactly_what_the_leader_has() {
    let mut node = follower(|_| {});
    node.hear(1, accept(1, &["x"], 0));
    let call = Message::TakeOver { ballot: ballot(1, 1), last: Index(1) };
    let mut exact = node.clone();
    exact.hear(1, call.clone());
    assert_eq!(exact.view().role, Role::Candidate);
    node.hear(1, accept(3, &["z"], 0));
    node.hear(1, call);
    assert_eq!(node.view().role, Role::Follower);
}

#[test]
fn a_lower_ballot_than_the_promised_one_is_refused_with_that() {
    let mut node = follower(|_| {});
    node.wait(SECOND);
    let asked = |round, proposer| {
        let ballot = ballot(round, proposer);
        Message::Prepare { ballot, from: Index(1), handover: None }
    };
    assert!(matches!(node.answer(3, asked(5, 3))[..], [Message::Promise { .. }]));
    let records = node.records.len();
    let refused = Message::Refused { ballot: ballot(4, 1), promised: ballot(5, 3) };
    assert_eq!(node.answer(1, asked(4, 1)), [refused]);
    assert!(matches!(node.answer(3, asked(5, 3))[..], [Message::Promise { .. }]), "asked again");
    assert_eq!(node.records.len(), records, "it is promised already");
}

/// What it learns it accepts in its own ballot, so it must have promised that before.
#[test]
fn a_candidate_learns_nothing_before_it_promised_its_own_ballot() {
    let mut cluster = Cluster::start(5);
    cluster.elect(1);
    cluster.isolate(&[5]);
    cluster.at(1, |node| node.propose(1, "x"));
    cluster.settle();
    cluster.heal();
    cluster.isolate(&[1]);
    cluster.nodes.values_mut().for_each(|node| node.wait(SECOND));
    cluster.at(5, |node| node.fire(Timer::Election));
    cluster.settle_but(|it| it.from == 3 || it.from == 4);
    assert_eq!(cluster.node(5).view().role, Role::Candidate);
    assert_eq!(cluster.node(5).view().ballot, ballot(1, 1));
    assert_eq!(cluster.commits()[4], 0, "2 told that it knows more, and is not asked yet");
    cluster.at(5, |node| node.fire(Timer::Heartbeat));
    cluster.settle();
    assert_eq!((cluster.node(5).view().role, cluster.commits()[4]), (Role::Leader, 1));
    cluster.assert_sound();
}

#[test]
fn a_node_campaigns_at_its_start_only_if_it_is_alone() {
    let cluster = Cluster::start(3);
    assert!(cluster.network.is_empty());
    assert!(cluster.nodes.values().all(|node| node.view().role == Role::Follower));
    assert_eq!(Cluster::start(1).leader(), Some(1));
}

#[test]
fn who_may_not_lead_asks_around_as_long_as_it_has_a_part_in_it() {
    let asks = |cluster: &mut Cluster| {
        cluster.isolate(&[3]);
        for _ in 0..2 {
            cluster.node(3).fire(Timer::Election);
        }
        let said = core::mem::take(&mut cluster.node(3).sent);
        said.iter().any(|(_, it)| matches!(it, Message::Learn { .. }))
    };
    let changed = |change: Change| {
        let mut cluster = Cluster::start(3);
        cluster.elect(1);
        cluster.at(1, |node| node.change(1, [change]));
        cluster.settle();
        cluster.beat(1);
        cluster
    };
    let mut last = changed(Change::Prioritise { node: NodeId(3), priority: 0 });
    assert!(asks(&mut last), "a voter that may not lead");
    assert!(!asks(&mut changed(Change::Remove(NodeId(3)))), "nothing is left for it to find out");
}

/// It asked around, and is refused since another ballot is promised there: it promises that as well.
#[test]
fn who_asks_around_promises_as_much_as_who_refuses_it_and_nothing_twice() {
    let mut cluster = Cluster::start(3);
    cluster.join(4, Sound);
    let node = cluster.node(4);
    let before = node.records.len();
    let refused = |promised| Message::Refused { ballot: Ballot::LOWEST, promised };
    node.hear(1, refused(Ballot::LOWEST));
    assert_eq!(node.records.len(), before);
    node.hear(1, refused(ballot(3, 1)));
    assert_eq!((node.records.len(), node.view().ballot), (before + 1, ballot(3, 1)));
}

/// From whom, what, and what is wrong with it.
#[test]
fn what_nobody_can_have_said_changes_nothing() {
    let far = Ballot { round: 1 << 60, proposer: NodeId(3) };
    let beat = |ballot| heartbeat(ballot, 0);
    let stories = [
        (3, beat(ballot(9, 1)), "a ballot of another proposer"),
        (3, beat(far), "a ballot that no proposer came by"),
        (3, Message::Refused { ballot: ballot(1, 3), promised: far }, "the same"),
        (1 << 20, beat(ballot(9, 1 << 20)), "a proposer whose ballots are no epochs"),
        (2, beat(ballot(9, 2)), "itself, which speaks to itself of its records only"),
        (3, Message::Learn { ballot: ballot(1, 1), from: Index(0) }, "no such instance"),
    ];
    for (from, message, what) in stories {
        let mut node = follower(|_| {});
        let (view, records) = (node.view(), node.records.len());
        assert_eq!(node.answer(from, message), [], "{what}");
        assert_eq!((node.view(), node.records.len()), (view, records), "{what}");
        node.wait(SECOND);
        node.fire(Timer::Election);
        let asked = node.said_to(1);
        assert!(
            matches!(&asked[..], [Message::Prepare { ballot, .. }] if ballot.round < 9),
            "{what}"
        );
    }
    let mut node = follower(|_| {});
    node.hear(3, beat(ballot(9, 3)));
    assert_eq!(node.view().leader, Some(NodeId(3)), "this may be");
}

/// Twenty values were chosen without 3, and 15 of them are in a snapshot only.
fn with_snapshot() -> Cluster {
    let mut cluster = Cluster::with(3, |config| {
        (config.bounds.snapshot_every, config.bounds.keep_log_bytes) = (10, 0);
    });
    cluster.elect(1);
    cluster.isolate(&[3]);
    for token in 0..20 {
        cluster.at(1, |node| node.propose(token, "x"));
        cluster.settle();
    }
    cluster.at(1, |node| node.compact(15));
    cluster.heal();
    cluster
}

#[test]
fn a_snapshot_is_sent_once_and_again_only_after_many_questions() {
    let mut cluster = with_snapshot();
    let asks = |node: &mut Node| {
        let asked = Message::Learn { ballot: ballot(1, 1), from: Index(1) };
        let said = node.answer(3, asked);
        said.iter().filter(|it| matches!(it, Message::Install { .. })).count()
    };
    let node = cluster.node(1);
    assert_eq!(asks(node), 1);
    assert_eq!((1..100).find(|_| asks(node) > 0), Some(21), "after twenty in vain");
    assert_eq!(asks(node), 0);
}

/// It would have to be sent again, and whoever takes long to install one would never have it.
#[test]
fn while_a_follower_that_is_heard_installs_a_snapshot_the_next_one_waits() {
    let mut cluster = with_snapshot();
    cluster.beat(1);
    cluster.node(1).tasks.clear();
    let mut waits = with_snapshot();
    for _ in 0..2 {
        waits.at(1, |node| node.fire(Timer::Heartbeat));
        waits.settle_but(|it| matches!(it.message, Message::Install { .. }));
    }
    for (cluster, is_due) in [(&mut cluster, true), (&mut waits, false)] {
        for token in 100..110 {
            cluster.at(1, |node| node.propose(token, "x"));
            cluster.settle_but(|it| it.to == 3);
        }
        let node = cluster.node(1);
        node.applied(30);
        let is_snapshot = |task: &Task| matches!(task, Task::Snapshot);
        assert_eq!(node.tasks.iter().any(|(_, task)| is_snapshot(task)), is_due);
    }
}

/// One record of 1 holds a, b and c; only a and b were chosen, and z in the place of c. 5, which was away,
/// is told so from 1's disk.
#[test]
fn what_was_replaced_on_disk_is_not_told() {
    let mut cluster = Cluster::with(5, |config| {
        (config.bounds.max_append_bytes, config.bounds.max_cached_log_bytes) = (18, 0);
    });
    cluster.elect(1);
    cluster.isolate(&[5]);
    cluster.at(1, |node| {
        for (token, word) in [(1, "a"), (2, "b"), (3, "c")] {
            let request = Request::Propose(word.into());
            node.input(Input::Request { token: Token(token), request });
        }
        node.input(Input::Flush);
    });
    cluster.settle_but(
        |it| matches!(&it.message, Message::Accept { batch, .. } if batch.last() == Index(3)),
    );
    assert_eq!(cluster.commits()[0], 2);
    cluster.isolate(&[1]);
    cluster.elect(2);
    cluster.at(2, |node| node.propose(1, "z"));
    cluster.settle();
    cluster.heal();
    cluster.isolate(&[5]);
    cluster.beat(2);
    cluster.beat(2);
    assert_eq!(told(&cluster, 1), ["a", "b", "z"]);
    cluster.elect(1);
    cluster.node(1).applied(3);
    assert_eq!(cluster.node(1).engine.slots().size_bytes(), 0);
    cluster.heal();
    for _ in 0..4 {
        cluster.beat(1);
    }
    assert_eq!(told(&cluster, 5), ["a", "b", "z"]);
    cluster.assert_sound();
}
