//! Changes of members (§6; thesis chapter 4).

use synod_consensus::{BadChange, Change, Event, Refusal, Role};
use synod_engine::{
    Context, Effect, Engine, Incarnation, Instant, NodeId, Random, Sound, Token, Without,
};
use synod_raft::{Config, Message, NothingToRecover, RULES, Raft, Record, Rules, Timer};

use crate::cluster::{Cluster, Envelope, RaftCluster as _};
use crate::driver::{Node, add, config_with, lived};

/// Node 1 leads `voters` of them, with its no-op committed and `learners` more that have caught up.
pub(crate) fn group<R: Rules>(voters: u64, learners: u64, rules: R) -> Cluster<R> {
    let logs = vec![&[][..]; voters as usize];
    let mut cluster = Cluster::with_logs(0, &logs, |id| config_with(id, voters, rules));
    cluster.elect(1);
    for id in voters + 1..=voters + learners {
        cluster.join(id, config_with(1, 1, rules));
        cluster.at(1, |node| node.change(id, [add(id)]));
        cluster.settle();
    }
    cluster.beat(1);
    cluster
}

pub(crate) fn promote(id: u64) -> Change {
    Change::Promote(NodeId(id))
}

pub(crate) fn remove(id: u64) -> Change {
    Change::Remove(NodeId(id))
}

fn members<R: Rules>(cluster: &Cluster<R>, id: u64) -> String {
    use synod_consensus::ReplicatedLog as _;
    cluster.nodes[&id].engine.status().members.to_string()
}

/// Why this request of a node was refused, if it was.
pub(crate) fn refusal<R: Rules>(node: &Node<R>, token: u64) -> Option<Refusal> {
    node.events.iter().find_map(|event| match event {
        Event::Refused { token: Token(refused), refusal } if *refused == token => Some(*refusal),
        _ => None,
    })
}

/// Whether this request of a node was committed.
pub(crate) fn is_committed<R: Rules>(node: &Node<R>, token: u64) -> bool {
    node.events.iter().any(|event| match event {
        Event::Committed { own, .. } => own.iter().any(|(_, own)| *own == Token(token)),
        _ => false,
    })
}

/// Thesis §4.2.1: a new server joins as a non-voting member, and counts once it has caught up.
#[test]
fn a_node_learns_first_and_votes_later() {
    let mut cluster = group(3, 1, Sound);
    assert_eq!(members(&cluster, 1), "{n1,n2,n3,n4~}");
    assert_eq!(members(&cluster, 4), "{n1,n2,n3,n4~}");
    assert_eq!(cluster.commits(), [2, 2, 2, 2]);
    cluster.isolate(&[2, 3]);
    cluster.at(1, |node| node.propose(7, "x"));
    cluster.settle();
    assert_eq!(cluster.commits()[0], 2, "a learner does not count");
    cluster.heal();
    cluster.beat(1);
    cluster.at(1, |node| node.change(8, [promote(4)]));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 8));
    for id in 1..=4 {
        assert_eq!(members(&cluster, id), "{n1,n2,n3,n4}");
    }
    cluster.assert_sound();
}

#[test]
fn a_learner_that_lags_is_not_promoted() {
    let mut cluster = group(3, 1, Sound);
    cluster.isolate(&[4]);
    for token in 10..20 {
        cluster.at(1, |node| node.propose(token, "x"));
    }
    cluster.settle();
    cluster.beat(1);
    cluster.at(1, |node| node.change(7, [promote(4)]));
    let lags = Refusal::NotCaughtUp { node: NodeId(4), behind: 10 };
    assert_eq!(refusal(&cluster.nodes[&1], 7), Some(lags));
    cluster.heal();
    cluster.beat(1);
    cluster.beat(1);
    cluster.at(1, |node| node.change(8, [promote(4)]));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 8));
}

