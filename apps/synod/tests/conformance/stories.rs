//! One thing goes wrong at a time, and what must become of it.

use std::time::Duration;

use bytes::Bytes;
use synod::engines::Wired;
use synod::engines::knobs::LogKnobs;
use synod_consensus::{Change, Index, Outcome, Refusal, Request, Role, Seat};
use synod_engine::{NodeId, Sound, Token};
use synod_sim::replicated::{Answer, Call};

use crate::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("line {line}")).collect()
}

/// The next nodes after this one, in the order of their ids.
fn others<L: Wired<Rules = Sound>>(stage: &Stage<L>, node: NodeId) -> Vec<NodeId> {
    stage.nodes().filter(|other| *other != node).collect()
}

pub(crate) fn a_write_is_read_at_every_member<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    let leader = stage.leader();
    for line in lines(10) {
        stage.write(leader, line);
        let count = stage.read(leader).len();
        for node in others(&stage, leader) {
            assert_eq!(stage.read(node).len(), count, "{node}");
        }
    }
    assert_eq!(stage.read(leader), lines(10));
}

pub(crate) fn nothing_acknowledged_is_lost_with_the_leader<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::new(5, 0, &LogKnobs::default());
    for (round, line) in lines(4).into_iter().enumerate() {
        let leader = stage.leader();
        stage.write(leader, line);
        // Under way when it dies: it may take effect, and then once.
        stage.write_at(leader, "perhaps");
        stage.sim.crash(leader);
        let rest = others(&stage, leader);
        let next = stage.leader_of(&rest);
        let found = stage.read(next);
        let kept: Vec<_> = found.iter().filter(|line| *line != "perhaps").cloned().collect();
        assert_eq!(kept, lines(round + 1));
        assert!(found.len() <= 2 * (round + 1));
        stage.sim.restart(leader);
        stage.settle();
    }
}

pub(crate) fn all_crash_and_everything_is_there<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    for round in 1..=3 {
        let leader = stage.leader();
        let epoch = stage.status(leader).epoch;
        for line in &lines(5 * round)[5 * (round - 1)..] {
            stage.write(leader, line);
        }
        stage.nodes().for_each(|node| stage.sim.crash(node));
        stage.nodes().for_each(|node| stage.sim.restart(node));
        let leader = stage.settle();
        assert!(stage.status(leader).epoch > epoch, "an epoch has one leader");
        assert_eq!(stage.read(leader), lines(5 * round));
    }
}

pub(crate) fn a_leader_that_is_cut_off_answers_nothing_and_the_others_go_on<
    L: Wired<Rules = Sound>,
>() {
    let mut stage = Stage::<L>::of_three();
    let old = stage.settle();
    stage.write(old, "before");
    stage.sim.isolate(&[old]);
    let (stale, lost) = (stage.ask(old, Call::Read(())), stage.write_at(old, "lost"));
    let rest = others(&stage, old);
    let new = stage.leader_of(&rest);
    stage.write(new, "after");
    stage.run_for(5 * SECOND);
    assert!(!matches!(stage.answer(stale), Some(Answer::Read(Outcome::Done(_)))), "stale");
    assert!(!matches!(stage.answer(lost), Some(Answer::Written(Outcome::Done(_)))), "lost");
    stage.sim.heal();
    stage.settle();
    for ticket in [stale, lost] {
        stage.answered(ticket);
    }
    assert_eq!(stage.read(old), ["before", "after"]);
}

/// Heartbeats do not wait for a disk, and a majority without it commits.
pub(crate) fn a_slow_disk_costs_no_leadership<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    let leader = stage.settle();
    let epoch = stage.status(leader).epoch;
    for (number, node) in stage.nodes().collect::<Vec<_>>().into_iter().enumerate() {
        stage.sim.stall_disk(node, 3 * SECOND);
        let begin = stage.sim.now();
        stage.write(leader, format!("line {number}"));
        assert!(stage.sim.now() - begin < SECOND, "the other two are enough");
        stage.run_for(5 * SECOND);
    }
    let status = stage.status(leader);
    assert_eq!((status.role, status.epoch), (Role::Leader, epoch));
    assert_eq!(stage.read(leader), lines(3));
}

