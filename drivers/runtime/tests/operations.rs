//! Stories of an operator: who belongs to a group is changed while the group serves.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod story;

use story::{LineNode, addresses, begin, config, lines, until, write};
use synod_consensus::{BadChange, Change, Outcome, Refusal, Role};
use synod_engine::NodeId;
use synod_runtime::Operation;

fn prioritise(node: u64, priority: u8) -> Operation {
    Operation::Change(vec![Change::Prioritise { node: NodeId(node), priority }])
}

#[tokio::test]
async fn a_change_is_made_once_and_by_the_leader_only() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses = addresses(3);
    let node = |id: u64| begin(&config(id, dirs[id as usize - 1].path(), &addresses)).unwrap();
    let nodes: Vec<LineNode> = (1..=3).map(node).collect();
    write(&nodes.iter().collect::<Vec<_>>(), "first").await;
    let leads = |node: &&LineNode| node.handle().status().log.role == Role::Leader;
    let leader = nodes.iter().find(leads).unwrap().handle();
    let id = leader.status().log.node.0;
    assert_eq!(leader.operate(prioritise(id, 2)).await, Outcome::Done(()));
    let again = leader.operate(prioritise(id, 2)).await;
    assert_eq!(again, Outcome::Refused(Refusal::BadChange(BadChange::Unchanged)));
    until("all know", || {
        nodes.iter().all(|node| {
            let members = node.handle().status().log.members;
            members.member(NodeId(id)).unwrap().priority == 2
        })
    })
    .await;
    let follower = nodes.iter().find(|node| !leads(node)).unwrap().handle();
    let refused = follower.operate(prioritise(id, 1)).await;
    assert_eq!(refused, Outcome::Refused(Refusal::NotLeader { leader: Some(NodeId(id)) }));
    assert_eq!(
        lines(&nodes.iter().collect::<Vec<_>>()).await,
        ["first"],
        "no line of the log's own"
    );
}