/// Thesis §4.1, as corrected in 2015: not before an entry of the own term is committed; and one change
/// at a time.
#[test]
fn a_change_waits_for_the_no_op_and_for_the_change_before() {
    let mut cluster = group(3, 1, Sound);
    cluster.at(2, |node| node.wait(std::time::Duration::from_secs(1)));
    cluster.isolate(&[1]);
    cluster.elect_but(2, |envelope| matches!(envelope.message, Message::AppendReply { .. }));
    cluster.at(2, |node| node.change(7, [remove(4)]));
    assert_eq!(refusal(&cluster.nodes[&2], 7), Some(Refusal::ChangePending));
    cluster.beat(2);
    cluster.isolate(&[2]);
    cluster.at(2, |node| {
        node.change(8, [remove(4)]);
        node.change(9, [remove(1)]);
    });
    assert_eq!(refusal(&cluster.nodes[&2], 9), Some(Refusal::ChangePending));
    assert!(refusal(&cluster.nodes[&2], 8).is_none() && !is_committed(&cluster.nodes[&2], 8));
}

/// A removal that leaves a majority of silent voters would stop the group for good.
#[test]
fn a_change_that_could_not_be_committed_is_refused() {
    let mut cluster = group(3, 0, Sound);
    cluster.isolate(&[3]);
    for _ in 0..3 {
        cluster.beat(1);
        cluster.at(1, |node| node.fire(Timer::Election));
    }
    cluster.at(1, |node| node.change(7, [remove(2)]));
    assert_eq!(refusal(&cluster.nodes[&1], 7), Some(Refusal::TooFewVoters));
    cluster.at(1, |node| node.change(8, [remove(3)]));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 8), "who is down can be removed");
}

/// A retry of a change that took effect is told so, and changes nothing.
#[test]
fn a_change_that_was_made_is_not_made_again() {
    let mut cluster = group(3, 1, Sound);
    let before = cluster.commits();
    cluster.at(1, |node| node.change(7, [add(4)]));
    let unchanged = Refusal::BadChange(BadChange::Unchanged);
    assert_eq!(refusal(&cluster.nodes[&1], 7), Some(unchanged));
    assert_eq!(cluster.commits(), before);
}

/// §6: more than one voter changes through a joint membership, which the leader leaves by itself.
#[test]
fn a_joint_change_is_left_by_itself() {
    let mut cluster = group(3, 2, Sound);
    let wishes = [promote(4), promote(5), remove(2), remove(3)];
    cluster.at(1, |node| node.change(7, wishes));
    assert_eq!(members(&cluster, 1), "{n1,n2-,n3-,n4+,n5+}");
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 7));
    assert_eq!(members(&cluster, 1), "{n1,n4,n5}");
    assert_eq!(members(&cluster, 2), "{n1,n4,n5}", "who leaves is told");
    cluster.beat(1);
    assert!(cluster.nodes[&4].view().commit == cluster.nodes[&1].view().commit);
    cluster.assert_sound();
}

/// etcd#12136: a leader that is lost in the middle does not leave the group in the joint state.
#[test]
fn a_new_leader_finishes_a_joint_change() {
    let mut cluster = group(3, 2, Sound);
    cluster.at(1, |node| node.change(7, [promote(4), promote(5), remove(3)]));
    cluster.settle_but(|envelope: &Envelope| envelope.to == 1);
    assert_eq!(members(&cluster, 4), "{n1,n2,n3-,n4+,n5+}");
    cluster.isolate(&[1]);
    cluster.elect(4);
    cluster.beat(4);
    assert_eq!(members(&cluster, 4), "{n1,n2,n4,n5}");
    assert_eq!(members(&cluster, 2), "{n1,n2,n4,n5}");
    cluster.assert_sound();
}

/// §6: during a joint change, decisions need both majorities.
#[test]
fn neither_majority_decides_alone_during_a_joint_change() {
    let start = || {
        let mut cluster = group(3, 2, Sound);
        cluster.at(1, |node| node.change(7, [promote(4), promote(5), remove(2), remove(3)]));
        cluster
    };
    let mut only_new = start();
    only_new.isolate(&[2, 3]);
    only_new.settle();
    only_new.beat(1);
    assert!(!is_committed(&only_new.nodes[&1], 7));
    let mut only_old = start();
    only_old.isolate(&[4, 5]);
    only_old.settle();
    only_old.beat(1);
    assert!(!is_committed(&only_old.nodes[&1], 7));
    only_old.heal();
    only_old.beat(1);
    assert!(is_committed(&only_old.nodes[&1], 7));
}

