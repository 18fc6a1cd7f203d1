//! Elections that choose someone who cannot lead.

use crate::cluster::Cluster;
use crate::driver::config;
use crate::words::{Past, snapshot};

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
