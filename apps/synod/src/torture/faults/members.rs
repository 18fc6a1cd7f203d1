//! Members that come and go, and leadership that moves.

use std::time::Duration;

use rustix::process::Signal;
use synod_clerk::{operate, status_of};
use synod_consensus::Seat;
use synod_engine::{NodeId, Random};
use tokio::time::sleep;

use super::Kind;
use super::processes::start;
use crate::config::Node;
use crate::torture::field::{ASK_EVERY, Field};
use crate::torture::verdict::Verdict;

/// How long one attempt at a change may take, in milliseconds.
const ATTEMPT_MS: &str = "10000";

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the spare node in, has it lead half the time, and lets another one go, which is the spare then.
pub(super) async fn churn(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let cluster = field.cluster();
    let members = field.atlas.members();
    let Some(new) = cluster.nodes().find(|node| !members.contains(node)) else { return Ok(()) };
    let Some(old) = field.victim(random).await else { return Ok(()) };
    let _under_way = field.timeline.fault(Kind::Churn, format!("node {new} for {}", old.node));
    empty(field, new).map_err(Verdict::Died)?;
    start(field, new)?;
    serves(field, new).await;
    let address = cluster.client(new).to_owned();
    insist(field, &["add", &address]).await;
    field.atlas.admit(new);
    let held = field.atlas.take(new);
    if random.below(2) == 0 {
        // It may be that another leads by then, or nobody moved.
        cluster.synod(&["members", "lead", &new.to_string()]).await.ok();
    }
    drop(held);
    insist(field, &["remove", &old.node.to_string()]).await;
    field.atlas.dismiss(old.node);
    cluster.end(old.node, Signal::KILL).await;
    Ok(())
}

/// Asks whoever leads to hand leadership over.
pub(super) async fn lead(field: &Field, random: &mut Random) {
    let Some(leader) = field.leader().await else { return };
    let others = leader.log.members.iter().filter(|member| member.seat == Seat::Voter);
    let others: Vec<NodeId> =
        others.map(|member| member.node).filter(|node| *node != leader.log.node).collect();
    if others.is_empty() {
        return;
    }
    let to = others[random.below(others.len() as u64) as usize];
    let what = format!("from node {} to node {}", leader.log.node.0, to.0);
    let _under_way = field.timeline.fault(Kind::Lead, what);
    let transfer = synod_clerk::Operation::Transfer(Some(to));
    // It may be refused, or come to nothing.
    operate(&leader.contact.client_address, &transfer, &field.options).await.ok();
}

/// Makes an empty directory for a node that waits to be taken in, whatever it was before.
fn empty(field: &Field, node: u64) -> Result<(), String> {
    let cluster = field.cluster();
    let data = cluster.data(node);
    if data.exists() {
        std::fs::remove_dir_all(data)
            .map_err(|error| format!("{} cannot be emptied: {error}", data.display()))?;
    }
    let path = cluster.file(node);
    let file = Node::read(&path).map_err(|failure| failure.what)?;
    let file = Node { join: true, ..file };
    std::fs::write(&path, file.to_toml())
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Waits until a node that is no member, or none any more, serves.
pub(super) async fn serves(field: &Field, node: u64) {
    let address = field.cluster().client(node).to_owned();
    while status_of(&address, &field.options).await.is_err() {
        sleep(ASK_EVERY).await;
    }
}

/// Asks the group for a change, as operators do, until it is done. That may take until the faults have
/// ended; then it has to be done in time.
pub(super) async fn insist(field: &Field, change: &[&str]) {
    let words = [&["members", "--timeout-ms", ATTEMPT_MS], change].concat();
    loop {
        match field.cluster().synod(&words).await {
            Ok(output) if output.status.success() => return,
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
}