/// Thesis §4.2.2: a leader that is removed leads until that is committed, does not count itself, and
/// then steps down.
#[test]
fn a_removed_leader_steps_down_when_its_removal_is_committed() {
    let mut cluster = group(3, 0, Sound);
    cluster.isolate(&[2, 3]);
    cluster.at(1, |node| node.change(7, [remove(1)]));
    cluster.settle();
    assert_eq!(cluster.nodes[&1].view().role, Role::Leader);
    cluster.heal();
    cluster.isolate(&[3]);
    cluster.beat(1);
    assert!(!is_committed(&cluster.nodes[&1], 7), "one of two others is no majority");
    cluster.heal();
    cluster.beat(1);
    assert!(is_committed(&cluster.nodes[&1], 7));
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower);
    assert!(matches!(cluster.leader(), Some(2 | 3)), "it handed over, and nobody had to time out");
    cluster.isolate(&[1]);
    cluster.at(1, |node| node.fire(Timer::Election));
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower, "it never campaigns again");
    cluster.assert_sound();
}

/// Thesis §4.2.3: a removed node that does not know disturbs nobody.
#[test]
fn a_removed_node_disturbs_nobody() {
    let mut cluster = group(3, 0, Sound);
    cluster.isolate(&[3]);
    cluster.at(1, |node| node.change(7, [remove(3)]));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 7));
    let term = cluster.nodes[&1].view().term;
    cluster.heal();
    for _ in 0..5 {
        cluster.at(3, |node| node.fire(Timer::Election));
        cluster.settle();
    }
    assert_eq!(cluster.nodes[&1].view().role, Role::Leader);
    assert_eq!(cluster.nodes[&1].view().term, term);
}

/// Who has no vote cannot find another leader, but must not name one that is silent: whoever asks it
/// would be sent there again and again.
#[test]
fn a_learner_and_a_removed_node_forget_a_leader_that_is_silent() {
    let mut cluster = group(3, 1, Sound);
    cluster.at(1, |node| node.change(7, [remove(3)]));
    cluster.settle();
    cluster.beat(1);
    assert_eq!(cluster.nodes[&4].view().leader, Some(NodeId(1)));
    for id in [3, 4] {
        cluster.at(id, |node| node.fire(Timer::Election));
        let view = cluster.nodes[&id].view();
        assert_eq!((view.role, view.leader), (Role::Follower, None), "{id}");
    }
    cluster.beat(1);
    assert_eq!(cluster.nodes[&4].view().leader, Some(NodeId(1)), "it is heard again");
    cluster.assert_sound();
}

/// A node that lost its data is added again in one change with its removal: the leader knows nothing of
/// what it has. Seed 1590 of the store's simulation probed for ever where the lost log had ended.
#[test]
fn who_lost_its_data_is_sent_the_log_from_scratch() {
    let mut cluster = group(3, 0, Sound);
    let Change::Add { node, mut contact } = add(3) else { panic!("an add") };
    contact.incarnation = Incarnation(99);
    let again = Change::Add { node, contact };
    cluster.at(1, |node| node.change(7, [remove(3), again]));
    use synod_consensus::ReplicatedLog as _;
    let peers = cluster.nodes[&1].engine.status().peers;
    let matched = |id| peers.iter().find(|peer| peer.node == NodeId(id)).map(|peer| peer.matched.0);
    assert!(matched(2) > Some(0));
    assert_eq!(matched(3), Some(0));
}

/// A voter that is only cut off would decide with one of the others, and its new life with the leader.
#[test]
fn a_voter_is_not_exchanged_for_another_life_in_one_step() {
    let mut cluster = group(3, 1, Sound);
    cluster.beat(1);
    let exchange = [remove(3), add(3)];
    for (token, also) in [(50, 3), (51, 4)] {
        cluster.at(1, |node| node.change(token, [&exchange[..], &[promote(also)]].concat()));
        let refused = Refusal::BadChange(BadChange::OtherLife(NodeId(3)));
        assert_eq!(refusal(&cluster.nodes[&1], token), Some(refused));
    }
    cluster.at(1, |node| node.change(52, exchange));
    cluster.settle();
    assert!(is_committed(&cluster.nodes[&1], 52), "it learns first, as anyone does");
}

