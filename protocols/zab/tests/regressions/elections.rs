//! Elections that choose someone who cannot lead. Both were found here, and not in another implementation.

use synod_election::fle::{self, State, Vote};
use synod_engine::{NodeId, Without};
use synod_zab::{RULES, Timer, Zxid};

use crate::cluster::Cluster;
use crate::driver::config;
use crate::words::{Past, says, snapshot};

/// Of a snapshot that came from a leader which then died, a node made a zxid that
/// was lower than that of a node with less. The one with less was elected, found that the other had more,
/// gave up, and was elected again, for ever.
#[test]
fn a_history_that_came_as_a_snapshot_has_its_true_zxid() {
    let by_snapshot =
        Past { accepted: 3, current: 1, snapshot: Some(snapshot(30, 2)), began: 10, history: &[] };
    let mut by_diff = vec![1; 10];
    by_diff.extend([2; 10]);
    let by_diff = Past { accepted: 3, current: 1, snapshot: None, began: 0, history: &by_diff };
    let mut cluster = Cluster::with(&[by_snapshot, by_diff, Past::default()], |id| config(id, 3));
    cluster.crash(3);
    assert!(cluster.run_until(|cluster| cluster.leader().is_some()), "{}", cluster.picture());
    assert_eq!(cluster.leader(), Some(1));
}

/// Whoever is elected: here every vote is counted for node 3, which lacks what the others have committed. The
/// election is a suggestion; discovery turns it down, and in the end the right one leads.
#[test]
fn who_was_elected_but_knows_less_than_a_follower_does_not_lead() {
    fn story(rules: Without) -> (Option<String>, Option<u64>) {
        let mut cluster =
            Cluster::keeping(rules, &[Past::default(), Past::default(), Past::default()]);
        cluster.isolate(&[3]);
        assert_eq!(cluster.establish(), 2);
        cluster.write(1, "x");
        (1..=3).for_each(|id| cluster.crash(id));
        cluster.heal();
        [1, 3].into_iter().for_each(|id| cluster.restart(id));
        cluster.network.clear();
        let vote = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(3) };
        cluster.at(3, |node| node.hear(1, says(State::Looking, vote)));
        cluster.at(3, |node| node.fire(Timer::Election(fle::Timer::Finalize)));
        cluster.at(1, |node| node.hear(2, says(State::Following, vote)));
        cluster.at(1, |node| node.hear(3, says(State::Leading, vote)));
        assert_eq!(cluster.nodes[&1].view().leader, Some(NodeId(3)), "{}", cluster.picture());
        assert_eq!(cluster.nodes[&3].view().leader, Some(NodeId(3)), "{}", cluster.picture());
        cluster.establish();
        (cluster.found(), cluster.leader())
    }
    assert_eq!(story(Without::default()), (None, Some(1)));
    let rules = Without::named(RULES, &["history_newest_leads"]).unwrap();
    let (found, leader) = story(rules);
    assert!(found.is_some() && leader == Some(3), "nobody misses the rule: {leader:?}");
}
