//! The folds of figure 3 are shown what no engine does, and name it. Engines that do it, since a rule was
//! taken out, are in [`crate::rules`].

use std::time::Duration;

use synod_consensus::{Batch, Epoch, Event, Index, Payload};
use synod_engine::{
    Effect, Instant, Invariants as _, NodeId, Sometimes, Sound, Stepped, To, Violation, When,
};
use synod_raft::{Checkpoint, HardState, Invariants, Raft, Record};

use crate::cluster::{Cluster, Founded as _};
use crate::driver::{Node, RaftNode as _, Whole as _, batches, founders, snapshot, vote_reply};

/// What the folds were shown so far.
#[derive(Default)]
struct Watch {
    invariants: Invariants,
    sometimes: Sometimes,
}

impl Watch {
    /// This node does this; the invariant that it breaks.
    fn sees(&mut self, node: &Node, effect: Effect<Raft<Sound>>) -> Option<&'static str> {
        let (effects, now) = ([effect], Instant::START);
        let step = Stepped { node: node.id(), now, effects: &effects, after: &node.engine };
        let result = self.invariants.stepped(&step, &mut self.sometimes);
        result.err().map(|violation| violation.invariant)
    }

    fn checkpoint(&mut self, node: &Node) -> Option<Violation> {
        self.invariants.checkpoint(&mut [(node.id(), &node.engine)].into_iter()).err()
    }
}

/// These terms are written from entry `first` on.
fn writes(first: u64, terms: &[u64]) -> Effect<Raft<Sound>> {
    Effect::Persist(Record::Entries(batches(first, terms).pop().expect("entries")))
}

fn tells(first: u64, terms: &[u64]) -> Effect<Raft<Sound>> {
    let batch = batches(first, terms).pop().expect("entries");
    Effect::Emit { event: Event::Committed { batch, own: Vec::new() }, when: When::Now }
}

/// Nothing that the folds look at.
fn nothing() -> Effect<Raft<Sound>> {
    Effect::Persist(Record::HardState(HardState::default()))
}

fn followers() -> [Node; 3] {
    [1, 2, 3].map(|id| Node::founder(id, 3))
}

#[test]
fn two_leaders_of_a_term_are_seen() {
    let [mut one, mut two, mut three] = followers();
    [&mut one, &mut two].into_iter().for_each(|node| node.win(&[3]));
    three.hear(1, crate::driver::vote(1, crate::driver::entry(0, 0)));
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, nothing()), None);
    assert_eq!(watch.sees(&one, nothing()), None, "it leads on");
    assert_eq!(watch.sees(&three, nothing()), None, "it follows");
    assert_eq!(watch.sees(&two, nothing()), Some("Election Safety"));
    assert_eq!(watch.sometimes.count("leader elected"), 2);
}

#[test]
fn a_leader_that_replaces_an_entry_is_seen() {
    let [mut one, two, _] = followers();
    one.win(&[3]);
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, writes(1, &[1, 1])), None);
    assert_eq!(watch.sees(&one, writes(3, &[1])), None, "it appends");
    assert_eq!(watch.sees(&one, writes(3, &[1])), Some("Leader Append-Only"));
    assert_eq!(watch.sees(&two, writes(1, &[1, 1])), None);
    assert_eq!(watch.sees(&two, writes(2, &[1])), None, "a follower may");
}

#[test]
fn entries_of_one_name_that_differ_in_what_they_say_or_follow_are_seen() {
    let [one, two, three] = followers();
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, writes(1, &[1, 1, 1])), None);
    assert_eq!(watch.sees(&two, writes(1, &[1])), None);
    assert_eq!(watch.sees(&two, writes(2, &[1, 1])), None, "in other batches");
    let other = Batch::new(Index(2), Epoch(1), vec![Payload::Command("other".into())]);
    let other = Effect::Persist(Record::Entries(other));
    assert_eq!(watch.sees(&two, other.clone()), Some("Log Matching"));
    let noop = Batch::new(Index(2), Epoch(1), vec![Payload::Noop]);
    let noop = Effect::Persist(Record::Entries(noop));
    assert_eq!(watch.sees(&two, noop), Some("Log Matching"));
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, writes(1, &[1])), None);
    assert_eq!(watch.sees(&one, writes(2, &[2])), None);
    assert_eq!(watch.sees(&three, writes(1, &[2])), None);
    assert_eq!(watch.sees(&three, writes(2, &[2])), Some("Log Matching"), "after another");
}

#[test]
fn a_leader_that_lacks_a_committed_entry_is_seen() {
    let [one, _, _] = followers();
    for (log, expected) in [(&[1, 1][..], None), (&[1], Some("Leader Completeness"))] {
        let mut watch = Watch::default();
        assert_eq!(watch.sees(&one, writes(1, &[1, 1])), None);
        assert_eq!(watch.sees(&one, tells(1, &[1, 1])), None);
        let mut three = Node::with_log(3, 3, 1, log);
        assert_eq!(watch.sees(&three, writes(1, log)), None);
        three.win(&[2]);
        assert_eq!(watch.sees(&three, nothing()), expected);
    }
}