/// A node that lost its data reads on its way about the member that it was; what that one was entitled
/// to, it is not. Seed 1689 of the store's simulation had two leaders.
#[test]
fn who_lost_its_data_does_not_campaign_as_the_member_that_it_was() {
    let cluster = group(3, 0, Sound);
    let campaigns = |incarnation| {
        let mut config = config_with(3, 3, Sound);
        (config.part.initial_voters, config.part.incarnation) = (None, incarnation);
        let mut node = Node::recover(config, cluster.nodes[&1].kept().to_vec());
        node.wait(std::time::Duration::from_secs(1));
        node.fire(Timer::Election);
        node.view().role == Role::Candidate
    };
    assert!(campaigns(None), "a driver that keeps no account of lives");
    assert!(!campaigns(Some(Incarnation(99))));
}

/// Thesis §4.2.2: a node that is not in its newest membership may be the only one to have that entry, so
/// that nobody else can be elected. Seed 75 of the store's simulation stood still like this, after a joint
/// change.
#[test]
fn who_is_removed_by_an_entry_that_only_it_has_can_still_be_elected() {
    let mut cluster = group(2, 0, Sound);
    cluster.at(1, |node| node.change(7, [remove(1)]));
    cluster.settle_but(|_| true);
    cluster.reboot(1);
    cluster.at(2, |node| node.fire(Timer::Election));
    cluster.settle_but(|envelope| matches!(envelope.message, Message::Pull { .. }));
    assert_eq!(cluster.nodes[&2].view().role, Role::Follower, "node 1 knows better");
    cluster.campaign(1);
    assert_eq!(members(&cluster, 2), "{n2}");
    assert_eq!(cluster.leader(), Some(2), "its removal is committed, and it handed over");
    cluster.beat(1);
    cluster.campaign(1);
    assert_eq!(cluster.nodes[&1].view().role, Role::Follower, "and it knows");
    cluster.elect(2);
    cluster.assert_sound();
}

/// A membership that is replaced before it is committed counts no more.
#[test]
fn a_change_that_is_overwritten_is_undone() {
    let mut cluster = group(3, 1, Sound);
    cluster.isolate(&[1]);
    cluster.at(1, |node| node.change(7, [promote(4)]));
    assert_eq!(members(&cluster, 1), "{n1,n2,n3,n4}");
    cluster.elect(2);
    cluster.heal();
    cluster.beat(2);
    assert_eq!(members(&cluster, 1), "{n1,n2,n3,n4~}");
    assert!(cluster.nodes[&1].events.contains(&Event::Unknown { token: Token(7) }));
    cluster.assert_sound();
}

/// Who belongs to the group survives a restart, from the log and from a checkpoint.
#[test]
fn a_restart_knows_the_members() {
    let mut cluster = group(3, 1, Sound);
    cluster.at(1, |node| node.change(7, [promote(4)]));
    cluster.settle();
    for id in 1..=4 {
        cluster.reboot(id);
        assert_eq!(members(&cluster, id), "{n1,n2,n3,n4}");
    }
    cluster.assert_sound();
}

/// No section of the paper: an operator's last resort, between two lives. Whatever the survivor was.
#[test]
fn a_survivor_that_is_forced_alone_keeps_its_log_and_leads_at_once() {
    use synod_consensus::ReplicatedLog as _;
    let mut cluster = group(3, 1, Sound);
    cluster.at(1, |node| node.propose(7, "x"));
    cluster.settle();
    cluster.at(1, |node| node.change(8, [Change::Prioritise { node: NodeId(4), priority: 0 }]));
    cluster.settle();
    for (id, members) in [(2, "{n2}"), (4, "{n4}")] {
        let survivor = &cluster.nodes[&id];
        let (last, term) = (survivor.view().last, survivor.view().term);
        let mut raft = survivor.rebuilt();
        let (mut random, mut effects) = (Random::new(1), Vec::new());
        raft.force_alone(&mut Context::new(Instant::START, &mut random, &mut effects)).unwrap();
        let new = effects.into_iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        });
        let records: Vec<_> = survivor.kept().iter().cloned().chain(new).collect();
        let alone = Node::recover(config_with(id, 4, Sound), records);
        let view = alone.view();
        assert_eq!((view.role, view.commit), (Role::Leader, view.last.index));
        assert_eq!(alone.engine.log().epoch_at(last.index), Some(last.epoch), "nothing is lost");
        assert!(view.term.0 > term.0 + (1 << 20), "beyond what the lost majority elected since");
        assert_eq!(alone.engine.status().members.to_string(), members);
    }
}

