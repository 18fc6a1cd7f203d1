//! Elections that choose someone who cannot lead.

use synod_consensus::Change;
use synod_engine::NodeId;

use crate::cluster::{Cluster, Founded as _, ZabCluster as _};
use crate::driver::config;
use crate::words::{Past, remove, snapshot};

/// Found here, by reading: of a snapshot that came from a leader which then died, a node made a zxid that
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

/// Found by the simulator (the store's seeds 1268, 1576 and 2970, and 456 with many crashes): a voter takes
/// its own vote away, and one of those who remain gets the entry before it dies. Both are needed by it and
/// equally new; the higher id is the one that left. The other did not vote for it, since it knew of no such
/// voter, and the third voted for nobody else: nobody led, though all were up again.
#[test]
fn a_voter_that_left_and_one_that_remains_with_equal_histories_agree_on_who_leads() {
    for leave in [Change::Demote(NodeId(3)), remove(3)] {
        let mut cluster = Cluster::start(3);
        assert_eq!(cluster.establish(), 3);
        cluster.at(3, |node| node.change(1, [leave.clone()]));
        cluster.settle_but(|envelope| envelope.to == 1);
        assert_eq!((cluster.lasts(), cluster.commits()), (vec![0, 1, 1], vec![0; 3]), "{leave:?}");
        (1..=3).for_each(|id| cluster.crash(id));
        (1..=3).for_each(|id| cluster.restart(id));
        let is_led = cluster.run_until(|cluster| matches!(cluster.leader(), Some(1 | 2)));
        assert!(is_led, "{leave:?}\n{}", cluster.picture());
        cluster.write(2, "x");
        assert_eq!(cluster.commits()[..2], [2, 2]);
        cluster.assert_sound();
    }
}