#[test]
fn users_that_are_told_different_entries_or_miss_one_are_seen() {
    let [one, two, three] = followers();
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, tells(1, &[1])), Some("State Machine Safety"), "not in its log");
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, writes(1, &[1, 1])), None);
    assert_eq!(watch.sees(&one, tells(1, &[1])), None);
    assert_eq!(watch.sees(&one, tells(1, &[1])), Some("State Machine Safety"), "twice");
    assert_eq!(watch.sees(&one, tells(2, &[1])), None);
    assert_eq!(watch.sees(&two, writes(1, &[1, 1])), None);
    assert_eq!(watch.sees(&two, tells(2, &[1])), Some("State Machine Safety"), "not the first");
    assert_eq!(watch.sees(&three, writes(1, &[2])), None);
    assert_eq!(watch.sees(&three, tells(1, &[2])), Some("State Machine Safety"), "another");
}

#[test]
fn a_committed_entry_that_is_lost_or_a_snapshot_of_what_is_not_committed_are_seen() {
    let [one, two, _] = followers();
    let mut watch = Watch::default();
    assert_eq!(watch.sees(&one, writes(1, &[1, 1, 1])), None);
    assert_eq!(watch.sees(&one, tells(1, &[1, 1])), None);
    assert_eq!(watch.sees(&one, writes(3, &[2])), None, "entry 3 was not committed");
    assert_eq!(watch.sees(&one, writes(2, &[2])), Some("Committed Entries Stay"));
    let checkpoint = |index| {
        Effect::Persist(Record::Checkpoint(Checkpoint {
            hard: HardState::default(),
            members: founders(1..=3),
            snapshot: Some(snapshot(index, 1)),
            keeps: 0,
        }))
    };
    assert_eq!(watch.sees(&two, checkpoint(2)), None);
    assert_eq!(watch.sees(&two, writes(3, &[1])), None, "what follows it is known");
    assert_eq!(watch.sees(&two, checkpoint(3)), Some("State Machine Safety"));
}

/// Who was not counted may lose a committed entry, to a leader that was deposed and does not know it yet.
#[test]
fn a_log_that_may_have_been_counted_keeps_what_is_committed() {
    let [one, two, mut three] = followers();
    three.hear(1, vote_reply(3, false));
    three.win(&[1]);
    assert_eq!(three.view().term, Epoch(4));
    let mut watch = Watch::default();
    for node in [&one, &two, &three] {
        assert_eq!(watch.sees(node, writes(1, &[1])), None);
    }
    assert_eq!(watch.sees(&one, writes(2, &[4])), None);
    assert_eq!(watch.sees(&three, tells(1, &[1])), None, "in term 4");
    assert_eq!(watch.sees(&two, writes(1, &[2])), None, "it holds nothing of term 4");
    assert_eq!(watch.sees(&one, writes(1, &[2])), Some("Committed Entries Stay"));
}

/// A vote that was told binds its voter's directory: across crashes, and not when that is wiped.
#[test]
fn a_second_vote_in_a_term_is_seen() {
    let mut invariants = Invariants::default();
    let votes = |invariants: &mut Invariants, candidate, term, granted| {
        let (to, message) = (To::Node(NodeId(candidate)), vote_reply(term, granted));
        let effect: Effect<Raft> = Effect::Send { to, message, when: When::Held };
        invariants.performed(NodeId(3), &effect).err().map(|violation| violation.invariant)
    };
    assert_eq!(votes(&mut invariants, 1, 1, true), None);
    assert_eq!(votes(&mut invariants, 1, 1, true), None, "again");
    assert_eq!(votes(&mut invariants, 2, 1, false), None);
    assert_eq!(votes(&mut invariants, 2, 2, true), None, "in the next term");
    assert_eq!(votes(&mut invariants, 2, 1, true), Some("One Vote Per Term"));
    synod_engine::Invariants::<Raft>::wiped(&mut invariants, NodeId(3));
    assert_eq!(votes(&mut invariants, 2, 1, true), None);
}

/// The folds see what nodes do; that it is what they are is looked at now and then.
#[test]
fn a_log_that_no_step_wrote_is_seen() {
    let node = Node::with_log(1, 3, 2, &[1, 1, 2]);
    let mut watch = Watch::default();
    assert!(watch.checkpoint(&node).is_some());
    watch.invariants.recovered(node.id(), &node.engine).unwrap();
    assert_eq!(watch.checkpoint(&node), None);
    assert_eq!(watch.sees(&node, writes(4, &[2])), None);
    assert_eq!(watch.checkpoint(&node).unwrap().invariant, "Log Matching");
}

/// What a run came to is counted once, so that a run which never came to it can be told.
#[test]
fn what_happened_is_counted_when_it_happens() {
    let mut cluster = Cluster::with_one_behind();
    cluster.heal();
    cluster.beat(1);
    assert_eq!(cluster.sometimes.count("snapshot installed"), 1);
    cluster.reboot(3);
    assert_eq!(cluster.sometimes.count("snapshot installed"), 1, "its own one is no news");
    cluster.beat(1);
    cluster.at(1, |node| node.transfer(9, 2));
    cluster.settle();
    assert_eq!((cluster.leader(), cluster.sometimes.count("leadership handed over")), (Some(2), 1));
    assert_eq!(cluster.sometimes.count("leader steps down without a majority"), 0);
    cluster.isolate(&[2]);
    cluster.run(Duration::from_secs(1));
    assert_eq!(cluster.sometimes.count("leader steps down without a majority"), 1);
    assert_eq!(cluster.sometimes.count("leader elected"), 3);
    cluster.assert_sound();
}
