//! What a state machine calls brief is applied by the core itself, as long as nothing else waits.

#[allow(dead_code, reason = "these stories have a state machine of their own")]
mod story;

use bytes::Bytes;
use story::{addresses, config, raft, until};
use synod_consensus::{Index, RestoreError, StateMachine};
use synod_raft::Raft;
use synod_runtime::{Node, NodeConfig, Oneshot, Outcome, StopReason, start};

/// Answers on which thread it is asked.
#[derive(Clone)]
struct Where;

impl StateMachine for Where {
    type Response = String;
    type Query = &'static str;
    type Answer = String;
    type Frozen = ();

    fn apply(&mut self, _: Index, command: &[u8]) -> String {
        assert_ne!(command, b"brief, and wrong");
        here()
    }
    fn is_brief(&self, command: &[u8]) -> bool {
        command.starts_with(b"brief")
    }
    fn is_brief_query(&self, query: &&'static str) -> bool {
        *query == "brief"
    }
    fn read(&self, _: &&'static str) -> String {
        here()
    }
    fn freeze(&self) {}
    fn chunks((): &()) -> impl Iterator<Item = Bytes> {
        std::iter::empty()
    }
    fn restore(&self, _: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        Ok(Self)
    }
}

fn here() -> String {
    std::thread::current().name().unwrap_or_default().into()
}

fn begin(config: &NodeConfig) -> Node<Where, Oneshot<Where>> {
    let mut raft = raft(config);
    raft.bounds.snapshot_every = 20;
    start::<Raft, _, _>(config, |_| raft, Where).expect("nothing is in its way")
}

/// Writes once it leads.
async fn write(node: &Node<Where, Oneshot<Where>>, command: &'static str) -> Outcome<String> {
    until("it leads", || node.handle().status().log.leader.is_some()).await;
    node.handle().write(command).await
}

#[tokio::test]
async fn brief_work_is_done_by_the_core_and_other_work_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = begin(&config(1, dir.path(), &addresses(1)));
    let (core, apply) =
        (Outcome::Done("synod-core".to_owned()), Outcome::Done("synod-apply".to_owned()));
    assert_eq!(write(&node, "long").await, apply);
    for _ in 0..50 {
        // Whatever came before is done, though the thread that did it may not have put it away.
        let answer = write(&node, "brief").await;
        assert!(answer == core || answer == apply);
    }
    assert_eq!(write(&node, "brief").await, core);
    assert_eq!(node.handle().query("brief").await, core);
    assert_eq!(node.handle().query("long").await, apply);
    until("the log knows what was applied", || node.handle().status().log.snapshot.0 >= 20).await;
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}

#[tokio::test]
async fn a_panic_in_brief_work_stops_the_node_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let node = begin(&config(1, dir.path(), &addresses(1)));
    write(&node, "brief").await;
    assert_eq!(write(&node, "brief, and wrong").await, Outcome::Unknown);
    match node.stopped().await {
        StopReason::Fatal(why) => assert!(why.contains("panicked"), "{why}"),
        other => panic!("{other:?}"),
    }
}
