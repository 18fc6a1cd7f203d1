//! Members come and go while clients write: `synod members`.

use std::time::Duration;

use synod::engines::EngineName;
use synod_clerk::Reads;

use crate::cluster::{Cluster, until};
use crate::history::Load;

const CALL: Duration = Duration::from_secs(20);

/// What `synod members` does in these words, and that it was done. The load goes on meanwhile.
pub(crate) async fn members(cluster: &Cluster, arguments: &[&str]) -> String {
    let all = [&["members", "--timeout-ms", "30000", "--json"], arguments].concat();
    let ran = cluster.synod_aside(&all).await;
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran.out
}

/// The ids of the voters, as `synod members list` tells them.
pub(crate) async fn voters(cluster: &Cluster) -> Vec<u64> {
    let lines = members(cluster, &["list"]).await;
    let members = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    members
        .filter(|member: &serde_json::Value| member["seat"] == "voter")
        .map(|member| member["node"].as_u64().unwrap())
        .collect()
}

pub(crate) async fn up(cluster: &Cluster, node: usize) {
    until("the new node serves", async || cluster.status(node).await.map(drop)).await;
}

pub(crate) async fn a_founder_is_replaced_under_load_and_nothing_is_lost(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let load = Load::start(&cluster.clerk(CALL).await, 50, 500);
    load.next_write().await;
    let new = cluster.join();
    up(&cluster, new).await;
    let address = cluster.clients[new - 1].clone();
    for _ in 0..2 {
        members(&cluster, &["replace", "1", &address]).await;
    }
    load.next_write().await;
    cluster.kill(1);
    load.next_write().await;
    assert_eq!(voters(&cluster).await, [2, 3, 4]);
    cluster.ready().await;
    let status = cluster.synod(&["status", "--json"]);
    let newcomer = format!("\"address\":\"{address}\"");
    let told = status.out.lines().find(|line| line.contains(&newcomer));
    assert!(told.is_some_and(|line| line.contains("\"reachable\":true")), "{status:?}");
    load.judge().await;
}

/// The clients were told of the founders only, and see all of them go.
pub(crate) async fn all_founders_are_replaced_one_after_another_under_load_and_nothing_is_lost(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let clerk = cluster.clerk(CALL).await;
    let anywhere = clerk.with_reads(Reads::LinearizableAnywhere);
    let load = Load::start_on(&[clerk, anywhere], 20, 200);
    for old in 1..=3 {
        load.next_write().await;
        let new = cluster.join();
        up(&cluster, new).await;
        let address = cluster.clients[new - 1].clone();
        members(&cluster, &["replace", &old.to_string(), &address]).await;
        load.next_write().await;
        cluster.kill(old);
        load.next_write().await;
    }
    assert_eq!(voters(&cluster).await, [4, 5, 6]);
    cluster.ready().await;
    load.judge().await;
}

pub(crate) async fn a_wish_that_is_fulfilled_may_be_repeated_and_nonsense_is_refused(
    engine: EngineName,
) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let four = cluster.join();
    up(&cluster, four).await;
    let address = cluster.clients[four - 1].clone();
    for _ in 0..2 {
        members(&cluster, &["add", "--learner", &address]).await;
    }
    assert_eq!(voters(&cluster).await, [1, 2, 3]);
    for _ in 0..2 {
        members(&cluster, &["promote", "4"]).await;
    }
    assert_eq!(voters(&cluster).await, [1, 2, 3, 4]);
    for _ in 0..2 {
        members(&cluster, &["remove", "2"]).await;
    }
    assert_eq!(voters(&cluster).await, [1, 3, 4]);
    let nobody = cluster.synod(&["members", "promote", "9"]);
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    assert!(nobody.err.contains("n9 is no member"), "{nobody:?}");
    let nowhere = cluster.synod(&["members", "add", "127.0.0.1:1"]);
    assert_eq!(nowhere.code, Some(5), "{nowhere:?}");
}

pub(crate) async fn leadership_moves_under_load_and_nothing_is_lost(engine: EngineName) {
    let mut cluster = Cluster::start_on(engine, 3, "").await;
    let load = Load::start(&cluster.clerk(CALL).await, 50, 500);
    for round in 0..6 {
        load.next_write().await;
        let leader = cluster.ready().await;
        let next = (leader + round % 2) % 3 + 1;
        members(&cluster, &["lead", &next.to_string()]).await;
        load.next_write().await;
        assert_eq!(cluster.ready().await, next);
    }
    load.judge().await;
}