pub(crate) fn what_no_majority_has_on_disk_is_not_acknowledged<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    let leader = stage.settle();
    let rest = others(&stage, leader);
    rest.iter().for_each(|node| stage.sim.stall_disk(*node, 5 * SECOND));
    let ticket = stage.write_at(leader, "line 0");
    stage.run_for(4 * SECOND);
    assert_eq!(stage.answer(ticket), None);
    stage.run_for(4 * SECOND);
    let told = stage.answered(ticket);
    assert!(matches!(told, Answer::Written(Outcome::Done(1))), "{told:?}");
}

pub(crate) fn who_comes_late_gets_a_snapshot<L: Wired<Rules = Sound>>() {
    let (snapshot_every, keep_log_bytes) = (Some(20), Some(0));
    let knobs = LogKnobs { snapshot_every, keep_log_bytes, ..LogKnobs::default() };
    let mut stage = Stage::<L>::new(3, 0, &knobs);
    let leader = stage.settle();
    let late = others(&stage, leader)[0];
    stage.sim.crash(late);
    for line in lines(100) {
        stage.write(leader, line);
    }
    assert!(stage.status(leader).snapshot >= Index(60), "it is bounded");
    stage.sim.restart(late);
    stage.settle();
    assert!(stage.sim.report().sometimes.count("snapshot installed") > 0);
    assert!(stage.status(late).snapshot > Index::ZERO);
    assert_eq!(stage.read(late), lines(100));
    // And from snapshots alone.
    stage.nodes().for_each(|node| stage.sim.crash(node));
    stage.nodes().for_each(|node| stage.sim.restart(node));
    let leader = stage.settle();
    assert_eq!(stage.read(leader), lines(100));
}

pub(crate) fn a_member_that_was_down_catches_up_from_the_log<L: Wired<Rules = Sound>>() {
    // What is not in memory any more is read from disk.
    let knobs = LogKnobs { max_cached_log_bytes: Some(0), ..LogKnobs::default() };
    let mut stage = Stage::<L>::new(3, 0, &knobs);
    let leader = stage.settle();
    let late = others(&stage, leader)[0];
    stage.sim.crash(late);
    for line in lines(100) {
        stage.write(leader, line);
    }
    stage.sim.restart(late);
    stage.settle();
    assert_eq!(stage.status(late).snapshot, Index::ZERO);
    assert_eq!(stage.read(late), lines(100));
}

#[track_caller]
fn change<L: Wired<Rules = Sound>>(stage: &mut Stage<L>, wish: &Change) {
    let end = stage.sim.now() + 20 * SECOND;
    loop {
        let leader = stage.leader();
        let ticket = stage.ask(leader, Call::Change(vec![wish.clone()]));
        match stage.answered(ticket) {
            Answer::Changed(Outcome::Done(())) => return,
            told => assert!(stage.sim.now() < end, "{wish:?} came to {told:?}"),
        }
        stage.run_for(SECOND / 4);
    }
}

pub(crate) fn members_come_and_go<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::new(3, 1, &LogKnobs::default());
    let newcomer = NodeId(4);
    let leader = stage.leader();
    stage.write(leader, "line 0");
    let contact = stage.contact(newcomer);
    change(&mut stage, &Change::Add { node: newcomer, contact });
    let leader = stage.settle();
    let seat = |stage: &Stage<L>, node| stage.status(leader).members.member(node).map(|it| it.seat);
    assert_eq!(seat(&stage, newcomer), Some(Seat::Learner));
    assert_eq!(stage.read(newcomer), lines(1), "a learner serves reads");
    change(&mut stage, &Change::Promote(newcomer));
    let first = stage.settle();
    stage.write(first, "line 1");
    change(&mut stage, &Change::Remove(first));
    let rest = others(&stage, first);
    let second = stage.leader_of(&rest);
    stage.write(second, "line 2");
    // Of the three that are left, two decide: the one that was removed is not waited for.
    stage.sim.crash(first);
    let third = *rest.iter().find(|node| **node != second).expect("three are left");
    stage.sim.crash(third);
    let rest: Vec<_> = rest.into_iter().filter(|node| *node != third).collect();
    let leader = stage.leader_of(&rest);
    stage.write(leader, "line 3");
    assert_eq!(stage.read(leader), lines(4));
}