#[test]
fn a_node_of_no_group_cannot_be_forced_alone() {
    let mut config = config_with(1, 1, Sound);
    config.part.initial_voters = None;
    assert_eq!(forced_alone(config, vec![]), (Err(NothingToRecover::NoGroup), 0));
}

/// It would be a group that nobody leads.
#[test]
fn a_node_that_its_log_does_not_name_in_this_life_cannot_be_forced_alone() {
    let mut config = config_with(3, 3, Sound);
    (config.part.initial_voters, config.part.incarnation) = (None, Some(Incarnation(7)));
    let records = lived(3, 1, None, &[1]);
    assert_eq!(forced_alone(config.clone(), records.clone()), (Err(NothingToRecover::NoMember), 0));
    config.part.incarnation = None;
    assert_eq!(forced_alone(config, records).0, Ok(()), "where lives are not counted");
}

/// What comes of it, and how many effects.
fn forced_alone(config: Config, records: Vec<Record>) -> (Result<(), NothingToRecover>, usize) {
    let mut raft = Raft::new(config);
    records.into_iter().for_each(|record| raft.replay(record).expect("a sound record"));
    let (mut random, mut effects) = (Random::new(1), Vec::new());
    let forced = raft.force_alone(&mut Context::new(Instant::START, &mut random, &mut effects));
    (forced, effects.len())
}

fn violated(cluster: &Cluster<Without>) -> Option<String> {
    let violation = cluster.violation.as_ref()?;
    Some(format!("{}: {}", violation.invariant, violation.detail))
}

/// The bug of 2015 (raft-dev, "bug in single-server membership changes"): a new leader changes the
/// members of a term before its own, and two majorities that do not meet decide.
pub(crate) fn the_single_server_bug_of_2015(rules: Without) -> Option<String> {
    let mut cluster = group(4, 1, rules);
    cluster.isolate(&[1, 5]);
    cluster.at(1, |node| node.change(50, [promote(5)]));
    cluster.settle();
    let is_append = |envelope: &Envelope| matches!(envelope.message, Message::Append { .. });
    cluster.elect_but(2, is_append);
    cluster.at(2, |node| node.fire(Timer::Heartbeat));
    cluster.settle_but(is_append);
    cluster.isolate(&[2, 3]);
    cluster.at(2, |node| node.change(51, [remove(1)]));
    cluster.beat(2);
    cluster.heal();
    cluster.isolate(&[2, 3]);
    // It steps down, hears of the term that it missed, and wins the next.
    for _ in 0..4 {
        cluster.campaign(1);
    }
    violated(&cluster)
}

/// Two promotions in a row: the new majority and the old one do not meet.
pub(crate) fn two_changes_at_once(rules: Without) -> Option<String> {
    let mut cluster = group(3, 2, rules);
    cluster.isolate(&[1, 4, 5]);
    cluster.at(1, |node| {
        node.change(50, [promote(4)]);
        node.change(51, [promote(5)]);
    });
    cluster.settle();
    cluster.campaign(2);
    cluster.settle();
    violated(&cluster)
}

/// A whole new majority, and the old one that was not asked.
pub(crate) fn the_old_majority_is_not_asked(rules: Without) -> Option<String> {
    let mut cluster = group(3, 2, rules);
    cluster.isolate(&[1, 4, 5]);
    cluster.at(1, |node| node.change(50, [promote(4), promote(5), remove(2), remove(3)]));
    cluster.settle();
    cluster.campaign(2);
    cluster.settle();
    violated(&cluster)
}

#[test]
fn the_single_server_bug_of_2015_appears_without_its_rule() {
    let without = Without::named(RULES, &["noop_before_change"]).unwrap();
    let found = the_single_server_bug_of_2015(without).expect("two majorities that do not meet");
    assert!(found.starts_with("Leader Completeness"), "{found}");
    assert_eq!(the_single_server_bug_of_2015(Without::default()), None);
}
