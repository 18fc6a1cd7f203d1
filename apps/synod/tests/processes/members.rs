//! Members come and go while clients write: `synod members`.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::history::Load;

const CALL: Duration = Duration::from_secs(20);

/// What `synod members` does in these words, and that it was done.
fn members(cluster: &Cluster, arguments: &[&str]) -> String {
    let all = [&["members", "--timeout-ms", "30000", "--json"], arguments].concat();
    let ran = cluster.synod(&all);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran.out
}

#[tokio::test]
async fn leadership_moves_under_load_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3).await;
    let load = Load::start(&cluster.clerk(CALL).await, 50, 500);
    for round in 0..6 {
        load.next_write().await;
        let leader = cluster.ready().await;
        let next = (leader + round % 2) % 3 + 1;
        members(&cluster, &["lead", &next.to_string()]);
        load.next_write().await;
        assert_eq!(cluster.ready().await, next);
    }
    load.judge().await;
}