pub(crate) fn leadership_is_handed_over<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    let old = stage.settle();
    let heir = others(&stage, old)[0];
    let ticket = stage.ask(old, Call::Transfer(Some(heir)));
    assert_eq!(stage.answered(ticket), Answer::Transferred(Outcome::Done(())));
    assert_eq!(stage.settle(), heir);
    stage.write(heir, "line 0");
    assert_eq!(stage.read(old), lines(1));
}

pub(crate) fn what_cannot_be_is_refused<L: Wired<Rules = Sound>>() {
    let knobs = LogKnobs { max_command_bytes: Some(100), ..LogKnobs::default() };
    let mut stage = Stage::<L>::new(3, 0, &knobs);
    let leader = stage.settle();
    let long = stage.ask(leader, Call::Write(Bytes::from(vec![b'x'; 101])));
    let refusal = Refusal::TooLarge { max_bytes: 100 };
    assert_eq!(stage.answered(long), Answer::Written(Outcome::Refused(refusal)));
    let stranger = stage.ask(leader, Call::Change(vec![Change::Promote(NodeId(9))]));
    let told = stage.answered(stranger);
    assert!(matches!(told, Answer::Changed(Outcome::Refused(Refusal::BadChange(_)))), "{told:?}");
    let nowhere = stage.ask(leader, Call::Transfer(Some(NodeId(9))));
    let refusal = Refusal::NoSuccessor;
    assert_eq!(stage.answered(nowhere), Answer::Transferred(Outcome::Refused(refusal)));
    let follower = others(&stage, leader)[0];
    let elsewhere = stage.ask(follower, Call::Change(vec![Change::Remove(leader)]));
    let refusal = Refusal::NotLeader { leader: Some(leader) };
    assert_eq!(stage.answered(elsewhere), Answer::Changed(Outcome::Refused(refusal)));
}

/// What is not committed is bounded: proposals beyond it are refused, and those who were taken end.
pub(crate) fn a_leader_alone_refuses_what_it_cannot_keep<L: Wired<Rules = Sound>>() {
    let (max_command_bytes, max_uncommitted_bytes) = (Some(1_000), Some(4_000));
    let knobs = LogKnobs { max_command_bytes, max_uncommitted_bytes, ..LogKnobs::default() };
    let mut stage = Stage::<L>::new(3, 0, &knobs);
    let leader = stage.settle();
    others(&stage, leader).into_iter().for_each(|node| stage.sim.stall_disk(node, 2 * SECOND));
    let tickets: Vec<_> =
        (0..20).map(|_| stage.ask(leader, Call::Write(Bytes::from(vec![b'x'; 900])))).collect();
    stage.run_for(SECOND);
    let refused = |ticket| {
        let refusal = Refusal::Busy;
        stage.answer(ticket) == Some(&Answer::Written(Outcome::Refused(refusal)))
    };
    let count = tickets.iter().filter(|ticket| refused(**ticket)).count();
    assert!((12..20).contains(&count), "{count} of 20 were refused");
    stage.settle();
    let told: Vec<_> = tickets.iter().map(|ticket| stage.answered(*ticket)).collect();
    let done = told.iter().filter(|told| matches!(told, Answer::Written(Outcome::Done(_))));
    assert_eq!(done.count(), 20 - count, "{told:?}");
}

pub(crate) fn a_log_is_shortened_when_the_disk_is_short<L: Wired<Rules = Sound>>() {
    let mut stage = Stage::<L>::of_three();
    let leader = stage.settle();
    for line in lines(50) {
        stage.write(leader, line);
    }
    stage.settle();
    for node in stage.nodes().collect::<Vec<_>>() {
        assert!(stage.sim.records(node).len() > 10);
        stage.sim.request(node, Token(1 << 40), Request::Compact);
        stage.until("its log is short", |stage| {
            stage.sim.records(node).len() <= 2 && stage.status(node).snapshot >= Index(50)
        });
    }
    assert_eq!(stage.read(leader), lines(50));
}
